// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PROCESS_ENGINE_HPP
#define CLUSTER_POOL_DETAIL_PROCESS_ENGINE_HPP

#include "../../backend/process.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/counted.hpp"
#include "../../detail/fence.hpp"
#include "../../detail/os.hpp"
#include "../../stop_token.hpp"
#include "../error.hpp"
#include "../options.hpp"
#include "../stats.hpp"
#include "ended_tasks.hpp"
#include "pool_page.hpp"
#include "pool_worker.hpp"
#include "process_crew.hpp"
#include "process_lifecycle.hpp"
#include "process_task.hpp"
#include "process_timekeeper.hpp"
#include "result_collector.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The parent's side of a process pool. Any thread sends a task to a worker that has room; one
/// thread of the engine's own does the rest, each part in a class of its own: results
/// (result_collector), deadlines and shrinking (process_timekeeper), starts and crashes
/// (process_lifecycle). What they share is the process_crew.
class process_engine {
public:
    using clock = std::chrono::steady_clock;
    using task_pointer = counted<process_task>;

    process_engine(std::vector<std::string> arguments, process_pool_options options)
        : crew_{std::move(options)}, lifecycle_{std::move(arguments), crew_, poller_} {
        poller_.add(wakeup_.descriptor(), wakeup_key, os::io::readable | os::io::edge);
        thread_ = std::thread{[this] { run(); }};
    }
    process_engine(process_engine&&) = delete;
    process_engine& operator=(process_engine&&) = delete;
    ~process_engine() { close(); }

    /// Queues a task. It is settled in any case. Blocks only for when_full::wait.
    void submit(task_pointer task, const stop_token& stop) {
        if (stop.stop_possible()) {
            task->link.emplace(stop, process_task::canceller{&on_cancel, this, task.get()});
            if (task->is_settled()) {
                task->link.reset();
                return;
            }
        } else {
            task->settle_only_for(this);
        }
        const bool in_callback = is_own_thread();
        if (in_callback && task->priority == 0 && crew_.options.max_queue == 0 &&
            !crew_.closing.load(std::memory_order_relaxed)) {
            submit_here(std::move(task));
            return;
        }
        auto lock = crew_.lock();
        if (crew_.closing.load(std::memory_order_relaxed)) {
            lock.unlock();
            settle_failed(*task, error_of<task_cancelled>("the pool is closed"));
            return;
        }
        ++crew_.stats.submitted;
        if (!in_callback && crew_.pending.empty()) {
            if (pool_worker* worker = crew_.pick(*task)) {
                send(*worker, std::move(task), lock);
                return;
            }
        }
        crew_.note_time(*task, false);
        if (crew_.options.max_queue != 0 && crew_.pending.size() >= crew_.options.max_queue &&
            !make_room(lock, task)) {
            return;
        }
        crew_.pending.push(std::move(task));
        if (crew_.asleep.load(std::memory_order_relaxed) &&
            (crew_.live < crew_.options.workers || !crew_.all_busy())) {
            wakeup_.notify();
        }
    }

    /// Runs what is queued, then ends the workers. Blocks, unless a callback of a task calls it.
    void close() noexcept {
        {
            const std::lock_guard lock{crew_.mutex};
            crew_.closing = true;
        }
        end_thread();
    }
    /// Drops what is queued and kills what runs, then the same.
    void cancel() noexcept {
        {
            const std::lock_guard lock{crew_.mutex};
            crew_.closing = true;
            crew_.dropping = true;
        }
        end_thread();
    }

    [[nodiscard]] unsigned size() const {
        const std::lock_guard lock{crew_.mutex};
        return crew_.live;
    }
    [[nodiscard]] unsigned most() const noexcept { return crew_.options.workers; }

    [[nodiscard]] pool_stats stats() const {
        const std::lock_guard lock{crew_.mutex};
        auto result = crew_.count();
        if (is_own_thread()) {
            result.queued += crew_.called_back.size();
        }
        return result;
    }

private:
    static constexpr std::uint64_t wakeup_key = 0; // else a worker's number, doubled
    static constexpr int yields = 16;
    static constexpr std::chrono::microseconds busy{100}; // between looks at all but the results

    [[nodiscard]] bool is_own_thread() const noexcept {
        return task_state_base::settles_for() == this;
    }

    // --- Any thread ----------------------------------------------------------------------------

    void send(pool_worker& worker, task_pointer task, std::unique_lock<std::mutex>& lock) {
        const bool first = worker.in_flight.empty();
        const bool has_deadline = task->timeout.count() != 0;
        crew_.note_time(*task, first);
        if (first) {
            worker.head_since.store(task->submitted, std::memory_order_relaxed);
        }
        worker.send(std::move(task));
        const bool tell = crew_.asleep.load(std::memory_order_relaxed) && first &&
                          has_deadline; // it has to set its alarm
        // The page may not go before the worker is woken: with the lock, then.
        worker.flush();
        lock.unlock();
        if (tell) {
            wakeup_.notify();
        }
    }

    /// \returns false when the task has been dealt with
    bool make_room(std::unique_lock<std::mutex>& lock, task_pointer& task) {
        const bool own_thread = is_own_thread();
        if (crew_.options.when_full == when_full::wait) {
            if (!own_thread) { // which would wait for itself
                crew_.room.wait(lock, [&] {
                    return crew_.pending.size() < crew_.options.max_queue || crew_.closing;
                });
            }
            if (!crew_.closing || own_thread) {
                return true;
            }
            lock.unlock();
            settle_failed(*task, error_of<task_cancelled>("the pool is closed"));
            return false;
        }
        lock.unlock();
        if (crew_.options.when_full == when_full::fail) {
            settle_failed(*task, error_of<queue_full>());
        } else {
            task->run_here();
            task->link.reset();
        }
        return false;
    }

    static void on_cancel(void* self, process_task& task) noexcept {
        auto& engine = *static_cast<process_engine*>(self);
        const auto keep = task_pointer::share(&task);
        if (task.fail(error_of<task_cancelled>())) {
            const std::lock_guard lock{engine.crew_.mutex};
            ++engine.crew_.stats.cancelled;
            engine.crew_.has_cancelled = true;
            engine.wakeup_.notify();
        }
    }

    void end_thread() noexcept {
        wakeup_.notify();
        crew_.room.notify_all();
        if (is_own_thread()) {
            return;
        }
        const std::lock_guard one_at_a_time{end_mutex_};
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    // --- The engine's thread -------------------------------------------------------------------

    /// What a callback submits goes out with what its batch of results makes room for: one lock, one
    /// look at the clock, one wake.
    void submit_here(task_pointer task) {
        if (++unnoted_ == 8) {
            task->submitted = crew_.looked_at;
            task->speaks_for = std::exchange(unnoted_, 0U);
        }
        crew_.submitted_here.store(crew_.submitted_here.load(std::memory_order_relaxed) + 1,
                                   std::memory_order_relaxed);
        crew_.called_back.push_back(std::move(task));
    }

    void run() noexcept {
        task_state_base::settles_for() = this;
        auto house_kept = clock::time_point{};
        for (;;) {
            bool moved = false;
            for (const auto& each : crew_.workers) { // only this thread adds and removes
                moved = results_.collect(*each) || moved;
            }
            // While results come, the lock is better left to those who submit.
            moved = moved || results_come();
            if (moved && crew_.looked_at < house_kept + busy) {
                continue;
            }
            lifecycle_.reap([this](pool_worker& each) { results_.collect(each); });
            house_kept = clock::now();
            const auto wake = keep_house(house_kept, !moved);
            if (!wake) {
                break;
            }
            if (!crew_.called_back.empty()) { // by callbacks of what ended without a result
                crew_.asleep.store(false, std::memory_order_relaxed);
            } else if (crew_.asleep.load(std::memory_order_relaxed)) {
                sleep(*wake);
            }
        }
    }

    [[nodiscard]] bool has_results() const noexcept {
        for (const auto& each : crew_.workers) {
            if (each->has_results()) {
                return true;
            }
        }
        return false;
    }

    /// Looks for a while: a doorbell costs more.
    [[nodiscard]] bool results_come() const noexcept {
        for (int i = 0; i != yields; ++i) {
            os::yield_cpu();
            if (has_results()) {
                return true;
            }
        }
        return false;
    }

    void sleep(clock::time_point until) noexcept {
        for (const auto& each : crew_.workers) {
            each->page().parent_waits.store(1, std::memory_order_relaxed);
        }
        full_fence();
        const int events = has_results() ? 0 : poller_.wait(milliseconds_until(until));
        for (const auto& each : crew_.workers) {
            each->page().parent_waits.store(0, std::memory_order_relaxed);
        }
        for (int i = 0; i != events; ++i) {
            const std::uint64_t key = poller_.event_at(i).key;
            if (key % 2 != 0) {
                lifecycle_.on_end();
            }
        }
        crew_.asleep.store(false, std::memory_order_relaxed);
    }

    [[nodiscard]] int milliseconds_until(clock::time_point until) const noexcept {
        int most = -1;
        for (const auto& each : crew_.workers) {
            if (each->child.pidfd() == -1) {
                most = 20; // no pidfds here: it has to be asked
            }
        }
        if (until == clock::time_point::max()) {
            return most;
        }
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
        const int wait = left <= 0 ? 0 : left > 60'000 ? 60'000 : static_cast<int>(left);
        return most == -1 || wait < most ? wait : most;
    }

    /// All that depends on time and numbers. \returns when to look again, nothing at the end
    std::optional<clock::time_point> keep_house(clock::time_point now, bool sleeps_next) noexcept {
        auto lock = crew_.lock();
        crew_.looked_at = now;
        crew_.wake_at = clock::time_point::max();
        crew_.queue_called_back();
        if (crew_.dropping) {
            crew_.drop_all();
        }
        if (crew_.has_cancelled) {
            crew_.has_cancelled = false;
            timekeeper_.kill_cancelled();
        }
        bool fed = false;
        for (const auto& each : crew_.workers) {
            fed = results_.tend(*each) || fed;
            timekeeper_.check_times(*each, now);
        }
        timekeeper_.rebalance(now);
        lifecycle_.start_workers(now);
        if (crew_.closing && crew_.is_finished()) {
            for (const auto& each : crew_.workers) {
                crew_.tell_to_quit(*each, now);
            }
            if (crew_.workers.empty()) {
                lock.unlock();
                crew_.settle_ended();
                return std::nullopt;
            }
        }
        crew_.asleep.store(sleeps_next && !fed, std::memory_order_relaxed);
        lock.unlock();
        crew_.settle_ended();
        return crew_.wake_at;
    }

    process_crew crew_;
    os::poller poller_;
    os::wakeup wakeup_;
    process_timekeeper timekeeper_{crew_};
    process_lifecycle lifecycle_;
    result_collector results_{crew_, lifecycle_};
    unsigned unnoted_ = 0; // tasks of callbacks in a row
    std::mutex end_mutex_;
    std::thread thread_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PROCESS_ENGINE_HPP
