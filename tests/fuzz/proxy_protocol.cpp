// SPDX-License-Identifier: MIT
//
// The reader of PROXY headers against hostile bytes, as they are and behind the beginning of either
// version: it must not read outside of them, must not change its mind when more bytes come, and must
// understand every address that is written well.
//
//   clang++ -std=c++20 -I include -g -O1 -fsanitize=fuzzer,address,undefined
//           tests/fuzz/proxy_protocol.cpp
//
// With support/fuzz_replay.cpp it is a program that runs over the files of its command line.
#include <cluster/detail/proxy_protocol.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

namespace {

using cluster::address;
using cluster::address_family;
using cluster::detail::proxy_header;
using state = proxy_header::state;

constexpr std::string_view signature{"\r\n\r\n\0\r\nQUIT\n", 12};

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

proxy_header parse(std::string_view text) {
    std::string copy{text}; // of its exact size: a look beyond the end is found by the sanitizer
    copy.shrink_to_fit();
    return proxy_header::parse(std::as_bytes(std::span{copy}));
}

void check(const proxy_header& header) {
    bool named = header.found == state::present;
    bool of_network = header.source.family() == address_family::ipv4 ||
                      header.source.family() == address_family::ipv6;
    require(named ? of_network : header.source == address{});
    bool understood = named || header.found == state::unnamed;
    require(understood == (header.length != 0));
    require(header.length <= 16 + 65535);
}

/// What is decided stays decided, however much comes behind it.
void read_in_pieces(std::string_view input) {
    constexpr std::size_t longest = 300; // no decision needs more
    proxy_header decided;
    bool is_decided = false;
    for (std::size_t size = 0; size <= std::min(input.size(), longest); ++size) {
        auto header = parse(input.substr(0, size));
        check(header);
        if (is_decided) {
            require(header.found == decided.found && header.source == decided.source &&
                    header.length == decided.length);
        }
        is_decided = header.found != state::incomplete;
        decided = header;
    }
}

void require_source(const std::string& header, const address& source) {
    auto read = parse(header + "and what comes behind");
    require(read.found == state::present && read.source == source && read.length == header.size());
}

std::string bytes_of(const address& of) {
    return {of.bytes().begin(), of.bytes().end()};
}

void write_well(const address& source) {
    bool six = source.family() == address_family::ipv6;
    auto port = std::to_string(source.port());
    auto host = source.host();
    require_source(
        (six ? "PROXY TCP6 " : "PROXY TCP4 ") + host + ' ' + host + ' ' + port + " 80\r\n", source);
    std::string ports{static_cast<char>(source.port() >> 8U), static_cast<char>(source.port())};
    std::string binary{signature};
    binary += {'\x21', six ? '\x21' : '\x11', '\0', six ? '\x24' : '\x0c'};
    require_source(binary + bytes_of(source) + bytes_of(source) + ports + ports, source);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string input{reinterpret_cast<const char*>(data), size};
    read_in_pieces(input);
    for (const char* beginning : {"PROXY ", "PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN"}) {
        read_in_pieces(beginning + input);
    }
    read_in_pieces(std::string{signature} + input);
    read_in_pieces(std::string{signature} + "\x21\x11" + input);
    read_in_pieces(std::string{signature} + "\x21\x21" + input);
    std::array<std::uint8_t, 18> first{};
    std::copy_n(data, std::min(size, first.size()), first.begin());
    auto port = static_cast<std::uint16_t>(first[16] << 8U | first[17]);
    std::array<std::uint8_t, 4> four{first[0], first[1], first[2], first[3]};
    std::array<std::uint8_t, 16> sixteen{};
    std::copy_n(first.begin(), sixteen.size(), sixteen.begin());
    write_well(address::ipv4(four, port));
    write_well(address::ipv6(sixteen, port));
    return 0;
}
