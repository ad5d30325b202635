// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_SIGNALS_HPP
#define CLUSTER_DETAIL_OS_LINUX_SIGNALS_HPP

#include "fd.hpp"
#include "poller.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <utility>

#include <signal.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// Where the signals that one loop asked for arrive: bits that a handler sets, and a descriptor
/// that it wakes. A handler instead of signalfd, because signalfd needs the signal blocked in every
/// thread of the program, and a blocked mask survives exec.
struct signal_inbox {
    std::atomic<std::uint64_t> wanted{0};
    std::atomic<std::uint64_t> pending{0};
    int wakeup_descriptor = -1;
};

/// The process-wide end: which inboxes want which signals. A handler is installed with the first
/// subscription of a signal and the earlier disposition is restored with the last.
class signal_hub {
public:
    static constexpr int max_signal = 64;

    static std::uint64_t bit(int signal) noexcept {
        return std::uint64_t{1} << static_cast<unsigned>(signal - 1);
    }

    static std::error_code subscribe(signal_inbox& inbox, int signal) noexcept {
        if (signal < 1 || signal > max_signal) {
            return {EINVAL, std::system_category()};
        }
        std::lock_guard lock{mutex()};
        if (auto error = enter(inbox)) {
            return error;
        }
        auto& count = state().users[static_cast<std::size_t>(signal - 1)];
        if (count == 0) {
            struct sigaction action {};
            action.sa_handler = &on_signal;
            action.sa_flags = SA_RESTART;
            sigfillset(&action.sa_mask);
            if (::sigaction(signal,
                            &action,
                            &state().previous[static_cast<std::size_t>(signal - 1)]) != 0) {
                auto error = last_error();
                if (inbox.wanted.load() == 0) {
                    leave(inbox);
                }
                return error;
            }
        }
        ++count;
        inbox.wanted.fetch_or(bit(signal));
        return {};
    }

    /// For a forked child, which has the handlers of its parent and not its loops.
    static void forget_all() noexcept {
        for (auto& slot : state().inboxes) {
            slot.store(nullptr);
        }
        for (std::size_t i = 0; i != max_signal; ++i) {
            if (std::exchange(state().users[i], 0) != 0) {
                ::sigaction(static_cast<int>(i) + 1, &state().previous[i], nullptr);
            }
        }
    }

    static void unsubscribe(signal_inbox& inbox, int signal) noexcept {
        std::lock_guard lock{mutex()};
        inbox.wanted.fetch_and(~bit(signal));
        auto index = static_cast<std::size_t>(signal - 1);
        if (state().users[index] != 0 && --state().users[index] == 0) {
            ::sigaction(signal, &state().previous[index], nullptr);
        }
        if (inbox.wanted.load() == 0) {
            leave(inbox);
        }
    }

private:
    static constexpr std::size_t max_inboxes = 64;

    struct shared_state {
        std::array<std::atomic<signal_inbox*>, max_inboxes> inboxes{};
        std::atomic<int> running{0}; // handlers that are looking at the inboxes now
        std::array<int, max_signal> users{};
        std::array<struct sigaction, max_signal> previous{};
    };

    static_assert(std::atomic<signal_inbox*>::is_always_lock_free, "needed in a signal handler");

    static shared_state& state() noexcept {
        static constinit shared_state instance;
        return instance;
    }
    static std::mutex& mutex() noexcept {
        static constinit std::mutex instance;
        return instance;
    }

    static std::error_code enter(signal_inbox& inbox) noexcept {
        for (auto& slot : state().inboxes) {
            if (slot.load() == &inbox) {
                return {};
            }
        }
        for (auto& slot : state().inboxes) {
            if (slot.load() == nullptr) {
                slot.store(&inbox);
                return {};
            }
        }
        return {EAGAIN, std::system_category()};
    }

    static void leave(signal_inbox& inbox) noexcept {
        for (auto& slot : state().inboxes) {
            if (slot.load() == &inbox) {
                slot.store(nullptr);
            }
        }
        while (state().running.load() != 0) { // a handler in another thread: a few instructions
        }
    }

    static void on_signal(int signal) {
        auto& shared = state();
        shared.running.fetch_add(1);
        for (auto& slot : shared.inboxes) {
            signal_inbox* inbox = slot.load();
            if (inbox != nullptr && (inbox->wanted.load() & bit(signal)) != 0) {
                inbox->pending.fetch_or(bit(signal));
                wakeup::notify(inbox->wakeup_descriptor);
            }
        }
        shared.running.fetch_sub(1);
    }
};

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_SIGNALS_HPP
