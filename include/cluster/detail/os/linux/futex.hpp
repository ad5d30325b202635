// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_FUTEX_HPP
#define CLUSTER_DETAIL_OS_LINUX_FUTEX_HPP

#include "../../chrono.hpp"
#include "process_info.hpp"

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// Who waits on a word: threads of this process, or whoever has the memory mapped.
enum class futex_scope { process, shared };

using futex_word = std::atomic<std::uint32_t>;
static_assert(sizeof(futex_word) == sizeof(std::uint32_t) && futex_word::is_always_lock_free);

/// Sleeps while the four bytes at `word` are `expected`, until a wake, a signal or `deadline`; max()
/// is never. \returns false when the time is over. Look at the word again in any case.
inline bool futex_wait(const void* word,
                       std::uint32_t expected,
                       futex_scope scope,
                       std::chrono::steady_clock::time_point deadline) noexcept {
    const int flag = scope == futex_scope::process ? FUTEX_PRIVATE_FLAG : 0;
    const bool ends = deadline != std::chrono::steady_clock::time_point::max();
    const auto since_boot = deadline.time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
    const timespec absolute{static_cast<time_t>(seconds.count()),
                            static_cast<long>((since_boot - seconds).count())};
    const int saved = errno;
    const long result = ::syscall(SYS_futex,
                                  word,
                                  FUTEX_WAIT_BITSET | flag, // the one whose time is absolute
                                  expected,
                                  ends ? &absolute : nullptr,
                                  nullptr,
                                  FUTEX_BITSET_MATCH_ANY);
    const bool timed_out = result == -1 && errno == ETIMEDOUT;
    errno = saved;
    return !timed_out;
}
inline bool futex_wait(const futex_word& word,
                       std::uint32_t expected,
                       futex_scope scope = futex_scope::process,
                       std::chrono::steady_clock::time_point deadline =
                           std::chrono::steady_clock::time_point::max()) noexcept {
    return futex_wait(static_cast<const void*>(&word), expected, scope, deadline);
}

/// Wakes up to `count` of those that sleep on `word`. Signal-safe. \returns how many
inline std::size_t futex_wake(const void* word, int count, futex_scope scope) noexcept {
    const int flag = scope == futex_scope::process ? FUTEX_PRIVATE_FLAG : 0;
    const int saved = errno;
    const long woken = ::syscall(SYS_futex, word, FUTEX_WAKE | flag, count, nullptr, nullptr, 0);
    errno = saved;
    return woken < 0 ? 0 : static_cast<std::size_t>(woken);
}
inline std::size_t
futex_wake(const futex_word& word, int count, futex_scope scope = futex_scope::process) noexcept {
    return futex_wake(static_cast<const void*>(&word), count, scope);
}

inline void futex_wake_all(const futex_word& word,
                           futex_scope scope = futex_scope::process) noexcept {
    futex_wake(word, INT_MAX, scope);
}

/// Lets another thread have the CPU.
inline void yield_cpu() noexcept {
    ::sched_yield();
}

/// Tells the CPU that this is a loop that waits.
inline void pause_cpu() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");
#endif
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
