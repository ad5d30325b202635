// SPDX-License-Identifier: MIT
#include "support/cluster_test.hpp"

#include <cluster.hpp>

#include <doctest/doctest.h>

#include <string>

#include <unistd.h>

namespace {

int parent_of_worker(int) {
    return ::getppid();
}
int crashes(int) {
    std::abort();
}

/// Started anew the program comes to this very case, whose cluster serves the pool's tasks.
cluster::process_pool_options this_case(const char* name) {
    return {.workers = 1, .arguments = {"--worker-case", name}};
}

struct answer {
    bool own_pool = false;
    bool crash_seen = false;
};

answer use_pool(const char* name) {
    cluster::process_pool pool{
        cluster_test::program::argc, cluster_test::program::argv, this_case(name)};
    answer result;
    result.own_pool = pool.submit<parent_of_worker>(0).get() == ::getpid();
    try {
        pool.submit<crashes>(0).get();
    } catch (const cluster::worker_crashed&) {
        result.crash_seen = true;
    }
    return result;
}

} // namespace

TEST_SUITE("scenarios/pool_in_cluster") {

    TEST_CASE("the primary and each worker have pools of their own") {
        constexpr const char* name = "the primary and each worker have pools of their own";
        int answers = 0;
        const int code = cluster_test::run_case<cluster::process_cluster>(
            name,
            [&](auto& primary) {
                const auto mine = use_pool(name);
                CHECK(mine.own_pool);
                CHECK(mine.crash_seen);
                primary.on_message([&](auto& from, const answer& theirs) {
                    CHECK(theirs.own_pool);
                    CHECK(theirs.crash_seen);
                    ++answers;
                    from.disconnect();
                });
                primary.fork(2);
            },
            [&](auto& self) { self.send(use_pool(name)); });
        CHECK(code == 0);
        CHECK(answers == 2);
    }

} // TEST_SUITE
