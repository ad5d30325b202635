// SPDX-License-Identifier: MIT
#include <cluster/scheduling/from_environment.hpp> // first and alone: proves the header is self-contained

#include "../archetypes/scheduling.hpp"
#include "../fixtures/candidates.hpp"

#include <cluster/scheduling/least_connections.hpp>
#include <cluster/scheduling/reuse_port.hpp>
#include <cluster/scheduling/round_robin.hpp>
#include <cluster/scheduling/shared_socket.hpp>
#include <cluster/scheduling/sticky.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <stdexcept>
#include <string_view>

namespace scheduling_from_environment_test {

using cluster::accept_site;
namespace scheduling = cluster::scheduling;
using scheduling_test::from;
using scheduling_test::table;

struct nailed_down : archetypes::scheduling { // cannot be moved
    static constexpr std::string_view name = "nailed_down";
    static constexpr std::size_t peeks = 5;
};

struct unmakeable : scheduling::round_robin {
    static constexpr std::string_view name = "unmakeable";
    unmakeable() { throw std::runtime_error{"no"}; }
};

using any = scheduling::from_environment<scheduling::least_connections,
                                         scheduling::round_robin,
                                         scheduling::shared_socket,
                                         scheduling::reuse_port,
                                         scheduling::sticky<>,
                                         nailed_down>;
static_assert(cluster::scheduling_policy<any>);

struct variable {
    explicit variable(const char* value) { ::setenv(any::variable, value, 1); }
    ~variable() { ::unsetenv(any::variable); }
    variable(variable&&) = delete;
};

} // namespace scheduling_from_environment_test

using namespace scheduling_from_environment_test;

TEST_SUITE("scheduling/from_environment") {
    TEST_CASE("without the variable it is the first of the list") {
        ::unsetenv(any::variable);
        CHECK(any{}.chosen() == "least_connections");
        variable empty{""};
        CHECK(any{}.chosen() == "least_connections");
    }

    TEST_CASE("the variable names the policy as we do or as Node does") {
        auto chosen_by = [](const char* value) {
            variable set{value};
            return any{}.chosen();
        };
        for (auto each : any::names) {
            CHECK(chosen_by(std::string{each}.c_str()) == each);
        }
        CHECK(chosen_by("rr") == "round_robin");
        CHECK(chosen_by("none") == "shared_socket");
    }

    TEST_CASE("it behaves as the chosen one") {
        any policy;
        policy.choose("sticky");
        CHECK(policy.accepts_in() == accept_site::primary);
        CHECK(policy.needs_address());
        CHECK(policy.waits_for_one());
        auto some = table::of(9);
        CHECK(some.next(policy, from(1, 2, 3, 4)) ==
              some.next(scheduling::sticky<>{}, from(1, 2, 3, 4)));

        any turns;
        turns.choose("rr");
        CHECK_FALSE(turns.needs_address());
        CHECK_FALSE(turns.waits_for_one());
        CHECK(turns.peeks() == 0);
        CHECK(some.turns(turns, 4) == "0123");

        any kernel;
        kernel.choose("none");
        CHECK(kernel.accepts_in() == accept_site::shared_socket);
        any own;
        own.choose("reuse_port");
        CHECK(own.accepts_in() == accept_site::own_socket);
        any peeking;
        peeking.choose("nailed_down");
        CHECK(peeking.peeks() == 5);
    }

    TEST_CASE("a policy that cannot be made leaves the one before in use") {
        scheduling::from_environment<scheduling::shared_socket, unmakeable> policy;
        CHECK_THROWS_AS(policy.choose("unmakeable"), std::runtime_error);
        CHECK(policy.chosen() == "shared_socket");
        CHECK(policy.accepts_in() == accept_site::shared_socket);
    }

    TEST_CASE("an unknown name is refused with the list of the known ones") {
        constexpr auto list =
            "least_connections, round_robin, shared_socket, reuse_port, sticky, nailed_down";
        try {
            variable set{"garbage"};
            any policy;
            FAIL("accepted");
        } catch (const std::invalid_argument& error) {
            CHECK(std::string_view{error.what()} ==
                  std::string{"CLUSTER_SCHED_POLICY 'garbage' is not known; there is: "} + list);
        }
        any policy;
        CHECK_THROWS_AS(policy.choose("rrr"), std::invalid_argument);
        CHECK_THROWS_AS(policy.choose(""), std::invalid_argument);
        CHECK(policy.chosen() == "least_connections");
        scheduling::from_environment<scheduling::reuse_port> one;
        CHECK_THROWS_AS(one.choose("rr"), std::invalid_argument);
    }

    TEST_CASE("it cannot change once it is in use") {
        any policy;
        policy.choose("sticky");
        policy.choose("none"); // nobody has asked yet
        CHECK(policy.accepts_in() == accept_site::shared_socket);
        CHECK_THROWS_AS(policy.choose("sticky"), std::logic_error);
        CHECK(policy.chosen() == "shared_socket");
    }
}
