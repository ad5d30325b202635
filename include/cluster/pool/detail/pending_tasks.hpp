// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PENDING_TASKS_HPP
#define CLUSTER_POOL_DETAIL_PENDING_TASKS_HPP

#include "../../detail/counted.hpp"
#include "../../detail/ring_queue.hpp"
#include "process_task.hpp"

#include <atomic>
#include <cstddef>
#include <map>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The tasks that no worker has: higher priorities first, in order of submission. With the engine's
/// mutex, but for empty().
class pending_tasks {
public:
    using task_pointer = counted<process_task>;

    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] std::size_t size() const noexcept {
        return size_.load(std::memory_order_relaxed);
    }

    void push(task_pointer task) {
        queue_of(task->priority).push_back(std::move(task));
        count(1);
    }
    /// Before the others of its priority.
    void push_front(task_pointer task) {
        queue_of(task->priority).push_front(std::move(task));
        count(1);
    }
    /// \pre not empty
    task_pointer pop() noexcept {
        const auto most = others_.begin();
        const bool other = most != others_.end() && (most->first < 0 || ordinary_.empty());
        auto& queue = other ? most->second : ordinary_;
        auto result = std::move(queue.front());
        queue.pop_front();
        count(-1);
        if (other && queue.empty()) {
            others_.erase(most);
        }
        return result;
    }

private:
    using queue_type = ring_queue<task_pointer>;

    queue_type& queue_of(int priority) { return priority == 0 ? ordinary_ : others_[-priority]; }
    void count(std::ptrdiff_t more) noexcept {
        size_.store(size() + static_cast<std::size_t>(more), std::memory_order_relaxed);
    }

    queue_type ordinary_;              // priority 0
    std::map<int, queue_type> others_; // by the negated priority
    std::atomic<std::size_t> size_{0};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PENDING_TASKS_HPP
