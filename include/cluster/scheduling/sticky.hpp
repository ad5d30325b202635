// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_STICKY_HPP
#define CLUSTER_SCHEDULING_STICKY_HPP

/// \file
/// A client meets the same worker whenever it comes: `sticky<Key>`, and what can be its key.

#include "../detail/proxy_protocol.hpp"
#include "../fwd.hpp"
#include "concept.hpp"
#include "detail/rendezvous.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

template <unsigned IPv4Bits, unsigned IPv6Bits>
constexpr bool check_network() {
    static_assert(IPv4Bits >= 1 && IPv4Bits <= 32 && IPv6Bits >= 1 && IPv6Bits <= 128,
                  "sticky_key::client_network: a network has 1 to 32 bits of an IPv4 address and 1 "
                  "to 128 of an IPv6 one.");
    return true;
}

} // namespace detail

namespace scheduling {

/// Keys: what two connections have in common when they belong together. A key of one's own is a
/// default constructible type with
///
///     sticky_key::value operator()(const cluster::connection_info& from) const;
///     static constexpr std::size_t peeks = 1024; // if it looks at from.first_bytes
///     static constexpr std::string_view name = "sticky_session"; // for from_environment
namespace sticky_key {

/// What a key may say instead of a number.
enum class unknown {
    more, ///< it needs more of the first bytes
    none, ///< this connection has none: the client's address has to do
};
/// What a key returns that needs more of the first bytes.
inline constexpr auto more = unknown::more;
/// What a key returns for a connection that has none.
inline constexpr auto none = unknown::none;

/// What a key says: a number, which should be spread evenly over all 32 bits or be small; a text,
/// which is hashed; or an `unknown`.
class value {
public:
    constexpr value(std::uint32_t hash) noexcept : hash_{hash}, known_{true} {}
    template <std::convertible_to<std::string_view> Text>
    constexpr value(const Text& text) noexcept : hash_{0x811c9dc5U}, known_{true} {
        for (char each : std::string_view{text}) { // FNV-1a
            hash_ = (hash_ ^ static_cast<unsigned char>(each)) * 0x01000193U;
        }
    }
    constexpr value(unknown why) noexcept : why_{why} {}

    [[nodiscard]] constexpr explicit operator bool() const noexcept { return known_; }
    /// \pre it is known
    [[nodiscard]] constexpr std::uint32_t hash() const noexcept { return hash_; }
    /// Whether it is `more`.
    [[nodiscard]] constexpr bool needs_more() const noexcept { return !known_ && why_ == more; }

private:
    std::uint32_t hash_ = 0;
    unknown why_ = none;
    bool known_ = false;
};

/// The client's IP address; none for UNIX sockets.
struct client_address {
    constexpr value operator()(const connection_info& from) const noexcept {
        auto bytes = detail::ip_bytes(from.remote);
        return bytes.empty() ? value{none} : value{detail::client_hash(bytes)};
    }
};

/// The first bits of it: clients of one network come together.
template <unsigned IPv4Bits, unsigned IPv6Bits>
struct client_network {
    static_assert(detail::check_network<IPv4Bits, IPv6Bits>());
    static constexpr std::string_view name = "sticky_network";

    constexpr value operator()(const connection_info& from) const noexcept {
        auto bytes = detail::ip_bytes(from.remote);
        if (bytes.empty()) {
            return none;
        }
        std::array<std::uint8_t, 16> network{};
        unsigned left = bytes.size() == 4 ? IPv4Bits : IPv6Bits;
        for (std::size_t i = 0; i != bytes.size(); ++i) {
            unsigned bits = left < 8 ? left : 8;
            network[i] = static_cast<std::uint8_t>(bytes[i] & 0xff00U >> bits);
            left -= bits;
        }
        return detail::client_hash(std::span{network}.first(bytes.size()));
    }
};

/// The address that a proxy in front of us says, by the PROXY protocol, versions 1 and 2. The
/// header is left for the worker to read. Whoever can connect can claim any address: only for
/// listeners that nobody but the proxy reaches.
struct proxy_address {
    static constexpr std::string_view name = "sticky_proxy";
    static constexpr std::size_t peeks = detail::proxy_header::longest_version_1;

    value operator()(const connection_info& from) const noexcept {
        auto header = detail::proxy_header::parse(from.first_bytes);
        switch (header.found) {
        case detail::proxy_header::state::present:
            return detail::client_hash(header.source);
        case detail::proxy_header::state::incomplete:
            return more;
        case detail::proxy_header::state::unnamed:
        case detail::proxy_header::state::absent:
            break;
        }
        return none;
    }
};

} // namespace sticky_key

/// Satisfied by what can be the key of `sticky`.
template <typename Key>
concept sticky_key_function =
    std::default_initializable<Key> && requires(const Key& key, const connection_info& from) {
        { key(from) } -> std::convertible_to<sticky_key::value>;
    };

} // namespace scheduling

namespace detail {

template <typename Key>
constexpr bool check_sticky() {
    static_assert(scheduling::sticky_key_function<Key>,
                  "scheduling::sticky: the key must be a default constructible type with "
                  "`sticky_key::value operator()(const cluster::connection_info& from) const`.");
    return true;
}

} // namespace detail

namespace scheduling {

/// A `scheduling_policy`: the primary accepts and connections with the same key always meet the
/// same worker, however it got to its place: a replacement inherits the clients. Which place, says
/// a rendezvous hash (detail/rendezvous.hpp): when a worker dies, stalls or goes, its clients, and
/// no others, move to the workers that are left, and they come back when its place is filled or it
/// answers again; a place more takes its share from all the others.
///
/// A connection without a key has that of its client's address; without an address it goes to the
/// next in turn. A worker that is behind keeps its clients waiting, up to 1,024 of them.
template <typename Key>
class sticky {
    static_assert(detail::check_sticky<Key>());

public:
    static constexpr std::string_view name = detail::policy_name<Key>("sticky");
    static constexpr auto accepts_in = accept_site::primary;
    static constexpr bool waits_for_one = true;
    static constexpr std::size_t peeks = detail::constant_peeks<Key>();

    template <typename Candidates>
    [[nodiscard]] choice pick(const Candidates& ready, const connection_info& from) const {
        if constexpr (sticky_key_function<Key>) {
            sticky_key::value key = key_(from);
            if (key.needs_more() && from.more_may_come) {
                return refusal::more_bytes;
            }
            if (!key) {
                key = sticky_key::client_address{}(from);
            }
            if (key) {
                return detail::rendezvous(ready, key.hash());
            }
        }
        return refusal::fallback;
    }

private:
    [[no_unique_address]] Key key_{};
};

static_assert(scheduling_policy<sticky<>>);
static_assert(scheduling_policy<sticky<sticky_key::client_network<>>>);
static_assert(scheduling_policy<sticky<sticky_key::proxy_address>>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_STICKY_HPP
