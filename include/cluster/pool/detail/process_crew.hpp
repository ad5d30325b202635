// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PROCESS_CREW_HPP
#define CLUSTER_POOL_DETAIL_PROCESS_CREW_HPP

#include "../../available_parallelism.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/counted.hpp"
#include "../../detail/memory.hpp"
#include "../../detail/os.hpp"
#include "../../detail/ring_queue.hpp"
#include "../options.hpp"
#include "../stats.hpp"
#include "ended_tasks.hpp"
#include "pending_tasks.hpp"
#include "pool_worker.hpp"
#include "process_task.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The workers of a process pool and the tasks that wait for one: all that any thread may use, with
/// `mutex`. The list of workers is changed by the engine's thread only, which may read it without;
/// so may it count answers, and queue what callbacks submit.
class process_crew {
public:
    using clock = std::chrono::steady_clock;
    using task_pointer = counted<process_task>;
    using stage = pool_worker::stage;
    using reason = pool_worker::reason;

    static constexpr std::chrono::seconds quit_patience{2}; // with a worker that shall end

    explicit process_crew(process_pool_options chosen) : options{std::move(chosen)} {
        if (options.workers == 0) {
            options.workers = available_parallelism();
        }
        least = options.min_workers.value_or(options.workers);
    }

    /// Holds the mutex. It is never held for long: a sleep would cost more than looking again.
    [[nodiscard]] std::unique_lock<std::mutex> lock() {
        std::unique_lock result{mutex, std::try_to_lock};
        for (int i = 0; i != looks && !result; ++i) {
            os::pause_cpu();
            static_cast<void>(result.try_lock());
        }
        if (!result) {
            result.lock();
        }
        return result;
    }

    // --- Tasks ---------------------------------------------------------------------------------

    /// The worker for `task` now: one with nothing to do, else the one with the least.
    pool_worker* pick(process_task& task) noexcept {
        pool_worker* best = nullptr;
        for (const auto& each : workers) {
            if (each->can_take() &&
                (best == nullptr || each->in_flight.size() < best->in_flight.size())) {
                best = each.get();
                if (best->in_flight.empty()) {
                    break;
                }
            }
        }
        return best != nullptr && best->fits(task) ? best : nullptr;
    }

    [[nodiscard]] bool all_busy() const noexcept {
        for (const auto& each : workers) {
            if (each->can_take()) {
                return false;
            }
        }
        return true;
    }

    /// Notes when a task was submitted: if it has to be known, else of every eighth, as a look at the
    /// clock costs as much as all the rest.
    void note_time(process_task& task, bool needed) noexcept {
        ++unnoted;
        if (needed || unnoted == 8) {
            task.submitted = clock::now();
            task.speaks_for = std::exchange(unnoted, 0U);
        }
    }

    /// Gives a worker what waits. \returns whether there was something. For the engine's thread.
    bool feed(pool_worker& worker) noexcept {
        if ((pending.empty() && called_back.empty()) || !worker.can_take()) {
            return false;
        }
        if (worker.in_flight.empty()) {
            worker.head_since.store(looked_at, std::memory_order_relaxed);
        }
        bool any = false;
        while (worker.can_take()) {
            auto task = next();
            if (!task) {
                break;
            }
            if (task->is_settled()) { // cancelled
                ended.drop(std::move(task));
                continue;
            }
            worker.send(std::move(task));
            any = true;
        }
        if (any) {
            worker.flush();
        }
        if (options.max_queue != 0) {
            room.notify_all();
        }
        return any;
    }

    /// What callbacks have submitted waits with the others from now on.
    void queue_called_back() noexcept {
        while (!called_back.empty()) {
            pending.push(std::move(called_back.front()));
            called_back.pop_front();
        }
    }

    /// What a worker has not begun goes to the front of the queue.
    void take_back(pool_worker& worker) {
        std::vector<task_pointer> unbegun;
        worker.revoke(unbegun);
        for (auto& task : unbegun) {
            pending.push_front(std::move(task));
        }
    }

    /// cancel(): nothing runs any more.
    void drop_all() noexcept {
        while (!pending.empty()) {
            ended.cancel(pending.pop());
        }
        for (const auto& each : workers) {
            std::vector<task_pointer> unbegun;
            each->revoke(unbegun);
            for (auto& task : unbegun) {
                ended.cancel(std::move(task));
            }
            if (!each->in_flight.empty()) {
                kill(*each, reason::cancelled);
            }
        }
    }

    [[nodiscard]] bool is_finished() const noexcept {
        if (!pending.empty()) {
            return false;
        }
        for (const auto& each : workers) {
            if (!each->in_flight.empty()) {
                return false;
            }
        }
        return true;
    }

    // --- The stages of a worker ------------------------------------------------------------------

    /// Takes no more tasks, and is told to end when it has done what it has begun.
    void retire(pool_worker& worker) {
        take_back(worker);
        worker.state = stage::retiring;
        --live;
    }

    void tell_to_quit(pool_worker& worker, clock::time_point now) noexcept {
        if (worker.state == stage::ready || worker.state == stage::booting) {
            --live;
        }
        if (worker.state == stage::ready || worker.state == stage::retiring ||
            worker.state == stage::booting) {
            worker.state = stage::quitting;
            worker.quit_since = now;
            worker.page().quit.store(1);
            worker.page().wake_worker();
            look_again_at(now + quit_patience);
        }
    }

    void kill(pool_worker& worker, reason why) noexcept {
        if (worker.state == stage::killed) {
            return;
        }
        if (worker.state == stage::ready || worker.state == stage::booting) {
            --live;
        }
        if (why == reason::late || why == reason::cancelled) {
            ++stats.killed;
        }
        worker.state = stage::killed;
        worker.why = why;
        worker.child.signal(os::kill_signal);
    }

    /// When the engine's thread has something to do at the latest.
    void look_again_at(clock::time_point when) noexcept {
        wake_at = when < wake_at ? when : wake_at;
    }

    /// Without the mutex.
    void settle_ended() noexcept { ended.settle(mutex, stats, room); }

    /// stats, with what is so now.
    [[nodiscard]] pool_stats count() const {
        pool_stats result = stats;
        result.queued = pending.size();
        result.submitted += submitted_here.load(std::memory_order_relaxed);
        {
            const std::lock_guard lock{answers.mutex};
            result.completed = answers.completed;
            result.failed = answers.failed;
            result.wait = answers.wait;
            result.run = answers.run;
        }
        result.workers = live;
        for (const auto& each : workers) {
            if (each->state == pool_worker::stage::ready && each->in_flight.empty()) {
                ++result.idle;
            }
        }
        return result;
    }

    /// What the engine's thread counts for each answer, with a mutex that nobody else wants.
    struct answer_counts {
        mutable std::mutex mutex;
        std::uint64_t completed = 0;
        std::uint64_t failed = 0;
        time_histogram wait;
        time_histogram run;
    };

    process_pool_options options;
    unsigned least = 0; // workers
    mutable std::mutex mutex;
    std::condition_variable room; // in a bounded queue
    pending_tasks pending;
    std::vector<std::unique_ptr<pool_worker>> workers;
    pool_stats stats;
    answer_counts answers;
    std::atomic<std::uint64_t> submitted_here{0}; // by callbacks, counted without the mutex
    unsigned unnoted = 0;                         // tasks in a row
    unsigned live = 0;                            // workers that boot or take tasks
    std::atomic<bool> closing{false};             // set with the mutex
    bool dropping = false;
    bool has_cancelled = false;      // tasks by their stop tokens
    std::atomic<bool> asleep{false}; // the engine's thread; set with the mutex

    // Of the engine's thread:
    ended_tasks ended;
    ring_queue<task_pointer> called_back; // what callbacks have submitted and nobody has seen yet
    clock::time_point wake_at{};
    clock::time_point looked_at{}; // when it has last looked, for what callbacks submit

private:
    static constexpr int looks = 100;

    /// \returns null when nothing waits
    task_pointer next() noexcept {
        if (!pending.empty()) {
            queue_called_back(); // which are ordinary ones: others may be before them or behind
            return pending.pop();
        }
        if (called_back.empty()) {
            return {};
        }
        auto task = std::move(called_back.front());
        called_back.pop_front();
        return task;
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PROCESS_CREW_HPP
