// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PROCESS_ENGINE_HPP
#define CLUSTER_POOL_DETAIL_PROCESS_ENGINE_HPP

#include "../../available_parallelism.hpp"
#include "../../backend/process.hpp"
#include "../../detail/os.hpp"
#include "../../detail/random_source.hpp"
#include "../../exit_status.hpp"
#include "../error.hpp"
#include "../options.hpp"
#include "../stats.hpp"
#include "counted.hpp"
#include "pending_tasks.hpp"
#include "pool_launcher.hpp"
#include "pool_worker.hpp"
#include "process_task.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The parent's side of a process pool. Any thread sends a task to a worker that has room; one
/// thread of the engine's own does the rest: it starts the workers (which die with it), receives
/// results, keeps time and cleans up after crashes.
class process_engine {
public:
    using clock = std::chrono::steady_clock;
    using task_pointer = counted<process_task>;

    process_engine(std::vector<std::string> arguments, process_pool_options options)
        : options_{std::move(options)}, launcher_{std::move(arguments), options_} {
        if (options_.workers == 0) {
            options_.workers = available_parallelism();
        }
        least_ = options_.min_workers.value_or(options_.workers);
        poller_.add(wakeup_.descriptor(), wakeup_key, os::io::readable | os::io::edge);
        thread_ = std::thread{[this] { run(); }};
    }
    process_engine(process_engine&&) = delete;
    process_engine& operator=(process_engine&&) = delete;
    ~process_engine() { close(); }

    /// Queues a task. It is settled in any case. Blocks only for when_full::wait.
    void submit(task_pointer task, const std::stop_token& stop) {
        task->submitted = clock::now();
        if (stop.stop_possible()) {
            task->link.emplace(stop, process_task::canceller{&on_cancel, this, task.get()});
            if (task->is_settled()) {
                task->link.reset();
                return;
            }
        }
        std::unique_lock lock{mutex_};
        if (closing_) {
            lock.unlock();
            settle_failed(*task, error_of<task_cancelled>("the pool is closed"));
            return;
        }
        ++stats_.submitted;
        // What a callback submits goes out with what its batch of results makes room for: one wake.
        if (pending_.empty() && current() != this) {
            if (pool_worker* worker = pick(*task)) {
                send(*worker, std::move(task), lock);
                return;
            }
        }
        if (options_.max_queue != 0 && pending_.size() >= options_.max_queue &&
            !make_room(lock, task)) {
            return;
        }
        pending_.push(std::move(task));
        if (asleep_ && (live_ < options_.workers || !all_busy())) {
            wakeup_.notify();
        }
    }

    /// Runs what is queued, then ends the workers. Blocks, unless a callback of a task calls it.
    void close() noexcept {
        {
            const std::lock_guard lock{mutex_};
            closing_ = true;
        }
        end_thread();
    }
    /// Drops what is queued and kills what runs, then the same.
    void cancel() noexcept {
        {
            const std::lock_guard lock{mutex_};
            closing_ = true;
            dropping_ = true;
        }
        end_thread();
    }

    [[nodiscard]] unsigned size() const {
        const std::lock_guard lock{mutex_};
        return live_;
    }
    [[nodiscard]] unsigned most() const noexcept { return options_.workers; }

    [[nodiscard]] pool_stats stats() const {
        const std::lock_guard lock{mutex_};
        pool_stats result = stats_;
        result.queued = pending_.size();
        result.workers = live_;
        for (const auto& each : workers_) {
            if (each->state == pool_worker::stage::ready && each->in_flight.empty()) {
                ++result.idle;
            }
        }
        return result;
    }

private:
    static constexpr std::uint64_t wakeup_key = 0; // else a worker's number, doubled
    static constexpr std::size_t batch = 64;
    static constexpr int yields = 16;
    static constexpr unsigned most_losses = 5;
    static constexpr unsigned most_boot_failures = 3;
    static constexpr std::chrono::milliseconds patience{1}; // of an idle worker beside a busy one
    static constexpr std::chrono::seconds quit_patience{2}; // with a worker that shall end

    using stage = pool_worker::stage;
    using reason = pool_worker::reason;

    template <typename Error, typename... Args>
    static std::exception_ptr error_of(Args&&... args) {
        return std::make_exception_ptr(Error{std::forward<Args>(args)...});
    }

    static void settle_failed(process_task& task, std::exception_ptr error) noexcept {
        task.fail(std::move(error));
        task.link.reset(); // never with the mutex: it waits for a callback that may want it
    }

    // --- Any thread ----------------------------------------------------------------------------

    /// The worker for `task` now: one with nothing to do, else the one with the least.
    pool_worker* pick(process_task& task) noexcept {
        pool_worker* best = nullptr;
        for (const auto& each : workers_) {
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

    void send(pool_worker& worker, task_pointer task, std::unique_lock<std::mutex>& lock) {
        const auto now = task->submitted;
        const bool first = worker.in_flight.empty();
        const bool has_deadline = task->timeout.count() != 0;
        worker.send(std::move(task), now);
        const bool tell = asleep_ && first && has_deadline; // it has to set its alarm
        pool_page& page = worker.page();
        // The page may not go before the worker is woken: with the lock, then.
        page.wake_worker();
        lock.unlock();
        if (tell) {
            wakeup_.notify();
        }
    }

    /// \returns false when the task has been dealt with
    bool make_room(std::unique_lock<std::mutex>& lock, task_pointer& task) {
        const bool own_thread = current() == this;
        if (options_.when_full == when_full::wait) {
            if (!own_thread) { // which would wait for itself
                room_.wait(lock, [&] { return pending_.size() < options_.max_queue || closing_; });
            }
            if (!closing_ || own_thread) {
                return true;
            }
            lock.unlock();
            settle_failed(*task, error_of<task_cancelled>("the pool is closed"));
            return false;
        }
        lock.unlock();
        if (options_.when_full == when_full::fail) {
            settle_failed(*task, error_of<queue_full>());
        } else {
            task->run_here();
            task->link.reset();
        }
        return false;
    }

    [[nodiscard]] bool all_busy() const noexcept {
        for (const auto& each : workers_) {
            if (each->can_take()) {
                return false;
            }
        }
        return true;
    }

    static void on_cancel(void* self, process_task& task) noexcept {
        auto& engine = *static_cast<process_engine*>(self);
        const auto keep = task_pointer::share(&task);
        if (task.fail(error_of<task_cancelled>())) {
            const std::lock_guard lock{engine.mutex_};
            ++engine.stats_.cancelled;
            engine.has_cancelled_ = true;
            engine.wakeup_.notify();
        }
    }

    void end_thread() noexcept {
        wakeup_.notify();
        room_.notify_all();
        if (current() == this) {
            return;
        }
        const std::lock_guard one_at_a_time{end_mutex_};
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    // --- The engine's thread -------------------------------------------------------------------

    /// The engine whose thread this is.
    static const process_engine*& current() noexcept {
        static constinit thread_local const process_engine* instance = nullptr;
        return instance;
    }

    void run() noexcept {
        current() = this;
        for (;;) {
            bool moved = false;
            for (const auto& each : workers_) { // only this thread adds and removes
                moved = collect(*each) || moved;
            }
            reap();
            const auto wake = keep_house(!moved);
            if (!wake) {
                break;
            }
            if (!moved) {
                sleep(*wake);
            }
        }
    }

    void sleep(clock::time_point until) noexcept {
        bool ready = false;
        for (int i = 0; i != yields && !ready; ++i) {
            os::yield_cpu(); // a doorbell costs more than a look
            for (const auto& each : workers_) {
                ready = ready || each->has_results();
            }
        }
        if (ready) {
            const std::lock_guard lock{mutex_};
            asleep_ = false;
            return;
        }
        for (const auto& each : workers_) {
            each->page().parent_waits.store(1, std::memory_order_relaxed);
        }
        std::atomic_thread_fence(std::memory_order_seq_cst);
        for (const auto& each : workers_) {
            ready = ready || each->has_results();
        }
        int events = 0;
        if (!ready) {
            events = poller_.wait(milliseconds_until(until));
        }
        for (const auto& each : workers_) {
            each->page().parent_waits.store(0, std::memory_order_relaxed);
        }
        for (int i = 0; i != events; ++i) {
            const std::uint64_t key = poller_.event_at(i).key;
            if (key % 2 != 0) {
                has_dead_ = true;
            }
        }
        const std::lock_guard lock{mutex_};
        asleep_ = false;
    }

    [[nodiscard]] int milliseconds_until(clock::time_point until) const noexcept {
        int most = -1;
        for (const auto& each : workers_) {
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

    /// Takes results out of a worker's ring, gives it new tasks, settles. \returns whether there
    /// were any
    bool collect(pool_worker& worker) noexcept {
        bool any = false;
        while (worker.receive(batch, options_.max_result)) {
            any = true;
            std::vector<task_pointer> done;
            done.reserve(worker.arrivals.size());
            {
                const std::lock_guard lock{mutex_};
                take_answered(worker, done);
                feed(worker);
            }
            room_.notify_all();
            for (std::size_t i = 0; i != done.size(); ++i) {
                settle(
                    *done[i], worker.arrivals[i].header.kind, worker.payload(worker.arrivals[i]));
            }
        }
        const std::lock_guard lock{mutex_};
        if (worker.state == stage::booting && worker.page().ready.load() != 0) {
            worker.state = stage::ready;
            worker.idle_since = clock::now();
            any = true;
        }
        if (worker.is_broken()) {
            kill(worker, reason::broken);
        }
        worker.send_rest();
        worker.page().wake_worker();
        return feed(worker) || any;
    }

    /// \pre the mutex
    void take_answered(pool_worker& worker, std::vector<task_pointer>& done) {
        const auto now = clock::now();
        for (const auto& each : worker.arrivals) {
            if (worker.in_flight.empty() ||
                worker.in_flight.front()->request.sequence != each.header.sequence) {
                kill(worker, reason::broken);
                break;
            }
            auto& task = *worker.in_flight.front();
            const auto passed = static_cast<std::uint64_t>((now - task.submitted).count());
            const std::chrono::nanoseconds ran{
                std::min(each.header.run_nanoseconds, passed)}; // as far as it can be true
            if (each.header.kind == result_kind::exception) {
                ++stats_.failed;
            } else {
                ++stats_.completed;
            }
            stats_.run.add(ran);
            stats_.wait.add(now - task.submitted - ran);
            worker.learn(each.header.run_nanoseconds / (task.request.count + 1));
            ++worker.tasks;
            boot_failures_ = 0;
            done.push_back(std::move(worker.in_flight.front()));
            worker.in_flight.pop_front();
        }
        worker.head_since = worker.idle_since = now;
    }

    static void
    settle(process_task& task, result_kind kind, std::span<const std::byte> payload) noexcept {
        if (kind == result_kind::value) {
            task.finish(payload);
        } else if (!task.is_settled()) {
            auto error = decode_exception(payload);
            task.fail(error ? std::move(error) : bad_result(make_error_code(errc::bad_payload)));
        }
        task.link.reset();
    }

    /// Gives a worker what waits. \pre the mutex \returns whether there was something
    bool feed(pool_worker& worker) noexcept {
        if (pending_.empty() || !worker.can_take()) {
            return false;
        }
        const auto now = clock::now();
        bool any = false;
        while (!pending_.empty() && worker.can_take()) {
            auto task = pending_.pop();
            if (task->is_settled()) { // cancelled
                dropped_.push_back(std::move(task));
                continue;
            }
            worker.send(std::move(task), now);
            any = true;
        }
        if (any) {
            worker.page().wake_worker();
        }
        return any;
    }

    /// All that depends on time and numbers. \returns when to look again, nothing at the end
    std::optional<clock::time_point> keep_house(bool sleeps_next) noexcept {
        std::unique_lock lock{mutex_};
        const auto now = clock::now();
        wake_at_ = clock::time_point::max();
        if (dropping_) {
            drop_all();
        }
        if (has_cancelled_) {
            has_cancelled_ = false;
            kill_cancelled();
        }
        for (const auto& each : workers_) {
            check_times(*each, now);
        }
        rebalance(now);
        start_workers(now);
        if (closing_ && is_finished()) {
            for (const auto& each : workers_) {
                tell_to_quit(*each, now);
            }
            if (workers_.empty()) {
                lock.unlock();
                settle_dropped();
                return std::nullopt;
            }
        }
        asleep_ = sleeps_next;
        lock.unlock();
        settle_dropped();
        return wake_at_;
    }

    void look_again_at(clock::time_point when) noexcept {
        wake_at_ = when < wake_at_ ? when : wake_at_;
    }

    [[nodiscard]] bool is_finished() const noexcept {
        if (!pending_.empty()) {
            return false;
        }
        for (const auto& each : workers_) {
            if (!each->in_flight.empty()) {
                return false;
            }
        }
        return true;
    }

    /// cancel(): nothing runs any more.
    void drop_all() noexcept {
        while (!pending_.empty()) {
            cancelled_.push_back(pending_.pop());
        }
        for (const auto& each : workers_) {
            std::vector<task_pointer> unbegun;
            each->revoke(unbegun);
            for (auto& task : unbegun) {
                cancelled_.push_back(std::move(task));
            }
            if (!each->in_flight.empty()) {
                kill(*each, reason::cancelled);
            }
        }
    }

    /// Tasks whose stop token has been used: dropped where they wait, killed where they run.
    void kill_cancelled() noexcept {
        for (const auto& each : workers_) {
            bool waits = false;
            for (const auto& task : each->in_flight) {
                waits = waits || task->is_settled();
            }
            if (!waits) {
                continue;
            }
            take_back(*each);
            if (!each->in_flight.empty() && each->in_flight.front()->is_settled() &&
                each->has_begun()) {
                kill(*each, reason::cancelled);
            }
        }
    }

    /// What a worker has not begun goes to the front of the queue.
    void take_back(pool_worker& worker) {
        std::vector<task_pointer> unbegun;
        worker.revoke(unbegun);
        for (auto& task : unbegun) {
            pending_.push_front(std::move(task));
        }
    }

    void check_times(pool_worker& worker, clock::time_point now) noexcept {
        if (worker.state == stage::booting) {
            const auto end = worker.born + options_.boot_timeout;
            end <= now ? kill(worker, reason::boot) : look_again_at(end);
        }
        if ((worker.state == stage::ready || worker.state == stage::retiring) &&
            !worker.in_flight.empty() && worker.in_flight.front()->timeout.count() != 0) {
            check_deadline(worker, now);
        }
        if (worker.state == stage::ready) {
            check_retirement(worker, now);
        }
        if (worker.state == stage::retiring && worker.in_flight.empty()) {
            tell_to_quit(worker, now);
        }
        if (worker.state == stage::quitting) {
            const auto end = worker.quit_since + quit_patience;
            end <= now ? kill(worker, reason::none) : look_again_at(end);
        }
    }

    void check_deadline(pool_worker& worker, clock::time_point now) noexcept {
        const auto end = worker.head_since + worker.in_flight.front()->timeout;
        if (end > now) {
            look_again_at(end);
        } else if (worker.has_begun()) {
            kill(worker, reason::late);
        } else {
            worker.head_since = now; // it does not run, for whatever reason
            look_again_at(now + worker.in_flight.front()->timeout);
        }
    }

    void check_retirement(pool_worker& worker, clock::time_point now) noexcept {
        const auto& limits = options_.recycle;
        const double factor = 1.0 - worker.jitter;
        bool retire =
            limits.max_requests != 0 &&
            static_cast<double>(worker.tasks) >= static_cast<double>(limits.max_requests) * factor;
        if (limits.max_lifetime.count() != 0) {
            const auto end = worker.born + std::chrono::duration_cast<clock::duration>(
                                               limits.max_lifetime * factor);
            retire = retire || end <= now;
            look_again_at(end > now ? end : now + std::chrono::milliseconds{1});
        }
        if (limits.max_memory != 0) {
            if (now >= worker.memory_looked_at + std::chrono::seconds{1} ||
                worker.tasks != worker.tasks_at_look) {
                worker.memory_looked_at = now;
                worker.tasks_at_look = worker.tasks;
                retire = retire ||
                         static_cast<double>(os::usage_of(worker.child.pid()).resident_bytes) >=
                             static_cast<double>(limits.max_memory) * factor;
            }
            look_again_at(now + std::chrono::seconds{1});
        }
        if (retire) {
            ++stats_.recycled;
        } else if (worker.in_flight.empty() && live_ > least_) {
            const auto end = worker.idle_since + options_.idle_timeout;
            retire = end <= now;
            if (!retire) {
                look_again_at(end);
            }
        }
        if (retire) {
            take_back(worker);
            worker.state = stage::retiring;
            --live_;
        }
    }

    void tell_to_quit(pool_worker& worker, clock::time_point now) noexcept {
        if (worker.state == stage::ready || worker.state == stage::booting) {
            --live_;
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
            --live_;
        }
        if (why == reason::late || why == reason::cancelled) {
            ++stats_.killed;
        }
        worker.state = stage::killed;
        worker.why = why;
        worker.child.signal(os::kill_signal);
    }

    /// A worker with nothing to do gets what another one has been keeping in advance.
    void rebalance(clock::time_point now) noexcept {
        bool idle = false;
        for (const auto& each : workers_) {
            idle = idle || (each->can_take() && each->in_flight.empty());
        }
        if (!idle) {
            return;
        }
        for (const auto& each : workers_) {
            if (pending_.empty() && each->in_flight.size() > 1) {
                const auto end = each->head_since + patience;
                end <= now ? take_back(*each) : look_again_at(end);
            }
        }
        for (const auto& each : workers_) {
            if (each->in_flight.empty()) {
                feed(*each);
            }
        }
        for (const auto& each : workers_) {
            feed(*each);
        }
    }

    // --- Births and deaths ---------------------------------------------------------------------

    void start_workers(clock::time_point now) noexcept {
        if (closing_ && pending_.empty()) {
            return;
        }
        std::size_t booting = 0;
        for (const auto& each : workers_) {
            booting += each->state == stage::booting ? 1U : 0U;
        }
        while (live_ < options_.workers && (live_ < least_ || booting < pending_.size())) {
            if (closing_ && booting >= pending_.size()) {
                return;
            }
            if (now < next_start_) {
                look_again_at(next_start_);
                return;
            }
            std::error_code error;
            if (!start_one(now, error)) {
                on_boot_failure(exit_status::spawn_failed(error), now);
                look_again_at(next_start_);
                return;
            }
            ++booting;
        }
    }

    bool start_one(clock::time_point now, std::error_code& error) noexcept {
        try {
            auto worker =
                std::make_unique<pool_worker>(static_cast<std::uint32_t>(options_.sandbox), error);
            if (error) {
                return false;
            }
            worker->child = launcher_.launch(worker->page_fd().get(), worker->doorbell(), error);
            if (error) {
                return false;
            }
            worker->page_fd().reset();
            worker->number = ++last_number_;
            worker->born = worker->memory_looked_at = now;
            worker->jitter = options_.recycle.jitter *
                             static_cast<double>(random_.below(1'000'000)) / 1'000'000.0;
            poller_.add(worker->doorbell(), worker->number * 2, os::io::readable | os::io::edge);
            if (worker->child.pidfd() != -1) {
                poller_.add(worker->child.pidfd(), worker->number * 2 + 1, os::io::readable);
            } else {
                has_dead_ = true;
            }
            look_again_at(now + options_.boot_timeout);
            workers_.push_back(std::move(worker));
            ++live_;
            ++stats_.started;
            return true;
        } catch (const std::exception&) {
            error = std::make_error_code(std::errc::not_enough_memory);
            return false;
        }
    }

    /// Workers that cannot even start would be started for ever, and their tasks wait for ever.
    void on_boot_failure(const exit_status& status, clock::time_point now) noexcept {
        ++boot_failures_;
        const auto pause =
            std::chrono::milliseconds{10U << (boot_failures_ < 7 ? boot_failures_ : 7)};
        next_start_ = now + pause;
        bool serves = false;
        for (const auto& each : workers_) {
            serves = serves || each->state == stage::ready;
        }
        if (boot_failures_ >= most_boot_failures && !serves) {
            while (!pending_.empty()) {
                crashed_.emplace_back(pending_.pop(),
                                      status.because(status.error() ? exit_reason::spawn_failed
                                                                    : exit_reason::boot_failed));
            }
        }
    }

    void reap() noexcept {
        if (!has_dead_) {
            return;
        }
        has_dead_ = false;
        for (std::size_t i = 0; i != workers_.size();) {
            pool_worker& worker = *workers_[i];
            if (worker.child.pidfd() == -1) {
                has_dead_ = true;
            }
            const auto end = worker.child.try_wait();
            if (!end) {
                ++i;
                continue;
            }
            collect(worker); // what it had finished is finished
            if (worker.child.pidfd() != -1) {
                poller_.remove(worker.child.pidfd());
            }
            poller_.remove(worker.doorbell());
            std::unique_ptr<pool_worker> gone;
            {
                const std::lock_guard lock{mutex_};
                bury(worker, to_exit_status(*end));
                gone = std::move(workers_[i]);
                workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(i));
            }
            settle_dropped();
        }
    }

    void bury(pool_worker& worker, const exit_status& status) noexcept {
        const auto now = clock::now();
        if (worker.state == stage::ready || worker.state == stage::booting) {
            --live_;
        }
        const bool served =
            worker.page().ready.load() != 0 && (worker.tasks != 0 || !worker.in_flight.empty());
        if (!served && worker.state != stage::quitting && worker.state != stage::retiring) {
            on_boot_failure(status, now);
        }
        std::vector<task_pointer> unbegun; // the newest first
        worker.revoke_dead(unbegun);
        if (worker.in_flight.empty() && !unbegun.empty() &&
            ++unbegun.back()->losses > most_losses) {
            // It does not say that it begins it, and dies of it each time.
            crashed_.emplace_back(std::move(unbegun.back()), status);
            unbegun.pop_back();
        }
        for (auto& task : unbegun) {
            lose(std::move(task));
        }
        // It runs one at a time: more than one is a lie, and the others are lost with it.
        for (std::size_t i = worker.in_flight.size(); i-- > 1;) {
            lose(std::move(worker.in_flight[i]));
        }
        if (!worker.in_flight.empty()) {
            judge(std::move(worker.in_flight.front()), worker.why, status);
        }
        worker.in_flight.clear();
    }

    /// A task that had not begun when its worker died.
    void lose(task_pointer task) noexcept {
        if (dropping_) {
            cancelled_.push_back(std::move(task));
        } else {
            pending_.push_front(std::move(task));
        }
    }

    /// The task that the dead worker was running.
    void judge(task_pointer task, reason why, const exit_status& status) noexcept {
        if (task->is_settled()) {
            dropped_.push_back(std::move(task));
        } else if (why == reason::late) {
            late_.push_back(std::move(task));
        } else if (why == reason::cancelled) {
            cancelled_.push_back(std::move(task));
        } else if (task->retries != 0 && !dropping_) {
            --task->retries;
            ++stats_.retried;
            pending_.push_front(std::move(task));
        } else {
            crashed_.emplace_back(std::move(task), status);
        }
    }

    /// What was found with the mutex is told without: callbacks may come back here.
    void settle_dropped() noexcept {
        auto dropped = std::exchange(dropped_, {});
        for (auto& each : dropped) {
            each->link.reset();
        }
        auto cancelled = std::exchange(cancelled_, {});
        auto late = std::exchange(late_, {});
        auto crashed = std::exchange(crashed_, {});
        {
            const std::lock_guard lock{mutex_};
            stats_.cancelled += cancelled.size();
            stats_.timed_out += late.size();
            stats_.crashed += crashed.size();
        }
        if (!cancelled.empty() || !crashed.empty()) {
            room_.notify_all();
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

    process_pool_options options_;
    pool_launcher launcher_;
    unsigned least_ = 0;

    mutable std::mutex mutex_;
    std::mutex end_mutex_;
    std::condition_variable room_;
    pending_tasks pending_;
    std::vector<std::unique_ptr<pool_worker>> workers_; // changed by the engine's thread only
    pool_stats stats_;
    unsigned live_ = 0; // workers that boot or take tasks
    bool closing_ = false;
    bool dropping_ = false;
    bool has_cancelled_ = false;
    bool asleep_ = false;

    // Of the engine's thread:
    bool has_dead_ = false;
    unsigned boot_failures_ = 0;
    std::uint64_t last_number_ = 0;
    clock::time_point next_start_{};
    clock::time_point wake_at_{};
    std::vector<task_pointer> dropped_;
    std::vector<task_pointer> cancelled_;
    std::vector<task_pointer> late_;
    std::vector<std::pair<task_pointer, exit_status>> crashed_;
    random_source random_;
    os::poller poller_;
    os::wakeup wakeup_;
    std::thread thread_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PROCESS_ENGINE_HPP
