// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_DEADLINE_WATCH_HPP
#define CLUSTER_POOL_DETAIL_DEADLINE_WATCH_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/counted.hpp"
#include "../../detail/timer_heap.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A thread, started when it is first needed, that tells tasks that their time is over.
class deadline_watch {
public:
    using time_point = std::chrono::steady_clock::time_point;

    class entry {
    public:
        virtual void expire() noexcept = 0;
        virtual void add_reference() noexcept = 0;
        virtual void release() noexcept = 0;

    protected:
        ~entry() = default;

    private:
        friend class deadline_watch;
        timer_heap::key place_; // with the mutex
    };

    deadline_watch() = default;
    deadline_watch(deadline_watch&&) = delete;
    deadline_watch& operator=(deadline_watch&&) = delete;
    ~deadline_watch() {
        {
            const std::lock_guard lock{mutex_};
            ends_ = true;
        }
        changed_.notify_one();
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    void add(counted<entry> task, time_point deadline) {
        const std::lock_guard lock{mutex_};
        const bool first = deadline < entries_.next();
        entry& added = *task;
        added.place_ = entries_.add(
            deadline, {}, [this, task = std::move(task)]() mutable { due_ = std::move(task); });
        if (!thread_.joinable()) {
            thread_ = std::thread{[this] { run(); }};
        } else if (first) {
            changed_.notify_one();
        }
    }

    /// \pre the caller holds a reference
    void remove(entry& task) noexcept {
        const std::lock_guard lock{mutex_};
        entries_.cancel(task.place_);
    }

private:
    void run() noexcept {
        std::unique_lock lock{mutex_};
        while (!ends_) {
            entries_.run_due(std::chrono::steady_clock::now(), [this] { return bool{due_}; });
            if (auto task = std::move(due_)) {
                lock.unlock();
                task->expire();
                task.reset();
                lock.lock();
            } else if (const auto next = entries_.next(); next != time_point::max()) {
                changed_.wait_until(lock, next);
            } else {
                changed_.wait(lock);
            }
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    timer_heap entries_;
    counted<entry> due_; // what entries_ has given out, for run()
    bool ends_ = false;
    std::thread thread_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_DEADLINE_WATCH_HPP
