// SPDX-License-Identifier: MIT
#include <cluster/bus/detail/bus_envelope.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

using namespace cluster::detail;

TEST_CASE("an envelope is opened as it was closed and one that is cut is not") {
    std::vector<std::byte> payload(3, std::byte{7});
    cluster::byte_buffer out;
    encode_envelope({"node", 1, 2, payload}, out);
    bus_envelope got;
    REQUIRE(decode_envelope(out.span(), got));
    CHECK(got.node == "node");
    CHECK(got.instance == 1);
    CHECK(got.number == 2);
    CHECK(got.payload.size() == 3);
    for (std::size_t size = 0; size != out.size() - 3; ++size) {
        CHECK_FALSE(decode_envelope(out.span().first(size), got));
    }
}

TEST_CASE("numbers tell what is missing and what is there twice") {
    bus_gaps gaps;
    std::uint64_t lost = 0;
    CHECK(gaps.fresh({"a", 1, 5, {}}, "x", lost)); // nobody knows what was before
    CHECK(lost == 0);
    CHECK(gaps.fresh({"a", 1, 6, {}}, "x", lost));
    CHECK(lost == 0);
    CHECK_FALSE(gaps.fresh({"a", 1, 6, {}}, "x", lost));
    CHECK_FALSE(gaps.fresh({"a", 1, 2, {}}, "x", lost));
    CHECK(gaps.fresh({"a", 1, 10, {}}, "x", lost));
    CHECK(lost == 3);
    CHECK(gaps.fresh({"a", 1, 1, {}}, "y", lost)); // another channel
    CHECK(gaps.fresh({"b", 1, 1, {}}, "x", lost)); // another node
    CHECK(gaps.fresh({"a", 2, 1, {}}, "x", lost)); // started again
    CHECK(lost == 0);
}

TEST_CASE("a number counts when it was taken") {
    bus_numbers numbers;
    CHECK(numbers.next("x") == 1);
    CHECK(numbers.next("x") == 1);
    numbers.taken("x");
    CHECK(numbers.next("x") == 2);
    CHECK(numbers.next("y") == 1);
}
