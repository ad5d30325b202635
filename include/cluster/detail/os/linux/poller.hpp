// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_POLLER_HPP
#define CLUSTER_DETAIL_OS_LINUX_POLLER_HPP

#include "../../../unique_fd.hpp"
#include "../../chrono.hpp"
#include "fd.hpp"

#include <cstdint>
#include <system_error>
#include <utility>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// What a descriptor is watched for, and what has happened to it.
enum class io : std::uint32_t {
    none = 0,
    readable = EPOLLIN,
    writable = EPOLLOUT,
    hangup = EPOLLERR | EPOLLHUP,
    edge = EPOLLET,             // tells once for each change, so nobody has to read an eventfd
    exclusive = EPOLLEXCLUSIVE, // with readable: of several pollers, about one is woken
};

constexpr io operator|(io a, io b) noexcept {
    return static_cast<io>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
constexpr bool operator&(io a, io b) noexcept {
    return (static_cast<std::uint32_t>(a) & static_cast<std::uint32_t>(b)) != 0;
}

/// A level-triggered epoll set. Keys are the caller's; descriptors are borrowed and must be removed
/// before they are closed, unless nobody else has the open file: a copy would keep reporting, and
/// without the descriptor nothing but renew() ends that (epoll(7), "Will closing a file descriptor
/// cause it to be removed from all epoll interest lists?").
class poller {
public:
    struct event {
        std::uint64_t key;
        io what;
    };

    poller() : epoll_{::epoll_create1(EPOLL_CLOEXEC)} {
        if (!epoll_) {
            throw std::system_error(last_error(), "epoll_create1");
        }
    }

    [[nodiscard]] int native_handle() const noexcept { return epoll_.get(); }

    /// An empty set instead of this one, whose last events stay. native_handle() changes.
    std::error_code renew() noexcept {
        unique_fd fresh{::epoll_create1(EPOLL_CLOEXEC)};
        if (!fresh) {
            return last_error();
        }
        epoll_ = std::move(fresh);
        return {};
    }

    std::error_code add(int fd, std::uint64_t key, io what) noexcept {
        return control(EPOLL_CTL_ADD, fd, key, what);
    }
    std::error_code modify(int fd, std::uint64_t key, io what) noexcept {
        return control(EPOLL_CTL_MOD, fd, key, what);
    }
    void remove(int fd) noexcept { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

    /// Waits at most `timeout` milliseconds (-1: for ever). A signal ends the wait with no event.
    /// \returns how many events there are.
    int wait(int timeout) noexcept {
        int count = ::epoll_wait(epoll_.get(), events_, batch, timeout);
        return count > 0 ? count : 0;
    }
    /// One of the last wait's events.
    [[nodiscard]] event event_at(int index) const noexcept {
        return {events_[index].data.u64, static_cast<io>(events_[index].events)};
    }

private:
    static constexpr int batch = 128;

    std::error_code control(int operation, int fd, std::uint64_t key, io what) noexcept {
        epoll_event wanted{};
        wanted.events = static_cast<std::uint32_t>(what);
        wanted.data.u64 = key;
        return ::epoll_ctl(epoll_.get(), operation, fd, &wanted) == 0 ? std::error_code{}
                                                                      : last_error();
    }

    unique_fd epoll_;
    epoll_event events_[batch];
};

/// Wakes a poller from any thread or signal handler.
class wakeup {
public:
    wakeup() : event_{make()} {
        if (!event_) {
            throw std::system_error(last_error(), "eventfd");
        }
    }
    /// What notify() takes; empty, and errno, when the system is out of descriptors.
    [[nodiscard]] static unique_fd make() noexcept {
        return unique_fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    }
    [[nodiscard]] int descriptor() const noexcept { return event_.get(); }

    /// Thread-safe, signal-safe; never blocks, keeps errno.
    void notify() const noexcept { notify(event_.get()); }
    static void notify(int descriptor) noexcept {
        int saved = errno;
        std::uint64_t one = 1;
        [[maybe_unused]] auto written = ::write(descriptor, &one, sizeof one);
        errno = saved;
    }
    void clear() const noexcept {
        std::uint64_t count = 0;
        [[maybe_unused]] auto got = ::read(event_.get(), &count, sizeof count);
    }

private:
    unique_fd event_;
};

/// A deadline as a descriptor.
class deadline_timer {
public:
    deadline_timer() : timer_{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)} {
        if (!timer_) {
            throw std::system_error(last_error(), "timerfd_create");
        }
    }
    [[nodiscard]] int descriptor() const noexcept { return timer_.get(); }

    /// Becomes readable at `when`, and not before; never, with time_point::max().
    void arm(std::chrono::steady_clock::time_point when) noexcept {
        itimerspec spec{};
        if (when != std::chrono::steady_clock::time_point::max()) {
            auto since = when.time_since_epoch();
            auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
            spec.it_value.tv_sec = seconds.count();
            spec.it_value.tv_nsec = std::chrono::nanoseconds{since - seconds}.count();
            if (spec.it_value.tv_sec <= 0 && spec.it_value.tv_nsec <= 0) {
                spec.it_value.tv_nsec = 1; // all zero would disarm
            }
        }
        ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
    }

private:
    unique_fd timer_;
};

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_POLLER_HPP
