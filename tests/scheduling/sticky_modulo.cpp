// SPDX-License-Identifier: MIT
#include <cluster/scheduling/sticky_modulo.hpp> // first and alone: proves the header is self-contained

#include "../fixtures/candidates.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace {

using cluster::scheduling::sticky_modulo;
using scheduling_test::from;
using scheduling_test::table;

// What the JavaScript of such programs computes.
static_assert(sticky_modulo::hash("127.0.0.1") == 1505998205);
static_assert(sticky_modulo::hash("::1") == 57585);
static_assert(sticky_modulo::hash("::ffff:127.0.0.1") == 1817987261);
static_assert(sticky_modulo::hash("10.0.0.1") == 511552166);
static_assert(sticky_modulo::hash("10.0.0.2") == 511552167);
static_assert(sticky_modulo::hash("192.168.1.10") == 1734945211);
static_assert(sticky_modulo::hash("2001:db8::1") == 1034675794);
static_assert(sticky_modulo::hash("") == 0);
static_assert(sticky_modulo::hash("polygenelubricants") == 2147483648U); // of -2^31

} // namespace

TEST_SUITE("scheduling/sticky_modulo") {
    TEST_CASE("the worker is the hash modulo the number of workers in the order of their places") {
        sticky_modulo policy;
        table some{{2, 0, 3, 1}};
        CHECK(some.next(policy, from(127, 0, 0, 1)) == 1505998205U % 4);
        CHECK(some.next(policy, from(10, 0, 0, 1, 1)) == 511552166U % 4);
        CHECK(some.next(policy, from(10, 0, 0, 1, 2)) == 511552166U % 4);
        CHECK(some.next(policy, from(192, 168, 1, 10)) == 1734945211U % 4);
        some.remove(1);
        CHECK(some.next(policy, from(10, 0, 0, 2)) == 511552167U % 3); // 0: the first
        some.remove(0);
        CHECK(some.next(policy, from(10, 0, 0, 2)) == 3); // 1 of 2 and 3
    }

    TEST_CASE("a client without an address has no opinion taken of it") {
        sticky_modulo policy;
        auto some = table::of(2);
        cluster::choice picked = policy.pick(cluster::candidates{some.ready}, {});
        REQUIRE(picked.refused());
        CHECK(picked.why() == cluster::refusal::fallback);
    }
}
