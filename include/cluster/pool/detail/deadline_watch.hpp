// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_DEADLINE_WATCH_HPP
#define CLUSTER_POOL_DETAIL_DEADLINE_WATCH_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/counted.hpp"

#include <condition_variable>
#include <map>
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
        std::multimap<time_point, counted<entry>>::iterator place_;
        bool watched_ = false; // with the mutex
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
        entry& added = *task;
        added.place_ = entries_.emplace(deadline, std::move(task));
        added.watched_ = true;
        if (!thread_.joinable()) {
            thread_ = std::thread{[this] { run(); }};
        } else if (added.place_ == entries_.begin()) {
            changed_.notify_one();
        }
    }

    void remove(entry& task) noexcept {
        counted<entry> gone;
        const std::lock_guard lock{mutex_};
        if (task.watched_) {
            task.watched_ = false;
            gone = std::move(task.place_->second);
            entries_.erase(task.place_);
        }
    }

private:
    void run() noexcept {
        std::unique_lock lock{mutex_};
        while (!ends_) {
            if (entries_.empty()) {
                changed_.wait(lock);
                continue;
            }
            const auto first = entries_.begin();
            if (const auto due = first->first; due > std::chrono::steady_clock::now()) {
                changed_.wait_until(lock, due);
                continue;
            }
            auto task = std::move(first->second);
            task->watched_ = false;
            entries_.erase(first);
            lock.unlock();
            task->expire();
            task.reset();
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::multimap<time_point, counted<entry>> entries_;
    bool ends_ = false;
    std::thread thread_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_DEADLINE_WATCH_HPP
