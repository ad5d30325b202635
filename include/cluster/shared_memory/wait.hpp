// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SHARED_MEMORY_WAIT_HPP
#define CLUSTER_SHARED_MEMORY_WAIT_HPP

/// \file
/// Sleeping until an atomic in shared memory changes, as `std::atomic::wait` does within one
/// process. That one is of no use here: libstdc++ sleeps on a private futex, for most types not even
/// on the atomic itself but on a counter in the process's own memory, and a notify() that finds no
/// sleeper there makes no system call. So a process that waits with the one is woken only by the
/// other's of its own process.

#include "../detail/chrono.hpp"
#include "../detail/os.hpp"

#include <atomic>
#include <bit>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename T>
consteval bool check_futex_word() {
    static_assert(sizeof(std::atomic<T>) == 4 && sizeof(T) == 4 &&
                      std::atomic<T>::is_always_lock_free,
                  "wait/notify: the kernel waits on four bytes; use a std::atomic<int>, "
                  "<unsigned> or <float>, beside the value if need be, and count its changes.");
    return true;
}

template <typename T>
bool wait_until(const std::atomic<T>& element,
                T old,
                std::chrono::steady_clock::time_point deadline) noexcept {
    const auto expected = std::bit_cast<std::uint32_t>(old);
    for (bool in_time = true; in_time;) {
        if (std::bit_cast<std::uint32_t>(element.load()) != expected) {
            return true;
        }
        in_time = os::futex_wait(
            static_cast<const void*>(&element), expected, os::futex_scope::shared, deadline);
    }
    return std::bit_cast<std::uint32_t>(element.load()) != expected;
}

} // namespace detail

/// Blocks while `element` has the value `old`; returns at once when it has another. Whoever changes
/// it must call notify_one() or notify_all(), from whatever process shares it. The thread's event
/// loop stands still meanwhile, and a notifier that has died notifies nobody: prefer wait_for() in
/// a worker's main thread.
template <typename T>
void wait(const std::atomic<T>& element, std::type_identity_t<T> old) noexcept {
    if constexpr (detail::check_futex_word<T>()) {
        detail::wait_until(element, old, std::chrono::steady_clock::time_point::max());
    }
}

/// The same for `patience` at most. \returns whether the value has changed.
template <typename T>
bool wait_for(const std::atomic<T>& element,
              std::type_identity_t<T> old,
              std::chrono::nanoseconds patience) noexcept {
    using clock = std::chrono::steady_clock;
    if constexpr (detail::check_futex_word<T>()) {
        auto now = clock::now();
        bool endless = patience > clock::time_point::max() - now;
        return detail::wait_until(
            element, old, endless ? clock::time_point::max() : now + patience);
    }
    return false;
}

/// Wakes one of those who wait for `element`, in whatever process. \returns how many: 0 or 1.
template <typename T>
std::size_t notify_one(const std::atomic<T>& element) noexcept {
    return detail::check_futex_word<T>()
               ? detail::os::futex_wake(
                     static_cast<const void*>(&element), 1, detail::os::futex_scope::shared)
               : 0;
}

/// Wakes all who wait for `element`. \returns how many.
template <typename T>
std::size_t notify_all(const std::atomic<T>& element) noexcept {
    return detail::check_futex_word<T>()
               ? detail::os::futex_wake(
                     static_cast<const void*>(&element), INT_MAX, detail::os::futex_scope::shared)
               : 0;
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SHARED_MEMORY_WAIT_HPP
