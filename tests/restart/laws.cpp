// SPDX-License-Identifier: MIT
// What holds for every strategy, alone and in every order of nesting.
#include <cluster/error.hpp>
#include <cluster/exit_status.hpp>
#include <cluster/literals.hpp>
#include <cluster/restart/always.hpp>
#include <cluster/restart/backoff.hpp>
#include <cluster/restart/concept.hpp>
#include <cluster/restart/limit.hpp>
#include <cluster/restart/never.hpp>
#include <cluster/restart/on_failure.hpp>
#include <cluster/restart/one_for_all.hpp>
#include <cluster/restart/one_for_one.hpp>
#include <cluster/restart/rest_for_one.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <system_error>
#include <type_traits>
#include <vector>

namespace {

using namespace cluster::literals;
using namespace cluster::restart;
using namespace std::chrono_literals;
using cluster::exit_reason;
using cluster::exit_report;
using cluster::exit_status;
using cluster::restart_decision;
using action = restart_decision::action;
using scope = restart_decision::scope;

struct only_on_signal {
    restart_decision decide(const exit_report& report) {
        return report.status.signal() ? cluster::restart_now : cluster::leave_dead;
    }
};

#define CLUSTER_TEST_STRATEGIES                                                                    \
    never, always, on_failure, only_on_signal, backoff<100_ms, 5_s>, backoff<1_ms, 1_ms>,          \
        backoff<100_ms, 5_s, never>, limit<5, 10_s>, limit<1, 1_ms, on_failure>, one_for_one<>,    \
        one_for_all<>, rest_for_one<>, limit<5, 10_s, backoff<100_ms, 5_s, on_failure>>,           \
        backoff<100_ms, 5_s, limit<5, 10_s, on_failure>>,                                          \
        one_for_all<limit<5, 10_s, backoff<100_ms, 5_s, only_on_signal>>>,                         \
        limit<5, 10_s, one_for_all<backoff<100_ms, 5_s, only_on_signal>>>,                         \
        limit<5, 10_s, backoff<100_ms, 5_s, rest_for_one<only_on_signal>>>,                        \
        backoff<100_ms, 5_s, rest_for_one<limit<5, 10_s, never>>>,                                 \
        rest_for_one<backoff<100_ms, 5_s, limit<5, 10_s>>>,                                        \
        backoff<100_ms, 5_s, limit<5, 10_s, one_for_one<on_failure>>>

std::vector<exit_report> every_death() {
    const exit_status ends[] = {
        exit_status::exited(0),
        exit_status::exited(255),
        exit_status::exited(0).because(exit_reason::boot_failed),
        exit_status::exited(0).because(exit_reason::recycled),
        exit_status::signaled(9),
        exit_status::signaled(6, true).because(exit_reason::unresponsive),
        exit_status::spawn_failed(std::make_error_code(std::errc::not_enough_memory)),
        exit_status::unknown(),
    };
    std::vector<exit_report> all;
    std::chrono::steady_clock::time_point now{};
    for (const auto& end : ends) {
        for (auto uptime : {0ms, 10ms, 4999ms, 5000ms, std::chrono::milliseconds::max()}) {
            for (unsigned restarts : {0U, 1U, 6U, 64U, std::numeric_limits<unsigned>::max()}) {
                for (std::uint32_t slot : {0U, 1U, 1000U}) {
                    now += 700ms;
                    for (bool online : {true, false}) {
                        all.push_back({end, 1, uptime, online, restarts, now, slot});
                    }
                }
            }
        }
    }
    return all;
}

} // namespace

TEST_SUITE("restart/laws") {
    TEST_CASE_TEMPLATE("only a restart has a delay, never a negative one, and affects others",
                       Policy,
                       CLUSTER_TEST_STRATEGIES) {
        static_assert(cluster::restart_strategy<Policy>);
        Policy policy;
        for (const auto& report : every_death()) {
            auto decision = policy.decide(report);
            if (decision.what == action::restart) {
                CHECK(decision.delay.count() >= 0);
                CHECK(decision.delay.count() <= 5100);
            } else if (decision.what == action::leave_dead) {
                CHECK(decision == cluster::leave_dead);
            } else {
                CHECK(decision == cluster::give_up);
            }
        }
    }

    TEST_CASE_TEMPLATE(
        "but for chance, the same deaths have the same answers", Policy, CLUSTER_TEST_STRATEGIES) {
        Policy one;
        Policy other;
        for (const auto& report : every_death()) {
            auto first = one.decide(report);
            auto second = other.decide(report);
            CHECK(first.what == second.what);
            CHECK(first.affects == second.affects);
        }
    }

    TEST_CASE_TEMPLATE("every strategy but never replaces the first worker that a signal kills",
                       Policy,
                       CLUSTER_TEST_STRATEGIES) {
        exit_report report;
        report.status = exit_status::signaled(11);
        report.was_online = true;
        auto decision = Policy{}.decide(report);
        bool replaces =
            !std::is_same_v<Policy, never> &&
            !std::is_same_v<Policy, backoff<100_ms, 5_s, never>> &&
            !std::is_same_v<Policy, backoff<100_ms, 5_s, rest_for_one<limit<5, 10_s, never>>>>;
        CHECK((decision.what == action::restart) == replaces);
    }

    TEST_CASE("the order of nesting changes what is counted, not who is affected") {
        exit_report report;
        report.status = exit_status::signaled(11);
        report.was_online = true;
        limit<5, 10_s, backoff<100_ms, 5_s, rest_for_one<only_on_signal>>> inside;
        rest_for_one<backoff<100_ms, 5_s, limit<5, 10_s>>> outside;
        for (int i = 0; i != 5; ++i) {
            CHECK(inside.decide(report).affects == scope::later_ones);
            CHECK(outside.decide(report).affects == scope::later_ones);
        }
        CHECK(inside.decide(report) == cluster::give_up);
        CHECK(outside.decide(report) == cluster::give_up);
    }
}
