// SPDX-License-Identifier: MIT
#include <cluster/detail/hash_map.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <random>

namespace hash_map_test {

using cluster::detail::number_hash;
using cluster::detail::number_map;

// What texts do is in string_map.cpp.
TEST_SUITE("detail/hash_map") {
    TEST_CASE("a map of numbers does what a map does") {
        number_map<std::unique_ptr<int>> map;
        std::map<std::uint64_t, int> other;
        std::mt19937_64 random{7};
        for (int i = 0; i != 20'000; ++i) {
            const std::uint64_t key = random() % 600 + (i % 2 == 0 ? 0 : ~std::uint64_t{0} - 300);
            if (random() % 3 == 0) {
                CHECK(map.erase(key) == (other.erase(key) != 0));
            } else {
                map[key] = std::make_unique<int>(i);
                other[key] = i;
            }
            REQUIRE(map.size() == other.size());
        }
        for (const auto& [key, value] : other) {
            REQUIRE(map.find(key) != nullptr);
            CHECK(**map.find(key) == value);
        }
    }

    TEST_CASE("running numbers are spread over the table") {
        std::map<std::uint64_t, int> homes;
        for (std::uint64_t i = 0; i != 1'000; ++i) {
            ++homes[number_hash{}(i)&1023U];
        }
        for (const auto& [home, count] : homes) {
            CHECK(count <= 4);
        }
    }
}

} // namespace hash_map_test
