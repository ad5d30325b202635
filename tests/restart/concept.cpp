// SPDX-License-Identifier: MIT
#include <cluster/restart/concept.hpp> // first and alone: proves the header is self-contained

#include "../archetypes/restart.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <type_traits>

namespace {

using namespace std::chrono_literals;
using cluster::exit_report;
using cluster::restart_decision;
using cluster::restart_strategy;
using cluster::detail::any_restart;
using cluster::detail::checked_restart;

struct counting {
    int deaths = 0;
    restart_decision decide(const exit_report&) {
        return ++deaths < 3 ? cluster::restart_now : cluster::give_up;
    }
};
struct by_value {
    restart_decision decide(exit_report) const { return cluster::restart_now; }
};
template <typename Inner>
struct nesting {
    Inner inner;
    restart_decision decide(const exit_report& report) { return inner.decide(report); }
};

struct nothing {};
struct says_yes {
    bool decide(const exit_report&) { return true; }
};
struct takes_mutable {
    restart_decision decide(exit_report&) { return cluster::restart_now; }
};
struct no_default {
    explicit no_default(int) {}
    restart_decision decide(const exit_report&) { return cluster::restart_now; }
};

static_assert(restart_strategy<archetypes::restart>);
static_assert(restart_strategy<counting>);
static_assert(restart_strategy<by_value>);
static_assert(restart_strategy<nesting<nesting<counting>>>);
static_assert(!restart_strategy<nothing>);
static_assert(!restart_strategy<says_yes>);
static_assert(!restart_strategy<takes_mutable>);
static_assert(!restart_strategy<no_default>);
static_assert(!restart_strategy<int>);

static_assert(std::is_same_v<checked_restart<counting>::type, counting>);
static_assert(std::is_same_v<checked_restart<archetypes::restart>::type, archetypes::restart>);
static_assert(restart_strategy<any_restart>, "what stands in for a faulty one");

static_assert(restart_decision{} == cluster::leave_dead);
static_assert(cluster::restart_after(0ms) == cluster::restart_now);
static_assert(cluster::restart_after(5ms).delay == 5ms);
static_assert(cluster::restart_after(5ms).what == restart_decision::action::restart);
static_assert(cluster::give_up != cluster::leave_dead);

} // namespace

TEST_SUITE("restart/concept") {
    TEST_CASE("a policy is asked and may remember") {
        nesting<counting> policy;
        exit_report report;
        CHECK(policy.decide(report) == cluster::restart_now);
        CHECK(policy.decide(report) == cluster::restart_now);
        CHECK(policy.decide(report) == cluster::give_up);
    }
}
