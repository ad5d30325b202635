// SPDX-License-Identifier: MIT
#include <cluster/detail/accept_pace.hpp>

#include <doctest/doctest.h>

using cluster::detail::accept_pace;

TEST_SUITE("detail/accept_pace") {
    TEST_CASE("clients that come one by one are accepted one by one, few calls find nothing") {
        accept_pace pace;
        int nothing = 0;
        for (int wake = 0; wake != 1000; ++wake) {
            if (pace.budget() == 1) {
                pace.used_up();
            } else {
                ++nothing;
                pace.found_the_end();
            }
        }
        CHECK(nothing == 200);
    }
    TEST_CASE("a storm is taken in larger and larger bites, but not without end") {
        accept_pace pace;
        int taken = 0;
        int wakes = 0;
        for (; taken < 1000; ++wakes) {
            taken += pace.budget();
            pace.used_up();
        }
        CHECK(wakes < 40);
        for (int i = 0; i != 1000; ++i) {
            pace.used_up();
        }
        CHECK(pace.budget() == 64);
        pace.found_the_end();
        CHECK(pace.budget() == 1);
    }
}
