// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_ADDRESS_HPP
#define CLUSTER_NET_ADDRESS_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cluster {
inline namespace v0 {

/// What kind of address an `address` holds.
enum class address_family : std::uint8_t { none, ipv4, ipv6, local };

/// The address of a socket: IPv4, IPv6, or the path of a UNIX socket. A value of 120 bytes,
/// trivially copyable; a client of a UNIX socket usually has none.
class address {
public:
    /// The longest path of a UNIX socket.
    static constexpr std::size_t max_path = 107;

    constexpr address() noexcept = default;

    /// `bytes` in network order, `port` in host order.
    static constexpr address ipv4(std::array<std::uint8_t, 4> bytes, std::uint16_t port) noexcept {
        address result;
        result.family_ = address_family::ipv4;
        result.port_ = port;
        result.assign(bytes);
        return result;
    }

    /// `scope` is the interface number of a link-local address.
    static constexpr address
    ipv6(std::array<std::uint8_t, 16> bytes, std::uint16_t port, std::uint32_t scope = 0) noexcept {
        address result;
        result.family_ = address_family::ipv6;
        result.port_ = port;
        result.scope_ = scope;
        result.assign(bytes);
        return result;
    }

    /// A UNIX socket; a path beyond `max_path` gives an address of no family. A leading NUL names
    /// an abstract socket.
    static constexpr address local(std::string_view path) noexcept {
        address result;
        if (path.size() <= max_path) {
            result.family_ = address_family::local;
            result.length_ = static_cast<std::uint8_t>(path.size());
            for (std::size_t i = 0; i != path.size(); ++i) {
                result.bytes_[i] = static_cast<std::uint8_t>(path[i]);
            }
        }
        return result;
    }

    [[nodiscard]] constexpr address_family family() const noexcept { return family_; }
    [[nodiscard]] constexpr std::uint16_t port() const noexcept { return port_; }
    /// The interface of a link-local IPv6 address; 0: none.
    [[nodiscard]] constexpr std::uint32_t scope() const noexcept { return scope_; }

    /// 4 or 16 bytes in network order, or those of the path.
    [[nodiscard]] constexpr std::span<const std::uint8_t> bytes() const noexcept {
        return {bytes_.data(), length_};
    }

    /// The path of a UNIX socket; empty for the other families.
    [[nodiscard]] std::string path() const {
        return family_ == address_family::local
                   ? std::string{bytes_.begin(), bytes_.begin() + length_}
                   : std::string{};
    }

    /// The host without the port, such as "127.0.0.1" or "::1"; the path of a UNIX socket.
    [[nodiscard]] std::string host() const {
        switch (family_) {
        case address_family::ipv4:
            return ipv4_text();
        case address_family::ipv6:
            return ipv6_text();
        case address_family::local:
            return path_text();
        case address_family::none:
            break;
        }
        return {};
    }

    /// "127.0.0.1:8000", "[::1]:8000", "/run/server.sock", "@name" (abstract) or "-" for none.
    [[nodiscard]] std::string to_string() const {
        switch (family_) {
        case address_family::ipv4:
            return ipv4_text() + ':' + std::to_string(port_);
        case address_family::ipv6:
            return '[' + ipv6_text() + "]:" + std::to_string(port_);
        case address_family::local:
            return path_text();
        case address_family::none:
            break;
        }
        return "-";
    }

    /// The same address with another port.
    [[nodiscard]] constexpr address with_port(std::uint16_t port) const noexcept {
        address result = *this;
        result.port_ = port;
        return result;
    }

    friend constexpr bool operator==(const address&, const address&) noexcept = default;

private:
    constexpr void assign(std::span<const std::uint8_t> bytes) noexcept {
        length_ = static_cast<std::uint8_t>(bytes.size());
        for (std::size_t i = 0; i != bytes.size(); ++i) {
            bytes_[i] = bytes[i];
        }
    }

    [[nodiscard]] std::string ipv4_text(std::size_t from = 0) const {
        std::string text;
        for (std::size_t i = from; i != from + 4; ++i) {
            text += (i == from ? "" : ".") + std::to_string(bytes_[i]);
        }
        return text;
    }

    [[nodiscard]] constexpr unsigned group(std::size_t i) const noexcept {
        return static_cast<unsigned>(bytes_[2 * i]) << 8U | bytes_[2 * i + 1];
    }

    [[nodiscard]] constexpr bool is_v4_mapped() const noexcept {
        for (std::size_t i = 0; i != 5; ++i) {
            if (group(i) != 0) {
                return false;
            }
        }
        return group(5) == 0xffff;
    }

    // RFC 5952: lower case, the longest run of zero groups (two at least, the first of equals)
    // becomes "::", mapped IPv4 in dots.
    [[nodiscard]] std::string ipv6_text() const {
        if (is_v4_mapped()) {
            return "::ffff:" + ipv4_text(12);
        }
        std::size_t run_start = 8;
        std::size_t run_length = 1;
        for (std::size_t i = 0; i < 8;) {
            std::size_t end = i;
            while (end < 8 && group(end) == 0) {
                ++end;
            }
            if (end - i > run_length) {
                run_start = i;
                run_length = end - i;
            }
            i = end + 1;
        }
        std::string text;
        for (std::size_t i = 0; i < 8; ++i) {
            if (i == run_start) {
                text += "::";
                i += run_length - 1;
                continue;
            }
            if (!text.empty() && text.back() != ':') {
                text += ':';
            }
            text += hex(group(i));
        }
        return scope_ == 0 ? text : text + '%' + std::to_string(scope_);
    }

    static std::string hex(unsigned value) {
        std::string text;
        for (int shift = 12; shift >= 0; shift -= 4) {
            unsigned digit = value >> static_cast<unsigned>(shift) & 0xfU;
            if (digit != 0 || !text.empty() || shift == 0) {
                text += "0123456789abcdef"[digit];
            }
        }
        return text;
    }

    [[nodiscard]] std::string path_text() const {
        std::string text = path();
        if (!text.empty() && text.front() == '\0') {
            text.front() = '@';
        }
        return text;
    }

    address_family family_ = address_family::none;
    std::uint8_t length_ = 0;
    std::uint16_t port_ = 0;
    std::uint32_t scope_ = 0;
    std::array<std::uint8_t, max_path + 1> bytes_{};
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_NET_ADDRESS_HPP
