// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_UNIX_FRAME_HPP
#define CLUSTER_BUS_DETAIL_UNIX_FRAME_HPP

#include "../../byte_buffer.hpp"
#include "../../error.hpp"
#include "../../ipc/channel.hpp"
#include "../../ipc/frame.hpp"
#include "../concept.hpp"
#include "bus_envelope.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>

namespace cluster {
inline namespace v0 {
namespace detail {

/// \file
/// What the nodes of a unix_bus and their hub say to each other: frames of ipc/frame.hpp of kind
/// `post`, which carry no descriptors, and whose type is a `unix_word`.

enum class unix_word : std::uint32_t {
    // to the hub
    hello = 1, // u8 version, the node's name
    // to a node
    welcome, // it takes part; u32, how many do, the hub among them
    refused, // u8 unix_refusal; the connection ends
    beat,    // the hub is alive; u32, as of welcome
    // both
    letter, // unix_letter
};

inline constexpr std::uint8_t unix_bus_version = 1;
inline constexpr std::size_t unix_max_payload = 8 * 1024 * 1024;

enum class unix_refusal : std::uint8_t { name_is_taken = 1, other_version, no_room };

inline std::error_code error_of(unix_refusal why) noexcept {
    switch (why) {
    case unix_refusal::name_is_taken:
        return std::make_error_code(std::errc::address_in_use);
    case unix_refusal::no_room:
        return std::make_error_code(std::errc::no_buffer_space);
    default:
        return errc::protocol_mismatch;
    }
}

/// A message on its way: u8 and the receiver's name (none: all others), u8 and the subject, and the
/// envelope of its publisher.
struct unix_letter {
    std::string_view to;
    std::string_view subject;
    std::span<const std::byte> envelope;
};

/// Appends all but the envelope.
inline void put_address(std::string_view to, std::string_view subject, byte_buffer& out) {
    for (auto each : {to, subject}) {
        *out.extend(1) = static_cast<std::byte>(each.size());
        out.append(each.data(), each.size());
    }
}

/// \returns false for bytes that no node has sent.
inline bool decode_letter(std::span<const std::byte> bytes, unix_letter& into) noexcept {
    for (auto* each : {&into.to, &into.subject}) {
        auto length = bytes.empty() ? 0 : std::to_integer<std::size_t>(bytes[0]);
        if (bytes.size() <= length) {
            return false;
        }
        *each = {reinterpret_cast<const char*>(bytes.data()) + 1, length};
        bytes = bytes.subspan(1 + length);
    }
    into.envelope = bytes;
    return (into.to.empty() || valid_bus_name(into.to)) && valid_bus_name(into.subject);
}

inline void say(channel& to, unix_word word, std::span<const std::byte> payload = {}) {
    frame_header header;
    header.kind = frame_kind::post;
    header.type = static_cast<std::uint32_t>(word);
    to.send(
        header, [payload](byte_buffer& out) { out.append(payload); }, {}, {}, true);
}

inline void say_count(channel& to, unix_word word, std::size_t nodes) {
    std::byte count[4];
    store_little_endian(count, static_cast<std::uint32_t>(nodes));
    say(to, word, count);
}

/// Says a letter if there is room for it in a queue of so many bytes; one has always room.
inline bool pass_letter(channel& to, std::span<const std::byte> letter, std::size_t queue) {
    if (to.queued() != 0 && to.queued() + letter.size() > queue) {
        return false;
    }
    say(to, unix_word::letter, letter);
    return true;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_UNIX_FRAME_HPP
