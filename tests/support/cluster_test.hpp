// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_CLUSTER_TEST_HPP
#define CLUSTER_TESTS_SUPPORT_CLUSTER_TEST_HPP

/// \file
/// Tests of whole clusters. A test case is a program of both roles: a worker is this test program
/// again, told to run the one test case of its primary, in which run_case() finds itself in the
/// other role and ends the process with the worker's code. So a case runs one cluster, has no
/// SUBCASE before run_case(), and does its checks in the primary.

#include "full_size.hpp"
#include "program.hpp"
#include "sanitized.hpp"

#include <cluster.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

namespace cluster_test {

/// How long a case may take before it is a failure: generous, nothing depends on it being short.
inline std::chrono::seconds patience() {
    const char* factor = std::getenv("CLUSTER_TEST_PATIENCE");
    return std::chrono::seconds{sized(unless_sanitized(60, 100), 600)} *
           (factor == nullptr ? 1 : std::atoi(factor));
}

/// Ends the primary's loop when a case takes too long. No template: each case would make its own.
class time_limit {
public:
    void start(cluster::event_loop& loop) {
        auto watchdog = loop.after(patience(), [this, &loop] {
            late_ = true;
            loop.stop(-1);
        });
        watchdog.unref();
    }
    void check() const { CHECK_MESSAGE(!late_, "the cluster did not end in time"); }

private:
    bool late_ = false;
};

/// What makes a worker find its case.
inline cluster::fork_options worker_case(const char* name) {
    return {.arguments = {"--worker-case", name}};
}

/// Runs one cluster. In a worker it does not return.
/// \returns what run() returned in the primary; -1 and a failed check when it took too long.
template <typename Cluster, typename PrimaryMain, typename WorkerMain>
int run_case(const char* name, PrimaryMain primary_main, WorkerMain worker_main) {
    Cluster app{program::argc, program::argv};
    constexpr bool workers_start_at_main =
        cluster::detail::starts_at_main<typename Cluster::backend_type>();
    time_limit limit;
    int code = app.run(
        [&](auto& primary) {
            if constexpr (workers_start_at_main) {
                primary.setup(worker_case(name));
            }
            limit.start(primary.loop());
            primary_main(primary);
        },
        std::move(worker_main));
    if (!app.is_primary()) {
        std::exit(code);
    }
    limit.check();
    return code;
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_CLUSTER_TEST_HPP
