// SPDX-License-Identifier: MIT
#include <cluster/scheduling/sticky.hpp> // first and alone: proves the header is self-contained

#include "../fixtures/candidates.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <set>
#include <span>
#include <string_view>

namespace scheduling_sticky_test {

using cluster::address;
using cluster::connection_info;
using cluster::refusal;
using cluster::scheduling::sticky;
namespace sticky_key = cluster::scheduling::sticky_key;
using scheduling_test::from;
using scheduling_test::table;

/// A key of one's own: the first line.
struct first_line {
    static constexpr std::size_t peeks = 64;
    static constexpr std::string_view name = "sticky_line";
    sticky_key::value operator()(const connection_info& client) const {
        std::string_view text{reinterpret_cast<const char*>(client.first_bytes.data()),
                              client.first_bytes.size()};
        auto end = text.find('\n');
        if (end == text.npos) {
            return sticky_key::more;
        }
        return end == 0 ? sticky_key::value{sticky_key::none} : text.substr(0, end);
    }
};
static_assert(cluster::scheduling_policy<sticky<first_line>>);
static_assert(sticky<first_line>::peeks == 64 && sticky<>::peeks == 0);
static_assert(sticky<first_line>::name == "sticky_line" && sticky<>::name == "sticky");
static_assert(sticky<>::waits_for_one && sticky<first_line>::waits_for_one);
static_assert(!cluster::scheduling::sticky_key_function<int>);

connection_info saying(std::string_view text, bool more_may_come = true) {
    auto result = from(10, 0, 0, 1);
    result.first_bytes = std::as_bytes(std::span{text});
    result.more_may_come = more_may_come;
    return result;
}

template <typename Policy>
cluster::choice ask(const Policy& policy, const table& some, const connection_info& client) {
    return policy.pick(cluster::candidates{some.ready}, client);
}

} // namespace scheduling_sticky_test

using namespace scheduling_sticky_test;

TEST_SUITE("scheduling/sticky") {
    TEST_CASE("an address always gives the same place") {
        sticky<> policy;
        table some{{3, 1, 0, 2}};
        std::set<std::uint32_t> seen;
        for (std::uint8_t last = 0; last != 40; ++last) {
            auto place = some.next(policy, from(10, 0, 0, last, 1));
            seen.insert(place);
            CHECK(some.next(policy, from(10, 0, 0, last, 2)) == place);
            connection_info mapped{
                address::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last}, 3), {}};
            CHECK(some.next(policy, mapped) == place);
        }
        CHECK(seen.size() == 4);
    }

    TEST_CASE("a client without an address has no place of its own") {
        auto picked = ask(sticky<>{}, table::of(3), {address::local("/tmp/x"), {}});
        REQUIRE(picked.refused());
        CHECK(picked.why() == refusal::fallback);
    }

    TEST_CASE("clients of one network come together") {
        sticky<sticky_key::client_network<>> policy;
        sticky<sticky_key::client_network<20, 48>> wider;
        auto some = table::of(64);
        std::set<std::uint32_t> inside;
        std::set<std::uint32_t> outside;
        std::set<std::uint32_t> wide;
        for (std::uint8_t i = 0; i != 16; ++i) {
            inside.insert(some.next(policy, from(10, 0, 0, i)));
            outside.insert(some.next(policy, from(10, 0, i, 1)));
            wide.insert(some.next(wider, from(10, 0, static_cast<std::uint8_t>(0x40 + i), i)));
        }
        CHECK(inside.size() == 1);
        CHECK(outside.size() > 8);
        CHECK(wide.size() == 1);
        auto ipv6 = [&](std::uint8_t sixth, std::uint8_t seventh) {
            return some.next(
                policy,
                {address::ipv6({0x20, 1, 0x0d, 0xb8, 0, sixth, seventh, 0, 0, 0, 0}, 1), {}});
        };
        CHECK(ipv6(1, 2) == ipv6(1, 3));
        std::set<std::uint32_t> networks;
        for (std::uint8_t i = 0; i != 16; ++i) {
            networks.insert(ipv6(i, 0));
        }
        CHECK(networks.size() > 8);
    }

    TEST_CASE("a key of one's own sees the first bytes and asks for more") {
        sticky<first_line> policy;
        auto some = table::of(16);
        auto early = ask(policy, some, saying("ann"));
        REQUIRE(early.refused());
        CHECK(early.why() == refusal::more_bytes);
        auto ann = some.next(policy, saying("ann\nhello"));
        CHECK(some.next(policy, saying("ann\nworld", false)) == ann);
        CHECK(some.next(policy, saying("bob\n")) != ann);
    }

    TEST_CASE("without a key the client's address decides") {
        sticky<first_line> policy;
        auto some = table::of(16);
        auto by_address = some.next(sticky<>{}, from(10, 0, 0, 1));
        CHECK(some.next(policy, saying("\n")) == by_address);
        CHECK(some.next(policy, saying("no end", false)) == by_address);
        CHECK(some.next(policy, saying("", false)) == by_address);
        sticky<sticky_key::proxy_address> proxied;
        CHECK(some.next(proxied, saying("GET / HTTP/1.1\r\n")) == by_address);
    }

    TEST_CASE("behind a proxy the address is the one that it says") {
        sticky<sticky_key::proxy_address> policy;
        auto some = table::of(16);
        CHECK(ask(policy, some, saying("PROXY TCP4 10.")).why() == refusal::more_bytes);
        CHECK(some.next(policy, saying("PROXY TCP4 192.0.2.7 192.0.2.1 5 6\r\n")) ==
              some.next(sticky<>{}, from(192, 0, 2, 7)));
    }
}
