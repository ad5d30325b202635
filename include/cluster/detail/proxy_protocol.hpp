// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PROXY_PROTOCOL_HPP
#define CLUSTER_DETAIL_PROXY_PROTOCOL_HPP

#include "../net/address.hpp"
#include "algorithm.hpp"
#include "number.hpp"
#include "os.hpp"

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
        absent,     ///< no such header, or a wrong one
        incomplete, ///< what there is may be the beginning of one
        unnamed,    ///< one that names no IP address: a health check, a UNIX socket
        present,
    };
    /// The source address of a version 2 header ends long before.
    static constexpr std::size_t longest_version_1 = 107;

    state found = state::absent;
    address source;
    std::size_t length = 0; ///< of the whole header, which may go on behind what there is

    static proxy_header parse(std::span<const std::byte> bytes) noexcept;

private:
    static proxy_header parse_text(std::string_view text) noexcept;
    static proxy_header parse_binary(std::string_view bytes) noexcept;
    template <std::size_t Size>
    static auto bytes_of(std::string_view text) noexcept {
        std::array<std::uint8_t, Size> result;
        for (std::size_t i = 0; i != Size; ++i) {
            result[i] = static_cast<std::uint8_t>(text[i]);
        }
        return result;
    }
    static std::uint16_t port_of(std::string_view two) noexcept {
        auto bytes = bytes_of<2>(two);
        return static_cast<std::uint16_t>(bytes[0] << 8U | bytes[1]);
    }
};

// "PROXY TCP4 192.0.2.1 192.0.2.9 1234 80\r\n"
inline proxy_header proxy_header::parse_text(std::string_view text) noexcept {
    auto end = text.substr(0, longest_version_1).find("\r\n");
    if (end == text.npos) {
        return {text.size() < longest_version_1 ? state::incomplete : state::absent, {}};
    }
    auto length = end + 2;
    auto rest = text.substr(0, end);
    std::array<std::string_view, 6> words; // PROXY, family, two addresses, two ports
    for (auto& each : words) {
        auto space = detail::min(rest.find(' '), rest.size());
        each = rest.substr(0, space);
        rest.remove_prefix(detail::min(space + 1, rest.size()));
    }
    auto source = os::parse_address(words[2]);
    auto wanted = words[1] == "TCP4"   ? address_family::ipv4
                  : words[1] == "TCP6" ? address_family::ipv6
                                       : address_family::none;
    if (words[1] == "UNKNOWN") {
        return {state::unnamed, {}, length};
    }
    std::uint16_t port = 0;
    bool well_formed = rest.empty() && source.family() == wanted &&
                       wanted != address_family::none &&
                       os::parse_address(words[3]).family() == wanted && !words[5].empty() &&
                       read_number(words[4], port);
    return well_formed ? proxy_header{state::present, source.with_port(port), length}
                       : proxy_header{};
}

// The signature, version and command, family, the length of the rest, the source address.
inline proxy_header proxy_header::parse_binary(std::string_view bytes) noexcept {
    constexpr std::size_t fixed_size = 16;
    if (bytes.size() < fixed_size) {
        return {state::incomplete, {}};
    }
    auto head = bytes_of<fixed_size>(bytes);
    std::size_t length = static_cast<std::size_t>(head[14]) << 8U | head[15];
    bool version_2 = head[12] == 0x20 || head[12] == 0x21;
    bool proxied = head[12] == 0x21; // 0x20: the proxy's own connection, such as a health check
    bool ipv4 = head[13] == 0x11;
    bool ipv6 = head[13] == 0x21;
    std::size_t addresses = ipv4 ? 12 : ipv6 ? 36 : 0;
    if (!version_2 || (proxied && length < addresses)) {
        return {};
    }
    if (!proxied || addresses == 0) {
        return {state::unnamed, {}, fixed_size + length};
    }
    bytes.remove_prefix(fixed_size);
    if (bytes.size() < addresses) {
        return {state::incomplete, {}};
    }
    auto port = port_of(bytes.substr(addresses - 4));
    auto source =
        ipv4 ? address::ipv4(bytes_of<4>(bytes), port) : address::ipv6(bytes_of<16>(bytes), port);
    return {state::present, source, fixed_size + length};
}

inline proxy_header proxy_header::parse(std::span<const std::byte> bytes) noexcept {
    constexpr std::string_view text_start = "PROXY ";
    constexpr std::string_view binary_start{"\r\n\r\n\0\r\nQUIT\n", 12};
    std::string_view all{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    auto begins = [all](std::string_view start) {
        auto both = detail::min(all.size(), start.size());
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

#endif // CLUSTER_DETAIL_PROXY_PROTOCOL_HPP
