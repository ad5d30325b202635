// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PENDING_TASKS_HPP
#define CLUSTER_POOL_DETAIL_PENDING_TASKS_HPP

#include "../../detail/counted.hpp"
#include "../../detail/ring_queue.hpp"
#include "process_task.hpp"

#include <cstddef>
#include <map>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The tasks that no worker has: higher priorities first, in order of submission.
class pending_tasks {
public:
    using task_pointer = counted<process_task>;

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    void push(task_pointer task) {
        of(*task).push_back(std::move(task));
        ++size_;
    }
    /// Before the others of its priority.
    void push_front(task_pointer task) {
        of(*task).push_front(std::move(task));
        ++size_;
    }
    /// \pre not empty
    task_pointer pop() noexcept {
        const auto most = queues_.begin();
        auto result = std::move(most->second.front());
        most->second.pop_front();
        --size_;
        if (most->second.empty()) {
            queues_.erase(most);
        }
        return result;
    }

private:
    ring_queue<task_pointer>& of(const process_task& task) { return queues_[-task.priority]; }

    std::map<int, ring_queue<task_pointer>> queues_; // by the negated priority
    std::size_t size_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PENDING_TASKS_HPP
