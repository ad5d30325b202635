// SPDX-License-Identifier: MIT
// A system call that fails ends the program.
#ifndef CLUSTER_BENCHMARKS_LIMITS_CHECKED_HPP
#define CLUSTER_BENCHMARKS_LIMITS_CHECKED_HPP

#include <cstdio>
#include <cstdlib>

[[noreturn]] inline void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

inline int checked(int result, const char* what) {
    if (result < 0) {
        die(what);
    }
    return result;
}

#endif // CLUSTER_BENCHMARKS_LIMITS_CHECKED_HPP
