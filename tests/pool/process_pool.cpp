// SPDX-License-Identifier: MIT
#include <cluster/pool/process_pool.hpp> // first and alone: proves the header is self-contained

#include "support/pool_program.hpp"
#include "support/sanitized.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using cluster::process_pool;
using cluster::process_pool_options;

namespace {

struct point {
    int x = 0;
    std::string name;
};

int twice(int n) {
    return 2 * n;
}
int sum(int a, int b, const std::vector<int>& rest) {
    return std::accumulate(rest.begin(), rest.end(), a + b);
}
point moved(point from, int by) {
    from.x += by;
    from.name += "'";
    return from;
}
void nothing() {}
int worker_pid() {
    return ::getpid();
}
int throws(int n) {
    throw std::out_of_range{"number " + std::to_string(n)};
}
int throws_int(int) {
    throw 5;
}
int aborts(int) {
    std::abort();
}
int exits(int code) {
    std::exit(code);
}
int hangs(int) {
    for (;;) {
        ::pause();
    }
}
std::string echo(const std::string& text) {
    return text;
}
int throws_at_three(int n) {
    return n == 3 ? throws(n) : n;
}
int aborts_at_three(int n) {
    return n == 3 ? aborts(n) : n;
}

/// Aborts the first time: the file is there afterwards.
int aborts_once(const std::string& path) {
    const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0) {
        std::abort();
    }
    return 1;
}

/// Tells by a pipe's name that it runs, then hangs.
int tells_and_hangs(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    [[maybe_unused]] auto written = ::write(fd, "x", 1);
    return hangs(0);
}

[[maybe_unused]] std::size_t allocates(std::size_t bytes) {
    const std::vector<char> memory(bytes, 'x');
    return memory.size();
}
int burns(int) {
    std::atomic<int> i{0};
    for (;;) {
        i.fetch_add(1);
    }
}
int opens_a_file(int) {
    return ::open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}
[[maybe_unused]] std::vector<int> sorted(int count) {
    std::vector<int> result;
    for (int i = count; i != 0; --i) {
        result.insert(result.begin(), i);
    }
    std::printf("a line that nobody needs\r");
    return result;
}

/// A pool of this program.
struct test_pool : process_pool {
    explicit test_pool(process_pool_options options = {.workers = 2})
        : process_pool{pool_test::argc, pool_test::argv, std::move(options)} {}
};

/// A name in a directory that goes with the object.
struct temporary_path {
    char directory[32] = "/tmp/pool_test.XXXXXX";
    std::string path;
    temporary_path() { path = std::string{::mkdtemp(directory)} + "/it"; }
    ~temporary_path() {
        ::unlink(path.c_str());
        ::rmdir(directory);
    }
};

/// A task that runs, for certain, until it is killed.
struct running_task {
    temporary_path place;
    cluster::task_future<int> future;

    running_task(process_pool& pool, cluster::task_options options) {
        REQUIRE(::mkfifo(place.path.c_str(), 0600) == 0);
        future = pool.submit<tells_and_hangs>(options, place.path);
        const int fd = ::open(place.path.c_str(), O_RDONLY | O_CLOEXEC);
        char byte = 0;
        REQUIRE(::read(fd, &byte, 1) == 1);
        ::close(fd);
    }
};

template <typename F>
int signal_of(F&& call) {
    try {
        call();
    } catch (const cluster::worker_crashed& error) {
        return error.signal();
    }
    return -1;
}

} // namespace

TEST_SUITE("pool/process_pool") {

    TEST_CASE("arguments and results go through the serializer") {
        test_pool pool;
        CHECK(pool.submit<twice>(21).get() == 42);
        CHECK(pool.submit<sum>(1, 2, std::vector<int>{3, 4}).get() == 10);
        const auto there = pool.submit<moved>(point{1, "a"}, 5).get();
        CHECK(there.x == 6);
        CHECK(there.name == "a'");
        pool.submit<nothing>().get();
        CHECK(pool.submit<echo>("text").get() == "text");
        CHECK(pool.submit<[](int a) { return a + 1; }>(1).get() == 2);
        CHECK(pool.submit<worker_pid>().get() != ::getpid());
        std::future<int> future = pool.submit<twice>(4);
        CHECK(future.get() == 8);
    }

    TEST_CASE("an exception travels with the name of its type and its text") {
        test_pool pool;
        try {
            static_cast<void>(pool.submit<throws>(7).get());
            FAIL("no exception");
        } catch (const cluster::task_failed& error) {
            CHECK(error.type() == "std::out_of_range");
            CHECK(std::string{error.what()} == "number 7");
        }
        try {
            static_cast<void>(pool.submit<throws_int>(7).get());
            FAIL("no exception");
        } catch (const cluster::task_failed& error) {
            CHECK(error.type() == "int");
        }
        CHECK(pool.submit<twice>(1).get() == 2);
        CHECK(pool.stats().failed == 2);
    }

    TEST_CASE("a crash fails its task alone, with the signal or the exit code") {
        test_pool pool;
        CHECK(signal_of([&] { pool.submit<aborts>(1).get(); }) == SIGABRT);
        try {
            pool.submit<exits>(5).get();
            FAIL("no exception");
        } catch (const cluster::worker_crashed& error) {
            CHECK(error.code() == 5);
            CHECK(error.status().reason() == cluster::exit_reason::exited);
        }
        std::vector<cluster::task_future<int>> tasks;
        for (int i = 0; i != 100; ++i) {
            tasks.push_back(i == 50 ? pool.submit<aborts>(i) : pool.submit<twice>(i));
        }
        for (int i = 0; i != 100; ++i) {
            auto& task = tasks[static_cast<std::size_t>(i)];
            if (i == 50) {
                CHECK_THROWS_AS(task.get(), cluster::worker_crashed);
            } else {
                CHECK(task.get() == 2 * i);
            }
        }
        CHECK(pool.stats().crashed == 3);
    }

    TEST_CASE("a crashed task is started again as often as it was asked for") {
        test_pool pool;
        const temporary_path file;
        CHECK(pool.submit<aborts_once>({.retries = 1}, file.path).get() == 1);
        CHECK(pool.stats().retried == 1);
        CHECK_THROWS_AS(pool.submit<aborts>({.retries = 2}, 1).get(), cluster::worker_crashed);
        CHECK(pool.stats().retried == 3);
    }

    TEST_CASE("a task that is late is killed and its worker replaced") {
        test_pool pool{{.workers = 1}};
        const int before = pool.submit<worker_pid>().get();
        auto late = pool.submit<hangs>({.timeout = 20ms}, 1);
        auto next = pool.submit<worker_pid>();
        CHECK_THROWS_AS(late.get(), cluster::task_timeout);
        CHECK(next.get() != before);
        CHECK(pool.submit<twice>({.timeout = 1h}, 1).get() == 2);
        CHECK(pool.stats().timed_out == 1);
        CHECK(pool.stats().killed == 1);
    }

    TEST_CASE("a stop token cancels a task in the queue and a running one") {
        test_pool pool{{.workers = 1}};
        cluster::stop_source source;
        running_task running{pool, {.stop = source.get_token()}};
        auto queued = pool.submit<twice>({.stop = source.get_token()}, 1);
        auto other = pool.submit<twice>(3);
        source.request_stop();
        CHECK_THROWS_AS(running.future.get(), cluster::task_cancelled);
        CHECK_THROWS_AS(queued.get(), cluster::task_cancelled);
        CHECK_THROWS_AS(pool.submit<twice>({.stop = source.get_token()}, 1).get(),
                        cluster::task_cancelled);
        CHECK(other.get() == 6);
        CHECK(pool.stats().killed == 1);
    }

    TEST_CASE("close finishes what is queued and cancel drops it") {
        SUBCASE("close") {
            test_pool pool;
            std::vector<cluster::task_future<int>> tasks;
            for (int i = 0; i != 2000; ++i) {
                tasks.push_back(pool.submit<twice>(i));
            }
            pool.close();
            bool right = true;
            for (int i = 0; i != 2000; ++i) {
                auto& task = tasks[static_cast<std::size_t>(i)];
                right = right && task.ready() && task.get() == 2 * i;
            }
            CHECK(right);
            CHECK(pool.size() == 0);
        }
        SUBCASE("cancel") {
            test_pool pool;
            running_task running{pool, {}};
            std::vector<cluster::task_future<int>> tasks;
            for (int i = 0; i != 100; ++i) {
                tasks.push_back(pool.submit<hangs>(i));
            }
            pool.cancel();
            CHECK(running.future.ready());
            CHECK_THROWS_AS(running.future.get(), cluster::task_cancelled);
            for (auto& each : tasks) {
                REQUIRE(each.ready());
                CHECK_THROWS_AS(each.get(), cluster::task_cancelled);
            }
            CHECK_THROWS_AS(pool.submit<twice>(1).get(), cluster::task_cancelled);
        }
    }

    TEST_CASE("a full queue fails or has the caller run the task or lets it wait") {
        SUBCASE("fail") {
            test_pool pool{{.workers = 1, .max_queue = 2, .when_full = cluster::when_full::fail}};
            running_task running{pool, {}};
            std::vector<cluster::task_future<int>> tasks;
            for (int i = 0; i != 10; ++i) {
                tasks.push_back(pool.submit<hangs>(i)); // one may be with the worker, two wait
            }
            CHECK_THROWS_AS(tasks.back().get(), cluster::queue_full);
            pool.cancel();
        }
        SUBCASE("run_here") {
            test_pool pool{
                {.workers = 1, .max_queue = 1, .when_full = cluster::when_full::run_here}};
            running_task running{pool, {}};
            std::vector<cluster::task_future<int>> tasks;
            for (int i = 0; i != 5; ++i) {
                tasks.push_back(pool.submit<worker_pid>());
            }
            CHECK(tasks.back().get() == ::getpid());
            CHECK_THROWS_AS(pool.submit<throws>(1).get(), cluster::task_failed);
            pool.cancel();
        }
        SUBCASE("wait") {
            test_pool pool{{.workers = 2, .max_queue = 3}};
            std::atomic<int> right{0};
            std::vector<std::thread> producers;
            for (int p = 0; p != 3; ++p) {
                producers.emplace_back([&] {
                    for (int i = 0; i != 500; ++i) {
                        right += pool.submit<twice>(i).get() == 2 * i ? 1 : 0;
                    }
                });
            }
            for (auto& each : producers) {
                each.join();
            }
            CHECK(right == 1500);
        }
    }

    TEST_CASE("payloads larger than the ring go through in pieces both ways") {
        test_pool pool;
        std::vector<cluster::task_future<std::string>> tasks;
        for (std::size_t i = 0; i != 6; ++i) {
            tasks.push_back(
                pool.submit<echo>(std::string(1'000'000 * i + 1, static_cast<char>('a' + i))));
        }
        for (std::size_t i = 0; i != 6; ++i) {
            CHECK((tasks[i].get() == std::string(1'000'000 * i + 1, static_cast<char>('a' + i))));
        }
    }

    TEST_CASE("a result beyond the limit is a broken worker") {
        test_pool pool{{.workers = 1, .max_result = 1000}};
        CHECK(pool.submit<echo>(std::string(900, 'x')).get().size() == 900);
        CHECK_THROWS_AS(pool.submit<echo>(std::string(2000, 'x')).get(), cluster::worker_crashed);
        CHECK(pool.submit<twice>(1).get() == 2);
    }

    TEST_CASE("map keeps the order and tells the progress") {
        test_pool pool;
        std::vector<int> numbers(1000);
        std::iota(numbers.begin(), numbers.end(), 0);
        std::size_t last = 0;
        const auto doubled =
            pool.map<twice>(numbers, {.progress = [&](std::size_t done, std::size_t total) {
                                CHECK(done > last);
                                CHECK(total == 1000);
                                last = done;
                            }});
        CHECK(last == 1000);
        bool right = doubled.size() == 1000;
        for (std::size_t i = 0; i != doubled.size(); ++i) {
            right = right && doubled[i] == static_cast<int>(2 * i);
        }
        CHECK(right);
        CHECK(pool.map<twice>(std::vector<int>{}).empty());
        pool.for_each<twice>(numbers, {.chunk = 7});
    }

    TEST_CASE("map throws the failure of the first element that has one") {
        test_pool pool;
        const std::vector<int> numbers{1, 2, 3, 4};
        try {
            pool.map<throws_at_three>(numbers, {.chunk = 4});
            FAIL("no exception");
        } catch (const cluster::task_failed& error) {
            CHECK(std::string{error.what()} == "number 3");
        }
        CHECK_THROWS_AS(pool.map<aborts_at_three>(numbers, {.chunk = 1}), cluster::worker_crashed);
        CHECK(pool.map<aborts_at_three>(std::vector<int>{1, 2}) == std::vector<int>{1, 2});
    }

    TEST_CASE("higher priorities run first") {
        test_pool pool{{.workers = 1}};
        running_task running{pool, {.timeout = 50ms}};
        std::vector<cluster::task_future<int>> first; // what the worker may have in advance
        for (int i = 0; i != 3; ++i) {
            first.push_back(pool.submit<twice>(i));
        }
        std::mutex mutex;
        std::string order;
        std::vector<std::future<void>> all;
        for (const int priority : {-1, 0, 5}) {
            auto done = std::make_shared<std::promise<void>>();
            all.push_back(done->get_future());
            pool.submit<twice>({.priority = priority}, 1)
                .then([&, priority, done](cluster::task_future<int>) {
                    const std::lock_guard lock{mutex};
                    order += priority == 5 ? 'h' : priority == 0 ? 'm' : 'l';
                    done->set_value();
                });
        }
        for (auto& each : all) {
            each.get();
        }
        CHECK(order.find('h') < order.find('m'));
        CHECK(order.find('m') < order.find('l'));
    }

    TEST_CASE("a worker is replaced after its number of tasks") {
        test_pool pool{{.workers = 1, .recycle = {.max_requests = 10, .jitter = 0}}};
        std::map<int, int> tasks;
        for (int i = 0; i != 100; ++i) {
            ++tasks[pool.submit<worker_pid>().get()];
        }
        CHECK(tasks.size() > 1);
        CHECK(pool.stats().recycled > 0);
        CHECK(pool.stats().crashed == 0);
    }

    TEST_CASE("a worker is replaced by age and by memory") {
        SUBCASE("age") {
            test_pool pool{{.workers = 1, .recycle = {.max_lifetime = 1ms}}};
            const int first = pool.submit<worker_pid>().get();
            while (pool.submit<worker_pid>().get() == first) {
                std::this_thread::yield();
            }
        }
        SUBCASE("memory") {
            test_pool pool{{.workers = 1, .recycle = {.max_memory = 1}}};
            const int first = pool.submit<worker_pid>().get();
            while (pool.submit<worker_pid>().get() == first) {
                std::this_thread::yield();
            }
        }
        SUBCASE("not below the limits") {
            test_pool pool{
                {.workers = 1, .recycle = {.max_lifetime = 1h, .max_memory = 1U << 31U}}};
            const int first = pool.submit<worker_pid>().get();
            CHECK(pool.submit<worker_pid>().get() == first);
        }
    }

    TEST_CASE("workers beyond the least come when they are needed and go when they are idle") {
        test_pool pool{{.workers = 3, .min_workers = 0, .idle_timeout = 5ms}};
        CHECK(pool.size() == 0);
        CHECK(pool.submit<twice>(1).get() == 2);
        while (pool.size() != 0) {
            std::this_thread::yield();
        }
        CHECK(pool.submit<twice>(2).get() == 4);
    }

    TEST_CASE("limits of a task are its own") {
        test_pool pool{{.workers = 1}};
#if !CLUSTER_TEST_SANITIZED
        constexpr std::size_t large = std::size_t{64} << 20U;
        try {
            pool.submit<allocates>({.limits = {.memory = large / 2}}, large).get();
            FAIL("no exception");
        } catch (const cluster::task_failed& error) {
            CHECK(error.type() == "std::bad_alloc");
        }
        CHECK(pool.submit<allocates>(large).get() == large);
#endif
        CHECK(signal_of([&] { pool.submit<burns>({.limits = {.cpu_seconds = 1}}, 1).get(); }) ==
              SIGXCPU);
    }

    TEST_CASE("a sandbox lets a computation through and ends everything else") {
        test_pool pool{{.workers = 1, .sandbox = cluster::sandbox::compute}};
#if !CLUSTER_TEST_SANITIZED
        CHECK(pool.submit<sorted>(1000).get().size() == 1000);
        CHECK_THROWS_AS(pool.submit<throws>(1).get(), cluster::task_failed);
        CHECK(signal_of([&] { pool.submit<aborts>(1).get(); }) == SIGABRT);
#endif
        CHECK(signal_of([&] { pool.submit<opens_a_file>(1).get(); }) == SIGSYS);
    }

    TEST_CASE("workers that cannot start fail their tasks") {
        test_pool pool{{.workers = 2, .environment = {{"POOL_TEST_WORKER", "exits"}}}};
        try {
            pool.submit<twice>(1).get();
            FAIL("no exception");
        } catch (const cluster::worker_crashed& error) {
            CHECK(error.status().reason() == cluster::exit_reason::boot_failed);
            CHECK(error.code() == 3);
        }
    }

    TEST_CASE("a worker that lies is killed and costs what it was given") {
        const char* how = nullptr;
        SUBCASE("written") {
            how = "lies about what it wrote";
        }
        SUBCASE("read") {
            how = "lies about what it read";
        }
        SUBCASE("garbage") {
            how = "writes garbage";
        }
        SUBCASE("answer") {
            how = "answers what nobody asked";
        }
        test_pool pool{{.workers = 1, .environment = {{"POOL_TEST_WORKER", how}}}};
        CHECK(signal_of([&] { pool.submit<twice>(1).get(); }) == SIGKILL);
    }

    TEST_CASE("callbacks may submit and close") {
        test_pool pool{{.workers = 1}};
        std::promise<int> chained;
        pool.submit<twice>(1).then([&](cluster::task_future<int> first) {
            pool.submit<twice>(first.get()).then([&](cluster::task_future<int> second) {
                pool.close();
                chained.set_value(second.get());
            });
        });
        CHECK(chained.get_future().get() == 4);
    }

    TEST_CASE("what callbacks submit runs and is counted at once") {
        test_pool pool;
        struct {
            process_pool& in;
            int left = 1000;
            std::promise<std::uint64_t> ended{};

            void next(cluster::task_future<int> done) {
                CHECK(done.get() == 42);
                if (--left == 0) {
                    ended.set_value(in.stats().completed);
                }
            }
        } all{pool};
        pool.submit<twice>(21).then([&](cluster::task_future<int>) {
            for (int i = 0; i != 1000; ++i) {
                pool.submit<twice>(21).then(
                    [&](cluster::task_future<int> done) { all.next(std::move(done)); });
            }
            CHECK(pool.stats().submitted == 1001);
            CHECK(pool.stats().queued == 1000);
        });
        CHECK(all.ended.get_future().get() == 1001);
    }

    TEST_CASE("a closed pool cancels what its callbacks submit") {
        test_pool pool;
        std::promise<bool> cancelled;
        pool.submit<twice>(1).then([&](cluster::task_future<int>) {
            pool.submit<twice>(2).then([&](cluster::task_future<int> kept) {
                CHECK(kept.get() == 4);
                pool.submit<twice>(3).then([&](cluster::task_future<int> late) {
                    try {
                        late.get();
                    } catch (const cluster::task_cancelled&) {
                        cancelled.set_value(true);
                    }
                });
            });
            pool.close();
        });
        CHECK(cancelled.get_future().get());
    }

    TEST_CASE("arguments and results go around the end of the ring") {
        test_pool pool;
        std::vector<cluster::task_future<std::string>> tasks;
        const auto text = [](std::size_t i) {
            return std::string(i * 37 % 3000, static_cast<char>('a' + i % 26));
        };
        for (std::size_t i = 0; i != 500; ++i) {
            tasks.push_back(pool.submit<echo>(text(i)));
        }
        std::size_t wrong = 0;
        for (std::size_t i = 0; i != tasks.size(); ++i) {
            wrong += tasks[i].get() == text(i) ? 0U : 1U;
        }
        CHECK(wrong == 0);
    }

    TEST_CASE("each short task is in the histograms though few looks at the clock are made") {
        test_pool pool;
        std::vector<cluster::task_future<int>> tasks;
        for (int i = 0; i != 3000; ++i) {
            tasks.push_back(pool.submit<twice>(i));
        }
        for (int i = 0; i != 3000; ++i) {
            REQUIRE(tasks[static_cast<std::size_t>(i)].get() == 2 * i);
        }
        const auto stats = pool.stats();
        CHECK(stats.run.count() <= 3000);
        CHECK(stats.run.count() >
              3000 - 2 * 16); // a worker that was robbed keeps some of its figures
        CHECK(stats.wait.count() <= 3000);
        CHECK(stats.wait.count() > 3000 - 8);
    }

    TEST_CASE("statistics tell how long tasks waited and ran") {
        test_pool pool;
        for (int i = 0; i != 10; ++i) {
            CHECK(pool.submit<twice>(i).get() == 2 * i);
        }
        const auto stats = pool.stats();
        CHECK(stats.submitted == 10);
        CHECK(stats.completed == 10);
        CHECK(stats.run.count() == 10);
        CHECK(stats.wait.quantile(0.9) > 0ns);
        CHECK(stats.queued == 0);
    }

} // TEST_SUITE
