// SPDX-License-Identifier: MIT
#include <cluster/literals.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <chrono>
#include <type_traits>

namespace {

using namespace cluster::literals;
using cluster::time_span;

static_assert(100_ms == time_span{100});
static_assert(10_s == time_span{10'000});
static_assert(5_min == time_span{300'000});
static_assert(0_s < 1_ms && 1_min > 59_s);

template <time_span Length>
struct pause {
    static constexpr std::chrono::milliseconds length = Length;
};
static_assert(pause<2_s>::length == std::chrono::seconds{2});
static_assert(std::is_same_v<pause<1000_ms>, pause<1_s>>, "equal lengths are one type");

static_assert(std::chrono::nanoseconds{1_ms} == std::chrono::nanoseconds{1'000'000});
static_assert(std::is_convertible_v<time_span, std::chrono::microseconds>);
static_assert(std::chrono::duration<double>{1500_ms}.count() == 1.5);

} // namespace

TEST_SUITE("literals") {
    TEST_CASE("a length of time is a duration") {
        std::chrono::nanoseconds converted = 3_s;
        CHECK(converted == std::chrono::seconds{3});
        CHECK((3_s).milliseconds == 3000);
    }
}
