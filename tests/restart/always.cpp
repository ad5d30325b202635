// SPDX-License-Identifier: MIT
#include <cluster/restart/always.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <chrono>

TEST_SUITE("restart/always") {
    TEST_CASE("a worker that was online is replaced at once") {
        cluster::restart::always policy;
        cluster::exit_report report;
        report.was_online = true;
        report.restarts = 1000;
        CHECK(policy.decide(report) == cluster::restart_now);
    }

    TEST_CASE("one that never came as far is replaced after a pause") {
        cluster::restart::always policy;
        auto decision = policy.decide({});
        CHECK(decision.what == cluster::restart_decision::action::restart);
        CHECK(decision.delay == cluster::restart::always::boot_failure_pause);
        CHECK(decision.delay > std::chrono::milliseconds{0});
    }
}
