// SPDX-License-Identifier: MIT
#ifndef CLUSTER_IPC_FRAME_HPP
#define CLUSTER_IPC_FRAME_HPP

#include "../detail/memory.hpp"
#include "../detail/moved_value.hpp"
#include "../error.hpp"
#include "../unique_fd.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// \file
/// What travels between a primary and one worker: frames of a 16-byte little-endian header and a
/// payload. Nothing here calls the system; a length, a kind or a count from the wire is checked
/// before it is used.
///
/// | offset | field    | meaning                                                            |
/// |--------|----------|--------------------------------------------------------------------|
/// | 0      | length   | u32, bytes of payload                                              |
/// | 4      | kind     | u8, `frame_kind`                                                   |
/// | 5      | fds      | u8, descriptors that came with the first byte of this frame        |
/// | 6      | reserved | u16, zero                                                          |
/// | 8      | type     | u32, the type of a message, the key of a listener                  |
/// | 12     | sequence | u32, what a reply answers, the first connection of a batch         |

/// The version of everything in this file, and of the memory that both sides map; they must agree.
inline constexpr std::uint32_t protocol_version = 10;
inline constexpr std::size_t frame_header_size = 16;

enum class frame_kind : std::uint8_t {
    // primary to worker
    welcome = 1,   // who the worker is; with the control page, perhaps the memory of its transport,
                   // perhaps what its stderr shall become
    connections,   // accepted connections of one listener
    listen_result, // the answer to `listen`: an error, or an address and perhaps a socket
    adopt_listener, // another socket of the same listener, whose slot has no worker now
    abandon_listener,
    recheck,          // one who shares the socket is gone: what it was woken for is still there
    disconnect,       // finish and go
    shutdown,         // the cluster is about to end
    announce_result,  // the primary knows that this worker leaves on purpose
    refork,           // a copy of the worker as it is now starts others from now on
    lent_connections, // to a thread: the numbers of descriptors that stay the primary's until taken
    share_result,     // the answer to `share`: an error, or the memory
    promote,          // to a spare: the channel of the worker that it becomes
    // worker to primary
    online,
    listen,
    close_listener,
    taken,    // look at the control page
    willing,  // takes connections of this listener again
    running,  // its loop turns (type 1: not any more)
    ready,    // it can do its work (type 1: it will say so)
    announce, // leaves on purpose
    relay,    // a message for another worker (sequence: its id) or all others (0)
    share,    // asks for memory by its name
    join,     // takes part in what is posted under a name; sequence: what it calls it
    leave,    // no longer (sequence: as at `join`)
    // both
    reserve, // first of all instead of the welcome: who gets it is a spare; its title. It says the
             // same when it has come as far as its role
    post,    // to all others who take part; sequence: as the worker called it at `join`
    message,
    request,
    reply,
    failure, // the reply that a request failed
    moved,   // between threads: a message that travels beside the bytes
};
inline constexpr std::uint8_t last_frame_kind = static_cast<std::uint8_t>(frame_kind::moved);

struct frame_header {
    std::uint32_t length = 0;
    frame_kind kind = frame_kind::message;
    std::uint8_t descriptors = 0;
    std::uint32_t type = 0;
    std::uint32_t sequence = 0;

    friend constexpr bool operator==(const frame_header&, const frame_header&) = default;
};

/// Which way a frame goes.
enum class direction : std::uint8_t { to_worker, to_primary };

/// What the rules allow of one kind of frame, each way: the most descriptors (-1: not at all) and
/// the longest payload.
struct frame_rule {
    int descriptors_to_worker;
    int descriptors_to_primary;
    std::uint32_t longest;
};

inline constexpr std::uint32_t any_length = 64U << 20U;
inline constexpr int batch_limit = 32; // connections in one frame

constexpr frame_rule describe_rule(frame_kind kind) noexcept {
    switch (kind) {
    case frame_kind::welcome:
        return {5, -1, any_length};
    case frame_kind::connections:
        return {batch_limit, -1, 0};
    case frame_kind::lent_connections:
        return {0, -1, batch_limit * sizeof(int)};
    case frame_kind::listen_result: // the socket, and where to tell the load
        return {2, -1, 4096};
    case frame_kind::adopt_listener:
    case frame_kind::refork:
    case frame_kind::promote:
        return {1, -1, 0};
    case frame_kind::abandon_listener:
    case frame_kind::recheck:
    case frame_kind::disconnect:
    case frame_kind::shutdown:
    case frame_kind::announce_result:
        return {0, -1, 0};
    case frame_kind::online:
    case frame_kind::listen:
        return {-1, 0, 8192};
    case frame_kind::close_listener:
    case frame_kind::taken:
    case frame_kind::willing:
    case frame_kind::running:
    case frame_kind::ready:
    case frame_kind::announce:
        return {-1, 0, 0};
    case frame_kind::share_result:
        return {1, -1, 4096};
    case frame_kind::share:
    case frame_kind::join:
        return {-1, 0, 4096};
    case frame_kind::leave:
        return {-1, 0, 0};
    case frame_kind::relay:
        return {-1, 1, any_length};
    case frame_kind::reserve:
        return {0, 0, 4096};
    case frame_kind::post:
        return {0, 0, any_length};
    case frame_kind::message:
    case frame_kind::request:
    case frame_kind::reply:
        return {1, 1, any_length};
    case frame_kind::failure:
        return {0, 0, 4096};
    case frame_kind::moved:
        return {1, 1, 0};
    }
    return {-1, -1, 0};
}

/// The same from a table: looked at for every frame, each way.
inline constexpr auto frame_rules = [] {
    std::array<frame_rule, 256> all{};
    for (std::size_t i = 0; i != all.size(); ++i) {
        all[i] = describe_rule(static_cast<frame_kind>(i));
    }
    return all;
}();
constexpr const frame_rule& rule_for(frame_kind kind) noexcept {
    return frame_rules[static_cast<std::size_t>(kind)];
}

/// Whether a frame may arrive at all; `errc{}` when it may.
constexpr errc check_frame(const frame_header& header, direction way) noexcept {
    const auto& rule = rule_for(header.kind);
    int most =
        way == direction::to_worker ? rule.descriptors_to_worker : rule.descriptors_to_primary;
    if (most < 0) {
        return errc::bad_frame;
    }
    if (header.descriptors > most) {
        return errc::too_many_descriptors;
    }
    return header.length > rule.longest ? errc::message_too_large : errc{};
}

constexpr void store_le(std::span<std::byte> at, std::uint32_t value) noexcept {
    for (std::size_t i = 0; i != 4; ++i) {
        at[i] = static_cast<std::byte>(value >> (8 * i));
    }
}

constexpr std::uint32_t load_le(std::span<const std::byte> from) noexcept {
    auto at = [from](std::size_t i) { return static_cast<std::uint32_t>(from[i]) << (8 * i); };
    return at(0) | at(1) | at(2) | at(3); // one load; GCC 12 makes none of a loop
}

constexpr void encode_header(const frame_header& header,
                             std::span<std::byte, frame_header_size> into) noexcept {
    store_le(into.first(4), header.length);
    into[4] = static_cast<std::byte>(header.kind);
    into[5] = static_cast<std::byte>(header.descriptors);
    into[6] = into[7] = std::byte{0};
    store_le(into.subspan(8, 4), header.type);
    store_le(into.subspan(12, 4), header.sequence);
}

/// Reads 16 bytes that anybody may have sent; `errc{}` when they are a frame that may come this
/// way.
constexpr errc decode_header(std::span<const std::byte, frame_header_size> from,
                             direction way,
                             frame_header& header) noexcept {
    auto kind = static_cast<std::uint8_t>(from[4]);
    if (kind == 0 || kind > last_frame_kind || from[6] != std::byte{0} || from[7] != std::byte{0}) {
        return errc::bad_frame;
    }
    header.length = load_le(from.first(4));
    header.kind = static_cast<frame_kind>(kind);
    header.descriptors = static_cast<std::uint8_t>(from[5]);
    header.type = load_le(from.subspan(8, 4));
    header.sequence = load_le(from.subspan(12, 4));
    return check_frame(header, way);
}

/// A frame as it is handed to the side that it is for. The payload is good until the receiver
/// returns to the channel.
struct frame {
    frame_header header;
    std::span<const std::byte> payload;
    std::vector<unique_fd> descriptors;
    bool truncated = false;               // fewer descriptors than sent: some were lost on the way
    std::unique_ptr<moved_value> value{}; // of kind `moved`

    /// Bytes of what a user has sent with it, encoded or moved.
    [[nodiscard]] std::size_t content_size() const noexcept {
        return payload.size() + (value ? value->weight() : 0);
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_IPC_FRAME_HPP
