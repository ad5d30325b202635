// SPDX-License-Identifier: MIT
// The limit for a process pool: forked workers, one ring of fixed slots per worker and direction in
// shared memory, a doorbell only for who sleeps, one thread in the parent that sends and receives.
// No sizes, no functions, no checks, no futures. And the same with a std::promise and a std::future
// for each task, which is what the standard's allocations cost at least.
//
//   ring_pool [TASKS]      a line of JSON each: empty tasks, 32 in flight for each of 2 workers

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <future>

#include <csignal>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr std::uint64_t slots = 64;
constexpr std::uint64_t in_flight = 32;
constexpr int workers = 2;

struct ring {
    alignas(64) std::atomic<std::uint64_t> written{0};
    alignas(64) std::atomic<std::uint64_t> read{0};
    alignas(64) std::atomic<std::uint32_t> sleeps{0};
    alignas(64) std::int32_t value[slots];
};

struct lane {
    ring there;
    ring back;
    int worker_bell;
    int parent_bell;
};

void ring_bell(ring& of, int bell) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (of.sleeps.load(std::memory_order_relaxed) != 0 && of.sleeps.exchange(0) != 0) {
        const std::uint64_t one = 1;
        [[maybe_unused]] auto done = ::write(bell, &one, sizeof one);
    }
}

[[noreturn]] void work(lane& with) {
    std::uint64_t at = 0;
    for (;;) {
        while (with.there.written.load(std::memory_order_acquire) == at) {
            with.there.sleeps.store(1);
            std::atomic_thread_fence(std::memory_order_seq_cst);
            if (with.there.written.load(std::memory_order_acquire) != at) {
                break;
            }
            std::uint64_t count = 0;
            [[maybe_unused]] auto done = ::read(with.worker_bell, &count, sizeof count);
        }
        with.back.value[at % slots] = 2 * with.there.value[at % slots];
        ++at;
        with.back.written.store(at, std::memory_order_release);
        ring_bell(with.back, with.parent_bell);
    }
}

/// What a task leaves with the one who asked.
struct no_future {
    static constexpr const char* name = "raw ring per worker";
    void begin() {}
    void end(std::int32_t) {}
};
struct standard_future {
    static constexpr const char* name = "raw ring per worker, std::promise";
    std::promise<int> promise;
    std::future<int> future;
    void begin() {
        promise = std::promise<int>{};
        future = promise.get_future();
    }
    void end(std::int32_t value) {
        promise.set_value(value);
        future.get();
    }
};

double cpu_seconds() {
    double sum = 0;
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    sum += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
    rusage used{};
    ::getrusage(RUSAGE_CHILDREN, &used);
    for (const auto& each : {used.ru_utime, used.ru_stime}) {
        sum += static_cast<double>(each.tv_sec) + static_cast<double>(each.tv_usec) * 1e-6;
    }
    return sum;
}

template <typename Future>
void measure(long total) {
    const double cpu = cpu_seconds();
    void* memory = ::mmap(
        nullptr, sizeof(lane) * workers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    lane* lanes = new (memory) lane[workers];
    const int poller = ::epoll_create1(EPOLL_CLOEXEC);
    pid_t children[workers];
    for (int i = 0; i != workers; ++i) {
        lanes[i].worker_bell = ::eventfd(0, 0);
        lanes[i].parent_bell = ::eventfd(0, EFD_NONBLOCK);
        epoll_event wanted{};
        wanted.events = EPOLLIN | EPOLLET;
        ::epoll_ctl(poller, EPOLL_CTL_ADD, lanes[i].parent_bell, &wanted);
        children[i] = ::fork();
        if (children[i] == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(lanes[i]);
        }
    }
    const auto begin = std::chrono::steady_clock::now();
    std::uint64_t sent[workers] = {};
    std::uint64_t got[workers] = {};
    static Future futures[workers][slots];
    long started = 0;
    for (long ended = 0; ended != total;) {
        bool moved = false;
        for (int i = 0; i != workers; ++i) {
            lane& each = lanes[i];
            const auto there = each.back.written.load(std::memory_order_acquire);
            moved = moved || there != got[i];
            ended += static_cast<long>(there - got[i]);
            for (; got[i] != there; ++got[i]) {
                futures[i][got[i] % slots].end(each.back.value[got[i] % slots]);
            }
            const auto before = sent[i];
            while (sent[i] - got[i] != in_flight && started != total) {
                futures[i][sent[i] % slots].begin();
                each.there.value[sent[i]++ % slots] = static_cast<std::int32_t>(started++);
            }
            if (sent[i] != before) {
                each.there.written.store(sent[i], std::memory_order_release);
                ring_bell(each.there, each.worker_bell);
            }
        }
        if (!moved && ended != total) {
            bool ready = false;
            for (int i = 0; i != workers; ++i) {
                lanes[i].back.sleeps.store(1);
            }
            std::atomic_thread_fence(std::memory_order_seq_cst);
            for (int i = 0; i != workers; ++i) {
                ready = ready || lanes[i].back.written.load(std::memory_order_acquire) != got[i];
            }
            epoll_event events[workers];
            if (!ready) {
                ::epoll_wait(poller, events, workers, -1);
            }
        }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    for (const pid_t child : children) {
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
    }
    std::printf("{\"pool\": \"%s\", \"per_second\": %.0f, \"cpu_ns\": %.0f}\n",
                Future::name,
                static_cast<double>(total) / seconds.count(),
                (cpu_seconds() - cpu) / static_cast<double>(total) * 1e9);
}

} // namespace

int main(int argc, char** argv) {
    const long total = argc > 1 ? std::atol(argv[1]) : 1'000'000;
    measure<no_future>(total);
    measure<standard_future>(total);
}
