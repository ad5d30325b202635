// SPDX-License-Identifier: MIT
// The limit for a thread pool: a ring of fixed slots for each pair of a producer and a worker, a
// futex for who sleeps. No types, no futures, no stealing, no end of what a queue holds but the
// producer's patience: a task is a function and a number, there for its worker when it is put.
//
//   ring_threads      a line of JSON for each number of producers and length of task

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <thread>
#include <vector>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;
constexpr unsigned workers = 2;
constexpr std::uint64_t slots = 16'384; // a producer of tasks of 10 us need not wait
constexpr std::uint64_t in_a_row = 16;  // to one worker

struct task {
    void (*run)(std::int64_t);
    std::int64_t argument;
};

struct ring {
    alignas(64) std::atomic<std::uint64_t> written{0};
    alignas(64) std::atomic<std::uint64_t> read{0};
    alignas(64) task tasks[slots];
};

struct worker_state {
    alignas(64) std::atomic<std::uint32_t> sleeps{0};
    std::vector<std::unique_ptr<ring>> rings;
};

void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
    ::syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

void wake(worker_state& who) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (who.sleeps.load(std::memory_order_relaxed) != 0 && who.sleeps.exchange(0) != 0) {
        futex(who.sleeps, FUTEX_WAKE, 1);
    }
}

// What the tasks of the pools do as well.
std::atomic<long> counted{0};
void work_for(std::int64_t microseconds) {
    if (microseconds != 0) {
        const auto end = clock_type::now() + std::chrono::microseconds{microseconds};
        while (clock_type::now() < end) {
        }
    }
    counted.fetch_add(1, std::memory_order_relaxed);
}

// Whether there was anything to do.
bool drain(worker_state& me, std::uint64_t& done) {
    bool any = false;
    for (auto& each : me.rings) {
        const auto end = each->written.load(std::memory_order_acquire);
        auto at = each->read.load(std::memory_order_relaxed);
        any = any || at != end;
        for (; at != end; ++at) {
            const task next = each->tasks[at % slots];
            next.run(next.argument);
            ++done;
        }
        each->read.store(at, std::memory_order_release);
    }
    return any;
}

void work(worker_state& me, std::uint64_t total) {
    for (std::uint64_t done = 0; done != total;) {
        if (drain(me, done) || done == total) {
            continue;
        }
        me.sleeps.store(1);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (!drain(me, done)) {
            futex(me.sleeps, FUTEX_WAIT, 1);
        }
        me.sleeps.store(0, std::memory_order_relaxed);
    }
}

// `count` tasks for each worker.
void produce(std::vector<worker_state>& all, unsigned me, std::uint64_t count, std::int32_t time) {
    std::uint64_t sent[workers] = {};
    std::uint64_t read[workers] = {}; // as far as is known
    for (std::uint64_t left = count; left != 0;) {
        const auto now = left < in_a_row ? left : in_a_row;
        for (unsigned i = 0; i != workers; ++i) {
            ring& to = *all[i].rings[me];
            for (std::uint64_t n = 0; n != now; ++n) {
                while (sent[i] - read[i] == slots) {
                    read[i] = to.read.load(std::memory_order_acquire);
                    if (sent[i] - read[i] == slots) {
                        std::this_thread::yield();
                    }
                }
                to.tasks[sent[i]++ % slots] = {&work_for, time};
                to.written.store(sent[i], std::memory_order_release);
                wake(all[i]);
            }
        }
        left -= now;
    }
}

double cpu_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void measure(unsigned producers, std::int32_t time) {
    const std::uint64_t each = (time != 0 ? 20'000 : 4'000'000) / producers / workers;
    std::vector<worker_state> all(workers);
    for (auto& one : all) {
        for (unsigned i = 0; i != producers; ++i) {
            one.rings.push_back(std::make_unique<ring>());
        }
    }
    const double cpu = cpu_seconds();
    const auto begin = clock_type::now();
    std::vector<std::thread> threads;
    for (auto& one : all) {
        threads.emplace_back([&one, total = each * producers] { work(one, total); });
    }
    for (unsigned i = 1; i < producers; ++i) {
        threads.emplace_back([&all, i, each, time] { produce(all, i, each, time); });
    }
    produce(all, 0, each, time);
    for (auto& thread : threads) {
        thread.join();
    }
    const std::chrono::duration<double> seconds = clock_type::now() - begin;
    const auto count = static_cast<double>(each * producers * workers);
    std::printf("{\"pool\": \"raw ring per worker\", \"producers\": %u, \"futures\": false, "
                "\"task_us\": %d, \"per_second\": %.0f, \"cpu_ns\": %.0f}\n",
                producers,
                static_cast<int>(time),
                count / seconds.count(),
                (cpu_seconds() - cpu) / count * 1e9);
}

} // namespace

int main() {
    for (const std::int32_t time : {0, 10}) {
        for (const unsigned producers : {1U, 4U}) {
            measure(producers, time);
        }
    }
}
