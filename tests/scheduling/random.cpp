// SPDX-License-Identifier: MIT
#include <cluster/scheduling/random.hpp> // first and alone: proves the header is self-contained

#include "../fixtures/candidates.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

namespace {

using scheduling_test::table;

} // namespace

TEST_SUITE("scheduling/random") {
    TEST_CASE("everybody gets a like share") {
        cluster::scheduling::random policy{7};
        auto some = table::of(8);
        auto shares = some.shares(policy, 8000);
        CHECK(shares.size() == 8);
        double chi_square = 0;
        for (const auto& [slot, count] : shares) {
            chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
        }
        CHECK(chi_square < 30); // with 7 degrees of freedom, 1 of 10,000 generators has more
    }

    TEST_CASE("a seed gives the same choices and no seed gives others") {
        auto some = table::of(10);
        cluster::scheduling::random one{3};
        cluster::scheduling::random same{3};
        cluster::scheduling::random other{4};
        auto turns = some.turns(one, 50);
        CHECK(some.turns(same, 50) == turns);
        CHECK(some.turns(other, 50) != turns);
        std::set<std::string> seen;
        for (int i = 0; i != 10; ++i) {
            cluster::scheduling::random unseeded;
            seen.insert(some.turns(unseeded, 50));
        }
        CHECK(seen.size() == 10);
    }
}
