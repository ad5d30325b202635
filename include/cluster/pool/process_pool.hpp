// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_PROCESS_POOL_HPP
#define CLUSTER_POOL_PROCESS_POOL_HPP

#include "../detail/algorithm.hpp"
#include "../detail/iterator.hpp"
#include "../detail/memory.hpp"
#include "../detail/role.hpp"
#include "../serialization/binary.hpp"
#include "../serialization/concept.hpp"
#include "basic_pool.hpp"
#include "detail/process_engine.hpp"
#include "detail/process_map.hpp"
#include "detail/process_task.hpp"
#include "detail/range.hpp"
#include "detail/task_registry.hpp"
#include "detail/worker_loop.hpp"
#include "error.hpp"
#include "future.hpp"
#include "options.hpp"
#include "stats.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// In the worker process of a pool: serves tasks and ends the process. Elsewhere: returns at once.
///
/// A worker is the same program, started anew with the same arguments. Its main() runs until the
/// first pool or cluster is made, whichever that is, and this is what that constructor calls first.
/// So call it at the beginning of main() when yours are made late, or when something before them
/// must not happen in a worker. \throws std::system_error when the environment says that this is a
/// worker and there is no pool
inline void serve_pool_worker() {
    detail::serve_if_pool_worker();
}

/// Tasks in worker processes: what crashes, hangs or leaks there costs one task, with the reason.
///
/// A task is a function that is named at compile time, and arguments that the serializer takes. The
/// workers are this program, started anew: see serve_pool_worker(). A cluster's worker that makes a
/// pool has a pool of its own; the workers of a pool are never primaries, workers or pools.
/// Everything that a worker writes is decoded as hostile: a broken one is killed, and replaced.
///
/// The pool has one thread, which starts the workers and settles the futures. When this process
/// dies, in whatever way, its workers are killed. Blocking: submit() for when_full::wait only.
/// Thread safety: every member function from any thread. Fork safety: a forked child must not use it.
template <typename Serializer>
class basic_pool<backend::process, Serializer> {
    using serializer_type = typename detail::checked_serializer<Serializer>::type;

    template <auto Function>
    using result_of = std::decay_t<typename detail::signature_of<Function>::result>;
    template <auto Function>
    using arguments_of = typename detail::signature_of<Function>::arguments;

public:
    /// Starts the workers, and does not wait for them. \throws std::system_error
    basic_pool(int argc, const char* const* argv, process_pool_options options = {})
        : engine_{(serve_pool_worker(), detail::argument_list(argc, argv)), std::move(options)} {}
    basic_pool(basic_pool&&) = delete;
    basic_pool& operator=(basic_pool&&) = delete;
    /// As close().
    ~basic_pool() = default;

    /// Queues `Function(args...)`. \returns the future of its result, which also tells why there is
    /// none: task_failed, worker_crashed, task_timeout, task_cancelled, queue_full.
    /// \throws what encoding the arguments throws
    template <auto Function, typename... Args>
        requires std::constructible_from<arguments_of<Function>, Args...>
    auto submit(Args&&... args) {
        return submit<Function>(task_options{}, std::forward<Args>(args)...);
    }
    /// The same with a timeout, a priority and more.
    template <auto Function, typename... Args>
        requires std::constructible_from<arguments_of<Function>, Args...>
    auto submit(const task_options& options, Args&&... args) {
        using result = result_of<Function>;
        auto task =
            make<Function, result>(options, [](std::span<const std::byte> bytes, auto& value) {
                return decode<result>(bytes, value);
            });
        auto future = future_of<result>(*task);
        const arguments_of<Function> arguments{std::forward<Args>(args)...};
        detail::encode_arguments<serializer_type>(arguments, task->arguments);
        engine_.submit(to_base(std::move(task)), options.stop);
        return future;
    }
    /// Does not compile: another process does not have the object.
    template <typename Callable, typename... Args>
    task_future<int> submit(Callable&&, Args&&...) {
        static_assert(
            detail::never<Callable>,
            "process_pool: another process does not have this object. Name the function at "
            "compile time, pool.submit<function>(arguments...), or use a thread_pool.");
        return {};
    }

    /// Queues `Function(args...)` and forgets it; how it ends is only counted.
    template <auto Function, typename... Args>
        requires std::constructible_from<arguments_of<Function>, Args...>
    void post(Args&&... args) {
        static_cast<void>(submit<Function>(std::forward<Args>(args)...));
    }

    /// Calls `Function` for each element, in chunks, and blocks until all have ended.
    /// \returns the results in the order of the elements
    /// \throws the failure of the first element, in their order, that has one; a crash, a timeout or
    /// a retry is that of the whole chunk
    template <auto Function, detail::forward_range Range>
    auto map(Range&& range, map_options options = {}) {
        using result = result_of<Function>;
        static_assert(!std::is_void_v<result>, "map: the function returns nothing; use for_each.");
        std::vector<result> results;
        run_chunks<Function>(range, options, [&](auto& values) {
            for (auto&& each : values) {
                results.push_back(std::move(each));
            }
        });
        return results;
    }
    /// The same without results.
    template <auto Function, detail::forward_range Range>
    void for_each(Range&& range, map_options options = {}) {
        run_chunks<Function>(range, options, [](auto&) {});
    }

    /// Runs what is queued, then ends the workers. Blocks, unless a callback of a task calls it.
    void close() noexcept { engine_.close(); }
    /// Drops what is queued and kills what runs: their futures fail with task_cancelled. Then ends
    /// the workers.
    void cancel() noexcept { engine_.cancel(); }

    /// Workers now, those that are starting too.
    [[nodiscard]] unsigned size() const { return engine_.size(); }
    [[nodiscard]] pool_stats stats() const { return engine_.stats(); }

private:
    template <typename Result>
    static std::error_code decode(std::span<const std::byte> bytes,
                                  [[maybe_unused]] detail::stored_value<Result>& value) {
        if constexpr (std::is_void_v<Result>) {
            return bytes.empty() ? std::error_code{} : make_error_code(errc::trailing_bytes);
        } else {
            serializer_type serializer;
            return serializer.decode(bytes, value);
        }
    }

    template <typename Task>
    static detail::counted<detail::process_task> to_base(detail::counted<Task> task) noexcept {
        return detail::counted<detail::process_task>::adopt(task.leak());
    }

    /// The second of the two references that a task has from the beginning.
    template <typename Result>
    static task_future<Result> future_of(detail::task_state<Result>& task) noexcept {
        return task_future<Result>::of(detail::counted<detail::task_state<Result>>::adopt(&task));
    }

    template <auto Function, typename State, typename Decode>
    static auto make(const task_options& options, Decode decode) {
        using task_type = detail::remote_task<State, Decode>;
        auto task = detail::counted<task_type>::adopt(new task_type{std::move(decode)});
        task->function = detail::registered_function<Function, serializer_type>::entry.id();
        if (options.limits.memory != 0 || options.limits.cpu_seconds != 0) {
            task->has_options = true;
            task->options.memory = options.limits.memory;
            task->options.cpu_seconds = static_cast<std::uint32_t>(options.limits.cpu_seconds);
        }
        task->timeout = options.timeout;
        task->priority = options.priority;
        task->retries = options.retries;
        return task;
    }

    template <auto Function, typename Range, typename Take>
    void run_chunks(Range& range, map_options& options, Take take) {
        using result = result_of<Function>;
        using chunk = detail::chunk_result<result>;
        static_assert(detail::signature_of<Function>::count == 1,
                      "map: the function takes one argument, the element.");
        constexpr std::size_t rounds = 8; // chunks for each worker: the last ones even out the load
        const auto total = detail::size_of(range);
        const std::size_t size =
            options.chunk != 0 ? options.chunk
                               : detail::max<std::size_t>(1, total / (engine_.most() * rounds));
        const std::size_t chunks = (total + size - 1) / size;
        std::vector<task_future<chunk>> ended(chunks);
        detail::map_progress progress;
        std::uint32_t started = 0;
        auto element = std::begin(range);
        std::exception_ptr error;
        try {
            for (std::size_t i = 0; i != chunks; ++i) {
                const std::size_t count = detail::min(size, total - i * size);
                auto task = make<Function, chunk>(
                    options.task, [](std::span<const std::byte> bytes, chunk& value) {
                        return detail::decode_chunk<result, serializer_type>(bytes, value);
                    });
                auto future = future_of<chunk>(*task);
                task->has_options = true;
                task->options.count = static_cast<std::uint32_t>(count);
                for (std::size_t n = 0; n != count; ++n, ++element) {
                    const arguments_of<Function> argument{*element};
                    detail::encode_sized<serializer_type>(std::get<0>(argument), task->arguments);
                }
                engine_.submit(to_base(std::move(task)), options.task.stop);
                ++started;
                std::move(future).then(
                    [&progress, &place = ended[i], count](task_future<chunk> done) {
                        place = std::move(done);
                        progress.add(count);
                    });
            }
        } catch (...) {
            error = std::current_exception();
        }
        progress.wait(started, [&](std::size_t done) {
            if (options.progress) {
                options.progress(done, total);
            }
        });
        if (error) {
            std::rethrow_exception(error);
        }
        for (auto& each : ended) {
            chunk done = each.get();
            if (done.error) {
                std::rethrow_exception(std::exchange(done.error, nullptr));
            }
            take(done.values);
        }
    }

    detail::process_engine engine_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_PROCESS_POOL_HPP
