// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_ENDED_TASKS_HPP
#define CLUSTER_POOL_DETAIL_ENDED_TASKS_HPP

#include "../../detail/counted.hpp"
#include "../../exit_status.hpp"
#include "../error.hpp"
#include "../stats.hpp"
#include "process_task.hpp"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename Error, typename... Args>
std::exception_ptr error_of(Args&&... args) {
    return std::make_exception_ptr(Error{std::forward<Args>(args)...});
}

/// \pre not with a mutex that a callback may want: it waits for one that is running
inline void settle_failed(process_task& task, std::exception_ptr error) noexcept {
    task.fail(std::move(error));
    task.link.reset();
}

/// The tasks that end without a result. They are found with the engine's mutex and settled without:
/// callbacks may come back to the pool. For the engine's thread.
class ended_tasks {
public:
    using task_pointer = counted<process_task>;

    /// Settled already.
    void drop(task_pointer task) { dropped_.push_back(std::move(task)); }
    void cancel(task_pointer task) { cancelled_.push_back(std::move(task)); }
    void expire(task_pointer task) { late_.push_back(std::move(task)); }
    void crash(task_pointer task, const exit_status& status) {
        crashed_.emplace_back(std::move(task), status);
    }

    /// \param room tells those who wait for a shorter queue
    void settle(std::mutex& mutex, pool_stats& stats, std::condition_variable& room) noexcept {
        if (dropped_.empty() && cancelled_.empty() && late_.empty() && crashed_.empty()) {
            return;
        }
        auto dropped = std::exchange(dropped_, {});
        for (auto& each : dropped) {
            each->link.reset();
        }
        auto cancelled = std::exchange(cancelled_, {});
        auto late = std::exchange(late_, {});
        auto crashed = std::exchange(crashed_, {});
        {
            const std::lock_guard lock{mutex};
            stats.cancelled += cancelled.size();
            stats.timed_out += late.size();
            stats.crashed += crashed.size();
        }
        if (!cancelled.empty() || !crashed.empty()) {
            room.notify_all();
        }
        for (auto& each : cancelled) {
            settle_failed(*each, error_of<task_cancelled>());
        }
        for (auto& each : late) {
            settle_failed(*each, error_of<task_timeout>());
        }
        for (auto& [task, status] : crashed) {
            settle_failed(*task, error_of<worker_crashed>(status));
        }
    }

private:
    std::vector<task_pointer> dropped_;
    std::vector<task_pointer> cancelled_;
    std::vector<task_pointer> late_;
    std::vector<std::pair<task_pointer, exit_status>> crashed_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_ENDED_TASKS_HPP
