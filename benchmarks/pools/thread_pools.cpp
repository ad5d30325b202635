// SPDX-License-Identifier: MIT
// thread_pool beside other pools: empty tasks and tasks of 10 us, one producer and four, posted and
// with futures. All pools in turn, several rounds; one line of JSON for each measurement.
//
//   thread_pools [ROUNDS]
//
// Peers whose headers are not there are left out: oneTBB, Asio, BS::thread_pool, Taskflow.

#include <cluster/pool/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#if __has_include(<asio/thread_pool.hpp>)
#    include <asio/post.hpp>
#    include <asio/thread_pool.hpp>
#    define HAS_ASIO 1
#endif
#if __has_include(<tbb/task_arena.h>) && !defined(WITHOUT_TBB)
#    include <tbb/global_control.h>
#    include <tbb/task_arena.h>
#    define HAS_TBB 1
#endif
#if __has_include(<BS_thread_pool.hpp>)
#    include <BS_thread_pool.hpp>
#    define HAS_BS 1
#endif
#if __has_include(<taskflow/taskflow.hpp>)
#    include <taskflow/taskflow.hpp>
#    define HAS_TASKFLOW 1
#endif

namespace {

using clock_type = std::chrono::steady_clock;
constexpr unsigned workers = 2;

/// std::future for those that have none of their own.
template <typename Pool, typename F>
std::future<int> with_promise(Pool& pool, F f) {
    auto task = std::make_shared<std::packaged_task<int()>>(std::move(f));
    auto future = task->get_future();
    pool.post([task] { (*task)(); });
    return future;
}

struct ours {
    static constexpr const char* name = "cluster::thread_pool";
    cluster::thread_pool pool{{.workers = workers}};
    template <typename F>
    void post(F f) {
        pool.post(std::move(f));
    }
    template <typename F>
    auto submit(F f) {
        return pool.submit(std::move(f));
    }
};

struct mutex_and_condition {
    static constexpr const char* name = "mutex+condition_variable";
    std::mutex mutex;
    std::condition_variable more;
    std::deque<std::function<void()>> queue;
    bool ends = false;
    std::vector<std::thread> threads;

    mutex_and_condition() {
        for (unsigned i = 0; i != workers; ++i) {
            threads.emplace_back([this] { work(); });
        }
    }
    ~mutex_and_condition() {
        {
            const std::lock_guard lock{mutex};
            ends = true;
        }
        more.notify_all();
        for (auto& each : threads) {
            each.join();
        }
    }
    void work() {
        for (;;) {
            std::unique_lock lock{mutex};
            more.wait(lock, [this] { return ends || !queue.empty(); });
            if (queue.empty()) {
                return;
            }
            auto task = std::move(queue.front());
            queue.pop_front();
            lock.unlock();
            task();
        }
    }
    template <typename F>
    void post(F f) {
        {
            const std::lock_guard lock{mutex};
            queue.emplace_back(std::move(f));
        }
        more.notify_one();
    }
    template <typename F>
    auto submit(F f) {
        return with_promise(*this, std::move(f));
    }
};

#if HAS_ASIO
struct asio_pool {
    static constexpr const char* name = "asio::thread_pool";
    asio::thread_pool pool{workers};
    ~asio_pool() { pool.join(); }
    template <typename F>
    void post(F f) {
        asio::post(pool, std::move(f));
    }
    template <typename F>
    auto submit(F f) {
        return with_promise(*this, std::move(f));
    }
};
#endif
#if HAS_TBB
struct tbb_arena {
    static constexpr const char* name = "tbb::task_arena";
    // One thread of it counts as the caller's, so that a machine of two cores would have one worker.
    tbb::global_control threads{tbb::global_control::max_allowed_parallelism, workers + 1};
    tbb::task_arena arena{static_cast<int>(workers), 0};
    template <typename F>
    void post(F f) {
        arena.enqueue(std::move(f));
    }
    template <typename F>
    auto submit(F f) {
        return with_promise(*this, std::move(f));
    }
};
#endif
#if HAS_BS
struct bs_pool {
    static constexpr const char* name = "BS::thread_pool";
    BS::thread_pool<> pool{workers};
    template <typename F>
    void post(F f) {
        pool.detach_task(std::move(f));
    }
    template <typename F>
    auto submit(F f) {
        return pool.submit_task(std::move(f));
    }
};
#endif
#if HAS_TASKFLOW
struct taskflow_executor {
    static constexpr const char* name = "tf::Executor";
    tf::Executor executor{workers};
    template <typename F>
    void post(F f) {
        executor.silent_async(std::move(f));
    }
    template <typename F>
    auto submit(F f) {
        return executor.async(std::move(f));
    }
};
#endif

double cpu_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void work_for(std::chrono::microseconds time) {
    if (time.count() != 0) {
        const auto end = clock_type::now() + time;
        while (clock_type::now() < end) {
        }
    }
}

template <typename Pool>
void post_all(Pool& pool, long count, std::chrono::microseconds time, std::atomic<long>& done) {
    for (long i = 0; i != count; ++i) {
        pool.post([&done, time] {
            work_for(time);
            done.fetch_add(1, std::memory_order_relaxed);
        });
    }
}

template <typename Pool>
void submit_all(Pool& pool, long count, std::chrono::microseconds time, std::atomic<long>& done) {
    constexpr long window = 1000;
    const auto task = [time] {
        work_for(time);
        return 1;
    };
    std::vector<decltype(pool.submit(task))> futures;
    for (long i = 0; i < count; i += window) {
        futures.clear();
        for (long n = 0; n != window; ++n) {
            futures.push_back(pool.submit(task));
        }
        for (auto& each : futures) {
            done.fetch_add(each.get(), std::memory_order_relaxed);
        }
    }
}

template <typename Pool>
void measure(unsigned producers, bool futures, std::chrono::microseconds time) {
    const long total = time.count() != 0 ? 20'000 : futures ? 200'000 : 1'000'000;
    const long each = total / producers;
    std::atomic<long> done{0};
    Pool pool;
    work_for(std::chrono::microseconds{1000});
    const double cpu = cpu_seconds();
    const auto begin = clock_type::now();
    const auto produce = [&] {
        futures ? submit_all(pool, each, time, done) : post_all(pool, each, time, done);
    };
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < producers; ++i) {
        threads.emplace_back(produce);
    }
    produce();
    for (auto& thread : threads) {
        thread.join();
    }
    while (done.load() < each * producers) {
        std::this_thread::sleep_for(std::chrono::microseconds{50});
    }
    const std::chrono::duration<double> seconds = clock_type::now() - begin;
    const auto count = static_cast<double>(each * producers);
    std::printf("{\"pool\": \"%s\", \"producers\": %u, \"futures\": %s, \"task_us\": %d, "
                "\"per_second\": %.0f, \"cpu_ns\": %.0f}\n",
                Pool::name,
                producers,
                futures ? "true" : "false",
                static_cast<int>(time.count()),
                count / seconds.count(),
                (cpu_seconds() - cpu) / count * 1e9);
}

void measure_all(unsigned producers, bool futures, std::chrono::microseconds time) {
    measure<ours>(producers, futures, time);
    measure<mutex_and_condition>(producers, futures, time);
#if HAS_ASIO
    measure<asio_pool>(producers, futures, time);
#endif
#if HAS_TBB
    measure<tbb_arena>(producers, futures, time);
#endif
#if HAS_BS
    measure<bs_pool>(producers, futures, time);
#endif
#if HAS_TASKFLOW
    measure<taskflow_executor>(producers, futures, time);
#endif
}

} // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
    for (int i = 0; i != rounds; ++i) {
        for (const int time : {0, 10}) {
            for (const unsigned producers : {1U, 4U}) {
                for (const bool futures : {false, true}) {
                    measure_all(producers, futures, std::chrono::microseconds{time});
                }
            }
        }
    }
}
