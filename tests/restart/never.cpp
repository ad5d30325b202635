// SPDX-License-Identifier: MIT
#include <cluster/restart/never.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

TEST_SUITE("restart/never") {
    TEST_CASE("the dead stay dead, however they died") {
        cluster::restart::never policy;
        for (bool online : {false, true}) {
            cluster::exit_report report;
            report.was_online = online;
            CHECK(policy.decide(report) == cluster::leave_dead);
        }
    }
}
