// SPDX-License-Identifier: MIT
#include <cluster/shared_memory/shared_map.hpp> // first and alone: proves it is self-contained

#include "../fixtures/table_values.hpp"

#include <cluster/shared_memory/fixed_string.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using cluster::map_result;
using fixture::consistent;

template <typename Map>
Map make(std::size_t capacity) {
    std::error_code error;
    cluster::unique_fd fd;
    auto region = cluster::detail::shared_region::create(
        static_cast<std::size_t>(Map::bytes(capacity)), fd, error);
    REQUIRE(!error);
    return {std::move(region), capacity};
}

using numbers = cluster::shared_map<std::uint32_t, std::uint64_t>;

} // namespace

TEST_SUITE("shared_memory/shared_map") {
    TEST_CASE("what is inserted is found until it is erased") {
        auto map = make<numbers>(10);
        CHECK(map.capacity() == 10);
        CHECK(map.empty());
        CHECK(!map.find(1));
        CHECK(map.insert_or_assign(1, 100) == map_result::inserted);
        CHECK(map.insert_or_assign(1, 101) == map_result::assigned);
        CHECK(map.insert_or_assign(0, 5) == map_result::inserted); // zeros are a key like others
        CHECK(map.find(1) == 101U);
        CHECK(map.find(0) == 5U);
        CHECK(map.contains(0));
        CHECK(map.size() == 2);
        CHECK(map.erase(1));
        CHECK(!map.erase(1));
        CHECK(!map.contains(1));
        CHECK(map.size() == 1);
        auto copy = map;
        CHECK(copy.find(0) == 5U);
    }

    TEST_CASE("a map of any capacity takes just as many and says when it is full") {
        for (std::size_t capacity : {1U, 2U, 15U, 16U, 17U, 100U, 1000U, 20'000U}) {
            auto map = make<numbers>(capacity);
            for (std::uint32_t i = 0; i != capacity; ++i) {
                REQUIRE(map.insert_or_assign(i, i) == map_result::inserted);
            }
            auto more = static_cast<std::uint32_t>(capacity);
            CHECK(map.insert_or_assign(more, 1) == map_result::full);
            CHECK(map.upsert(more, 1, [](auto&) {}) == map_result::full);
            CHECK(!map.contains(more));
            CHECK(map.insert_or_assign(0, 7) == map_result::assigned);
            CHECK(map.size() == capacity);
            for (std::uint32_t i = 1; i != capacity; ++i) {
                REQUIRE(map.find(i) == i);
            }
            CHECK(map.erase(0));
            CHECK(map.insert_or_assign(more, 1) == map_result::inserted);
        }
    }

    TEST_CASE("a map at its limit takes new keys for old ones for ever") {
        constexpr std::uint32_t capacity = 500;
        auto map = make<numbers>(capacity);
        std::uint32_t refused = 0;
        for (std::uint32_t i = 0; i != 500'000; ++i) {
            if (i >= capacity) {
                refused += map.erase(i - capacity) ? 0U : 1U;
            }
            refused += map.insert_or_assign(i, i) == map_result::inserted ? 0U : 1U;
        }
        CHECK(refused == 0);
        CHECK(map.size() == capacity);
    }

    TEST_CASE("it does what std::map does") {
        constexpr std::uint32_t keys = 300;
        auto map = make<numbers>(200);
        std::map<std::uint32_t, std::uint64_t> model;
        std::mt19937 random{1};
        for (std::uint64_t i = 0; i != 50'000; ++i) {
            auto key = static_cast<std::uint32_t>(random() % keys);
            switch (random() % 4) {
            case 0:
                CHECK(map.erase(key) == (model.erase(key) == 1));
                break;
            case 1:
                CHECK(map.update(key, [i](auto& value) { value = i; }) ==
                      (model.count(key) == 1 ? (model[key] = i, true) : false));
                break;
            default:
                bool room = model.count(key) == 1 || model.size() < 200;
                CHECK((map.insert_or_assign(key, i) != map_result::full) == room);
                if (room) {
                    model[key] = i;
                }
            }
        }
        std::map<std::uint32_t, std::uint64_t> found;
        map.for_each([&](std::uint32_t key, std::uint64_t value) { found[key] = value; });
        CHECK(found == model);
        CHECK(map.size() == model.size());
    }

    TEST_CASE("update and upsert change what is there and a throwing one changes nothing") {
        auto map = make<cluster::shared_map<cluster::fixed_string<16>, int>>(4);
        CHECK(!map.update("hits", [](int& value) { ++value; }));
        CHECK(map.upsert("hits", 1, [](int& value) { ++value; }) == map_result::inserted);
        CHECK(map.upsert("hits", 1, [](int& value) { ++value; }) == map_result::assigned);
        CHECK(map.update("hits", [&map](int& value) { value += *map.find("hits"); }));
        CHECK(map.find("hits") == 4);
        auto fail = [](int& value) {
            value = 0;
            throw std::runtime_error("no");
        };
        CHECK_THROWS_AS(map.update("hits", fail), std::runtime_error);
        CHECK(map.find("hits") == 4);
        CHECK(map.insert_or_assign("hits", 9) == map_result::assigned);
    }

    TEST_CASE("updates of many threads are all counted") {
        auto map = make<numbers>(8);
        constexpr int rounds = 5000;
        std::vector<std::thread> threads;
        for (int t = 0; t != 4; ++t) {
            threads.emplace_back([map]() mutable {
                for (std::uint32_t i = 0; i != rounds; ++i) {
                    map.upsert(i % 2, 1, [](auto& value) { ++value; });
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(*map.find(0) + *map.find(1) == 4 * rounds);
    }

    TEST_CASE("readers see whole values while writers write and erase") {
        constexpr std::uint32_t keys = 3; // always there
        auto map = make<cluster::shared_map<std::uint32_t, consistent>>(20);
        for (std::uint32_t i = 0; i != keys; ++i) {
            map.insert_or_assign(i, consistent::of(i));
        }
        std::atomic<bool> stop{false};
        std::atomic<int> missing{0};
        std::atomic<int> mixed{0};
        std::vector<std::thread> readers;
        for (int t = 0; t != 2; ++t) {
            readers.emplace_back([&, map] {
                while (!stop) {
                    for (std::uint32_t i = 0; i != keys + 5; ++i) {
                        auto found = map.find(i);
                        missing += i < keys && !found ? 1 : 0;
                        mixed += found && !found->ok() ? 1 : 0;
                    }
                    int seen = 0;
                    map.for_each([&](std::uint32_t key, const consistent& each) {
                        seen += key < keys ? 1 : 0;
                        mixed += each.ok() ? 0 : 1;
                    });
                    missing += seen < static_cast<int>(keys) ? 1 : 0;
                }
            });
        }
        std::vector<std::thread> writers;
        for (std::uint32_t t = 0; t != 2; ++t) {
            writers.emplace_back([map, t]() mutable {
                std::mt19937 random{t};
                for (std::uint64_t i = 0; i != 20'000; ++i) {
                    auto key = static_cast<std::uint32_t>(random() % (keys + 5));
                    if (key >= keys && random() % 2 == 0) {
                        map.erase(key);
                    } else {
                        map.insert_or_assign(key, consistent::of(i));
                    }
                }
            });
        }
        for (auto& each : writers) {
            each.join();
        }
        stop = true;
        for (auto& each : readers) {
            each.join();
        }
        CHECK(missing == 0);
        CHECK(mixed == 0);
    }

    TEST_CASE("a capacity that no memory has is more than anybody may have") {
        CHECK(numbers::bytes(std::numeric_limits<std::size_t>::max()) ==
              std::numeric_limits<std::uint64_t>::max());
        CHECK(numbers::bytes(std::size_t{1} << 33U) == std::numeric_limits<std::uint64_t>::max());
        CHECK(numbers::bytes(1000) < 100'000);
    }

    TEST_CASE("whatever a hostile process writes into it ends every call") {
        std::error_code error;
        cluster::unique_fd fd;
        auto region = cluster::detail::shared_region::create(
            static_cast<std::size_t>(numbers::bytes(50)), fd, error);
        REQUIRE(!error);
        std::mt19937 random{7};
        auto* words = static_cast<std::uint32_t*>(region->data());
        for (int round = 0; round != 5; ++round) {
            for (std::size_t i = 0; i != region->size() / 4; ++i) {
                words[i] = static_cast<std::uint32_t>(random()) | (i == 0 ? 0x3f000000U : 0U);
            }
            numbers map{region, 50};
            for (std::uint32_t key = 0; key != 100; ++key) {
                static_cast<void>(map.find(key));
                map.insert_or_assign(key, key);
                map.update(key, [](auto& value) { ++value; });
                map.erase(key);
            }
            map.for_each([](auto, auto) {});
        }
    }
}
