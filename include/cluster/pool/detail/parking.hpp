// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PARKING_HPP
#define CLUSTER_POOL_DETAIL_PARKING_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/os/linux/futex.hpp"

#include <atomic>
#include <cstdint>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Where idle workers sleep. A wake costs microseconds, so one is made only when nobody is looking
/// for tasks already; who looks and finds some wakes the next if there are more.
///
/// No wake is lost: a worker that stops looking says so and looks once more, a producer puts its
/// task and then asks whether somebody looks, all in one total order (sequentially consistent).
class parking {
public:
    /// By a producer, after it has put a task with a sequentially consistent operation.
    void notify() noexcept {
        if (const std::uint64_t now = state_.load(std::memory_order_seq_cst);
            sleeping_of(now) != 0 && searching_of(now) == 0) {
            wake_one(now);
        }
    }

    void wake_all() noexcept {
        std::uint64_t now = state_.load();
        while (sleeping_of(now) != 0) {
            const std::uint64_t count = sleeping_of(now);
            if (state_.compare_exchange_weak(now, now - count * sleeper + count * searcher)) {
                permits_.fetch_add(static_cast<std::uint32_t>(count));
                os::futex_wake_all(permits_);
                return;
            }
        }
    }

    /// By a worker that has run out of tasks: it looks for some from now on.
    void start_searching() noexcept { state_.fetch_add(searcher); }
    /// It has found one. \returns whether nobody else looks, so that it should notify()
    bool stop_searching() noexcept { return searching_of(state_.fetch_sub(searcher)) == 1; }

    /// Puts a searching worker to sleep unless `has_work()`. It is searching again afterwards.
    /// \returns false when the time was over first
    template <typename HasWork>
    bool sleep(HasWork has_work, std::chrono::steady_clock::time_point deadline) noexcept {
        state_.fetch_add(sleeper - searcher);
        if (has_work() && leave()) {
            return true;
        }
        for (;;) {
            std::uint32_t permits = permits_.load(std::memory_order_relaxed);
            while (permits != 0) {
                if (permits_.compare_exchange_weak(
                        permits, permits - 1, std::memory_order_acquire)) {
                    return true;
                }
            }
            if (!os::futex_wait(permits_, 0, os::futex_scope::process, deadline) && leave()) {
                return false;
            }
        }
    }

    [[nodiscard]] unsigned sleeping() const noexcept {
        return static_cast<unsigned>(sleeping_of(state_.load(std::memory_order_relaxed)));
    }

private:
    static constexpr std::uint64_t searcher = 1;
    static constexpr std::uint64_t sleeper = std::uint64_t{1} << 32U;
    static std::uint64_t searching_of(std::uint64_t state) noexcept { return state & 0xffffffffU; }
    static std::uint64_t sleeping_of(std::uint64_t state) noexcept { return state >> 32U; }

    /// Takes one off the sleepers, and gives that one, whoever it turns out to be, a permit.
    void wake_one(std::uint64_t now) noexcept {
        while (sleeping_of(now) != 0 && searching_of(now) == 0) {
            if (state_.compare_exchange_weak(now, now - sleeper + searcher)) {
                permits_.fetch_add(1, std::memory_order_release);
                os::futex_wake(permits_, 1);
                return;
            }
        }
    }

    /// A sleeper gets up by itself. \returns false when it has been woken: a permit waits for it
    bool leave() noexcept {
        std::uint64_t now = state_.load();
        while (sleeping_of(now) != 0) {
            if (state_.compare_exchange_weak(now, now - sleeper + searcher)) {
                return true;
            }
        }
        return false;
    }

    alignas(64) std::atomic<std::uint64_t> state_{0};
    alignas(64) os::futex_word permits_{0};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PARKING_HPP
