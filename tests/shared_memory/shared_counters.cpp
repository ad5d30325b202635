// SPDX-License-Identifier: MIT
#include <cluster/shared_memory/shared_counters.hpp> // first and alone: it is self-contained

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <ostream> // doctest prints error codes
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

cluster::shared_counters make(std::size_t capacity) {
    std::error_code error;
    cluster::unique_fd fd;
    auto region = cluster::detail::shared_region::create(
        static_cast<std::size_t>(cluster::shared_counters::bytes(capacity)), fd, error);
    REQUIRE(!error);
    return {std::move(region), capacity};
}

} // namespace

TEST_SUITE("shared_memory/shared_counters") {
    TEST_CASE("a counter begins at 0 and its name means one number") {
        auto counters = make(10);
        auto hits = counters["hits"];
        CHECK(hits.value() == 0);
        hits.add();
        hits.add(10);
        counters["hits"].add(-3);
        CHECK(hits.value() == 8);
        auto connections = counters["connections"];
        connections.set(-2);
        std::map<std::string, std::int64_t> all;
        counters.for_each(
            [&](std::string_view name, std::int64_t value) { all[std::string{name}] = value; });
        CHECK(all == std::map<std::string, std::int64_t>{{"hits", 8}, {"connections", -2}});
        CHECK(counters.size() == 2);
        CHECK(counters.capacity() == 10);
    }

    TEST_CASE("more counters than there is room for and names too long are errors") {
        auto counters = make(2);
        counters["a"].add();
        counters["b"].add();
        std::error_code error;
        CHECK(!counters.get("c", error));
        CHECK(error == std::errc::no_space_on_device);
        CHECK(counters.get("a", error));
        CHECK(!error);
        CHECK(!counters.get(std::string(57, 'x'), error));
        CHECK(error == std::errc::filename_too_long);
        CHECK_THROWS_WITH_AS(static_cast<void>(counters["c"]),
                             "counter \"c\": No space left on device",
                             std::system_error);
    }

    TEST_CASE("threads that meet at a new counter count together") {
        auto counters = make(100);
        std::vector<std::thread> threads;
        for (int t = 0; t != 4; ++t) {
            threads.emplace_back([counters]() mutable {
                for (int i = 0; i != 100; ++i) {
                    counters["number " + std::to_string(i)].add();
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(counters.size() == 100);
        counters.for_each([](std::string_view, std::int64_t value) { CHECK(value == 4); });
    }
}
