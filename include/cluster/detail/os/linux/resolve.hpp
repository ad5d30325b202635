// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_RESOLVE_HPP
#define CLUSTER_DETAIL_OS_LINUX_RESOLVE_HPP

#include "../../../net/address.hpp"
#include "socket.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <arpa/inet.h>
#include <netdb.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// The errors of getaddrinfo(3).
inline const std::error_category& resolver_category() noexcept {
    class category final : public std::error_category {
    public:
        [[nodiscard]] const char* name() const noexcept override { return "resolver"; }
        [[nodiscard]] std::string message(int code) const override { return ::gai_strerror(code); }
    };
    static const category instance;
    return instance;
}

/// The address, without a port, that a number such as "10.0.0.1" or "2001:db8::1" stands for;
/// none for everything else.
inline address parse_address(std::string_view number) noexcept {
    char text[INET6_ADDRSTRLEN] = "";
    if (number.size() >= sizeof text) {
        return {};
    }
    std::memcpy(text, number.data(), number.size());
    std::array<std::uint8_t, 4> four;
    std::array<std::uint8_t, 16> sixteen;
    if (::inet_pton(AF_INET, text, four.data()) == 1) {
        return address::ipv4(four, 0);
    }
    return ::inet_pton(AF_INET6, text, sixteen.data()) == 1 ? address::ipv6(sixteen, 0) : address{};
}

/// The addresses of a host name or number, in the order of preference; blocks for names only.
inline std::vector<address>
resolve(const std::string& host, std::uint16_t port, std::error_code& error) {
    std::vector<address> found;
    if (auto number = parse_address(host); number.family() != address_family::none) {
        error.clear();
        return {number.with_port(port)};
    }
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (code != 0) {
        error = code == EAI_SYSTEM ? last_error() : std::error_code{code, resolver_category()};
        return found;
    }
    for (addrinfo* each = list; each != nullptr; each = each->ai_next) {
        socket_address native;
        std::memcpy(&native.storage, each->ai_addr, each->ai_addrlen);
        native.length = each->ai_addrlen;
        found.push_back(from_native(native).with_port(port));
    }
    ::freeaddrinfo(list);
    error.clear();
    return found;
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_RESOLVE_HPP
