// SPDX-License-Identifier: MIT
// process_pool on empty tasks: one line of JSON for each way to submit, two workers.
//
//   process_pool [TASKS]

#include <cluster/pool/process_pool.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <future>
#include <numeric>
#include <vector>

#include <sys/resource.h>

namespace {

int twice(int n) {
    return 2 * n;
}

double cpu_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    double sum = static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
    rusage used{};
    ::getrusage(RUSAGE_CHILDREN, &used);
    for (const auto& each : {used.ru_utime, used.ru_stime}) {
        sum += static_cast<double>(each.tv_sec) + static_cast<double>(each.tv_usec) * 1e-6;
    }
    return sum;
}

/// With a pool of its own, so that the workers' CPU time is in the figure.
template <typename Body>
void measure(const char* name, int argc, char** argv, long total, Body body) {
    const double cpu = cpu_seconds();
    std::chrono::duration<double> seconds{0};
    {
        cluster::process_pool pool{argc, argv, {.workers = 2}};
        pool.submit<twice>(1).get();
        const auto begin = std::chrono::steady_clock::now();
        body(pool);
        seconds = std::chrono::steady_clock::now() - begin;
    }
    std::printf(
        "{\"pool\": \"cluster::process_pool %s\", \"per_second\": %.0f, \"cpu_ns\": %.0f}\n",
        name,
        static_cast<double>(total) / seconds.count(),
        (cpu_seconds() - cpu) / static_cast<double>(total) * 1e9);
}

} // namespace

int main(int argc, char** argv) {
    cluster::serve_pool_worker();
    const long total = argc > 1 ? std::atol(argv[1]) : 300'000;
    measure("futures", argc, argv, total, [total](auto& pool) {
        constexpr long window = 1000;
        std::vector<cluster::task_future<int>> futures;
        for (long i = 0; i < total; i += window) {
            futures.clear();
            for (long n = 0; n != window; ++n) {
                futures.push_back(pool.template submit<twice>(1));
            }
            for (auto& each : futures) {
                each.get();
            }
        }
    });
    measure("callbacks, 64 in flight", argc, argv, total, [total](auto& pool) {
        struct chain { // all of it in the thread of the pool, once the first task has ended
            cluster::process_pool& pool;
            long left;
            long running = 0;
            std::promise<void> ended{};

            void next() {
                if (left != 0) {
                    --left;
                    ++running;
                    pool.submit<twice>(1).then([this](cluster::task_future<int>) {
                        --running;
                        next();
                    });
                } else if (running == 0) {
                    ended.set_value();
                }
            }
        } all{pool, total};
        pool.template submit<twice>(1).then([&all](cluster::task_future<int>) {
            for (int i = 0; i != 64; ++i) {
                all.next();
            }
        });
        all.ended.get_future().wait();
    });
    measure("map", argc, argv, total, [total](auto& pool) {
        std::vector<int> numbers(static_cast<std::size_t>(total), 1);
        static_cast<void>(pool.template map<twice>(numbers, {.chunk = 100}));
    });
}
