// SPDX-License-Identifier: MIT
#include <cluster/bus/detail/bus_presence.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

TEST_CASE("a node that is not heard is gone but not because we have slept") {
    using namespace std::chrono_literals;
    cluster::detail::bus_presence nodes;
    auto start = std::chrono::steady_clock::now();
    bool full = false;
    CHECK(nodes.seen("a", start, full));
    CHECK_FALSE(nodes.seen("a", start, full));
    CHECK(nodes.seen("b", start, full));
    CHECK_FALSE(full);
    CHECK(nodes.expire(start + 5s, 10s, 5s).empty());
    nodes.seen("b", start + 9s, full);
    CHECK(nodes.expire(start + 10s, 10s, 5s).empty());
    CHECK(nodes.expire(start + 15s, 10s, 5s) == std::vector<std::string>{"a"});
    CHECK(nodes.names() == std::vector<std::string>{"b"});
    CHECK(nodes.expire(start + 1000s, 10s, 5s).empty()); // it was us
    CHECK(nodes.expire(start + 1005s, 10s, 5s) == std::vector<std::string>{"b"});
    CHECK_FALSE(nodes.gone("b"));
}
