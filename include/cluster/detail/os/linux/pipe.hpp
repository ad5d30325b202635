// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_PIPE_HPP
#define CLUSTER_DETAIL_OS_LINUX_PIPE_HPP

#include "../../../unique_fd.hpp"
#include "fd.hpp"
#include "socket.hpp"

#include <cerrno>
#include <cstddef>
#include <span>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// A pipe; reading does not block, writing does.
inline std::error_code make_pipe(unique_fd& reader, unique_fd& writer) noexcept {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return last_error();
    }
    reader.reset(ends[0]);
    writer.reset(ends[1]);
    set_nonblocking(reader.get(), true);
    return {};
}

/// Reads from whatever is open there; 0 bytes without an error is the end.
inline transfer read_some(int fd, std::span<std::byte> into) noexcept {
    return to_transfer(retry([&] { return ::read(fd, into.data(), into.size()); }));
}

/// A write to a pipe whose reader is gone is an error, not the end of this process.
class pipe_signal_blocked {
public:
    pipe_signal_blocked() noexcept {
        sigset_t pending;
        ::sigemptyset(&mask_);
        ::sigaddset(&mask_, SIGPIPE);
        ::sigpending(&pending);
        was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
        ::pthread_sigmask(SIG_BLOCK, &mask_, &before_);
    }
    ~pipe_signal_blocked() {
        int saved = errno;
        if (!was_pending_) { // ours, if it came
            timespec at_once{};
            ::sigtimedwait(&mask_, nullptr, &at_once);
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        errno = saved;
    }
    pipe_signal_blocked(const pipe_signal_blocked&) = delete;
    pipe_signal_blocked& operator=(const pipe_signal_blocked&) = delete;

private:
    sigset_t mask_;
    sigset_t before_;
    bool was_pending_;
};

/// Writes at most a page to whatever is open there, if that does not block; the rest is dropped.
inline void write_if_possible(int fd, std::span<const std::byte> bytes) noexcept {
    pollfd ready{fd, POLLOUT, 0};
    if (fd >= 0 && ::poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0) {
        const pipe_signal_blocked guard;
        [[maybe_unused]] auto written = ::write(fd, bytes.data(), bytes.size());
    }
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_PIPE_HPP
