// SPDX-License-Identifier: MIT
#include <cluster/ipc/frame.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace {

using namespace cluster::detail;
using cluster::errc;

using bytes = std::array<std::byte, frame_header_size>;

constexpr bytes encoded(const frame_header& header) {
    bytes result{};
    encode_header(header, result);
    return result;
}

constexpr errc decoded(const bytes& from, direction way) {
    frame_header header;
    return decode_header(from, way, header);
}

constexpr errc arrival(const frame_header& header, direction way) {
    return decoded(encoded(header), way);
}

constexpr bool survives(const frame_header& header, direction way) {
    frame_header again;
    return decode_header(encoded(header), way, again) == errc{} && again == header;
}

constexpr auto to_worker = direction::to_worker;
constexpr auto to_primary = direction::to_primary;

// The layout is part of the protocol: both sides may be built from different commits.
static_assert(encoded({0x04030201, frame_kind::message, 1, 0x0d0c0b0a, 0x14131211}) ==
              bytes{std::byte{1},
                    std::byte{2},
                    std::byte{3},
                    std::byte{4},
                    std::byte{28},
                    std::byte{1},
                    std::byte{0},
                    std::byte{0},
                    std::byte{10},
                    std::byte{11},
                    std::byte{12},
                    std::byte{13},
                    std::byte{17},
                    std::byte{18},
                    std::byte{19},
                    std::byte{20}});
static_assert(frame_header_size == 16);
static_assert(static_cast<int>(frame_kind::welcome) == 1);
static_assert(static_cast<int>(frame_kind::online) == 14);
static_assert(static_cast<int>(frame_kind::message) == 28);
static_assert(last_frame_kind == 32);

static_assert(survives({0, frame_kind::disconnect, 0, 0, 0}, to_worker));
static_assert(survives({any_length, frame_kind::message, 1, 0xffffffff, 0xffffffff}, to_worker));
static_assert(survives({any_length, frame_kind::reply, 1, 0xffffffff, 0xffffffff}, to_primary));
static_assert(survives({0, frame_kind::connections, batch_limit, 7, 9}, to_worker));

// One of each rule, at compile time; all of them below.
static_assert(arrival({0, frame_kind::online, 0, 0, 0}, to_worker) == errc::bad_frame);
static_assert(arrival({0, frame_kind::welcome, 0, 0, 0}, to_primary) == errc::bad_frame);
static_assert(arrival({0, frame_kind::message, 2, 0, 0}, to_worker) == errc::too_many_descriptors);
static_assert(arrival({any_length + 1, frame_kind::message, 0, 0, 0}, to_worker) ==
              errc::message_too_large);
static_assert(arrival({0xffffffff, frame_kind::message, 0, 0, 0}, to_primary) ==
              errc::message_too_large);
static_assert(arrival({1, frame_kind::connections, 1, 0, 0}, to_worker) == errc::message_too_large);

/// What the protocol allows, written down a second time.
struct expectation {
    frame_kind kind;
    int to_worker;  // descriptors at most, -1: not at all
    int to_primary; // the same
    std::uint32_t longest;
};
constexpr expectation table[] = {{frame_kind::welcome, 5, -1, 64 << 20},
                                 {frame_kind::connections, 32, -1, 0},
                                 {frame_kind::listen_result, 2, -1, 4096},
                                 {frame_kind::adopt_listener, 1, -1, 0},
                                 {frame_kind::abandon_listener, 0, -1, 0},
                                 {frame_kind::recheck, 0, -1, 0},
                                 {frame_kind::disconnect, 0, -1, 0},
                                 {frame_kind::shutdown, 0, -1, 0},
                                 {frame_kind::announce_result, 0, -1, 0},
                                 {frame_kind::refork, 1, -1, 0},
                                 {frame_kind::lent_connections, 0, -1, 128},
                                 {frame_kind::share_result, 1, -1, 4096},
                                 {frame_kind::promote, 1, -1, 0},
                                 {frame_kind::online, -1, 0, 8192},
                                 {frame_kind::listen, -1, 0, 8192},
                                 {frame_kind::close_listener, -1, 0, 0},
                                 {frame_kind::taken, -1, 0, 0},
                                 {frame_kind::willing, -1, 0, 0},
                                 {frame_kind::running, -1, 0, 0},
                                 {frame_kind::ready, -1, 0, 0},
                                 {frame_kind::announce, -1, 0, 0},
                                 {frame_kind::relay, -1, 1, 64 << 20},
                                 {frame_kind::share, -1, 0, 4096},
                                 {frame_kind::join, -1, 0, 4096},
                                 {frame_kind::leave, -1, 0, 0},
                                 {frame_kind::reserve, 0, 0, 4096},
                                 {frame_kind::post, 0, 0, 64 << 20},
                                 {frame_kind::message, 1, 1, 64 << 20},
                                 {frame_kind::request, 1, 1, 64 << 20},
                                 {frame_kind::reply, 1, 1, 64 << 20},
                                 {frame_kind::failure, 0, 0, 4096},
                                 {frame_kind::moved, 1, 1, 0}};
static_assert(std::size(table) == last_frame_kind);

void check(const expectation& rule, direction way, int most) {
    for (int count = 0; count != 256; ++count) {
        frame_header header{0, rule.kind, static_cast<std::uint8_t>(count), 1, 2};
        auto expected = most < 0       ? errc::bad_frame
                        : count > most ? errc::too_many_descriptors
                                       : errc{};
        CHECK(arrival(header, way) == expected);
    }
    if (most >= 0) {
        CHECK(arrival({rule.longest, rule.kind, 0, 0, 0}, way) == errc{});
        CHECK(arrival({rule.longest + 1, rule.kind, 0, 0, 0}, way) == errc::message_too_large);
        CHECK(arrival({0xffffffff, rule.kind, 0, 0, 0}, way) == errc::message_too_large);
    }
}

} // namespace

TEST_SUITE("ipc/frame") {
    TEST_CASE("each kind goes its way with its descriptors and its length, and no other") {
        for (const auto& rule : table) {
            CAPTURE(static_cast<int>(rule.kind));
            check(rule, to_worker, rule.to_worker);
            check(rule, to_primary, rule.to_primary);
        }
    }

    TEST_CASE("kinds that do not exist are no frames") {
        auto good = encoded({0, frame_kind::message, 0, 0, 0});
        for (int kind = 0; kind != 256; ++kind) {
            auto bytes = good;
            bytes[4] = static_cast<std::byte>(kind);
            bool exists = kind >= 1 && kind <= last_frame_kind;
            if (!exists) {
                CHECK(decoded(bytes, to_worker) == errc::bad_frame);
                CHECK(decoded(bytes, to_primary) == errc::bad_frame);
                CHECK(rule_for(static_cast<frame_kind>(kind)).descriptors_to_worker == -1);
            } else {
                CHECK(
                    (decoded(bytes, to_worker) == errc{} || decoded(bytes, to_primary) == errc{}));
            }
        }
    }

    TEST_CASE("reserved bytes are zero") {
        auto good = encoded({0, frame_kind::message, 0, 0, 0});
        for (std::size_t at : {std::size_t{6}, std::size_t{7}}) {
            for (int bit = 0; bit != 8; ++bit) {
                auto bytes = good;
                bytes[at] = static_cast<std::byte>(1 << bit);
                CHECK(decoded(bytes, to_worker) == errc::bad_frame);
            }
        }
    }

    TEST_CASE("every header that may be sent arrives as it was") {
        for (const auto& rule : table) {
            for (std::uint32_t value : {0U, 1U, 0x80000000U, 0xffffffffU}) {
                auto way = rule.to_worker >= 0 ? to_worker : to_primary;
                CHECK(survives({rule.longest, rule.kind, 0, value, ~value}, way));
            }
        }
    }
}
