// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_TASK_STATE_HPP
#define CLUSTER_POOL_DETAIL_TASK_STATE_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/move_only_function.hpp"
#include "../../detail/os/linux/futex.hpp"
#include "task_memory.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What a task and its task_future share, without the value: one piece of memory that is used again,
/// two references from the beginning, the pool's and the future's, and one word that tells whether it
/// is settled. Cheaper than std::future's by a mutex and two allocations.
class task_state_base : public in_task_memory {
public:
    task_state_base() = default;
    task_state_base(task_state_base&&) = delete;
    task_state_base& operator=(task_state_base&&) = delete;

    void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references_.load(std::memory_order_acquire) == 1 || // nobody else can count one more
            references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            delete this;
        }
    }

    /// Where several may settle a task (it ends, its time is over, it is cancelled), the first may.
    [[nodiscard]] bool claim() noexcept {
        return !claimed_.load(std::memory_order_relaxed) &&
               !claimed_.exchange(true, std::memory_order_acq_rel);
    }
    /// The same where only one thread can settle the task.
    [[nodiscard]] bool claim_alone() noexcept {
        if (claimed_.load(std::memory_order_relaxed)) {
            return false;
        }
        claimed_.store(true, std::memory_order_relaxed);
        return true;
    }

    /// The value or the error is in place. Runs the continuation, if there is one.
    /// \pre the caller holds a reference
    void publish() noexcept {
        if (publish_quietly()) {
            wake();
        }
    }
    /// The same for who settles several tasks in a row: the first one's waiter, woken at once, would
    /// find the second not ready and sleep again. \returns whether to call wake(), soon
    [[nodiscard]] bool publish_quietly() noexcept {
        std::uint32_t before = phase_.load(std::memory_order_acquire);
        if (before == chained) { // the future has gone into the continuation: it stays so
            phase_.store(ready, std::memory_order_release);
        } else {
            before = phase_.exchange(ready, std::memory_order_acq_rel);
        }
        if (before == chained) {
            continuation_(); // where it is: the caller keeps it alive
            continuation_ = nullptr;
        }
        return before == waited;
    }
    void wake() noexcept { os::futex_wake_all(phase_); }

    /// What the thread that settles all tasks of an engine is known by: the engine.
    [[nodiscard]] static const void*& settles_for() noexcept {
        static constinit thread_local const void* engine = nullptr;
        return engine;
    }
    /// Only the thread that settles for `engine` will settle this, and callbacks are added there too,
    /// most of them: what one thread does needs no atomic exchange. \pre nobody has the future yet
    void settle_only_for(const void* engine) noexcept { engine_ = engine; }

    enum class outcome : unsigned char {
        done,
        waited, ///< wake() is to be called, soon
        gone    ///< with the reference of the caller
    };
    /// publish_quietly() by the only thread that settles this.
    [[nodiscard]] outcome publish_alone() noexcept {
        if (phase_.load(std::memory_order_acquire) != chained) {
            return publish_quietly() ? outcome::waited : outcome::done;
        }
        phase_.store(ready, std::memory_order_relaxed);
        references_.store(1, std::memory_order_relaxed); // the future's, which comes with the call
        auto next = std::move(continuation_);
        next();
        return outcome::gone;
    }

    /// \returns whether this was what settled the task.
    bool fail(std::exception_ptr error) noexcept {
        if (!claim()) {
            return false;
        }
        error_ = std::move(error);
        publish();
        return true;
    }

    template <typename Error, typename... Args>
    bool fail_with(Args&&... args) noexcept {
        if (is_settled()) {
            return false;
        }
        // A statement of its own: the temporary shares the text with the exception.
        auto error = std::make_exception_ptr(Error{std::forward<Args>(args)...});
        return fail(std::move(error));
    }

    [[nodiscard]] bool is_settled() const noexcept {
        return claimed_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] bool is_ready() const noexcept {
        return phase_.load(std::memory_order_acquire) == ready;
    }

    /// \returns false when `deadline` comes first
    bool wait(std::chrono::steady_clock::time_point deadline) noexcept {
        // Who sleeps at once is woken for one task, and finds the next one not ready either.
        for (int i = 0; i != pauses + yields; ++i) {
            if (is_ready()) {
                return true;
            }
            i < pauses ? os::pause_cpu() : os::yield_cpu();
        }
        std::uint32_t now = pending;
        phase_.compare_exchange_strong(now, waited, std::memory_order_acquire);
        while (!is_ready()) {
            if (!os::futex_wait(phase_, waited, os::futex_scope::process, deadline)) {
                return is_ready();
            }
        }
        return true;
    }

    /// Has `continuation` run when the task is settled. \returns false when it is already
    template <typename F>
    bool chain(F&& continuation) {
        continuation_.emplace(std::forward<F>(continuation));
        std::uint32_t now = phase_.load(std::memory_order_acquire);
        if (engine_ != nullptr && engine_ == settles_for()) {
            if (now != ready) {
                phase_.store(chained, std::memory_order_relaxed);
            }
            return now != ready;
        }
        while (now != ready) {
            if (phase_.compare_exchange_weak(now, chained, std::memory_order_acq_rel)) {
                return true;
            }
        }
        return false;
    }
    /// What chain() refused.
    [[nodiscard]] move_only_function<void()> take_continuation() noexcept {
        return std::exchange(continuation_, {});
    }

protected:
    virtual ~task_state_base() = default;

    std::exception_ptr error_;

private:
    static constexpr int pauses = 64;
    static constexpr int yields = 8;
    static constexpr std::uint32_t pending = 0;
    static constexpr std::uint32_t waited = 1;  // somebody sleeps on the word
    static constexpr std::uint32_t chained = 2; // there is a continuation
    static constexpr std::uint32_t ready = 3;

    std::atomic<std::uint32_t> references_{2};
    os::futex_word phase_{pending};
    std::atomic<bool> claimed_{false};
    const void* engine_ = nullptr; // see settle_only_for()
    move_only_function<void()> continuation_;
};

/// The value of a task that returns nothing.
struct nothing {};

template <typename R>
using stored_value = std::conditional_t<std::is_void_v<R>, nothing, R>;

template <typename R>
class task_state : public task_state_base {
public:
    /// \pre claim() was granted. \returns as publish_quietly()
    [[nodiscard]] bool settle_quietly(stored_value<R>&& value) noexcept {
        value_.emplace(std::move(value));
        return this->publish_quietly();
    }
    /// \pre claim_alone() was granted. \returns as publish_alone()
    [[nodiscard]] outcome settle_alone(stored_value<R>&& value) noexcept {
        value_.emplace(std::move(value));
        return this->publish_alone();
    }
    /// \pre claim() was granted, or nobody else can settle this task
    template <typename... Value>
    void
    settle(Value&&... value) noexcept(std::is_nothrow_constructible_v<stored_value<R>, Value...>) {
        value_.emplace(std::forward<Value>(value)...);
        publish();
    }
    void settle_error(std::exception_ptr error) noexcept {
        error_ = std::move(error);
        publish();
    }

    /// \pre is_ready(), and only once
    R take() {
        if (error_) {
            std::rethrow_exception(std::exchange(error_, nullptr));
        }
        if constexpr (!std::is_void_v<R>) {
            return std::move(*value_);
        }
    }

private:
    std::optional<stored_value<R>> value_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_TASK_STATE_HPP
