// SPDX-License-Identifier: MIT
#include <cluster/detail/stray_events.hpp>

#include <doctest/doctest.h>

using cluster::detail::stray_events;

TEST_SUITE("detail/stray_events") {
    TEST_CASE("an event that nobody waits for is a stray when it comes again in a later turn") {
        stray_events strays;
        strays.next_turn();
        CHECK(!strays.comes_again(7));
        CHECK(!strays.comes_again(7)); // in the same turn: another poller's batch, say
        strays.next_turn();
        CHECK(strays.comes_again(7));
    }
    TEST_CASE("events of watches that end in each turn are none") {
        stray_events strays;
        for (std::uint64_t key = 1; key != 1000; ++key) {
            strays.next_turn();
            CHECK(!strays.comes_again(key));
        }
    }
    TEST_CASE("two strays that come in turns are found") {
        stray_events strays;
        bool found = false;
        for (int turn = 0; turn != 20; ++turn) {
            strays.next_turn();
            found = strays.comes_again(turn % 2 == 0 ? 1 : 2) || found;
        }
        CHECK(found);
    }
}
