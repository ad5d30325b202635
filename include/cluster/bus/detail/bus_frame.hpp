// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_BUS_FRAME_HPP
#define CLUSTER_BUS_DETAIL_BUS_FRAME_HPP

#include "../../byte_buffer.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// \file
/// What nodes say to each other: 20 bytes, little endian, and a payload.
///
/// | offset | field      | meaning                                                |
/// |--------|------------|--------------------------------------------------------|
/// | 0      | version    | u8, 1                                                  |
/// | 1      | kind       | u8, `bus_kind`                                         |
/// | 2      | reserved   | u16, zero                                              |
/// | 4      | serializer | u32, what its name hashes to                           |
/// | 8      | type       | u32, of the message; of a failure its `errc`           |
/// | 12     | id         | u64, of the request that it is or answers              |

enum class bus_kind : std::uint8_t {
    message = 1, // for the handlers of the node
    broadcast,   // and for the workers of its cluster
    request,
    reply, // up to here the payload is of the serializer
    failure,
    beat,           // bus_beat
    registry_claim, // bus_claims
    registry_drop,  // bus_claims
    registry_want,  // send me registry_state
    registry_state, // bus_claims: all that the node claims
};

struct bus_header {
    bus_kind kind = bus_kind::message;
    std::uint32_t serializer = 0;
    std::uint32_t type = 0;
    std::uint64_t id = 0;
};

inline constexpr std::size_t bus_header_size = 20;
inline constexpr std::uint8_t bus_version = 1;

inline void encode_bus_header(const bus_header& header, byte_buffer& out) {
    auto* at = out.extend(4);
    at[0] = static_cast<std::byte>(bus_version);
    at[1] = static_cast<std::byte>(header.kind);
    at[2] = at[3] = std::byte{0};
    out.append_le(header.serializer);
    out.append_le(header.type);
    out.append_le(header.id);
}

/// \returns false when the bytes are not from a node like us; else `bytes` is the payload.
inline bool decode_bus_header(std::span<const std::byte>& bytes, bus_header& header) noexcept {
    if (bytes.size() < bus_header_size || bytes[0] != static_cast<std::byte>(bus_version) ||
        bytes[2] != std::byte{0} || bytes[3] != std::byte{0}) {
        return false;
    }
    auto kind = static_cast<std::uint8_t>(bytes[1]);
    if (kind == 0 || kind > static_cast<std::uint8_t>(bus_kind::registry_state)) {
        return false;
    }
    header.kind = static_cast<bus_kind>(kind);
    header.serializer = load_little_endian<std::uint32_t>(bytes.data() + 4);
    header.type = load_little_endian<std::uint32_t>(bytes.data() + 8);
    header.id = load_little_endian<std::uint64_t>(bytes.data() + 12);
    bytes = bytes.subspan(bus_header_size);
    return true;
}

/// Says that the node lives, and what it claims, so that whoever has missed something asks.
struct bus_beat {
    std::uint64_t claims = 0;
    std::uint64_t digest = 0;
    bool hello = false; // answer with your own, at once
    bool bye = false;
};

struct bus_claim {
    std::string key;
    std::uint64_t stamp = 0; // microseconds since 1970, or more
};
struct bus_claims {
    std::uint32_t part = 0; // of a state: 0, 1, ...
    bool last = true;
    std::vector<bus_claim> claims;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_BUS_FRAME_HPP
