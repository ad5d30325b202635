// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_THREAD_ENGINE_HPP
#define CLUSTER_POOL_DETAIL_THREAD_ENGINE_HPP

#include "../../available_parallelism.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/memory.hpp"
#include "../options.hpp"
#include "../stats.hpp"
#include "backlog.hpp"
#include "parking.hpp"
#include "queue_room.hpp"
#include "task_ring.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Whether a task was taken.
enum class admission { queued, full, closed };

/// The threads of a thread_pool and their queues: a ring for each worker, from which the others
/// steal, and a backlog behind a lock for what is out of the ordinary.
class thread_engine {
public:
    using clock = std::chrono::steady_clock;

    explicit thread_engine(const thread_pool_options& options)
        : options_{options}, room_{options_.max_queue, options_.when_full} {
        if (options_.workers == 0) {
            options_.workers = available_parallelism();
        }
        least_ = options_.min_workers.value_or(options_.workers);
        elastic_ = least_ < options_.workers;
        workers_ = std::vector<worker>(options_.workers);
        for (auto& each : workers_) {
            each.ring = std::make_unique<task_ring>(ring_capacity);
        }
        try {
            while (alive_.load() < least_) {
                start_one();
            }
        } catch (...) {
            close();
            throw;
        }
    }
    thread_engine(thread_engine&&) = delete;
    thread_engine& operator=(thread_engine&&) = delete;
    ~thread_engine() { close(); }

    /// Queues `f`, or leaves it alone.
    template <typename F>
    admission post(F&& f, int priority = 0) {
        if (phase_.load(std::memory_order_relaxed) != phase::open && current().engine != this) {
            return admission::closed;
        }
        if (!room_.reserve(current().engine == this)) {
            if (options_.when_full == when_full::fail) {
                return admission::full;
            }
            task_slot{std::in_place, std::forward<F>(f)}.run([] {});
            return admission::queued;
        }
        try {
            if constexpr (task_ring::takes<F>) {
                queue(std::forward<F>(f), priority);
            } else { // whole wherever it goes, as only this can be moved without an exception
                queue(task_slot{std::in_place, std::forward<F>(f)}, priority);
            }
        } catch (...) {
            room_.free();
            throw;
        }
        call_one_more();
        if (phase_.load() == phase::closed) { // by another thread, between our looks at it
            drop_queued();
        }
        return admission::queued;
    }

    /// Runs what is queued, then ends the threads. Blocks, unless a task of this pool calls it.
    void close() noexcept {
        auto open = phase::open;
        phase_.compare_exchange_strong(open, phase::closing);
        end_threads();
    }

    /// Drops what is queued, then the same.
    void cancel() noexcept {
        auto open = phase::open;
        phase_.compare_exchange_strong(open, phase::closing);
        drop_queued();
        end_threads();
    }

    [[nodiscard]] unsigned size() const noexcept { return alive_.load(std::memory_order_relaxed); }
    [[nodiscard]] unsigned most() const noexcept { return options_.workers; }
    [[nodiscard]] const thread_pool_options& options() const noexcept { return options_; }
    [[nodiscard]] bool is_own_thread() const noexcept { return current().engine == this; }

    [[nodiscard]] std::size_t queued() const noexcept {
        std::size_t sum = backlog_.size();
        for (const auto& each : workers_) {
            sum += each.ring->size();
        }
        return sum;
    }
    [[nodiscard]] std::uint64_t submitted() const noexcept {
        std::size_t sum = backlog_.total();
        for (const auto& each : workers_) {
            sum += each.ring->total();
        }
        return sum;
    }
    [[nodiscard]] unsigned idle() const noexcept { return idle_.sleeping(); }
    [[nodiscard]] std::uint64_t started() const noexcept { return started_.load(); }

    /// Sums of what the workers have counted themselves.
    void count(pool_stats& into) const noexcept {
        for (const auto& each : workers_) {
            into.completed += each.ran.load(std::memory_order_relaxed);
            into.failed += each.threw.load(std::memory_order_relaxed);
        }
    }

private:
    static constexpr std::size_t ring_capacity = 8192;

    enum class phase { open, closing, closed };

    struct alignas(64) worker {
        std::unique_ptr<task_ring> ring;
        std::thread thread;
        bool runs = false;                             // with threads_mutex_
        alignas(64) std::atomic<std::uint64_t> ran{0}; // by itself; the others read what is above
        std::atomic<std::uint64_t> threw{0};

        worker() = default;
        worker(worker&&) noexcept {} // for the vector's sake, of fresh ones
    };

    /// Of the calling thread.
    struct position {
        const thread_engine* engine = nullptr; // whose worker it is
        unsigned index = 0;                    // of that worker, or of the ring that is next
        unsigned run = 0;                      // tasks put there in a row
    };
    static position& current() noexcept {
        static constinit thread_local position instance;
        return instance;
    }

    /// Whether an ordinary task has to wait behind others that are in no ring. That costs a lock for
    /// each, and memory: so those who could take them get a chance now and then to end it.
    bool joins_backlog() noexcept {
        if (!backlog_.keeps_order()) {
            return false;
        }
        if (++current().run % put_between_yields != 0) {
            return true;
        }
        os::yield_cpu();
        return backlog_.keeps_order();
    }

    template <typename F>
    void queue(F&& f, int priority) {
        if (priority != 0 || joins_backlog() || !put(std::forward<F>(f))) {
            backlog_.put(to_slot(std::forward<F>(f)), priority);
        }
    }
    static task_slot&& to_slot(task_slot&& made) noexcept { return std::move(made); }
    template <typename F>
    static task_slot to_slot(F&& f) noexcept {
        return task_slot{std::in_place, std::forward<F>(f)};
    }

    template <typename F>
    bool put(F&& f) noexcept {
        position& here = current();
        if (here.engine == this) {
            return workers_[here.index].ring->try_put(std::forward<F>(f));
        }
        if (++here.run >= put_in_a_row) {
            here.run = 0;
            ++here.index;
        }
        return put_somewhere<F>(here, f) || put_patiently<F>(here, f);
    }

    template <typename F>
    bool put_somewhere(position& here, std::remove_reference_t<F>& f) noexcept {
        const auto count = static_cast<unsigned>(workers_.size());
        for (unsigned i = 0; i != count; ++i) {
            if (here.index >= count) {
                here.index = 0;
            }
            if (workers_[here.index].ring->try_put(std::forward<F>(f))) {
                return true;
            }
            here.run = 0;
            ++here.index;
        }
        return false;
    }

    /// Before the queue grows, those who could take from it get a chance, as long as they use it.
    template <typename F>
    bool put_patiently(position& here, std::remove_reference_t<F>& f) noexcept {
        std::size_t before = taken();
        for (int i = 0; i != most_yields; ++i) {
            os::yield_cpu();
            if (put_somewhere<F>(here, f)) {
                return true;
            }
            if (before == std::exchange(before, taken())) {
                break;
            }
        }
        return false;
    }

    [[nodiscard]] std::size_t taken() const noexcept {
        std::size_t sum = 0;
        for (const auto& each : workers_) {
            sum += each.ring->taken();
        }
        return sum;
    }

    // --- Threads ---------------------------------------------------------------------------------

    void start_one() {
        const std::lock_guard lock{threads_mutex_};
        if (phase_.load() != phase::open) {
            return;
        }
        for (unsigned i = 0; i != workers_.size(); ++i) {
            if (!workers_[i].runs) {
                if (workers_[i].thread.joinable()) {
                    workers_[i].thread.join(); // it has left, and does not need our lock any more
                }
                alive_.fetch_add(1);
                idle_.start_searching(); // so that it calls the next when it takes its first task
                try {
                    workers_[i].thread = std::thread{[this, i] { work(i); }};
                } catch (...) {
                    idle_.stop_searching();
                    alive_.fetch_sub(1);
                    throw;
                }
                workers_[i].runs = true;
                started_.fetch_add(1);
                return;
            }
        }
    }

    /// Somebody for the task that was put, or for those that are left when one has been taken: who
    /// sleeps is woken, unless another looks already; where nobody sleeps, a thread is started.
    void call_one_more() noexcept {
        idle_.notify();
        if (elastic_ && idle_.sleeping() == 0) {
            start_more();
        }
    }

    void start_more() noexcept {
        if (alive_.load() < workers_.size() && has_work()) {
            try {
                start_one();
            } catch (...) { // no more threads to be had: those that are have to do
                if (alive_.load() == 0) {
                    drop_queued();
                }
            }
        }
    }

    void end_threads() noexcept {
        idle_.wake_all();
        if (is_own_thread()) {
            return;
        }
        const std::lock_guard one_at_a_time{end_mutex_};
        { // Who starts a thread just now has done so; who comes later sees the phase.
            const std::lock_guard last_start{threads_mutex_};
        }
        for (auto& each : workers_) {
            if (each.thread.joinable()) {
                each.thread.join();
            }
        }
        while (run_any(0)) { // what was queued when an elastic pool's last thread was leaving
        }
        phase_.store(phase::closed);
        drop_queued();
    }

    void work(unsigned index) noexcept {
        current() = {this, index, 0};
        searching_ = true;
        for (;;) {
            while (run_any(index)) {
            }
            if (!find_more(index)) {
                break;
            }
        }
        current() = {};
    }

    /// Runs one task. \returns false when there was none
    bool run_any(unsigned index) noexcept {
        if (backlog_.has_urgent() && run_from_backlog(index)) {
            return true;
        }
        const auto count = static_cast<unsigned>(workers_.size());
        for (unsigned i = 0, at = index; i != count; ++i) {
            if (run_from(*workers_[at].ring, index)) {
                return true;
            }
            at = at + 1 == count ? 0 : at + 1;
        }
        if (backlog_.has_ordinary()) {
            task_ring& mine = *workers_[index].ring;
            backlog_.refill(mine, [this, &mine, index] { run_from(mine, index); });
            call_one_more();
            if (run_from(mine, index)) {
                return true;
            }
        }
        return !backlog_.is_empty() && run_from_backlog(index);
    }

    bool run_from(task_ring& ring, unsigned index) noexcept {
        task_end end{};
        if (!ring.try_run([this] { before_run(); }, end)) {
            return false;
        }
        count_run(index, end);
        return true;
    }

    bool run_from_backlog(unsigned index) noexcept {
        task_slot task;
        if (!backlog_.take(task)) {
            return false;
        }
        count_run(index, task.run([this] { before_run(); }));
        return true;
    }

    void before_run() noexcept {
        room_.free();
        if (searching_) {
            searching_ = false;
            if (idle_.stop_searching() && has_work()) {
                call_one_more();
            }
        }
    }

    void count_run(unsigned index, task_end end) noexcept {
        if (end == task_end::elsewhere) {
            return;
        }
        auto& counter = end == task_end::value ? workers_[index].ran : workers_[index].threw;
        counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

    /// Whether there are tasks, also such as are being put.
    [[nodiscard]] bool has_work() const noexcept {
        return !backlog_.is_empty() || any_ring([](const task_ring& r) { return !r.is_empty(); });
    }
    [[nodiscard]] bool has_ready() const noexcept {
        return !backlog_.is_empty() || any_ring([](const task_ring& r) { return r.is_ready(); });
    }
    template <typename Test>
    [[nodiscard]] bool any_ring(Test test) const noexcept {
        for (const auto& each : workers_) {
            if (test(*each.ring)) {
                return true;
            }
        }
        return false;
    }

    /// Looks for tasks, less and less often: each look takes a line away from who puts.
    bool spin(int most) const noexcept {
        for (int pauses = 1; pauses <= most; pauses *= 2) {
            if (has_ready()) {
                return true;
            }
            for (int i = 0; i != pauses; ++i) {
                os::pause_cpu();
            }
        }
        return false;
    }

    /// Waits for tasks. \returns false when the thread shall end
    bool find_more(unsigned index) noexcept {
        if (spin(quiet_pauses)) { // without a word: the next task is often there at once
            return true;
        }
        if (!searching_) {
            searching_ = true;
            idle_.start_searching();
        }
        if (spin(searching_pauses)) {
            return true;
        }
        for (int i = 0; i != yields; ++i) {
            os::yield_cpu();
            if (has_ready()) {
                return true;
            }
        }
        if (has_work()) { // whoever puts it has lost the CPU in the middle of that
            std::this_thread::sleep_for(std::chrono::microseconds{50});
            return true;
        }
        if (phase_.load() != phase::open) {
            return leave(index, false);
        }
        const auto deadline = alive_.load() > least_ ? clock::now() + options_.idle_timeout
                                                     : clock::time_point::max();
        const bool woken =
            idle_.sleep([this] { return has_work() || phase_.load() != phase::open; }, deadline);
        return woken || leave(index, true);
    }

    /// Of a searching thread. \param idle it may be started again
    /// \returns true when the thread has to stay after all, searching
    bool leave(unsigned index, bool idle) noexcept {
        std::unique_lock lock{threads_mutex_, std::defer_lock};
        if (idle) {
            lock.lock();
            if (alive_.load() <= least_) {
                return true;
            }
            alive_.fetch_sub(1);
        }
        idle_.stop_searching();
        // What was put before saw one who searches, and as many threads as may be: it called nobody.
        if (has_work()) {
            idle_.start_searching();
            if (idle) {
                alive_.fetch_add(1);
            }
            return true;
        }
        searching_ = false;
        if (idle) {
            workers_[index].runs = false; // from here on nothing but the end of the thread
        }
        return false;
    }

    void drop_queued() noexcept {
        task_slot dropped;
        for (auto& each : workers_) {
            while (!each.ring->is_empty()) {
                if (each.ring->try_take(dropped)) {
                    room_.free();
                    dropped.reset();
                } else { // it is being put
                    os::yield_cpu();
                }
            }
        }
        while (backlog_.take(dropped)) {
            room_.free();
            dropped.reset();
        }
    }

    static constexpr unsigned put_in_a_row = 16;
    static constexpr unsigned put_between_yields = 256;
    static constexpr int most_yields = 8;
    // A worker looks for about 1 us before it says that it searches, and then for about 3 us.
    static constexpr int quiet_pauses = 32;
    static constexpr int searching_pauses = 64;
    static constexpr int yields = 8;

    inline static thread_local bool searching_ = false; // of a worker: it has told idle_ so

    thread_pool_options options_;
    unsigned least_ = 0;
    bool elastic_ = false;
    std::vector<worker> workers_;
    backlog backlog_;
    queue_room room_;
    parking idle_;
    std::atomic<phase> phase_{phase::open};
    std::atomic<unsigned> alive_{0};
    std::atomic<std::uint64_t> started_{0};
    std::mutex threads_mutex_;
    std::mutex end_mutex_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_THREAD_ENGINE_HPP
