// SPDX-License-Identifier: MIT
// Counts what operator new is asked for. Replaces it: for programs of one translation unit.
#ifndef CLUSTER_BENCHMARKS_MICRO_ALLOCATIONS_HPP
#define CLUSTER_BENCHMARKS_MICRO_ALLOCATIONS_HPP

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace micro {

inline thread_local std::size_t allocations = 0;

/// Tells a benchmark's allocations per iteration as its counter "allocations".
class count_allocations {
public:
    explicit count_allocations(benchmark::State& state) : state_{state}, before_{allocations} {}
    count_allocations(count_allocations&&) = delete;
    ~count_allocations() {
        const auto count = static_cast<double>(allocations - before_);
        state_.counters["allocations"] =
            benchmark::Counter(count, benchmark::Counter::kAvgIterations);
    }

private:
    benchmark::State& state_;
    std::size_t before_;
};

} // namespace micro

// Not inline: GCC would take malloc() and delete for a mismatched pair.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++micro::allocations;
    if (void* memory = std::malloc(size)) {
        return memory;
    }
    throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

#endif // CLUSTER_BENCHMARKS_MICRO_ALLOCATIONS_HPP
