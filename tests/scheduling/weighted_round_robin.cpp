// SPDX-License-Identifier: MIT
#include <cluster/scheduling/weighted_round_robin.hpp> // first and alone: proves the header is self-contained

#include "../fixtures/candidates.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>

namespace {

using cluster::scheduling::weighted_round_robin;
using scheduling_test::table;

} // namespace

TEST_SUITE("scheduling/weighted_round_robin") {
    TEST_CASE("the turns are those of nginx") {
        weighted_round_robin policy;
        table some{{}};
        some.add(0, 5);
        some.add(1, 1);
        some.add(2, 1);
        CHECK(some.turns(policy, 14) == "00102000010200");
    }

    TEST_CASE("equal weights are plain turns") {
        for (std::uint32_t weight : {0U, 1U, 3U, 4'000'000'000U}) {
            weighted_round_robin policy;
            table some{{}};
            some.add(0, weight);
            some.add(1, weight);
            some.add(2, weight);
            CHECK(some.turns(policy, 7) == "0120120");
        }
    }

    TEST_CASE("a worker of no weight serves only when nobody else can") {
        weighted_round_robin policy;
        table some{{}};
        some.add(0, 0);
        some.add(1, 2);
        some.add(2, 1);
        CHECK(some.turns(policy, 6) == "121121");
        some.remove(1);
        CHECK(some.turns(policy, 3) == "222");
        some.remove(2);
        CHECK(some.turns(policy, 3) == "000");
        some.add(3, 1);
        CHECK(some.turns(policy, 3) == "333");
    }

    TEST_CASE("every round is exact and the order of the table does not matter") {
        std::mt19937 random{9};
        for (int round = 0; round != 50; ++round) {
            weighted_round_robin policy;
            table some{{}};
            std::map<std::uint32_t, std::uint32_t> weights;
            std::uint32_t total = 0;
            auto count = static_cast<std::uint32_t>(random() % 9 + 1);
            for (std::uint32_t slot = 0; slot != count; ++slot) {
                weights[slot] = static_cast<std::uint32_t>(random() % 9 + 1);
                total += weights[slot];
                some.add(slot, weights[slot]);
            }
            for (int i = 0; i != 3; ++i) {
                std::map<std::uint32_t, std::uint32_t> shares;
                for (std::uint32_t turn = 0; turn != total; ++turn) {
                    std::shuffle(some.ready.begin(), some.ready.end(), random);
                    ++shares[some.next(policy)];
                }
                REQUIRE(shares == weights);
            }
        }
    }

    TEST_CASE("who comes and goes disturbs the shares for a round at most") {
        weighted_round_robin policy;
        table some{{}};
        some.add(0, 3);
        some.add(1, 2);
        some.add(2, 1);
        some.turns(policy, 4);
        some.remove(1);
        some.turns(policy, 3);
        some.add(1, 2, 9);
        some.turns(policy, 6);
        auto shares = some.shares(policy, 600);
        for (std::uint32_t slot = 0; slot != 3; ++slot) {
            CHECK(shares[slot] >= 100 * static_cast<int>(3 - slot) - 6);
            CHECK(shares[slot] <= 100 * static_cast<int>(3 - slot) + 6);
        }
    }
}
