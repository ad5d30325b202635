// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_DETAIL_PROXY_PROTOCOL_HPP
#define CLUSTER_SCHEDULING_DETAIL_PROXY_PROTOCOL_HPP

#include "../../detail/os.hpp"
#include "../../net/address.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What the first bytes of a connection say of its client, by the PROXY protocol, versions 1 and 2.
struct proxy_header {
    enum class state {
        absent,     ///< no such header, a wrong one, or one that names no IP address
        incomplete, ///< what there is may be the beginning of one
        present,
    };
    /// The source address of a version 2 header ends long before.
    static constexpr std::size_t longest_version_1 = 107;

    state found = state::absent;
    address source; // without the port

    static proxy_header parse(std::span<const std::byte> bytes) noexcept;

private:
    static proxy_header parse_text(std::string_view text) noexcept;
    static proxy_header parse_binary(std::string_view bytes) noexcept;
    static proxy_header is(const address& source) noexcept {
        return {source.family() == address_family::none ? state::absent : state::present, source};
    }
    template <std::size_t Size>
    static auto bytes_of(std::string_view text) noexcept {
        std::array<std::uint8_t, Size> result;
        std::transform(text.begin(), text.begin() + Size, result.begin(), [](char each) {
            return static_cast<std::uint8_t>(each);
        });
        return result;
    }
};

// "PROXY TCP4 192.0.2.1 192.0.2.9 1234 80\r\n"
inline proxy_header proxy_header::parse_text(std::string_view text) noexcept {
    auto end = text.substr(0, longest_version_1).find("\r\n");
    if (end == text.npos) {
        return {text.size() < longest_version_1 ? state::incomplete : state::absent, {}};
    }
    auto rest = text.substr(0, end);
    std::array<std::string_view, 6> words; // PROXY, family, two addresses, two ports
    for (auto& each : words) {
        auto space = std::min(rest.find(' '), rest.size());
        each = rest.substr(0, space);
        rest.remove_prefix(std::min(space + 1, rest.size()));
    }
    auto source = os::parse_address(words[2]);
    auto wanted = words[1] == "TCP4"   ? address_family::ipv4
                  : words[1] == "TCP6" ? address_family::ipv6
                                       : address_family::none;
    bool well_formed = rest.empty() && source.family() == wanted &&
                       os::parse_address(words[3]).family() == wanted && !words[5].empty();
    return well_formed ? is(source) : proxy_header{};
}

// The signature, version and command, family, the length of the rest, the source address.
inline proxy_header proxy_header::parse_binary(std::string_view bytes) noexcept {
    constexpr std::size_t fixed_size = 16;
    if (bytes.size() < fixed_size) {
        return {state::incomplete, {}};
    }
    auto head = bytes_of<fixed_size>(bytes);
    std::size_t length = static_cast<std::size_t>(head[14]) << 8U | head[15];
    bool proxied = head[12] == 0x21; // 0x20: the proxy's own connection, such as a health check
    bool ipv4 = head[13] == 0x11 && length >= 12;
    bool ipv6 = head[13] == 0x21 && length >= 36;
    if (!proxied || (!ipv4 && !ipv6)) {
        return {};
    }
    bytes.remove_prefix(fixed_size);
    if (bytes.size() < (ipv4 ? 4U : 16U)) {
        return {state::incomplete, {}};
    }
    return is(ipv4 ? address::ipv4(bytes_of<4>(bytes), 0) : address::ipv6(bytes_of<16>(bytes), 0));
}

inline proxy_header proxy_header::parse(std::span<const std::byte> bytes) noexcept {
    constexpr std::string_view text_start = "PROXY ";
    constexpr std::string_view binary_start{"\r\n\r\n\0\r\nQUIT\n", 12};
    std::string_view all{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    auto begins = [all](std::string_view start) {
        auto both = std::min(all.size(), start.size());
        return all.substr(0, both) == start.substr(0, both);
    };
    if (begins(text_start)) { // also for no bytes at all, which are incomplete
        return parse_text(all);
    }
    return begins(binary_start) ? parse_binary(all) : proxy_header{};
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_DETAIL_PROXY_PROTOCOL_HPP
