// SPDX-License-Identifier: MIT
#include <cluster/detail/string_map.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

using cluster::detail::keyed_hash;
using cluster::detail::string_map;

TEST_CASE("a string map does what a map does") {
    string_map<int> map;
    std::map<std::string, int> other;
    CHECK(map.empty());
    CHECK(map.find("x") == nullptr);
    CHECK_FALSE(map.erase("x"));
    std::uint32_t state = 1;
    auto random = [&] { return state = state * 1664525U + 1013904223U; };
    for (int i = 0; i != 20'000; ++i) {
        // Keys of all lengths around the hash's words; few enough that they come again.
        auto number = random() >> 8U;
        auto key = std::string(number % 20, 'k') + std::to_string(number % 600);
        if (number % 3 == 0) {
            CHECK(map.erase(key) == (other.erase(key) != 0));
        } else {
            map[key] = i;
            other[key] = i;
        }
        REQUIRE(map.size() == other.size());
    }
    for (const auto& [key, value] : other) {
        REQUIRE(map.find(key) != nullptr);
        CHECK(*map.find(key) == value);
    }
    std::size_t seen = 0;
    for (const auto& [key, value] : map) {
        seen += other.at(key) == value ? 1U : 0U;
    }
    CHECK(seen == other.size());
    map.clear();
    CHECK(map.empty());
    CHECK_FALSE(map.contains("k"));
    map["again"] = 1;
    CHECK(map.contains("again"));
}

TEST_CASE("a string map takes an empty key and tells zero bytes apart") {
    string_map<int> map;
    map[""] = 1;
    map[std::string(1, '\0')] = 2;
    map[std::string(2, '\0')] = 3;
    CHECK(map.size() == 3);
    CHECK(*map.find("") == 1);
    CHECK(*map.find(std::string(1, '\0')) == 2);
    CHECK(map.erase(""));
    CHECK(map.find("") == nullptr);
    CHECK(*map.find(std::string(2, '\0')) == 3);
}

TEST_CASE("nobody who does not know its key foresees a keyed hash") {
    const keyed_hash one;
    const keyed_hash other;
    const keyed_hash same = one;
    CHECK(one("text") == same("text"));
    CHECK(one("text") != one("texu"));
    CHECK(one("text") != other("text")); // but for one time in 2^64
}
