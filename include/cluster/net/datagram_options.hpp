// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_DATAGRAM_OPTIONS_HPP
#define CLUSTER_NET_DATAGRAM_OPTIONS_HPP

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace cluster {
inline namespace v0 {

/// Where a datagram socket is bound, and how.
///
/// By default workers that ask for one address share one socket, which the primary has bound and
/// keeps: a datagram goes to any of them, and one that dies takes none along that it has not read.
/// Asking for one address with different options is an error (`errc::conflicting_options`), as is
/// asking twice in one worker (EADDRINUSE).
///
/// For flows that stay with one worker use `reuse_port`: the system picks the socket by a hash of
/// both addresses and both ports, so that one client's datagrams arrive at one worker for as long
/// as no socket of the group opens or closes.
struct datagram_options {
    /// The longest UDP datagram that there is, over IPv6; over IPv4 it is 65507.
    static constexpr std::size_t longest = 65527;

    /// A number or a name, resolved in the caller (blocking for names). Empty: every interface,
    /// IPv6 and IPv4 where the system has IPv6, else IPv4; senders of IPv4 are then shown as
    /// IPv4-mapped addresses of IPv6.
    std::string host{};
    /// 0: the system picks one; the k-th such call of every worker shares the k-th port.
    std::uint16_t port = 0;
    /// An IPv6 address takes no IPv4 datagrams.
    bool ipv6_only = false;
    /// This worker alone binds the address; the primary is not asked.
    bool exclusive = false;
    /// A socket of this worker's own, which others with this option may bind to as well
    /// (SO_REUSEPORT). The primary is not asked, and does not keep it.
    bool reuse_port = false;
    /// Others may bind to the address, too (SO_REUSEADDR): each gets every datagram that is sent to
    /// a group or a broadcast address, the last one those to the address itself. Asking twice in
    /// one worker makes a second socket then.
    bool reuse_address = false;
    /// Datagrams may be sent to broadcast addresses.
    bool broadcast = false;
    /// The number of a datagram socket of the primary, or, with `exclusive`, of this process; the
    /// address fields are not used.
    int fd = -1;
    /// Bytes that the system holds for the socket each way; it doubles them and has its own limits.
    /// 0: as the system has it.
    std::uint32_t receive_buffer = 0;
    /// The same for what is sent.
    std::uint32_t send_buffer = 0;
    /// Bytes that wait here while the system's buffer is full, 128 of them for each datagram; what
    /// is sent beyond is dropped.
    std::size_t send_queue = 256 * 1024;
    /// Datagrams that are longer are not delivered but counted (datagram_counters::truncated).
    std::size_t max_size = longest;
    /// The most datagrams that one wake of the loop takes, 1 to 256. When the handler closes the
    /// socket, what was taken along with the datagram in its hands is lost: 1, where that matters.
    std::size_t batch = 32;
};

/// How datagrams to groups leave; what is empty stays as it is.
struct multicast_options {
    /// How many routers they may pass, 0 to 255; the system's default is 1.
    std::optional<int> ttl{};
    /// Whether sockets on this machine get them, too; the system's default is true.
    std::optional<bool> loopback{};
    /// The interface by which they leave, such as "eth0"; empty: the system's choice.
    std::optional<std::string> interface_name{};
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_NET_DATAGRAM_OPTIONS_HPP
