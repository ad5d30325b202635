// SPDX-License-Identifier: MIT
// A CPU for each side of a round trip. Where both share one, a trip takes a sixth of the time, and
// the system decides anew for each run whether they do: that would be all that is measured.
#ifndef CLUSTER_BENCHMARKS_LIMITS_OWN_CPU_HPP
#define CLUSTER_BENCHMARKS_LIMITS_OWN_CPU_HPP

#include <cstddef>
#include <vector>

#include <sched.h>

// The calling thread runs on the CPU number `which` from now on, of those that it had when this was
// first called here or in a parent that has forked it.
inline void take_cpu(std::size_t which) {
    static const std::vector<std::size_t> there = [] {
        cpu_set_t allowed;
        CPU_ZERO(&allowed);
        ::sched_getaffinity(0, sizeof allowed, &allowed);
        std::vector<std::size_t> result;
        for (std::size_t cpu = 0; cpu != CPU_SETSIZE; ++cpu) {
            if (CPU_ISSET(cpu, &allowed)) {
                result.push_back(cpu);
            }
        }
        return result;
    }();
    if (!there.empty()) {
        cpu_set_t mine;
        CPU_ZERO(&mine);
        CPU_SET(there[which % there.size()], &mine);
        ::sched_setaffinity(0, sizeof mine, &mine);
    }
}

#endif // CLUSTER_BENCHMARKS_LIMITS_OWN_CPU_HPP
