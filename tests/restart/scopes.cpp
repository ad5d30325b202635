// SPDX-License-Identifier: MIT
// one_for_one, one_for_all and rest_for_one: three headers that differ in one word.
#include <cluster/restart/one_for_all.hpp>
#include <cluster/restart/one_for_one.hpp>
#include <cluster/restart/rest_for_one.hpp>

#include <doctest/doctest.h>

#include <chrono>

namespace {

using namespace std::chrono_literals;
using cluster::exit_report;
using cluster::restart_decision;
using cluster::restart::one_for_all;
using cluster::restart::one_for_one;
using cluster::restart::rest_for_one;
using scope = restart_decision::scope;

struct scripted {
    restart_decision answer;
    restart_decision decide(const exit_report&) { return answer; }
};

template <typename Policy>
void restarts_affect(scope expected) {
    Policy policy;
    for (auto wished : {scope::this_one, scope::all, scope::later_ones}) {
        auto& answer = policy.inner().answer;
        answer = cluster::restart_after(70ms);
        answer.affects = wished;
        auto decision = policy.decide({});
        CHECK(decision.what == restart_decision::action::restart);
        CHECK(decision.delay == 70ms);
        CHECK(decision.affects == expected);
    }
}

template <typename Policy>
void others_affect_nobody() {
    Policy policy;
    CHECK(policy.decide({}) == cluster::leave_dead);
    policy.inner().answer = cluster::give_up;
    CHECK(policy.decide({}) == cluster::give_up);
}

template <typename Policy>
void replaces_always(scope expected) {
    Policy policy;
    exit_report report;
    report.was_online = true;
    CHECK(policy.decide(report).what == restart_decision::action::restart);
    CHECK(policy.decide(report).affects == expected);
}

} // namespace

TEST_SUITE("restart/one_for_all") {
    TEST_CASE("a restart is for all workers, its delay the inner strategy's") {
        restarts_affect<one_for_all<scripted>>(scope::all);
    }
    TEST_CASE("an answer that is no restart affects nobody") {
        others_affect_nobody<one_for_all<scripted>>();
    }
    TEST_CASE("without an inner strategy it replaces always") {
        replaces_always<one_for_all<>>(scope::all);
    }
}

TEST_SUITE("restart/one_for_one") {
    TEST_CASE("a restart is for the dead worker alone, whatever the inner strategy says") {
        restarts_affect<one_for_one<scripted>>(scope::this_one);
    }
    TEST_CASE("an answer that is no restart affects nobody") {
        others_affect_nobody<one_for_one<scripted>>();
    }
    TEST_CASE("without an inner strategy it replaces always") {
        replaces_always<one_for_one<>>(scope::this_one);
    }
}

TEST_SUITE("restart/rest_for_one") {
    TEST_CASE(
        "a restart is for the dead worker and those behind it, its delay the inner strategy's") {
        restarts_affect<rest_for_one<scripted>>(scope::later_ones);
    }
    TEST_CASE("an answer that is no restart affects nobody") {
        others_affect_nobody<rest_for_one<scripted>>();
    }
    TEST_CASE("without an inner strategy it replaces always") {
        replaces_always<rest_for_one<>>(scope::later_ones);
    }
}
