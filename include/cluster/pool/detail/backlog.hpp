// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_BACKLOG_HPP
#define CLUSTER_POOL_DETAIL_BACKLOG_HPP

#include "../../detail/fence.hpp"
#include "../../detail/stable_heap.hpp"
#include "task_queue.hpp"
#include "task_ring.hpp"

#include <atomic>
#include <cstddef>
#include <mutex>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The tasks of a thread pool that are in no ring: those with a priority of their own, and those
/// for which the rings had no room. Its counters say without a lock that there are none.
class backlog {
public:
    void put(task_slot&& task, int priority) {
        {
            const std::lock_guard lock{mutex_};
            priority == 0 ? common_.push_back(std::move(task))
                          : others_.push(std::move(task), priority);
            add(counter_of(priority), 1);
            add(in_order_, priority == 0 ? 1 : 0);
            add(put_, 1);
        }
        // Who puts looks for sleepers next, who goes to sleep looks for tasks last.
        full_fence();
    }

    [[nodiscard]] bool has_urgent() const noexcept { return urgent_.load() != 0; }
    [[nodiscard]] bool has_ordinary() const noexcept { return ordinary_.load() != 0; }
    /// Whether an ordinary task has to come here, too, to keep its place.
    [[nodiscard]] bool keeps_order() const noexcept { return in_order_.load() != 0; }
    [[nodiscard]] bool is_empty() const noexcept {
        return urgent_.load() == 0 && ordinary_.load() == 0 && low_.load() == 0;
    }
    [[nodiscard]] std::size_t size() const noexcept {
        return urgent_.load() + ordinary_.load() + low_.load();
    }

    /// Takes the most urgent task.
    bool take(task_slot& into) noexcept {
        const std::lock_guard lock{mutex_};
        const bool urgent = !others_.empty() && others_.top_priority() > 0;
        if (!urgent && !common_.empty()) {
            into = std::move(common_.front());
            common_.pop_front();
            add(ordinary_, ~std::size_t{0});
            add(in_order_, ~std::size_t{0});
            return true;
        }
        if (others_.empty()) {
            return false;
        }
        into = std::move(others_.top());
        add(counter_of(others_.top_priority()), ~std::size_t{0});
        others_.pop();
        return true;
    }

    /// Moves the oldest ordinary tasks, in their order, to where they can be taken without a lock,
    /// which is held for a moment only. Who puts waits behind them all the time, but who looks for
    /// tasks finds them when they are there: wake somebody then. `make_room()` runs one of the ring.
    template <typename MakeRoom>
    void refill(task_ring& ring, MakeRoom make_room) noexcept {
        task_queue::batch moving;
        {
            const std::lock_guard lock{mutex_};
            if (common_.empty()) {
                return;
            }
            moving = common_.take_first();
            add(ordinary_, std::size_t{0} - moving.size());
        }
        const std::size_t count = moving.size();
        for (;;) {
            ring.refill(moving.size(), [&](task_slot& into) { into = std::move(moving.next()); });
            if (moving.size() == 0) {
                break;
            }
            make_room();
        }
        const std::lock_guard lock{mutex_};
        add(in_order_, std::size_t{0} - count);
        add(put_, std::size_t{0} - count); // the ring counts them
        common_.reuse(std::move(moving));
        full_fence(); // as in put()
    }

    /// How many have been put since the beginning and never were in a ring.
    [[nodiscard]] std::size_t total() const noexcept {
        return put_.load(std::memory_order_relaxed);
    }

private:
    /// Only with the mutex are they changed, so that this need not be one operation.
    static void add(std::atomic<std::size_t>& counter, std::size_t count) noexcept {
        counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_release);
    }

    std::atomic<std::size_t>& counter_of(int priority) noexcept {
        return priority > 0 ? urgent_ : priority == 0 ? ordinary_ : low_;
    }

    // Every worker looks at the first two before each task, and they hardly ever change.
    alignas(64) std::atomic<std::size_t> urgent_{0}; // above 0
    std::atomic<std::size_t> low_{0};                // below 0
    alignas(64) std::atomic<std::size_t> ordinary_{0};
    std::atomic<std::size_t> in_order_{0}; // these, and those on their way to a ring
    std::atomic<std::size_t> put_{0};
    std::mutex mutex_;
    task_queue common_; // priority 0
    stable_heap<task_slot> others_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_BACKLOG_HPP
