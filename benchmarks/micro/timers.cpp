// SPDX-License-Identifier: MIT
// Timers among N others: added and cancelled, and run; beside a std::multimap and a
// std::priority_queue.
#include <cluster/detail/timer_heap.hpp>

#include "allocations.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <queue>
#include <vector>

namespace {

using cluster::detail::time_point;
using nanoseconds = std::chrono::nanoseconds;

/// When the next timer ends: a short while after the others by turns, as time-outs do.
class deadlines {
public:
    time_point next() {
        now_ += nanoseconds{1};
        seed_ = seed_ * 6364136223846793005ULL + 1442695040888963407ULL;
        return now_ + nanoseconds{(seed_ >> 33U) % 1'000'000};
    }

private:
    time_point now_{};
    std::uint64_t seed_ = 1;
};

void map_cancel(benchmark::State& state) {
    std::multimap<time_point, std::function<void()>> all;
    deadlines when;
    for (auto i = state.range(0); i != 0; --i) {
        all.emplace(when.next(), [] {});
    }
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        all.erase(all.emplace(when.next(), [] {}));
    }
}

void heap_cancel(benchmark::State& state) {
    cluster::detail::timer_heap all;
    deadlines when;
    for (auto i = state.range(0); i != 0; --i) {
        all.add(when.next(), nanoseconds::zero(), [] {});
    }
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        all.cancel(all.add(when.next(), nanoseconds::zero(), [] {}));
    }
}

void queue_run(benchmark::State& state) {
    struct entry {
        time_point deadline;
        std::function<void()> run;
        bool operator<(const entry& other) const { return deadline > other.deadline; }
    };
    std::priority_queue<entry> all;
    deadlines when;
    for (auto i = state.range(0); i != 0; --i) {
        all.push({when.next(), [] {}});
    }
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        all.push({when.next(), [] {}});
        auto run = all.top().run;
        all.pop();
        run();
    }
}

void heap_run(benchmark::State& state) {
    cluster::detail::timer_heap all;
    deadlines when;
    for (auto i = state.range(0); i != 0; --i) {
        all.add(when.next(), nanoseconds::zero(), [] {});
    }
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        all.add(when.next(), nanoseconds::zero(), [] {});
        all.run_due(all.next());
    }
}

BENCHMARK(map_cancel)->Arg(10)->Name("A timer, added and cancelled, 10 others/std::multimap");
BENCHMARK(heap_cancel)->Arg(10)->Name("A timer, added and cancelled, 10 others/ours");
BENCHMARK(map_cancel)
    ->Arg(10000)
    ->Name("A timer, added and cancelled, 10,000 others/std::multimap");
BENCHMARK(heap_cancel)->Arg(10000)->Name("A timer, added and cancelled, 10,000 others/ours");
BENCHMARK(queue_run)->Arg(10)->Name("A timer, added and run, 10 others/std::priority_queue");
BENCHMARK(heap_run)->Arg(10)->Name("A timer, added and run, 10 others/ours");
BENCHMARK(queue_run)->Arg(10000)->Name("A timer, added and run, 10,000 others/std::priority_queue");
BENCHMARK(heap_run)->Arg(10000)->Name("A timer, added and run, 10,000 others/ours");

} // namespace

BENCHMARK_MAIN();
