// SPDX-License-Identifier: MIT
// The limit for a thread pool: rings of fixed slots, a futex for who sleeps. No types, no futures, no
// end of what a queue holds but the producer's patience: a task is a function and a number.
//
//   ring_threads      a line of JSON for each kind of ring, number of producers and length of task
//
// raw ring per pair       one for each pair of a producer and a worker, who share nothing: in no
//                         order among the producers
// raw ring per worker     one for each worker, which alone takes from it: a task is there for its
//                         worker, behind whatever that one does. A sole producer has the ring of a
//                         pair
// raw ring, stealing      the same where anybody takes, as in a pool, in which no task waits beside
//                         an idle worker

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
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

// What the tasks of the pools do as well.
alignas(64) std::atomic<std::uint64_t> counted{0};
void work_for(std::int64_t microseconds) {
    if (microseconds != 0) {
        const auto end = clock_type::now() + std::chrono::microseconds{microseconds};
        while (clock_type::now() < end) {
        }
    }
    counted.fetch_add(1, std::memory_order_relaxed);
}

/// One thread at each end.
class ring {
public:
    bool put(const task& what) {
        const auto at = written_.load(std::memory_order_relaxed);
        if (at - known_ == slots) {
            known_ = read_.load(std::memory_order_acquire);
            if (at - known_ == slots) {
                return false;
            }
        }
        tasks_[at % slots] = what;
        written_.store(at + 1, std::memory_order_release);
        return true;
    }
    /// \returns whether there was anything to do
    bool run_all() {
        const auto end = written_.load(std::memory_order_acquire);
        auto at = read_.load(std::memory_order_relaxed);
        const bool any = at != end;
        for (; at != end; ++at) {
            const task next = tasks_[at % slots];
            next.run(next.argument);
        }
        read_.store(at, std::memory_order_release);
        return any;
    }

private:
    alignas(64) std::atomic<std::uint64_t> written_{0};
    std::uint64_t known_ = 0; // of read_, to who writes
    alignas(64) std::atomic<std::uint64_t> read_{0};
    alignas(64) task tasks_[slots];
};

struct alignas(64) rings_of_pairs {
    std::vector<std::unique_ptr<ring>> of[workers];

    explicit rings_of_pairs(unsigned producers) {
        for (auto& each : of) {
            for (unsigned i = 0; i != producers; ++i) {
                each.push_back(std::make_unique<ring>());
            }
        }
    }
    bool put(unsigned to, unsigned from, const task& what) { return of[to][from]->put(what); }
    bool run_some(unsigned me) {
        bool any = false;
        for (auto& each : of[me]) {
            any = each->run_all() || any;
        }
        return any;
    }
};

/// Any number of threads at both ends (Vyukov's), or one that takes.
class shared_ring {
public:
    shared_ring() {
        for (std::uint64_t i = 0; i != slots; ++i) {
            cells_[i].turn.store(i, std::memory_order_relaxed);
        }
    }
    bool put(const task& what) {
        auto at = tail_.load(std::memory_order_relaxed);
        cell* const place = claim(tail_, at, 0);
        if (place != nullptr) {
            place->what = what;
            place->turn.store(at + 1, std::memory_order_release);
        }
        return place != nullptr;
    }
    bool run_one() {
        auto at = head_.load(std::memory_order_relaxed);
        cell* const place = claim(head_, at, 1);
        if (place != nullptr) {
            const task next = place->what;
            place->turn.store(at + slots, std::memory_order_release);
            next.run(next.argument);
        }
        return place != nullptr;
    }
    /// By the only thread that takes. \returns whether there was anything to do
    bool run_all() {
        const auto begin = head_.load(std::memory_order_relaxed);
        auto at = begin;
        for (;; ++at) {
            cell& place = cells_[at % slots];
            if (place.turn.load(std::memory_order_acquire) != at + 1) {
                break;
            }
            const task next = place.what;
            place.turn.store(at + slots, std::memory_order_release);
            next.run(next.argument);
        }
        head_.store(at, std::memory_order_relaxed);
        return at != begin;
    }

private:
    struct alignas(32) cell {
        std::atomic<std::uint64_t> turn{0};
        task what{};
    };

    /// The cell at `at`, or one behind it, when it is the turn of who comes to this end.
    cell* claim(std::atomic<std::uint64_t>& end, std::uint64_t& at, std::uint64_t later) {
        for (;;) {
            cell& place = cells_[at % slots];
            const auto turn = place.turn.load(std::memory_order_acquire);
            if (turn != at + later) {
                if (turn < at + later) {
                    return nullptr; // full, or empty
                }
                at = end.load(std::memory_order_relaxed);
            } else if (end.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
                return &place;
            }
        }
    }

    alignas(64) std::atomic<std::uint64_t> tail_{0};
    alignas(64) std::atomic<std::uint64_t> head_{0};
    alignas(64) cell cells_[slots];
};

template <bool Stealing>
struct alignas(64) rings_of_workers {
    std::vector<std::unique_ptr<shared_ring>> of;

    explicit rings_of_workers(unsigned) {
        for (unsigned i = 0; i != workers; ++i) {
            of.push_back(std::make_unique<shared_ring>());
        }
    }
    bool put(unsigned to, unsigned, const task& what) { return of[to]->put(what); }
    bool run_some(unsigned me) {
        if constexpr (!Stealing) {
            return of[me]->run_all();
        }
        for (unsigned i = 0; i != workers; ++i) {
            if (of[(me + i) % workers]->run_one()) {
                return true;
            }
        }
        return false;
    }
};

struct alignas(64) bed {
    std::atomic<std::uint32_t> taken{0};
};

void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
    ::syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

void wake(bed& where) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (where.taken.load(std::memory_order_relaxed) != 0 && where.taken.exchange(0) != 0) {
        futex(where.taken, FUTEX_WAKE, 1);
    }
}

template <typename Rings>
void work(Rings& rings, unsigned me, bed& where, const std::atomic<bool>& ends) {
    while (rings.run_some(me) || !ends.load()) {
        if (rings.run_some(me)) {
            continue;
        }
        where.taken.store(1);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (!rings.run_some(me) && !ends.load()) {
            futex(where.taken, FUTEX_WAIT, 1);
        }
        where.taken.store(0, std::memory_order_relaxed);
    }
}

// `count` tasks for each worker.
template <typename Rings>
void produce(Rings& rings, unsigned me, bed* beds, std::uint64_t count, std::int64_t time) {
    for (std::uint64_t left = count; left != 0;) {
        const auto now = left < in_a_row ? left : in_a_row;
        for (unsigned to = 0; to != workers; ++to) {
            for (std::uint64_t n = 0; n != now; ++n) {
                while (!rings.put(to, me, {&work_for, time})) {
                    std::this_thread::yield();
                }
                wake(beds[to]);
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

template <typename Rings>
void measure(const char* name, unsigned producers, std::int64_t time) {
    const std::uint64_t each = (time != 0 ? 20'000 : 4'000'000) / producers / workers;
    Rings rings{producers};
    bed beds[workers];
    alignas(64) std::atomic<bool> ends{false};
    counted = 0;
    const double cpu = cpu_seconds();
    const auto begin = clock_type::now();
    std::vector<std::thread> working;
    for (unsigned i = 0; i != workers; ++i) {
        working.emplace_back([&, i] { work(rings, i, beds[i], ends); });
    }
    std::vector<std::thread> producing;
    for (unsigned i = 1; i < producers; ++i) {
        producing.emplace_back([&, i] { produce(rings, i, beds, each, time); });
    }
    produce(rings, 0, beds, each, time);
    for (auto& thread : producing) {
        thread.join();
    }
    ends = true;
    for (auto& each_bed : beds) {
        wake(each_bed);
    }
    for (auto& thread : working) {
        thread.join();
    }
    const std::chrono::duration<double> seconds = clock_type::now() - begin;
    const auto count = static_cast<double>(each * producers * workers);
    if (counted != each * producers * workers) {
        std::fprintf(stderr, "ring_threads: tasks were lost\n");
        std::exit(1);
    }
    std::printf("{\"pool\": \"%s\", \"producers\": %u, \"futures\": false, "
                "\"task_us\": %d, \"per_second\": %.0f, \"cpu_ns\": %.0f}\n",
                name,
                producers,
                static_cast<int>(time),
                count / seconds.count(),
                (cpu_seconds() - cpu) / count * 1e9);
}

} // namespace

int main() {
    for (const std::int32_t time : {0, 10}) {
        measure<rings_of_pairs>("raw ring per worker", 1, time);
        measure<rings_of_workers<true>>("raw ring, stealing", 1, time);
        measure<rings_of_pairs>("raw ring per pair", 4, time);
        measure<rings_of_workers<false>>("raw ring per worker", 4, time);
        measure<rings_of_workers<true>>("raw ring, stealing", 4, time);
    }
}
