// SPDX-License-Identifier: MIT
#include <cluster/scheduling/round_robin.hpp> // first and alone: proves the header is self-contained

#include "../fixtures/candidates.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

namespace {

using cluster::scheduling::round_robin;
using scheduling_test::table;

} // namespace

TEST_SUITE("scheduling/round_robin") {
    TEST_CASE("places are served in turn, from the first") {
        round_robin policy;
        table all{{0, 1, 2, 3}};
        CHECK(all.turns(policy, 10) == "0123012301");
    }

    TEST_CASE("the order of the table does not matter") {
        round_robin policy;
        table all{{3, 0, 2, 1}};
        CHECK(all.turns(policy, 9) == "012301230");
        std::reverse(all.ready.begin(), all.ready.end());
        CHECK(all.turns(policy, 9) == "123012301");
    }

    TEST_CASE("one alone gets everything") {
        round_robin policy;
        table one{{5}};
        CHECK(one.turns(policy, 3) == "555");
    }

    TEST_CASE("who comes and goes does not move the others") {
        round_robin policy;
        table some{{0, 1, 2, 3}};
        CHECK(some.turns(policy, 2) == "01");
        some.remove(2);
        CHECK(some.turns(policy, 3) == "301");
        some.add(2); // at the end of the table now
        CHECK(some.turns(policy, 3) == "230");
        some.remove(0);
        some.remove(1);
        CHECK(some.turns(policy, 4) == "2323");
        some.add(7);
        CHECK(some.turns(policy, 4) == "7237");
        some.remove(2);
        some.remove(3);
        some.remove(7);
        some.add(0);
        CHECK(some.turns(policy, 2) == "00");
    }

    TEST_CASE("the highest numbers are places like others") {
        round_robin policy;
        table far{{0, 0xfffffffe}};
        CHECK(far.next(policy) == 0);
        CHECK(far.next(policy) == 0xfffffffe);
        CHECK(far.next(policy) == 0);
    }

    TEST_CASE("with a table that stays, shares differ by one at most") {
        for (std::uint32_t workers : {1U, 2U, 3U, 7U, 32U}) {
            round_robin policy;
            std::vector<std::uint32_t> slots;
            for (std::uint32_t i = 0; i != workers; ++i) {
                slots.push_back(i);
            }
            std::mt19937 random{workers};
            std::shuffle(slots.begin(), slots.end(), random);
            table all{slots};
            auto shares = all.shares(policy, 1000);
            auto [least, most] =
                std::minmax_element(shares.begin(), shares.end(), [](const auto& a, const auto& b) {
                    return a.second < b.second;
                });
            CHECK(shares.size() == workers);
            CHECK(most->second - least->second <= 1);
        }
    }

    TEST_CASE("whatever comes and goes, the next place behind the last one is served") {
        std::mt19937 random{11};
        round_robin policy;
        std::set<std::uint32_t> model{0, 1, 2};
        table some{{2, 0, 1}};
        std::uint32_t last = static_cast<std::uint32_t>(-1);
        for (int step = 0; step != 5000; ++step) {
            auto slot = static_cast<std::uint32_t>(random() % 12);
            if (random() % 3 == 0) {
                if (model.contains(slot) && model.size() > 1) {
                    model.erase(slot);
                    some.remove(slot);
                } else if (!model.contains(slot)) {
                    model.insert(slot);
                    some.add(slot);
                }
                std::shuffle(some.ready.begin(), some.ready.end(), random);
                continue;
            }
            auto expected =
                last == static_cast<std::uint32_t>(-1) ? model.begin() : model.upper_bound(last);
            expected = expected == model.end() ? model.begin() : expected;
            last = some.next(policy);
            REQUIRE(last == *expected);
        }
    }
}
