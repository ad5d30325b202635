// SPDX-License-Identifier: MIT
#include <cluster/scheduling/power_of_two.hpp> // first and alone: proves the header is self-contained

#include "../fixtures/candidates.hpp"

#include <doctest/doctest.h>

namespace {

using cluster::scheduling::power_of_two;
using scheduling_test::extremes;
using scheduling_test::table;

} // namespace

TEST_SUITE("scheduling/power_of_two") {
    TEST_CASE("one alone gets everything and of two the one with fewer connections") {
        power_of_two policy{1};
        table one{{5}};
        CHECK(one.turns(policy, 3) == "555");
        auto two = table::of(2);
        two.workers[0]->has = 1;
        CHECK(two.turns(policy, 10) == "1111111111");
    }

    TEST_CASE("the one with the most connections of all gets nothing") {
        power_of_two policy{2};
        auto some = table::of(5);
        some.workers[3]->has = 1;
        auto shares = some.shares(policy, 1000);
        CHECK(shares.count(3) == 0);
        CHECK(shares.size() == 4);
    }

    TEST_CASE("connections that stay are nearly even") {
        power_of_two policy{3};
        auto some = table::of(16);
        for (int i = 0; i != 16000; ++i) {
            ++some.pick(policy).has;
        }
        auto [fewest, most] = extremes(some);
        CHECK(most - fewest <= 8); // by chance alone it is about 110
    }

    TEST_CASE("equal workers get like shares") {
        power_of_two policy{4};
        auto some = table::of(4);
        for (const auto& [slot, count] : some.shares(policy, 4000)) {
            CHECK(count > 850);
            CHECK(count < 1150);
        }
    }
}
