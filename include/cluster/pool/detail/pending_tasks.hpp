// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PENDING_TASKS_HPP
#define CLUSTER_POOL_DETAIL_PENDING_TASKS_HPP

#include "../../detail/counted.hpp"
#include "../../detail/ring_queue.hpp"
#include "../../detail/stable_heap.hpp"
#include "process_task.hpp"

#include <atomic>
#include <cstddef>
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
        const int priority = task->priority;
        priority == 0 ? common_.push_back(std::move(task))
                      : others_.push(std::move(task), priority);
        count(1);
    }
    /// Before the others of its priority.
    void push_front(task_pointer task) {
        const int priority = task->priority;
        priority == 0 ? common_.push_front(std::move(task))
                      : others_.push_front(std::move(task), priority);
        count(1);
    }
    /// \pre not empty
    task_pointer pop() noexcept {
        task_pointer result;
        count(-1);
        if (!others_.empty() && (common_.empty() || others_.top_priority() > 0)) {
            result = std::move(others_.top());
            others_.pop();
        } else {
            result = std::move(common_.front());
            common_.pop_front();
        }
        return result;
    }

private:
    void count(std::ptrdiff_t more) noexcept {
        size_.store(size() + static_cast<std::size_t>(more), std::memory_order_relaxed);
    }

    ring_queue<task_pointer> common_; // priority 0
    stable_heap<task_pointer> others_;
    std::atomic<std::size_t> size_{0};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PENDING_TASKS_HPP
