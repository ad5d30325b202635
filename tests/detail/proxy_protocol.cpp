// SPDX-License-Identifier: MIT
#include <cluster/detail/proxy_protocol.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <string_view>

namespace {

using cluster::address;
using cluster::detail::proxy_header;
using state = proxy_header::state;

proxy_header parse(std::string_view bytes) {
    return proxy_header::parse(std::as_bytes(std::span{bytes}));
}

const std::string signature{"\r\n\r\n\0\r\nQUIT\n", 12};
const std::string version_2_ipv4 =
    signature + std::string{"\x21\x11\0\x0c\x0a\1\2\3\xc0\0\2\1\x30\x39\0\x50", 16};
const std::string version_2_ipv6 = signature + std::string{"\x21\x21\0\x24", 4} +
                                   std::string{"\x20\1\x0d\xb8", 4} + std::string(11, '\0') + '\7' +
                                   std::string(16, '\1') + std::string(4, '\2');

/// Every true beginning of a header is incomplete until its source is there.
void check_beginnings(const std::string& header, std::size_t needed, const address& source) {
    for (std::size_t size = 0; size <= header.size(); ++size) {
        auto parsed = parse(header.substr(0, size));
        CAPTURE(size);
        if (size < needed) {
            REQUIRE(parsed.found == state::incomplete);
        } else {
            REQUIRE(parsed.found == state::present);
            REQUIRE(parsed.source == source);
            REQUIRE(parsed.length == header.size());
        }
    }
    CHECK(parse(header + "GET / HTTP/1.1\r\n").source == source);
}

} // namespace

TEST_SUITE("detail/proxy_protocol") {
    TEST_CASE("a header of version 1 tells the source once its line is complete") {
        std::string ipv4 = "PROXY TCP4 192.0.2.1 198.51.100.9 12345 80\r\n";
        check_beginnings(ipv4, ipv4.size(), address::ipv4({192, 0, 2, 1}, 12345));
        std::string ipv6 = "PROXY TCP6 2001:db8::7 ::1 1 65535\r\n";
        check_beginnings(
            ipv6,
            ipv6.size(),
            address::ipv6({0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 1));
    }

    TEST_CASE("a header of version 2 tells the source once it is there") {
        check_beginnings(version_2_ipv4, 28, address::ipv4({10, 1, 2, 3}, 12345));
        check_beginnings(
            version_2_ipv6,
            52,
            address::ipv6({0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 0x202));
    }

    TEST_CASE("what names no client is absent") {
        for (std::string_view text : {"GET / HTTP/1.1\r\n",
                                      "P\r\n",
                                      "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
                                      "PROXY TCP4 1.2.3.4 1.2.3.4 x 2\r\n",
                                      "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
                                      "PROXY \r\n",
                                      "PROXY TCP4\r\n",
                                      "PROXY TCP4 1.2.3.4\r\n",
                                      "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
                                      "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
                                      "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
                                      "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
                                      "PROXY TCP4 ::1 ::1 1 2\r\n",
                                      "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
                                      "PROXY TCP4 localhost localhost 1 2\r\n",
                                      "\r\n\r\nGET"}) {
            CAPTURE(text);
            CHECK(parse(text).found == state::absent);
        }
        CHECK(parse("PROXY TCP4 " + std::string(100, '1')).found == state::absent);
        CHECK(parse("PROXY TCP4 " + std::string(90, '1')).found == state::incomplete);
    }

    TEST_CASE("a header may name nobody") {
        for (std::string_view text :
             {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN 1.2.3.4 1.2.3.4 1 2\r\n"}) {
            auto parsed = parse(text);
            CHECK(parsed.found == state::unnamed);
            CHECK(parsed.length == text.size());
        }
    }

    TEST_CASE("a version 2 header of another kind names nobody, or is none") {
        auto changed = [](std::size_t at, char to) {
            auto header = version_2_ipv4;
            header[at] = to;
            return parse(header).found;
        };
        CHECK(changed(0, 'x') == state::absent);
        CHECK(changed(12, '\x20') == state::unnamed); // the proxy's own
        CHECK(changed(12, '\x11') == state::absent);  // version 1 in binary
        CHECK(changed(13, '\x31') == state::unnamed); // a UNIX socket
        CHECK(changed(13, '\x12') == state::unnamed); // UDP
        CHECK(changed(15, '\x0b') == state::absent);  // too short for two addresses
        CHECK(changed(14, '\xff') == state::present); // with much behind them
    }

    TEST_CASE("no bytes make it read beyond them") {
        std::mt19937 random{1};
        for (int i = 0; i != 20000; ++i) {
            std::string text = random() % 2 == 0 ? version_2_ipv4 : "PROXY TCP4 1.2.3.4 1 2 3\r\n";
            for (int changes = 0; changes != 3; ++changes) {
                text[random() % text.size()] = static_cast<char>(random());
            }
            text.resize(random() % (text.size() + 1));
            std::string exact = text; // an allocation of its own, for the sanitizer
            exact.shrink_to_fit();
            auto parsed = parse(exact);
            REQUIRE((parsed.found == state::present) ==
                    (parsed.source.family() != cluster::address_family::none));
        }
    }
}
