// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_RECOVERABLE_LOCK_HPP
#define CLUSTER_DETAIL_RECOVERABLE_LOCK_HPP

#include "chrono.hpp"
#include "os.hpp"

#include <atomic>
#include <cstdint>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A lock in shared memory that cannot stay held. It is taken from a holder that is dead, and from
/// one that has not let go for a second, because it is stopped, or hostile, or its number is now
/// another's. So it only keeps writers from each other's way for as long as all goes well: what it
/// guards must be safe from a holder that was robbed and goes on.
///
/// Zero bytes are a free lock. A robust pthread_mutex_t would not do: it holds pointers of its
/// owner, which every process that shares the memory could forge.
class recoverable_lock {
public:
    static constexpr std::chrono::seconds patience{1};

    /// Blocks. `me`: os::thread_number(). \returns whether the holder before has not let go: what it
    /// was about may be half done.
    [[nodiscard]] bool lock(std::uint32_t me) noexcept {
        for (int i = 0; i != spins; ++i) {
            std::uint32_t free = 0;
            if (holder_.load(std::memory_order_relaxed) == 0 &&
                holder_.compare_exchange_strong(free, me, std::memory_order_acquire)) {
                turns_.fetch_add(1, std::memory_order_relaxed);
                return false;
            }
        }
        return lock_slowly(me);
    }

    void unlock(std::uint32_t me) noexcept {
        std::uint32_t now = holder_.load(std::memory_order_relaxed);
        while ((now & number_mask) == me) { // else it was taken from us
            if (holder_.compare_exchange_weak(now, 0, std::memory_order_release)) {
                if ((now & contended) != 0) {
                    os::futex_wake(holder_, 1, os::futex_scope::shared);
                }
                return;
            }
        }
    }

private:
    static constexpr std::uint32_t contended = 0x80000000U; // somebody sleeps
    static constexpr std::uint32_t number_mask = 0x3fffffffU;
    static constexpr int spins = 100;

    // Whoever has slept leaves `contended` set, since others may sleep, too. A wake that is lost
    // with a dead process costs one slice.
    bool lock_slowly(std::uint32_t me) noexcept {
        using clock = std::chrono::steady_clock;
        std::uint32_t seen_holder = 0;
        std::uint32_t seen_turn = 0;
        auto since = clock::now();
        for (;;) {
            std::uint32_t now = holder_.load(std::memory_order_relaxed);
            bool robs = false;
            if (now != 0) {
                if (!holder_.compare_exchange_strong(
                        now, now | contended, std::memory_order_relaxed)) {
                    continue;
                }
                now |= contended;
                auto turn = turns_.load(std::memory_order_relaxed);
                if (now != seen_holder || turn != seen_turn) {
                    seen_holder = now;
                    seen_turn = turn;
                    since = clock::now();
                } else {
                    robs = clock::now() - since > patience || !os::thread_lives(now & number_mask);
                }
            }
            if (now == 0 || robs) {
                if (holder_.compare_exchange_strong(
                        now, me | contended, std::memory_order_acquire)) {
                    turns_.fetch_add(1, std::memory_order_relaxed);
                    return robs;
                }
                continue;
            }
            os::futex_wait(
                holder_, now, os::futex_scope::shared, clock::now() + std::chrono::milliseconds{5});
        }
    }

    std::atomic<std::uint32_t> holder_{0}; // a thread's number
    std::atomic<std::uint32_t> turns_{0};  // tells a busy lock from a forgotten one
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_RECOVERABLE_LOCK_HPP
