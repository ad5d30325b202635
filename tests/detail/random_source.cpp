// SPDX-License-Identifier: MIT
#include <cluster/detail/random_source.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <set>

using cluster::detail::random_source;

TEST_SUITE("detail/random_source") {
    TEST_CASE("the numbers are those of SplitMix64") {
        random_source random{1234567};
        CHECK(random.next() == 6457827717110365317U);
        CHECK(random.next() == 3203168211198807973U);
        CHECK(random.next() == 9817491932198370423U);
    }

    TEST_CASE("every number below the end comes up and none beyond") {
        random_source random{1};
        std::array<int, 10> seen{};
        for (int i = 0; i != 10000; ++i) {
            ++seen.at(random.below(10));
        }
        for (int each : seen) {
            CHECK(each > 850);
            CHECK(each < 1150);
        }
        CHECK(random.below(1) == 0);
    }

    TEST_CASE("without a seed no two are the same") {
        std::set<std::uint64_t> seen;
        for (int i = 0; i != 100; ++i) {
            seen.insert(random_source{}.next());
        }
        CHECK(seen.size() == 100);
    }
}
