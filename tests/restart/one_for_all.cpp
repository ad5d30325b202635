// SPDX-License-Identifier: MIT
#include <cluster/restart/one_for_all.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <chrono>

namespace {

using namespace std::chrono_literals;
using cluster::exit_report;
using cluster::restart_decision;
using cluster::restart::one_for_all;
using scope = restart_decision::scope;

struct scripted {
    restart_decision answer;
    restart_decision decide(const exit_report&) { return answer; }
};

} // namespace

TEST_SUITE("restart/one_for_all") {
    TEST_CASE("a restart is for all workers, its delay the inner strategy's") {
        one_for_all<scripted> policy;
        for (auto wished : {scope::this_one, scope::all, scope::later_ones}) {
            auto& answer = policy.inner().answer;
            answer = cluster::restart_after(70ms);
            answer.affects = wished;
            auto decision = policy.decide({});
            CHECK(decision.what == restart_decision::action::restart);
            CHECK(decision.delay == 70ms);
            CHECK(decision.affects == scope::all);
        }
    }

    TEST_CASE("an answer that is no restart affects nobody") {
        one_for_all<scripted> policy;
        CHECK(policy.decide({}) == cluster::leave_dead);
        policy.inner().answer = cluster::give_up;
        CHECK(policy.decide({}) == cluster::give_up);
    }

    TEST_CASE("without an inner strategy it replaces always") {
        one_for_all<> policy;
        exit_report report;
        report.was_online = true;
        CHECK(policy.decide(report).what == restart_decision::action::restart);
        CHECK(policy.decide(report).affects == scope::all);
    }
}
