// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_FUTEX_HPP
#define CLUSTER_DETAIL_OS_LINUX_FUTEX_HPP

#include "process_info.hpp"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// \file
/// Sleeping on a word of memory that processes share: never the private form of futex(2), whose
/// queue is that of one process.

/// Blocks while the four bytes at `word` are `expected`, until a wake or `deadline`
/// (`time_point::max()`: none). May return for no reason. \returns false at the deadline.
inline bool futex_wait(const void* word,
                       std::uint32_t expected,
                       std::chrono::steady_clock::time_point deadline) noexcept {
    using namespace std::chrono;
    timespec until{};
    bool limited = deadline != steady_clock::time_point::max();
    if (limited) { // steady_clock is CLOCK_MONOTONIC, which is what an absolute wait means
        auto at = deadline.time_since_epoch();
        auto whole = duration_cast<seconds>(at);
        until.tv_sec = static_cast<std::time_t>(whole.count());
        until.tv_nsec = static_cast<long>(duration_cast<nanoseconds>(at - whole).count());
    }
    long result = ::syscall(SYS_futex,
                            word,
                            FUTEX_WAIT_BITSET,
                            expected,
                            limited ? &until : nullptr,
                            nullptr,
                            FUTEX_BITSET_MATCH_ANY);
    return result == 0 || errno != ETIMEDOUT;
}

/// Wakes at most `most` of those who sleep on `word`. \returns how many.
inline std::size_t futex_wake(const void* word, int most) noexcept {
    long woken = ::syscall(SYS_futex, word, FUTEX_WAKE, most, nullptr, nullptr, 0);
    return woken < 0 ? 0 : static_cast<std::size_t>(woken);
}

/// The number by which the whole system knows this thread.
inline std::uint32_t thread_number() noexcept {
    return static_cast<std::uint32_t>(::syscall(SYS_gettid)); // kept nowhere: a fork() changes it
}

/// Whether a thread with this number will run again, as far as one can see: a new one may have got
/// the number of a dead one.
inline bool thread_lives(std::uint32_t number) noexcept {
    if (::kill(static_cast<pid_t>(number), 0) != 0 && errno == ESRCH) {
        return false;
    }
    char buffer[512];
    auto text = read_of_process(static_cast<int>(number), "stat", buffer);
    auto state = parse_stat(text).state;
    return state != 'Z' && state != 'X'; // who killed it may not have waited for it yet
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_FUTEX_HPP
