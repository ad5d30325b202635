// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_THREAD_TASK_HPP
#define CLUSTER_POOL_DETAIL_THREAD_TASK_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/counted.hpp"
#include "../../detail/memory.hpp"
#include "../../stop_token.hpp"
#include "../error.hpp"
#include "../options.hpp"
#include "deadline_watch.hpp"
#include "task_slot.hpp"
#include "task_state.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What a thread pool counts besides what its workers do.
struct thread_task_counts {
    std::atomic<std::uint64_t> timed_out{0};
    std::atomic<std::uint64_t> cancelled{0};
};

/// A callable and the state of its future, in one allocation.
template <typename R, typename F>
class thread_task : public task_state<R> {
public:
    thread_task(F&& f, thread_task_counts& counts) : function_{std::move(f)}, counts_{counts} {}

    task_end run() noexcept {
        std::exception_ptr error;
        try {
            if constexpr (std::is_void_v<R>) {
                (*function_)();
                function_.reset(); // what it holds is free before somebody goes on
                this->settle();
            } else {
                R value = (*function_)();
                function_.reset();
                this->settle(std::move(value));
            }
            return task_end::value;
        } catch (...) {
            error = std::current_exception();
        }
        function_.reset();
        this->settle_error(std::move(error)); // outside of the handler, which holds the exception
        return task_end::threw;
    }
    void abandon() noexcept {
        if (this->template fail_with<task_cancelled>()) {
            counts_.cancelled.fetch_add(1, std::memory_order_relaxed);
        }
    }

private:
    std::optional<F> function_;
    thread_task_counts& counts_;
};

/// One that others may settle, too: its time is over, or it is cancelled. `F` takes the token.
template <typename R, typename F>
class watched_task final : public task_state<R>, public deadline_watch::entry {
public:
    watched_task(F&& f,
                 const task_options& options,
                 deadline_watch& watch,
                 thread_task_counts& counts)
        : function_{std::move(f)}, timeout_{options.timeout}, watch_{watch}, counts_{counts} {}

    /// \pre the caller holds a reference
    void link(stop_token outer, stop_token pool) {
        outer_.emplace(std::move(outer), canceller{this});
        pool_.emplace(std::move(pool), canceller{this});
    }

    task_end run() noexcept {
        if (this->is_settled()) {
            unlink();
            return task_end::elsewhere;
        }
        if (timeout_.count() != 0) {
            watch_.add(counted<deadline_watch::entry>::share(this),
                       std::chrono::steady_clock::now() + timeout_);
        }
        std::optional<stored_value<R>> value;
        std::exception_ptr error;
        try {
            if constexpr (std::is_void_v<R>) {
                (*function_)(source_.get_token());
                value.emplace();
            } else {
                value.emplace((*function_)(source_.get_token()));
            }
        } catch (...) {
            error = std::current_exception();
        }
        function_.reset();
        if (timeout_.count() != 0) {
            watch_.remove(*this);
        }
        unlink();
        if (!this->claim()) {
            return task_end::elsewhere;
        }
        if (error) {
            this->settle_error(std::move(error));
            return task_end::threw;
        }
        this->settle(std::move(*value));
        return task_end::value;
    }

    void abandon() noexcept {
        cancel();
        unlink();
    }

    void expire() noexcept override {
        if (this->template fail_with<task_timeout>()) {
            counts_.timed_out.fetch_add(1, std::memory_order_relaxed);
        }
        source_.request_stop();
    }
    void add_reference() noexcept override { task_state_base::add_reference(); }
    void release() noexcept override { task_state_base::release(); }

private:
    struct canceller {
        watched_task* task;
        void operator()() const noexcept {
            const auto keep = counted<watched_task>::share(task);
            task->cancel();
        }
    };

    void cancel() noexcept {
        if (this->template fail_with<task_cancelled>()) {
            counts_.cancelled.fetch_add(1, std::memory_order_relaxed);
        }
        source_.request_stop();
    }

    void unlink() noexcept {
        outer_.reset();
        pool_.reset();
    }

    std::optional<F> function_;
    std::chrono::nanoseconds timeout_;
    deadline_watch& watch_;
    thread_task_counts& counts_;
    stop_source source_;
    std::optional<stop_callback<canceller>> outer_;
    std::optional<stop_callback<canceller>> pool_;
};

/// What waits in the queue: runs the task, or, when it is dropped there, settles it.
template <typename Task>
class task_runner {
public:
    explicit task_runner(counted<Task> task) noexcept : task_{std::move(task)} {}
    task_runner(task_runner&&) noexcept = default;
    task_runner& operator=(task_runner&&) = delete;
    ~task_runner() {
        if (task_) {
            task_->abandon();
        }
    }

    task_end operator()() noexcept {
        auto task = std::move(task_);
        return task->run();
    }

private:
    counted<Task> task_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_THREAD_TASK_HPP
