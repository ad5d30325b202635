// SPDX-License-Identifier: MIT
#include <cluster/pool/thread_pool.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <future>
#include <latch>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using cluster::thread_pool;

namespace {

int twice(int n) {
    return 2 * n;
}

/// A worker that is kept until `go` is counted down.
struct kept_worker {
    std::latch busy{1};
    std::latch go{1};
    void operator()() {
        busy.count_down();
        go.wait();
    }
};

/// Too large for a slot, and while it is moved, others fill the queue.
struct large_task {
    thread_pool* pool;
    std::shared_ptr<std::atomic<int>> ran;
    char rest[100] = {};

    large_task(thread_pool& into, std::shared_ptr<std::atomic<int>> counter)
        : pool{&into}, ran{std::move(counter)} {}
    large_task(large_task&& other) : pool{other.pool}, ran{std::move(other.ran)} {
        while (pool->stats().queued < 8192) {
            pool->post([] {});
        }
    }
    void operator()() const { ++*ran; }
};

struct throws_when_copied {
    throws_when_copied() = default;
    throws_when_copied(const throws_when_copied&) { throw std::runtime_error{"no copy"}; }
    void operator()() const {}
};

/// Tasks that all have to run at the same time.
void meet(thread_pool& pool, std::ptrdiff_t tasks) {
    std::latch together{tasks};
    std::vector<cluster::task_future<void>> all;
    for (std::ptrdiff_t i = 0; i != tasks; ++i) {
        all.push_back(pool.submit([&] { together.arrive_and_wait(); }));
    }
    for (auto& each : all) {
        each.get();
    }
}

struct detached {
    struct promise_type {
        detached get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

} // namespace

TEST_SUITE("pool/thread_pool") {

    TEST_CASE("submit gives the result of a callable with its arguments") {
        thread_pool pool{{.workers = 2}};
        CHECK(pool.submit([](int a, int b) { return a + b; }, 1, 2).get() == 3);
        CHECK(pool.submit(twice, 4).get() == 8);
        CHECK(pool.submit<twice>(5).get() == 10);
        auto moved =
            pool.submit([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(7));
        CHECK(*moved.get() == 7);
        pool.submit([] {}).get();
    }

    TEST_CASE("a result converts to std::future") {
        thread_pool pool{{.workers = 1}};
        std::future<int> number = pool.submit(twice, 21);
        std::future<void> none = pool.submit([] {});
        std::future<int> bad = pool.submit([]() -> int { throw std::out_of_range{"far"}; });
        CHECK(number.get() == 42);
        none.get();
        CHECK_THROWS_AS(bad.get(), std::out_of_range);
    }

    TEST_CASE("an exception comes out of the future as itself") {
        thread_pool pool{{.workers = 1}};
        CHECK_THROWS_AS(pool.submit([] { throw std::out_of_range{"far"}; }).get(),
                        std::out_of_range);
    }

    TEST_CASE("a callback and a coroutine get the result") {
        thread_pool pool{{.workers = 2}};
        std::promise<int> called;
        pool.submit(twice, 3).then(
            [&](cluster::task_future<int> done) { called.set_value(done.get()); });
        CHECK(called.get_future().get() == 6);

        std::promise<int> resumed;
        [](thread_pool& in, std::promise<int>& out) -> detached {
            const int first = co_await in.submit(twice, 1);
            const int second = co_await in.submit(twice, first);
            try {
                co_await in.submit([] { throw std::runtime_error{"no"}; });
            } catch (const std::runtime_error&) {
                out.set_value(second);
            }
        }(pool, resumed);
        CHECK(resumed.get_future().get() == 4);
    }

    TEST_CASE("a settled future calls its callback at once") {
        thread_pool pool{{.workers = 1}};
        auto future = pool.submit(twice, 3);
        future.wait();
        int got = 0;
        std::move(future).then([&](cluster::task_future<int> done) { got = done.get(); });
        CHECK(got == 6);
    }

    TEST_CASE("wait_for gives up when the time is over") {
        thread_pool pool{{.workers = 1}};
        kept_worker kept;
        auto future = pool.submit([&] { kept(); });
        CHECK_FALSE(future.wait_for(1ms));
        CHECK_FALSE(future.ready());
        kept.go.count_down();
        future.wait();
        CHECK(future.ready());
        future.get();
    }

    TEST_CASE("every posted task runs once from many producers") {
        constexpr int producers = 4;
        constexpr int each = 20'000;
        std::vector<std::atomic<int>> ran(producers * each);
        {
            thread_pool pool{{.workers = 3}};
            std::vector<std::thread> threads;
            for (int p = 0; p != producers; ++p) {
                threads.emplace_back([&pool, &ran, p] {
                    for (int i = 0; i != each; ++i) {
                        pool.post(
                            [&ran, at = static_cast<std::size_t>(p * each + i)] { ++ran[at]; });
                    }
                });
            }
            for (auto& thread : threads) {
                thread.join();
            }
            pool.close();
            CHECK(pool.stats().completed == producers * each);
            CHECK(pool.stats().submitted == producers * each);
        }
        bool once = true;
        for (const auto& count : ran) {
            once = once && count == 1;
        }
        CHECK(once);
    }

    TEST_CASE("one worker runs tasks in the order of submission, also beyond its ring") {
        std::vector<int> order;
        thread_pool pool{{.workers = 1}};
        kept_worker kept;
        pool.post([&] { kept(); });
        kept.busy.wait();
        for (int i = 0; i != 20'000; ++i) {
            pool.post([&order, i] { order.push_back(i); });
        }
        CHECK(pool.stats().queued == 20'000);
        kept.go.count_down();
        pool.close();
        std::vector<int> expected(20'000);
        std::iota(expected.begin(), expected.end(), 0);
        CHECK(order == expected);
    }

    TEST_CASE("one worker keeps the order also of what comes while it takes from behind its ring") {
        constexpr int count = 500'000;
        std::vector<int> order;
        order.reserve(count);
        thread_pool pool{{.workers = 1}};
        for (int i = 0; i != count; ++i) {
            pool.post([&order, i] { order.push_back(i); });
        }
        pool.close();
        std::vector<int> expected(count);
        std::iota(expected.begin(), expected.end(), 0);
        CHECK(order == expected);
    }

    TEST_CASE("higher priorities run first and lower ones last") {
        std::string order;
        thread_pool pool{{.workers = 1}};
        kept_worker kept;
        pool.post([&] { kept(); });
        kept.busy.wait();
        auto low = pool.submit({.priority = -1}, [&] { order += 'l'; });
        auto middle = pool.submit([&] { order += 'm'; });
        auto high = pool.submit({.priority = 5}, [&] { order += 'h'; });
        auto higher = pool.submit({.priority = 6}, [&] { order += 'H'; });
        kept.go.count_down();
        pool.close();
        CHECK(order == "Hhml");
    }

    TEST_CASE("tasks that submit tasks are finished by close") {
        std::atomic<int> ran{0};
        thread_pool pool{{.workers = 2}};
        struct recursion {
            static void spawn(thread_pool& in, std::atomic<int>& count, int depth) {
                ++count;
                if (depth != 0) {
                    in.post([&in, &count, depth] { spawn(in, count, depth - 1); });
                    in.post([&in, &count, depth] { spawn(in, count, depth - 1); });
                }
            }
        };
        pool.post([&] { recursion::spawn(pool, ran, 10); });
        pool.close();
        CHECK(ran == 2047);
    }

    TEST_CASE("a closed pool says so") {
        thread_pool pool{{.workers = 1}};
        pool.close();
        CHECK_THROWS_AS(pool.submit(twice, 1).get(), cluster::task_cancelled);
        CHECK_THROWS_AS(pool.post([] {}), cluster::task_cancelled);
        CHECK_THROWS_AS(pool.map(std::vector<int>{1, 2}, twice), cluster::task_cancelled);
    }

    TEST_CASE("cancel drops what is queued and settles every future") {
        thread_pool pool{{.workers = 1}};
        kept_worker kept;
        auto running = pool.submit([&] { kept(); });
        kept.busy.wait();
        std::vector<cluster::task_future<int>> queued;
        for (int i = 0; i != 10'000; ++i) {
            queued.push_back(pool.submit(twice, i));
        }
        std::thread canceller{[&] { pool.cancel(); }};
        for (auto& each : queued) {
            CHECK_THROWS_AS(each.get(), cluster::task_cancelled);
        }
        kept.go.count_down();
        canceller.join();
        running.get();
        CHECK(pool.stats().cancelled == 10'000);
    }

    TEST_CASE("nothing is left of what is posted while the pool is cancelled") {
        constexpr int producers = 3;
        for (int round = 0; round != 100; ++round) {
            const auto kept = std::make_shared<int>(0);
            thread_pool pool{{.workers = 2}};
            std::latch begun{producers};
            std::vector<std::thread> threads;
            for (int p = 0; p != producers; ++p) {
                threads.emplace_back([&] {
                    begun.count_down();
                    CHECK_THROWS_AS(
                        for (;;) { pool.post([kept] {}); }, cluster::task_cancelled);
                });
            }
            begun.wait();
            pool.cancel();
            for (auto& thread : threads) {
                thread.join();
            }
            CHECK(kept.use_count() == 1);
        }
    }

    TEST_CASE("a full queue fails, or has the caller run the task, or lets it wait") {
        kept_worker kept;
        SUBCASE("fail") {
            thread_pool pool{{.workers = 1, .max_queue = 2, .when_full = cluster::when_full::fail}};
            pool.post([&] { kept(); });
            kept.busy.wait();
            auto first = pool.submit(twice, 1);
            auto second = pool.submit(twice, 2);
            CHECK_THROWS_AS(pool.submit(twice, 3).get(), cluster::queue_full);
            CHECK_THROWS_AS(pool.post([] {}), cluster::queue_full);
            kept.go.count_down();
            CHECK(first.get() + second.get() == 6);
        }
        SUBCASE("run_here") {
            thread_pool pool{
                {.workers = 1, .max_queue = 1, .when_full = cluster::when_full::run_here}};
            pool.post([&] { kept(); });
            kept.busy.wait();
            auto queued = pool.submit([] { return std::this_thread::get_id(); });
            auto here = pool.submit([] { return std::this_thread::get_id(); });
            CHECK(here.get() == std::this_thread::get_id());
            kept.go.count_down();
            CHECK(queued.get() != std::this_thread::get_id());
        }
        SUBCASE("wait") {
            for (const std::size_t places : {1U, 3U}) {
                std::atomic<int> ran{0};
                thread_pool pool{{.workers = 2, .max_queue = places}};
                std::vector<std::thread> producers;
                for (int i = 0; i != 6; ++i) {
                    producers.emplace_back([&] {
                        for (int n = 0; n != 2000; ++n) {
                            pool.post([&] { ++ran; });
                        }
                    });
                }
                for (auto& each : producers) {
                    each.join();
                }
                pool.close();
                CHECK(ran == 12'000);
            }
        }
    }

    TEST_CASE("a large task is whole when the ring has filled while it was moved") {
        auto ran = std::make_shared<std::atomic<int>>(0);
        kept_worker kept;
        thread_pool pool{{.workers = 1}};
        pool.post([&] { kept(); });
        kept.busy.wait();
        pool.post(large_task{pool, ran});
        kept.go.count_down();
        pool.close();
        CHECK(*ran == 1);
        CHECK(pool.stats().failed == 0);
    }

    TEST_CASE("a task that cannot be copied takes no place of the queue") {
        kept_worker kept;
        thread_pool pool{{.workers = 1, .max_queue = 1, .when_full = cluster::when_full::fail}};
        pool.post([&] { kept(); });
        kept.busy.wait();
        const throws_when_copied task;
        for (int i = 0; i != 3; ++i) {
            CHECK_THROWS_AS(pool.post(task), std::runtime_error);
        }
        CHECK_NOTHROW(pool.post([] {}));
        CHECK_THROWS_AS(pool.post([] {}), cluster::queue_full);
        kept.go.count_down();
    }

    TEST_CASE("a timeout fails the future and stops the token") {
        thread_pool pool{{.workers = 1}};
        std::promise<void> ended;
        auto late = pool.submit({.timeout = 10ms}, [&](cluster::stop_token token) {
            while (!token.stop_requested()) {
                std::this_thread::yield();
            }
            ended.set_value();
            return 1;
        });
        CHECK_THROWS_AS(late.get(), cluster::task_timeout);
        ended.get_future().get();
        CHECK(pool.submit({.timeout = 1h}, twice, 2).get() == 4);
        CHECK(pool.stats().timed_out == 1);
    }

    TEST_CASE("a stop token cancels a task in the queue and a running one") {
        thread_pool pool{{.workers = 1}};
        cluster::stop_source source;
        std::latch runs{1};
        std::promise<void> ended;
        auto running = pool.submit({.stop = source.get_token()}, [&](cluster::stop_token token) {
            runs.count_down();
            while (!token.stop_requested()) {
                std::this_thread::yield();
            }
            ended.set_value();
        });
        runs.wait();
        bool ran = false;
        auto queued = pool.submit({.stop = source.get_token()}, [&] { ran = true; });
        source.request_stop();
        CHECK_THROWS_AS(running.get(), cluster::task_cancelled);
        CHECK_THROWS_AS(queued.get(), cluster::task_cancelled);
        CHECK_THROWS_AS(pool.submit({.stop = source.get_token()}, twice, 1).get(),
                        cluster::task_cancelled);
        ended.get_future().get();
        pool.close();
        CHECK_FALSE(ran);
        CHECK(pool.stats().cancelled == 3);
    }

    TEST_CASE("limits are refused") {
        thread_pool pool{{.workers = 1}};
        CHECK_THROWS_AS((void)pool.submit({.limits = {.memory = 1}}, twice, 1), std::system_error);
    }

    TEST_CASE("map keeps the order and tells the progress") {
        thread_pool pool{{.workers = 3}};
        std::vector<int> numbers(1000);
        std::iota(numbers.begin(), numbers.end(), 0);
        std::size_t last = 0;
        bool grows = true;
        const auto caller = std::this_thread::get_id();
        auto doubled =
            pool.map<twice>(numbers, {.progress = [&](std::size_t done, std::size_t total) {
                                grows = grows && done > last && total == 1000 &&
                                        std::this_thread::get_id() == caller;
                                last = done;
                            }});
        CHECK(grows);
        CHECK(last == 1000);
        bool right = doubled.size() == 1000;
        for (std::size_t i = 0; i != doubled.size(); ++i) {
            right = right && doubled[i] == static_cast<int>(2 * i);
        }
        CHECK(right);
        CHECK(pool.map(std::vector<int>{}, twice).empty());
        CHECK(pool.map(std::vector<int>{1, 2, 3}, [](int n) { return n > 1; }, {.chunk = 1}) ==
              std::vector<bool>{false, true, true});
    }

    TEST_CASE("for_each visits every element once and stops at an exception") {
        thread_pool pool{{.workers = 2}};
        std::vector<std::atomic<int>> visits(5000);
        pool.for_each(visits, [](std::atomic<int>& each) { ++each; });
        bool once = true;
        for (auto& each : visits) {
            once = once && each == 1;
        }
        CHECK(once);
        CHECK_THROWS_AS(pool.for_each(std::vector<int>{1, 2, 3},
                                      [](int n) {
                                          if (n == 2) {
                                              throw std::out_of_range{"2"};
                                          }
                                      }),
                        std::out_of_range);
    }

    TEST_CASE("a task may map in its own pool") {
        thread_pool pool{{.workers = 1}};
        auto sum = pool.submit([&] {
            int total = 0;
            for (const int each : pool.map(std::vector<int>{1, 2, 3}, twice)) {
                total += each;
            }
            return total;
        });
        CHECK(sum.get() == 12);
    }

    TEST_CASE("threads beyond the least come when they are needed and go when they are idle") {
        thread_pool pool{{.workers = 3, .min_workers = 0, .idle_timeout = 1ms}};
        CHECK(pool.size() == 0);
        for (int round = 0; round != 50; ++round) {
            meet(pool, 3);
        }
        while (pool.size() != 0) {
            std::this_thread::yield();
        }
        CHECK(pool.submit(twice, 2).get() == 4);
        CHECK(pool.stats().started >= 4);
    }

    TEST_CASE("tasks that wait for each other get threads although some sleep already") {
        thread_pool pool{{.workers = 32, .min_workers = 0, .idle_timeout = 1h}};
        meet(pool, 28);
        while (pool.stats().idle < 28 || pool.stats().idle < pool.size()) {
            std::this_thread::yield();
        }
        meet(pool, 32); // all are queued before the last sleeper is up
        CHECK(pool.size() == 32);
    }

    TEST_CASE("tasks that come while threads are leaving get threads") {
        thread_pool pool{{.workers = 2, .min_workers = 0, .idle_timeout = 0ns}};
        // Seconds at most: where others want the processors, a thread that yields waits for long.
        const auto enough = std::chrono::steady_clock::now() + 3s;
        for (int round = 0; round != 20'000 && std::chrono::steady_clock::now() < enough; ++round) {
            meet(pool, 2);
            for (int pause = 0; pause != round % 50; ++pause) { // until an idle thread leaves
                std::this_thread::yield();
            }
        }
        CHECK(pool.stats().completed == pool.stats().submitted);
    }

    TEST_CASE("statistics tell how long tasks waited and ran") {
        thread_pool pool{{.workers = 1, .measure = true}};
        pool.submit(twice, 1).get();
        CHECK_THROWS(pool.submit([] { throw 1; }).get());
        pool.post([] {});
        pool.close();
        const auto stats = pool.stats();
        CHECK(stats.wait.count() == 3);
        CHECK(stats.run.count() == 3);
        CHECK(stats.run.quantile(0.5) > 0ns);
        CHECK(stats.completed == 2);
        CHECK(stats.failed == 1);
    }

} // TEST_SUITE
