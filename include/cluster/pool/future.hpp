// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_FUTURE_HPP
#define CLUSTER_POOL_FUTURE_HPP

#include "../config.hpp"
#include "../detail/chrono.hpp"
#include "../detail/counted.hpp"
#include "detail/task_state.hpp"

#include <exception>
#include <future>
#include <utility>

namespace cluster {
inline namespace v0 {

/// The result of a task of a pool, or the one reason why there is none.
///
/// Wait for it (`get()`), have a callback called (`then()`), `co_await` it, or turn it into a
/// `std::future`, which costs two allocations more. It is always settled: no task of a pool is
/// forgotten, whatever becomes of its worker. Dropping it does not cancel the task.
///
/// Thread safety: distinct objects, safe; shared objects, unsafe. Callbacks and coroutines go on in
/// the thread that settles the task: a worker of a thread_pool, the one thread of a process_pool,
/// which they must not keep. What they throw ends the program.
template <typename R>
class [[nodiscard]] task_future {
public:
    using value_type = R;

    task_future() noexcept = default;

    [[nodiscard]] bool valid() const noexcept { return static_cast<bool>(state_); }
    /// Whether get() would not block.
    [[nodiscard]] bool ready() const noexcept { return state_->is_ready(); }

    /// Blocks until the task is settled; not in a task of the same thread_pool, which may need this
    /// very thread.
    void wait() const { state_->wait(std::chrono::steady_clock::time_point::max()); }
    /// \returns whether the task is settled, false when the time was over before
    template <typename Rep, typename Period>
    bool wait_for(std::chrono::duration<Rep, Period> time) const {
        return wait_until(std::chrono::steady_clock::now() +
                          std::chrono::ceil<std::chrono::steady_clock::duration>(time));
    }
    /// \returns whether the task is settled, false when the time was over before
    // NOLINTNEXTLINE(modernize-use-nodiscard): to wait may be all that is wanted
    bool wait_until(std::chrono::steady_clock::time_point deadline) const {
        return state_->wait(deadline);
    }

    /// Waits and gives the value, once: the future is empty afterwards.
    /// \throws what the task failed with, see pool/error.hpp
    R get() {
        CLUSTER_ASSERT(valid(), "get() of an empty task_future");
        wait();
        auto state = std::move(state_);
        return state->take();
    }

    /// Calls `callback(task_future<R>)` with this, settled, as soon as it is: at once if it is now.
    template <typename Callback>
    void then(Callback&& callback) && {
        auto* state = state_.get();
        auto call = [self = std::move(*this),
                     callback = std::forward<Callback>(callback)]() mutable {
            std::move(callback)(std::move(self));
        };
        if (!state->chain(std::move(call))) {
            auto refused = state->take_continuation();
            refused();
        }
    }

    /// `co_await pool.submit(...)` gives what get() gives. A coroutine includes `<coroutine>`.
    auto operator co_await() && noexcept { return awaiter{std::move(*this)}; }

    /// The same as the standard library's.
    operator std::future<R>() && {
        std::promise<R> promise;
        auto result = promise.get_future();
        std::move(*this).then([promise = std::move(promise)](task_future done) mutable {
            try {
                if constexpr (std::is_void_v<R>) {
                    done.get();
                    promise.set_value();
                } else {
                    promise.set_value(done.get());
                }
            } catch (...) {
                promise.set_exception(std::current_exception());
            }
        });
        return result;
    }

    /// For the pools. \param state the future takes over a reference to it
    static task_future of(detail::counted<detail::task_state<R>> state) noexcept {
        task_future result;
        result.state_ = std::move(state);
        return result;
    }

private:
    struct awaiter {
        task_future future;
        [[nodiscard]] bool await_ready() const noexcept { return future.ready(); }
        template <typename Handle>
        bool await_suspend(Handle waiting) noexcept {
            return future.state_->chain([waiting] { waiting.resume(); });
        }
        R await_resume() { return future.get(); }
    };

    detail::counted<detail::task_state<R>> state_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_FUTURE_HPP
