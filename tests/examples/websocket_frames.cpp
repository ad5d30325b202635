// SPDX-License-Identifier: MIT
#include <websocket_frames.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using examples::websocket_parser;
using examples::detail::opcode;

/// A frame as a client sends it.
std::string masked(unsigned first, std::string payload, int bytes_of_length = -1) {
    const std::string mask = "\x11\xa2\x33\xc4";
    std::string frame(1, static_cast<char>(first));
    if (bytes_of_length == -1) {
        bytes_of_length = payload.size() < 126 ? 0 : payload.size() < 65536 ? 2 : 8;
    }
    frame += static_cast<char>(0x80U | (bytes_of_length == 0   ? payload.size()
                                        : bytes_of_length == 2 ? 126U
                                                               : 127U));
    for (int i = bytes_of_length; i != 0; --i) {
        auto shift = static_cast<unsigned>(8 * i - 8);
        frame += static_cast<char>(static_cast<unsigned long long>(payload.size()) >> shift);
    }
    frame += mask;
    for (std::size_t i = 0; i != payload.size(); ++i) {
        frame += static_cast<char>(payload[i] ^ mask[i % 4]);
    }
    return frame;
}

using messages = std::vector<std::pair<opcode, std::string>>;

messages parse(websocket_parser& parser, std::string_view bytes, std::size_t piece) {
    messages result;
    websocket_parser::message found;
    while (!bytes.empty()) {
        parser.feed(bytes.substr(0, piece));
        bytes.remove_prefix(std::min(piece, bytes.size()));
        while (parser.next(found)) {
            result.emplace_back(found.code, std::string{found.payload});
        }
    }
    return result;
}

std::uint16_t error_of(std::string_view bytes) {
    websocket_parser parser;
    parse(parser, bytes, bytes.size());
    return parser.error();
}

std::string hex(std::string_view text) {
    std::string result;
    for (auto each : examples::detail::sha1(std::string{text})) {
        result += "0123456789abcdef"[each >> 4U];
        result += "0123456789abcdef"[each & 15U];
    }
    return result;
}

} // namespace

TEST_SUITE("examples/websocket_frames") {
    TEST_CASE("the handshake is answered as RFC 6455 says") {
        CHECK(examples::detail::websocket_accept("dGhlIHNhbXBsZSBub25jZQ==") ==
              "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        CHECK(hex("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        CHECK(hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
        CHECK(hex(std::string(1000, 'a')) == "291e9a6c66994949b57ba5e650361e98fc36b1ba");
        for (std::size_t size = 50; size != 70; ++size) { // around the padding's edges
            CHECK(hex(std::string(size, 'x')) != hex(std::string(size + 1, 'x')));
        }
    }

    TEST_CASE("messages are found in pieces of any size") {
        std::string bytes = masked(0x81, "hello") + masked(0x89, "ping") + masked(0x01, "one ") +
                            masked(0x8a, "") + masked(0x00, "two ") + masked(0x80, "three") +
                            masked(0x82, std::string(300, 'x')) + masked(0x81, "") +
                            masked(0x88, "\3\xe8");
        messages expected{{opcode::text, "hello"},
                          {opcode::ping, "ping"},
                          {opcode::pong, ""},
                          {opcode::text, "one two three"},
                          {opcode::binary, std::string(300, 'x')},
                          {opcode::text, ""},
                          {opcode::close, "\3\xe8"}};
        for (std::size_t piece : {1U, 2U, 3U, 7U, 100U, 10000U}) {
            websocket_parser parser;
            CHECK(parse(parser, bytes, piece) == expected);
            CHECK(parser.error() == 0);
        }
    }

    TEST_CASE("what breaks the rules is told with the code to close with") {
        CHECK(error_of("\x81\x01x") == 1002);       // not masked
        CHECK(error_of(masked(0xc1, "x")) == 1002); // a reserved bit
        CHECK(error_of(masked(0x83, "x")) == 1002); // no such code
        CHECK(error_of(masked(0x8b, "x")) == 1002); // nor this one
        CHECK(error_of(masked(0x09, "x")) == 1002); // half a ping
        CHECK(error_of(masked(0x89, std::string(126, 'x'))) == 1002);
        CHECK(error_of(masked(0x80, "x")) == 1002); // goes on with nothing
        CHECK(error_of(masked(0x01, "x") + masked(0x81, "y")) == 1002);
        CHECK(error_of(masked(0x81, std::string(65537, 'x'))) == 1009);
        CHECK(error_of(masked(0x81, std::string(65536, 'x'))) == 0);
        CHECK(error_of(masked(0x01, std::string(65536, 'x')) + masked(0x80, "y")) == 1009);
        CHECK(error_of("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\2\3\4") == 1009);
    }

    TEST_CASE("no bytes make it read or keep too much") {
        std::mt19937 random{3};
        for (int round = 0; round != 3000; ++round) {
            std::string bytes = masked(0x81, "hello") + masked(0x01, "a") + masked(0x80, "b");
            for (int i = 0; i != 2; ++i) {
                bytes[random() % bytes.size()] = static_cast<char>(random());
            }
            websocket_parser parser;
            for (const auto& [code, text] : parse(parser, bytes, random() % 9 + 1)) {
                REQUIRE(text.size() <= bytes.size());
            }
        }
    }

    TEST_CASE("frames of the server have the shortest length") {
        using examples::detail::websocket_frame;
        CHECK(websocket_frame(opcode::text, "hi") == "\x81\2hi");
        CHECK(websocket_frame(opcode::text, std::string(125, 'x')).size() == 127);
        CHECK(websocket_frame(opcode::text, std::string(126, 'x')).substr(0, 4) ==
              std::string("\x81\x7e\0\x7e", 4));
        CHECK(websocket_frame(opcode::text, std::string(65536, 'x')).substr(0, 10) ==
              std::string("\x81\x7f\0\0\0\0\0\1\0\0", 10));
        CHECK(examples::detail::close_reason(1001) == "\x03\xe9");
    }
}
