// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_BUS_ENVELOPE_HPP
#define CLUSTER_BUS_DETAIL_BUS_ENVELOPE_HPP

#include "../../byte_buffer.hpp"
#include "../../detail/os.hpp"
#include "../../detail/string_map.hpp"
#include "../concept.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace detail {

/// \file
/// What a bus over a server puts around a payload, because the server does not say who
/// has published, echoes, and loses things in silence: u8 version, u8 length of the node's name,
/// the name, u64 of the node's start, u64 number of the message on its channel.

struct bus_envelope {
    std::string_view node;
    std::uint64_t instance = 0;
    std::uint64_t number = 0;
    std::span<const std::byte> payload;
};

inline constexpr std::size_t bus_envelope_room = 2 + 128 + 16;

inline void encode_envelope(const bus_envelope& of, byte_buffer& out) {
    auto* at = out.extend(2);
    at[0] = std::byte{1};
    at[1] = static_cast<std::byte>(of.node.size());
    out.append(of.node.data(), of.node.size());
    out.append_le(of.instance);
    out.append_le(of.number);
    out.append(of.payload);
}

/// \returns false for bytes that no bus has written.
inline bool decode_envelope(std::span<const std::byte> bytes, bus_envelope& into) noexcept {
    if (bytes.size() < 2 || bytes[0] != std::byte{1}) {
        return false;
    }
    auto length = std::to_integer<std::size_t>(bytes[1]);
    bytes = bytes.subspan(2);
    if (bytes.size() < length + 16) {
        return false;
    }
    into.node = {reinterpret_cast<const char*>(bytes.data()), length};
    into.instance = load_little_endian<std::uint64_t>(bytes.data() + length);
    into.number = load_little_endian<std::uint64_t>(bytes.data() + length + 8);
    into.payload = bytes.subspan(length + 16);
    return valid_bus_name(into.node);
}

/// Numbers what this node publishes, for each channel.
class bus_numbers {
public:
    [[nodiscard]] std::uint64_t instance() const noexcept { return instance_; }

    /// The next one; it counts only when `taken` is called.
    std::uint64_t next(std::string_view channel) {
        constexpr std::size_t most_channels = 65536;
        if (channels_.size() == most_channels && !channels_.contains(channel)) {
            channels_.clear(); // a new life: receivers begin anew
            instance_ = os::random_seed();
        }
        return channels_[channel] + 1;
    }
    void taken(std::string_view channel) { ++channels_[channel]; }

private:
    std::uint64_t instance_ = os::random_seed();
    string_map<std::uint64_t> channels_;
};

/// Sees by the numbers what was lost and what has come twice.
class bus_gaps {
public:
    /// \returns false for what was here already; else `lost`, how many are missing before it.
    bool fresh(const bus_envelope& of, std::string_view channel, std::uint64_t& lost) {
        constexpr std::size_t most_publishers = 65536;
        lost = 0;
        std::string key{of.node};
        key += '\0';
        key += channel;
        auto* last = last_.find(key);
        if (last == nullptr) {
            if (last_.size() == most_publishers) {
                last_.clear(); // a flood of made-up names costs the knowledge, not the memory
            }
            last_[key] = {of.instance, of.number};
            return true;
        }
        if (last->instance == of.instance) {
            if (of.number <= last->number) {
                return false;
            }
            lost = of.number - last->number - 1;
        }
        *last = {of.instance, of.number};
        return true;
    }

private:
    struct seen {
        std::uint64_t instance = 0;
        std::uint64_t number = 0;
    };
    string_map<seen> last_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_BUS_ENVELOPE_HPP
