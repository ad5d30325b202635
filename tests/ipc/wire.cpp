// SPDX-License-Identifier: MIT
#include <cluster/ipc/wire.hpp> // first and alone: proves the header is self-contained

#include <cluster/ipc/frame.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace {

using namespace cluster::detail;
using cluster::address;
using cluster::address_family;
using cluster::byte_buffer;
using cluster::errc;

template <typename Message>
Message round_trip(const Message& from) {
    byte_buffer bytes;
    encode_wire(from, bytes);
    Message to;
    REQUIRE(decode_wire(bytes.span(), to));
    return to;
}

template <typename Message>
void refuses_what_is_cut_or_longer(const Message& from) {
    byte_buffer bytes;
    encode_wire(from, bytes);
    for (std::size_t size = 0; size != bytes.size(); ++size) {
        Message to;
        CHECK_FALSE(decode_wire(bytes.span().first(size), to));
    }
    bytes.append("x", 1);
    Message to;
    CHECK_FALSE(decode_wire(bytes.span(), to));
}

listen_message full_question() {
    listen_message asked;
    asked.candidates = {to_wire(address::ipv4({1, 2, 3, 4}, 80)), to_wire(address::ipv6({}, 80))};
    asked.any_host = true;
    asked.local_path = true;
    asked.path = "/run/server.sock";
    asked.activated = "web";
    asked.most = 9;
    asked.how = {7, true, true, false, false, 1, 2, 3, 0660, 4, {}};
    asked.own_socket = true;
    asked.fd = 5;
    asked.datagram = {true, true, true, 1000, 2000};
    return asked;
}

} // namespace

TEST_SUITE("ipc/wire") {
    TEST_CASE("addresses of every family survive") {
        for (const auto& each : {address{},
                                 address::ipv4({1, 2, 3, 4}, 65535),
                                 address::ipv6({1, 2, 3}, 80, 4),
                                 address::local("/run/x"),
                                 address::local(std::string(107, 'x')),
                                 address::local(std::string_view{"\0abstract", 9})}) {
            CHECK(from_wire(round_trip(to_wire(each))) == each);
        }
    }

    TEST_CASE("an address that contradicts itself is none") {
        wire_address bad = to_wire(address::ipv4({1, 2, 3, 4}, 80));
        bad.bytes = "123";
        CHECK(from_wire(bad) == address{});
        bad.bytes = "12345";
        CHECK(from_wire(bad) == address{});
        bad = to_wire(address::ipv6({}, 80));
        bad.bytes.resize(17);
        CHECK(from_wire(bad) == address{});
        bad.bytes.resize(1 << 20);
        CHECK(from_wire(bad) == address{});
        bad.family = static_cast<std::uint8_t>(address_family::local);
        CHECK(from_wire(bad) == address{});
        bad.bytes.clear();
        CHECK(from_wire(bad) == address{});
        for (int family = 4; family != 256; ++family) {
            bad = to_wire(address::ipv4({1, 2, 3, 4}, 80));
            bad.family = static_cast<std::uint8_t>(family);
            CHECK(from_wire(bad) == address{});
        }
    }

    TEST_CASE("the library's own messages survive") {
        auto welcome = round_trip(welcome_message{1, 2, 3, 4, 5, 6, "title", "name", "binary", 7, "data"});
        CHECK(welcome.protocol == 1);
        CHECK(welcome.id == 2);
        CHECK(welcome.data_type == 7);
        CHECK(welcome.data == "data");
        CHECK(welcome.slot == 3);
        CHECK(welcome.generation == 4);
        CHECK(welcome.beat_period == 5);
        CHECK(welcome.grace == 6);
        CHECK(welcome.title == "title");
        CHECK(welcome.name == "name");
        CHECK(welcome.serializer == "binary");
        CHECK(round_trip(online_message{4, "raw"}).serializer == "raw");
        auto asked = round_trip(full_question());
        CHECK(asked.candidates.size() == 2);
        CHECK(from_wire(asked.candidates[0]).to_string() == "1.2.3.4:80");
        CHECK(asked.any_host);
        CHECK(asked.local_path);
        CHECK(asked.path == "/run/server.sock");
        CHECK(asked.activated == "web");
        CHECK(asked.most == 9);
        CHECK(asked.how == full_question().how);
        CHECK(asked.own_socket);
        CHECK(asked.fd == 5);
        auto result = round_trip(listen_result_message{1, 2, to_wire(address::local("/x")), 2});
        CHECK(result.system_error == 1);
        CHECK(result.library_error == 2);
        CHECK(from_wire(result.at).path() == "/x");
        CHECK(result.mode == 2);
    }

    TEST_CASE("bytes that are cut or too many are refused") {
        refuses_what_is_cut_or_longer(welcome_message{1, 2, 3, 4, 5, 6, "title", "name", "binary", 7, "data"});
        refuses_what_is_cut_or_longer(online_message{4, "raw"});
        refuses_what_is_cut_or_longer(full_question());
        refuses_what_is_cut_or_longer(
            listen_result_message{1, 2, to_wire(address::local("/x")), 2});
    }

    TEST_CASE("a question of the longest kind fits its frame") {
        auto asked = full_question();
        asked.candidates.assign(40, to_wire(address::ipv6({}, 80, 1)));
        asked.path = std::string(4096, 'x');
        byte_buffer bytes;
        encode_wire(asked, bytes);
        CHECK(bytes.size() <= rule_for(frame_kind::listen).longest);
    }

    TEST_CASE("an error keeps its number and its kind") {
        listen_result_message result;
        CHECK_FALSE(error_of(result));
        set_error(result, {EADDRINUSE, std::system_category()});
        CHECK(error_of(result) == std::error_code{EADDRINUSE, std::system_category()});
        result = {};
        set_error(result, errc::conflicting_options);
        CHECK(error_of(result) == errc::conflicting_options);
        result = {};
        set_error(result, std::make_error_code(std::errc::permission_denied));
        CHECK(error_of(result) == std::errc::permission_denied);
        result = {};
        set_error(result, {});
        CHECK_FALSE(error_of(result));
    }
}
