// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_LISTEN_OPTIONS_HPP
#define CLUSTER_NET_LISTEN_OPTIONS_HPP

#include "../detail/chrono.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cluster {
inline namespace v0 {

/// What becomes of connections for which no descriptor is left.
enum class pressure {
    wait, ///< they stay in the kernel's queue until there is one
    shed  ///< they are accepted and closed at once: a descriptor is kept in reserve for that
};

/// Where a server listens, and how. Workers that ask for the same address share it; asking for one
/// address with different options is an error (`errc::conflicting_options`), as is asking twice in
/// one worker (EADDRINUSE).
struct listen_options {
    /// No maximum.
    static constexpr std::size_t unlimited = static_cast<std::size_t>(-1);

    /// Several addresses for one server, in place of the fields for a single one: "127.0.0.1:80",
    /// "[::1]:80", "name:80", "*:80" (every interface), "/run/app.sock", "unix:app.sock", "@name"
    /// (abstract). The other options hold for each of them; all are bound, or none.
    std::vector<std::string> addresses{};
    /// A number or a name, resolved in the caller (blocking for names). Empty: every interface,
    /// IPv6 and IPv4 where the system has IPv6, else IPv4.
    std::string host{};
    /// 0: the system picks one; the k-th such call of every worker shares the k-th port.
    std::uint16_t port = 0;
    /// A UNIX socket instead; relative to the caller's working directory. The file is removed when
    /// the last worker stops listening; one that a crashed server left is taken over.
    std::string path{};
    /// `path` is a name without a file, which anybody on this machine may take first.
    bool abstract = false;
    /// The queue of connections that nobody has accepted yet. The system may clip it, which
    /// event::backlog_clipped tells.
    int backlog = 511;
    /// An IPv6 address takes no IPv4 clients.
    bool ipv6_only = false;
    /// This worker alone binds the address; the primary is not asked.
    bool exclusive = false;
    /// A socket per worker, whatever the cluster's scheduling policy is.
    bool reuse_port = false;
    /// The number of a listening descriptor of the primary; the address fields are not used.
    int fd = -1;
    /// A socket that systemd has opened for the primary, by its name there (FileDescriptorName=, by
    /// default the socket unit's name); the address fields are not used.
    std::string activated{};
    /// The access mode of a UNIX socket's file, such as 0660; 0: as the umask has it.
    unsigned mode = 0;
    /// The numbers of the user and the group that own a UNIX socket's file; by default ours.
    std::optional<unsigned> owner{};
    std::optional<unsigned> group{};
    /// The most connections that this worker has open at a time.
    std::size_t max_connections = unlimited;
    /// What happens to connections beyond: false, they wait for this worker or go to another;
    /// true, they are accepted and closed (server::on_drop).
    bool drop_beyond_max = false;
    /// The same limit for all workers together. Whatever the scheduling policy is, the primary
    /// accepts then: somebody has to count.
    std::size_t max_cluster_connections = unlimited;
    /// When the process that accepts has as many descriptors as it may (RLIMIT_NOFILE); see also
    /// event::fd_pressure. That is the primary where it hands connections out, else the worker. For
    /// want of memory, or of descriptors of the whole system, connections wait in any case.
    pressure under_pressure = pressure::wait;
    /// Every connection begins with a PROXY header, version 1 or 2, which is read before the handler
    /// gets it: connection::remote() is the client that the proxy names. One without it, or late by
    /// five seconds, is closed. Only where nobody but the proxy can connect.
    bool proxy_protocol = false;
    /// Small writes leave at once (TCP_NODELAY).
    bool no_delay = true;
    /// A connection that is silent for so long is probed, and ends when the peer is gone
    /// (SO_KEEPALIVE, TCP_KEEPIDLE); zero: never.
    std::chrono::seconds keep_alive{0};
    /// A connection arrives when its first bytes do, or after so long (TCP_DEFER_ACCEPT).
    std::chrono::seconds defer_accept{0};
    /// Clients that come again may send with their first packet; the most of them that wait
    /// (TCP_FASTOPEN). Zero: off.
    int fast_open = 0;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_NET_LISTEN_OPTIONS_HPP
