// SPDX-License-Identifier: MIT
// What a benchmark allocates.
#ifndef CLUSTER_BENCHMARKS_MICRO_ALLOCATIONS_HPP
#define CLUSTER_BENCHMARKS_MICRO_ALLOCATIONS_HPP

#include "../../tests/support/allocations.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>

namespace micro {

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

#endif // CLUSTER_BENCHMARKS_MICRO_ALLOCATIONS_HPP
