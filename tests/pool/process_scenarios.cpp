// SPDX-License-Identifier: MIT
// Scenario 51 of the cluster's acceptance list, on processes and on threads: who asked learns what
// became of each task, whatever becomes of the others and of the pool.
#include <cluster/pool.hpp>

#include "support/pool_program.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

using namespace std::chrono_literals;

namespace {

constexpr int many = 1000;
constexpr int crashing = 300;
constexpr int late = 600;

int twice(int n) {
    return 2 * n;
}
int twice_or_never(int n) {
    if (n == crashing) {
        std::abort();
    }
    while (n == late) {
        ::pause();
    }
    return twice(n);
}
int waits(int) {
    for (;;) {
        ::pause();
    }
}

cluster::task_options options_of(int n) {
    return {.timeout = n == late ? 30ms : 0ms};
}

// A thread that aborts takes its process with it: there it throws.
int twice_or_late(cluster::stop_token token, int n) {
    if (n == crashing) {
        throw std::runtime_error{"crash"};
    }
    while (n == late && !token.stop_requested()) {
        std::this_thread::yield();
    }
    return twice(n);
}

template <typename Future>
void check_values(std::vector<Future>& tasks) {
    for (int i = 0; i != many; ++i) {
        auto& task = tasks[static_cast<std::size_t>(i)];
        REQUIRE(task.ready());
        if (i != crashing && i != late) {
            CHECK(task.get() == 2 * i);
        }
    }
}

template <typename Future>
void check_cancelled(std::vector<Future>& tasks) {
    for (auto& each : tasks) {
        REQUIRE(each.ready());
        CHECK_THROWS_AS(each.get(), cluster::task_cancelled);
    }
}

} // namespace

TEST_SUITE("pool/scenarios") {
    TEST_CASE("scenario 51: four processes, a crash, a late task and close while tasks wait") {
        cluster::process_pool pool{pool_test::argc, pool_test::argv, {.workers = 4}};
        auto third = pool.submit<twice>(3);
        auto first = pool.submit<twice>(1);
        auto second = pool.submit<twice>(2);
        CHECK(first.get() == 2);
        CHECK(second.get() == 4);
        CHECK(third.get() == 6);
        std::vector<cluster::task_future<int>> tasks;
        for (int i = 0; i != many; ++i) {
            tasks.push_back(pool.submit<twice_or_never>(options_of(i), i));
        }
        pool.close();
        check_values(tasks);
        try {
            tasks[crashing].get();
            FAIL("no exception");
        } catch (const cluster::worker_crashed& error) {
            CHECK(error.signal() == SIGABRT);
        }
        CHECK_THROWS_AS(tasks[late].get(), cluster::task_timeout);
        const auto stats = pool.stats();
        CHECK(stats.crashed == 1);
        CHECK(stats.timed_out == 1);
        CHECK(stats.completed == many + 1);
    }

    TEST_CASE("scenario 51: cancel of four processes leaves no future pending") {
        cluster::process_pool pool{pool_test::argc, pool_test::argv, {.workers = 4}};
        std::vector<cluster::task_future<int>> tasks;
        for (int i = 0; i != many; ++i) {
            tasks.push_back(pool.submit<waits>(i));
        }
        pool.cancel();
        check_cancelled(tasks);
    }

    TEST_CASE("scenario 51: four threads, an exception, a late task and close while tasks wait") {
        cluster::thread_pool pool{{.workers = 4}};
        auto third = pool.submit(twice, 3);
        auto first = pool.submit(twice, 1);
        auto second = pool.submit(twice, 2);
        CHECK(first.get() == 2);
        CHECK(second.get() == 4);
        CHECK(third.get() == 6);
        std::vector<cluster::task_future<int>> tasks;
        for (int i = 0; i != many; ++i) {
            tasks.push_back(pool.submit(options_of(i), twice_or_late, i));
        }
        pool.close();
        check_values(tasks);
        CHECK_THROWS_AS(tasks[crashing].get(), std::runtime_error);
        CHECK_THROWS_AS(tasks[late].get(), cluster::task_timeout);
        const auto stats = pool.stats();
        CHECK(stats.failed == 1);
        CHECK(stats.timed_out == 1);
    }

    TEST_CASE("scenario 51: cancel of four threads leaves no future pending") {
        cluster::thread_pool pool{{.workers = 4}};
        std::vector<cluster::task_future<void>> tasks;
        for (int i = 0; i != many; ++i) {
            tasks.push_back(pool.submit([](cluster::stop_token token) {
                while (!token.stop_requested()) {
                    std::this_thread::yield();
                }
            }));
        }
        pool.cancel();
        check_cancelled(tasks);
    }
}
