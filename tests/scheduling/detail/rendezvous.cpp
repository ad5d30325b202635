// SPDX-License-Identifier: MIT
#include <cluster/scheduling/detail/rendezvous.hpp> // first and alone: proves the header is self-contained

#include "../../fixtures/candidates.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>

namespace {

using cluster::address;
using cluster::detail::client_hash;
using cluster::detail::rendezvous;
using cluster::detail::rendezvous_score;
using scheduling_test::table;

constexpr auto loopback = address::ipv4({127, 0, 0, 1}, 80);
constexpr auto mapped = address::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}, 81);
constexpr auto documentation =
    address::ipv6({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 80);

// The numbers are fixed: programs in the kernel compute the same.
static_assert(client_hash(loopback) == 0x3c22eef0U);
static_assert(client_hash(mapped) == client_hash(loopback));
static_assert(client_hash(documentation) == 0xc5ed57f4U);
static_assert(rendezvous_score(client_hash(loopback), 0) == 0x9f709ab5U);
static_assert(rendezvous_score(client_hash(loopback), 1) == 0x4f9a8bd9U);
static_assert(rendezvous_score(client_hash(documentation), 7) == 0x7d1f43ddU);

std::map<std::uint32_t, std::uint32_t> places_of_clients(const table& some, std::uint32_t count) {
    std::map<std::uint32_t, std::uint32_t> result;
    for (std::uint32_t i = 0; i != count; ++i) {
        auto client = address::ipv4({10,
                                     static_cast<std::uint8_t>(i >> 16U),
                                     static_cast<std::uint8_t>(i >> 8U),
                                     static_cast<std::uint8_t>(i)},
                                    1);
        cluster::candidates ready{some.ready};
        result[i] = ready[rendezvous(ready, client_hash(client))].slot();
    }
    return result;
}

} // namespace

TEST_SUITE("scheduling/detail/rendezvous") {
    TEST_CASE("clients that are next to each other spread evenly") {
        constexpr std::uint32_t clients = 8000;
        std::map<std::uint32_t, double> shares;
        for (const auto& [client, place] : places_of_clients(table::of(8), clients)) {
            ++shares[place];
        }
        CHECK(shares.size() == 8);
        for (const auto& [place, share] : shares) {
            CHECK(share > 850);
            CHECK(share < 1150);
        }
    }

    TEST_CASE("a place that goes takes only its own clients along and gets them back") {
        table some{{3, 0, 2, 1}};
        auto before = places_of_clients(some, 2000);
        some.remove(2);
        auto without = places_of_clients(some, 2000);
        std::map<std::uint32_t, int> heirs;
        for (const auto& [client, place] : before) {
            REQUIRE((place == 2 || without[client] == place));
            heirs[without[client]] += place == 2 ? 1 : 0;
        }
        CHECK(heirs.size() == 3); // and not one for all
        some.add(2, 1, 77);
        CHECK(places_of_clients(some, 2000) == before);
    }

    TEST_CASE("a place more takes its share from everybody") {
        auto before = places_of_clients(table::of(4), 5000);
        int moved = 0;
        for (const auto& [client, place] : places_of_clients(table::of(5), 5000)) {
            REQUIRE((place == 4 || place == before[client]));
            moved += place == 4 ? 1 : 0;
        }
        CHECK(moved > 850);
        CHECK(moved < 1150);
    }

    TEST_CASE("of two in one place the newer one is picked") {
        for (bool newer_first : {false, true}) {
            table two{{}};
            two.add(0, 1, newer_first ? 9 : 1);
            two.add(0, 1, newer_first ? 1 : 9);
            cluster::candidates ready{two.ready};
            CHECK(ready[rendezvous(ready, 123)].id() == 9);
        }
    }
}
