// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_THREAD_POOL_HPP
#define CLUSTER_POOL_THREAD_POOL_HPP

#include "../detail/chrono.hpp"
#include "../detail/iterator.hpp"
#include "../error.hpp"
#include "../stop_token.hpp"
#include "basic_pool.hpp"
#include "detail/range.hpp"
#include "detail/thread_engine.hpp"
#include "detail/thread_map.hpp"
#include "detail/thread_task.hpp"
#include "error.hpp"
#include "future.hpp"
#include "options.hpp"
#include "stats.hpp"

#include <concepts>
#include <cstddef>
#include <mutex>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// Tasks in the threads of this process.
///
/// A task is any callable with its arguments, which are copied or moved in and handed over as
/// rvalues. It starts in the order of submission where one worker is, about in that order else, and
/// its exceptions come out of its future. post() costs no allocation for callables of up to six
/// words, submit() one.
///
/// Timeouts and cancellation are cooperative, as a thread cannot be ended from outside: the future
/// fails at once, the function runs on until it looks at the std::stop_token that it may take as its
/// first parameter. So it must not refer to what ends before it does.
///
/// Thread safety: every member function from any thread. Fork safety: a forked child must not use it.
template <typename Serializer>
class basic_pool<backend::thread, Serializer> {
    template <typename F, typename... Args>
    static constexpr bool takes_token =
        !std::invocable<std::decay_t<F>, std::decay_t<Args>...> &&
        std::invocable<std::decay_t<F>, stop_token, std::decay_t<Args>...>;

    template <typename F, typename... Args>
    static consteval auto find_result() {
        if constexpr (takes_token<F, Args...>) {
            return std::type_identity<std::decay_t<
                std::invoke_result_t<std::decay_t<F>, stop_token, std::decay_t<Args>...>>>{};
        } else {
            return std::type_identity<
                std::decay_t<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>>{};
        }
    }
    template <typename F, typename... Args>
    using result_of = typename decltype(find_result<F, Args...>())::type;

    template <typename F, typename... Args>
    static constexpr bool runs =
        std::invocable<std::decay_t<F>, std::decay_t<Args>...> || takes_token<F, Args...>;

public:
    /// Starts the threads. \throws std::system_error when there are none to be had
    explicit basic_pool(const thread_pool_options& options = {}) : engine_{options} {}
    basic_pool(basic_pool&&) = delete;
    basic_pool& operator=(basic_pool&&) = delete;
    /// As close().
    ~basic_pool() { close(); }

    /// Queues `f(args...)`. \returns the future of its result, which also tells why there is none:
    /// queue_full, task_cancelled when the pool is closed. Blocks only for when_full::wait.
    template <typename F, typename... Args>
        requires runs<F, Args...>
    auto submit(F&& f, Args&&... args) {
        if constexpr (takes_token<F, Args...>) {
            return submit(task_options{}, std::forward<F>(f), std::forward<Args>(args)...);
        } else {
            using result = result_of<F, Args...>;
            auto call = bind<F, Args...>(std::forward<F>(f), std::forward<Args>(args)...);
            using task = detail::thread_task<result, decltype(call)>;
            return enqueue<result>(detail::counted<task>::adopt(new task{std::move(call), counts_}),
                                   0);
        }
    }
    /// The same with a timeout, a priority and more.
    template <typename F, typename... Args>
        requires runs<F, Args...>
    auto submit(const task_options& options, F&& f, Args&&... args) {
        refuse_limits(options.limits);
        using result = result_of<F, Args...>;
        auto call = bind_token<F, Args...>(std::forward<F>(f), std::forward<Args>(args)...);
        using task = detail::watched_task<result, decltype(call)>;
        auto made =
            detail::counted<task>::adopt(new task{std::move(call), options, watch_, counts_});
        made->link(options.stop, stop_.get_token());
        return enqueue<result>(std::move(made), options.priority);
    }

    /// The same for a function that is known at compile time, as a process_pool has it.
    template <auto Function, typename... Args>
        requires runs<decltype(Function), Args...>
    auto submit(Args&&... args) {
        return submit(Function, std::forward<Args>(args)...);
    }
    /// The same with a timeout, a priority and more.
    template <auto Function, typename... Args>
        requires runs<decltype(Function), Args...>
    auto submit(const task_options& options, Args&&... args) {
        return submit(options, Function, std::forward<Args>(args)...);
    }

    /// Queues `f(args...)` and forgets it; what it throws is only counted. Who is thousands of tasks
    /// ahead of the workers gives them the CPU, a few times before the queue grows, and now and then
    /// while it does.
    /// \throws queue_full, task_cancelled when the pool is closed
    template <typename F, typename... Args>
        requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
    void post(F&& f, Args&&... args) {
        detail::admission taken{};
        if (engine_.options().measure) {
            taken = engine_.post(
                timed(bind<F, Args...>(std::forward<F>(f), std::forward<Args>(args)...)));
        } else if constexpr (sizeof...(Args) == 0) {
            taken = engine_.post(std::forward<F>(f));
        } else {
            taken = engine_.post(bind<F, Args...>(std::forward<F>(f), std::forward<Args>(args)...));
        }
        if (taken == detail::admission::full) {
            throw queue_full{};
        }
        if (taken == detail::admission::closed) {
            throw task_cancelled{"the pool is closed"};
        }
    }
    /// The same for a function that is known at compile time.
    template <auto Function, typename... Args>
        requires std::invocable<decltype(Function), std::decay_t<Args>...>
    void post(Args&&... args) {
        post(Function, std::forward<Args>(args)...);
    }

    /// Calls `f` for each element, in chunks, and blocks until all are done; in a task of this pool
    /// the calling thread helps. \returns the results in the order of the elements
    /// \throws the first exception of an element, after which no further ones are begun
    template <detail::random_access_range Range, typename F>
        requires std::invocable<F&, detail::element_of<Range>>
    auto map(Range&& range, F f, map_options options = {}) {
        using result = std::decay_t<std::invoke_result_t<F&, detail::element_of<Range>>>;
        static_assert(!std::is_void_v<result>, "map: the function returns nothing; use for_each.");
        refuse_limits(options.task.limits);
        const auto first = std::begin(range);
        const auto total = detail::size_of(range);
        std::vector<std::optional<result>> found(total);
        detail::run_loop(engine_, total, options, [&](std::size_t i) {
            found[i].emplace(f(first[static_cast<std::iter_difference_t<decltype(first)>>(i)]));
        });
        std::vector<result> results;
        results.reserve(total);
        for (auto& each : found) {
            results.push_back(std::move(*each));
        }
        return results;
    }
    /// The same for a function that is known at compile time.
    template <auto Function, detail::random_access_range Range>
    auto map(Range&& range, map_options options = {}) {
        return map(std::forward<Range>(range), Function, std::move(options));
    }

    /// The same without results.
    template <detail::random_access_range Range, typename F>
        requires std::invocable<F&, detail::element_of<Range>>
    void for_each(Range&& range, F f, map_options options = {}) {
        refuse_limits(options.task.limits);
        const auto first = std::begin(range);
        const auto total = detail::size_of(range);
        detail::run_loop(engine_, total, options, [&](std::size_t i) {
            static_cast<void>(f(first[static_cast<std::iter_difference_t<decltype(first)>>(i)]));
        });
    }
    /// The same for a function that is known at compile time.
    template <auto Function, detail::random_access_range Range>
    void for_each(Range&& range, map_options options = {}) {
        for_each(std::forward<Range>(range), Function, std::move(options));
    }

    /// Runs what is queued, then ends the threads; new tasks are taken from running ones only.
    /// Blocks, unless a task of this pool calls it.
    void close() noexcept { engine_.close(); }
    /// Drops what is queued and asks what runs to stop: their futures fail with task_cancelled. Then
    /// ends the threads; blocks until the functions have returned.
    void cancel() noexcept {
        stop_.request_stop();
        engine_.cancel();
    }

    /// Threads now.
    [[nodiscard]] unsigned size() const noexcept { return engine_.size(); }

    [[nodiscard]] pool_stats stats() const {
        pool_stats result;
        result.workers = engine_.size();
        result.idle = engine_.idle();
        result.queued = engine_.queued();
        result.started = engine_.started();
        engine_.count(result);
        result.timed_out = counts_.timed_out.load(std::memory_order_relaxed);
        result.cancelled = counts_.cancelled.load(std::memory_order_relaxed);
        result.submitted = engine_.submitted();
        const std::lock_guard lock{times_mutex_};
        result.wait = wait_;
        result.run = run_;
        return result;
    }

private:
    template <typename F, typename... Args>
    static auto bind(F&& f, Args&&... args) {
        if constexpr (sizeof...(Args) == 0) {
            return std::decay_t<F>(std::forward<F>(f));
        } else {
            return [f = std::decay_t<F>(std::forward<F>(f)),
                    ... args = std::decay_t<Args>(std::forward<Args>(args))]() mutable {
                return std::apply(std::move(f), std::forward_as_tuple(std::move(args)...));
            };
        }
    }
    template <typename F, typename... Args>
    static auto bind_token(F&& f, Args&&... args) {
        return [f = std::decay_t<F>(std::forward<F>(f)),
                ... args = std::decay_t<Args>(std::forward<Args>(args))](
                   [[maybe_unused]] stop_token token) mutable {
            if constexpr (takes_token<F, Args...>) {
                return std::apply(std::move(f),
                                  std::forward_as_tuple(std::move(token), std::move(args)...));
            } else {
                return std::apply(std::move(f), std::forward_as_tuple(std::move(args)...));
            }
        };
    }

    template <typename Result, typename Task>
    task_future<Result> enqueue(detail::counted<Task> task, int priority) {
        auto state =
            detail::counted<detail::task_state<Result>>::adopt(task.get()); // the second one
        detail::task_runner<Task> runner{std::move(task)};
        if (engine_.options().measure) {
            auto call = timed(std::move(runner));
            explain(*state, engine_.post(std::move(call), priority));
        } else {
            explain(*state, engine_.post(std::move(runner), priority));
        }
        return task_future<Result>::of(std::move(state));
    }

    static void explain(detail::task_state_base& task, detail::admission taken) {
        if (taken == detail::admission::full) {
            task.fail_with<queue_full>();
        } else if (taken == detail::admission::closed) {
            task.fail_with<task_cancelled>("the pool is closed");
        }
    }

    /// A callable with a look at the clock when it is queued, started and ended.
    template <typename F>
    class timed_call {
    public:
        timed_call(basic_pool& pool, F f) : pool_{&pool}, f_{std::move(f)} {}
        auto operator()() {
            struct ends {
                timed_call* call;
                std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
                ~ends() {
                    const auto now = std::chrono::steady_clock::now();
                    const std::lock_guard lock{call->pool_->times_mutex_};
                    call->pool_->wait_.add(started - call->queued_);
                    call->pool_->run_.add(now - started);
                }
            } const guard{this};
            return f_();
        }

    private:
        basic_pool* pool_;
        std::chrono::steady_clock::time_point queued_ = std::chrono::steady_clock::now();
        F f_;
    };
    template <typename F>
    timed_call<F> timed(F f) {
        return timed_call<F>{*this, std::move(f)};
    }

    static void refuse_limits(const task_limits& limits) {
        if (limits.memory != 0 || limits.cpu_seconds != 0) {
            throw std::system_error(make_error_code(errc::not_supported),
                                    "thread_pool: a thread has no limits of its own");
        }
    }

    mutable std::mutex times_mutex_;
    time_histogram wait_; // with measure
    time_histogram run_;
    detail::thread_task_counts counts_;
    stop_source stop_;
    detail::deadline_watch watch_;
    detail::thread_engine engine_; // last: its threads use the others
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_THREAD_POOL_HPP
