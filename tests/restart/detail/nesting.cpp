// SPDX-License-Identifier: MIT
#include <cluster/restart/detail/nesting.hpp> // first and alone: proves the header is self-contained

#include <cluster/restart/backoff.hpp>
#include <cluster/restart/limit.hpp>
#include <cluster/restart/never.hpp>
#include <cluster/restart/on_failure.hpp>
#include <cluster/restart/one_for_all.hpp>
#include <cluster/restart/one_for_one.hpp>
#include <cluster/restart/rest_for_one.hpp>

#include "../../archetypes/restart.hpp"

#include <doctest/doctest.h>

namespace {

using namespace cluster::literals;
using namespace cluster::restart;
using cluster::detail::chooses_pause;
using cluster::detail::chooses_scope;
using cluster::detail::limits_restarts;
using cluster::detail::nests;

using deep = one_for_all<limit<5, 10_s, backoff<100_ms, 5_s, on_failure>>>;

static_assert(nests<chooses_scope, deep>());
static_assert(nests<limits_restarts, deep>());
static_assert(nests<chooses_pause, deep>());
static_assert(!nests<chooses_scope, deep::inner_type>());
static_assert(!nests<limits_restarts, deep::inner_type::inner_type>());
static_assert(!nests<chooses_pause, on_failure>());
static_assert(!nests<chooses_pause, int>());

// A user's own strategy is seen through when it names what it is wrapped around.
template <typename Inner>
struct own {
    using inner_type = Inner;
    Inner inner;
    cluster::restart_decision decide(const cluster::exit_report& report) {
        return inner.decide(report);
    }
};
static_assert(nests<limits_restarts, own<own<limit<1, 1_s>>>>());
static_assert(!nests<chooses_pause, own<own<limit<1, 1_s>>>>());

// A strategy that can be neither copied nor moved can be nested, too.
static_assert(cluster::restart_strategy<limit<1, 1_s, archetypes::restart>>);
static_assert(cluster::restart_strategy<backoff<1_s, 1_s, archetypes::restart>>);
static_assert(cluster::restart_strategy<rest_for_one<archetypes::restart>>);

// A strategy without state costs no space.
static_assert(sizeof(one_for_all<on_failure>) == 1);
static_assert(sizeof(limit<5, 10_s, one_for_one<on_failure>>) == sizeof(limit<5, 10_s>));

static_assert(cluster::detail::usable_time(1_ms));
static_assert(cluster::detail::usable_time(cluster::detail::longest_time));
static_assert(!cluster::detail::usable_time(0_s));
static_assert(!cluster::detail::usable_time(cluster::time_span{-1}));
static_assert(!cluster::detail::usable_time(cluster::time_span{3'153'600'000'001}));

} // namespace

TEST_SUITE("restart/nesting") {
    TEST_CASE("the inner strategies can be reached") {
        deep policy;
        policy.inner().inner().seed(3);
        cluster::exit_report report;
        report.status = cluster::exit_status::exited(0);
        CHECK(policy.decide(report) == cluster::leave_dead);
        CHECK(policy.inner().decide(report) == cluster::leave_dead);
    }
}
