// SPDX-License-Identifier: MIT
#include <cluster/scheduling/least_connections.hpp> // first and alone: proves the header is self-contained

#include "../fixtures/candidates.hpp"

#include <doctest/doctest.h>

#include <random>

namespace {

using cluster::scheduling::least_connections;
using scheduling_test::extremes;
using scheduling_test::table;

} // namespace

TEST_SUITE("scheduling/least_connections") {
    TEST_CASE("the one with the fewest connections is picked") {
        least_connections policy;
        auto some = table::of(3);
        some.workers[0]->has = 5;
        some.workers[1]->has = 2;
        some.workers[2]->has = 3;
        CHECK(some.turns(policy, 3) == "111");
        some.workers[1]->has = 4;
        CHECK(some.next(policy) == 2);
    }

    TEST_CASE("equal workers take turns whatever their order in the table") {
        least_connections policy;
        table some{{2, 0, 3, 1}};
        CHECK(some.turns(policy, 8) == "01230123");
        some.workers[2]->has = 1; // place 3
        CHECK(some.turns(policy, 5) == "01201");
        some.remove(2);
        CHECK(some.turns(policy, 3) == "010");
    }

    TEST_CASE("connections that stay differ by one at most") {
        for (std::uint32_t count : {1U, 2U, 4U, 7U}) {
            least_connections policy;
            auto some = table::of(count);
            for (int i = 0; i != 500; ++i) {
                ++some.pick(policy).has;
                auto [fewest, most] = extremes(some);
                REQUIRE(most - fewest <= 1);
            }
        }
    }

    TEST_CASE("after a wave of ends the emptiest are filled first") {
        std::mt19937 random{5};
        least_connections policy;
        auto some = table::of(4);
        for (int i = 0; i != 400; ++i) {
            ++some.pick(policy).has;
        }
        for (auto& each : some.workers) {
            each->has -= random() % 100;
        }
        auto unevenness = [&some] { return extremes(some).second - extremes(some).first; };
        while (unevenness() > 1) {
            auto before = unevenness();
            ++some.pick(policy).has;
            REQUIRE(unevenness() <= before);
        }
        CHECK(extremes(some).second <= 100);
    }
}
