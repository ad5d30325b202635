// SPDX-License-Identifier: MIT
#include <cluster/shared_memory/shareable.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace {

struct point {
    double x;
    double y;
};
struct large {
    std::array<char, 64> bytes;
};
struct with_constructor {
    with_constructor(const with_constructor&) {}
};

} // namespace

TEST_CASE("numbers and plain structures may be shared and so may lock-free atomics") {
    CHECK(cluster::shareable<int>);
    CHECK(cluster::shareable<point>);
    CHECK(cluster::shareable<std::array<char, 32>>);
    CHECK(cluster::shareable<std::atomic<int>>);
    CHECK(cluster::shareable<std::atomic<std::uint64_t>>);
    CHECK(cluster::shareable<std::atomic<float>>);
}

TEST_CASE("what owns memory or has an address or needs a lock may not be shared") {
    CHECK(!cluster::shareable<std::string>);
    CHECK(!cluster::shareable<std::vector<int>>);
    CHECK(!cluster::shareable<with_constructor>);
    CHECK(!cluster::shareable<int*>);
    CHECK(!cluster::shareable<int point::*>);
    CHECK(!cluster::shareable<int&>);
    CHECK(!cluster::shareable<void>);
    CHECK(!cluster::shareable<const int>);
    CHECK(!cluster::shareable<std::atomic<large>>);
    CHECK(!cluster::shareable<std::atomic<int*>>);
}
