// SPDX-License-Identifier: MIT
#include <cluster/net/address.hpp> // first and alone: proves the header is self-contained

#include <cluster/detail/os.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

using cluster::address;
using cluster::address_family;

static_assert(std::is_trivially_copyable_v<address>);
static_assert(sizeof(address) <= 120);
static_assert(address{}.family() == address_family::none);
static_assert(address::ipv4({127, 0, 0, 1}, 80).port() == 80);
static_assert(address::ipv4({127, 0, 0, 1}, 80).bytes().size() == 4);
static_assert(address::ipv4({127, 0, 0, 1}, 80) == address::ipv4({127, 0, 0, 1}, 80));
static_assert(address::ipv4({127, 0, 0, 1}, 80) != address::ipv4({127, 0, 0, 1}, 81));
static_assert(address::ipv4({1, 2, 3, 4}, 80).with_port(81) == address::ipv4({1, 2, 3, 4}, 81));
static_assert(address::ipv6({}, 80, 3).scope() == 3);
static_assert(address::local("/a").family() == address_family::local);
static_assert(address::local("/a") != address::local("/b"));

address parse6(const char* text) {
    std::array<std::uint8_t, 16> bytes{};
    REQUIRE(::inet_pton(AF_INET6, text, bytes.data()) == 1);
    return address::ipv6(bytes, 1);
}

address round_trip(const address& from) {
    return cluster::detail::os::from_native(cluster::detail::os::to_native(from));
}

} // namespace

TEST_SUITE("net/address") {
    TEST_CASE("IPv4 is written in dots") {
        auto at = address::ipv4({192, 0, 2, 255}, 8000);
        CHECK(at.host() == "192.0.2.255");
        CHECK(at.to_string() == "192.0.2.255:8000");
        CHECK(address::ipv4({0, 0, 0, 0}, 0).to_string() == "0.0.0.0:0");
        CHECK(at.path().empty());
    }

    TEST_CASE("IPv6 is written as RFC 5952 says") {
        const char* canonical[] = {"::",
                                   "::1",
                                   "1::",
                                   "2001:db8::1",
                                   "2001:db8:0:1:1:1:1:1", // one zero group is not shortened
                                   "2001:0:0:1::1",        // the longest run
                                   "2001:db8::1:0:0:1",    // the first of equal ones
                                   "1:2:3:4:5:6:7:8",
                                   "::2:3:4:5:6:7:8",
                                   "1:2:3:4:5:6::",
                                   "fe80::abcd:ef01",
                                   "1:0:0:2::",
                                   "a:b:c:d:e:f:10:ff00"};
        for (const char* each : canonical) {
            std::string expected{each};
            if (expected == "::2:3:4:5:6:7:8") {
                expected = "0:2:3:4:5:6:7:8"; // a single group of zeros
            }
            CHECK(parse6(each).host() == expected);
        }
        CHECK(parse6("::1").to_string() == "[::1]:1");
        CHECK(parse6("::ffff:192.0.2.1").host() == "::ffff:192.0.2.1");
        CHECK(parse6("::ffff:0:0").host() == "::ffff:0.0.0.0");
        CHECK(parse6("1::ffff:0:0").host() == "1::ffff:0:0"); // not mapped
    }

    TEST_CASE("what is written can be read again") {
        std::uint32_t state = 1;
        for (int i = 0; i != 2000; ++i) {
            std::array<std::uint8_t, 16> bytes{};
            for (auto& each : bytes) {
                state = state * 1664525U + 1013904223U;
                each = (state >> 29U) < 5 ? 0 : static_cast<std::uint8_t>(state >> 16U);
            }
            auto text = address::ipv6(bytes, 0).host();
            std::array<std::uint8_t, 16> again{};
            REQUIRE(::inet_pton(AF_INET6, text.c_str(), again.data()) == 1);
            CHECK(again == bytes);
        }
    }

    TEST_CASE("a scope is the number of an interface") {
        auto at = address::ipv6({0xfe, 0x80}, 80, 2);
        CHECK(at.host() == "fe80::%2");
        CHECK(at.to_string() == "[fe80::%2]:80");
        CHECK(at != address::ipv6({0xfe, 0x80}, 80, 3));
    }

    TEST_CASE("a UNIX socket is its path, an abstract one begins with @") {
        auto at = address::local("/run/server.sock");
        CHECK(at.path() == "/run/server.sock");
        CHECK(at.host() == "/run/server.sock");
        CHECK(at.to_string() == "/run/server.sock");
        CHECK(address::local(std::string_view{"\0name", 5}).to_string() == "@name");
        CHECK(address::local(std::string_view{"\0name", 5}).path().size() == 5);
    }

    TEST_CASE("a path that is too long gives no address") {
        CHECK(address::local(std::string(107, 'x')).path().size() == 107);
        CHECK(address::local(std::string(108, 'x')).family() == address_family::none);
    }

    TEST_CASE("no address is a dash") {
        CHECK(address{}.to_string() == "-");
        CHECK(address{}.host().empty());
        CHECK(address{}.bytes().empty());
    }

    TEST_CASE("the system's form and back is the same address") {
        for (const auto& each : {address::ipv4({1, 2, 3, 4}, 0xfffe),
                                 address::ipv6({1, 2, 3}, 0x1234, 7),
                                 address::local("/tmp/x"),
                                 address::local(std::string(107, 'y')),
                                 address::local(std::string_view{"\0a\0b", 4}),
                                 address{}}) {
            CHECK(round_trip(each) == each);
        }
    }

    TEST_CASE("a peer with a path of 108 bytes has no address, and nothing is read behind it") {
        using cluster::detail::os::from_native;
        cluster::detail::os::socket_address native;
        sockaddr_un un{};
        un.sun_family = AF_UNIX;
        for (char& each : un.sun_path) {
            each = 'p';
        }
        std::memcpy(&native.storage, &un, sizeof un);
        for (auto length : {sizeof un, sizeof un + 1, sizeof(sockaddr_storage)}) {
            native.length = static_cast<socklen_t>(length);
            CHECK(from_native(native).family() == address_family::none);
        }
    }

    TEST_CASE("a client of a UNIX socket that did not bind has no address") {
        int fds[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        CHECK(cluster::detail::os::remote_address(fds[0]) == address{});
        CHECK(cluster::detail::os::local_address(fds[0]) == address{});
        ::close(fds[0]);
        ::close(fds[1]);
        CHECK(cluster::detail::os::local_address(-1) == address{});
    }
}
