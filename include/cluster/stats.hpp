// SPDX-License-Identifier: MIT
#ifndef CLUSTER_STATS_HPP
#define CLUSTER_STATS_HPP

#include "detail/chrono.hpp"
#include "exit_status.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cluster {
inline namespace v0 {

/// A worker, as the primary sees it. Counts are since the worker's start; "sent" is by
/// the primary to the worker.
struct worker_stats {
    std::uint32_t id = 0;         ///< unique in the cluster, never used again
    std::uint32_t slot = 0;       ///< the place that it has; its replacement gets the same
    std::uint32_t generation = 0; ///< increases with each reload
    int pid = 0;
    std::string name{};
    std::string state{};                    ///< "booting", "ready", "stalled", "draining" or "dead"
    std::uint64_t connections_accepted = 0; ///< that it was given or took
    std::uint64_t connections_refused = 0;  ///< that it closed, being at its maximum
    std::uint64_t connections_active = 0;   ///< open now
    std::uint64_t requests = 0;             ///< as it counts them: self::count_request()
    std::uint64_t datagrams_received = 0;   ///< by all its datagram sockets
    std::uint64_t datagrams_sent = 0;
    std::uint64_t messages_sent = 0;
    std::uint64_t messages_received = 0;
    std::uint64_t bytes_sent = 0;     ///< of messages
    std::uint64_t bytes_received = 0; ///< of messages
    std::uint64_t handing_over = 0;   ///< connections on their way to it now
    std::uint64_t queued_bytes = 0;   ///< messages that wait in the primary now, in bytes
    unsigned restarts = 0;            ///< how many workers its place had before it
    std::chrono::nanoseconds uptime{0};
    std::chrono::nanoseconds cpu_time{0};      ///< of all its threads, in user and kernel mode
    std::chrono::nanoseconds loop_lag{0};      ///< how late its event loop was at last
    std::chrono::nanoseconds heartbeat_age{0}; ///< since it last showed that its loop turns
    std::uint64_t resident_bytes = 0;          ///< physical memory that it has now, in bytes
};

/// How many reasons for an end there are; the last is `unknown`.
inline constexpr std::size_t exit_reason_count = static_cast<std::size_t>(exit_reason::unknown) + 1;

/// A place for a worker: the sums of all workers that it has had.
struct slot_stats {
    std::uint32_t slot = 0;
    std::uint64_t connections_accepted = 0;
    std::uint64_t connections_refused = 0;
    std::uint64_t requests = 0;
    std::uint64_t datagrams_received = 0;
    std::uint64_t datagrams_sent = 0;
    std::uint64_t messages_sent = 0;
    std::uint64_t messages_received = 0;
    std::uint64_t bytes_sent = 0;                        ///< of messages
    std::uint64_t bytes_received = 0;                    ///< of messages
    std::array<std::uint64_t, exit_reason_count> ends{}; ///< of workers, indexed by `exit_reason`
    std::uint64_t restarts = 0;
};

/// An address that the cluster listens on.
struct listener_stats {
    std::string address{};
    std::string mode{};            ///< "handed", "shared" or "own_socket"
    std::uint64_t waiting = 0;     ///< connections that the primary has accepted and no worker has
    std::uint32_t queue = 0;       ///< connections that nobody has accepted yet
    std::uint32_t queue_limit = 0; ///< the most of them, as the system clipped the backlog
    std::uint32_t backlog = 0;     ///< the most of them, as asked for
    std::uint64_t repaired = 0;    ///< how often the primary had to bind it anew
    std::uint64_t refused = 0;     ///< connections that the scheduling policy closed
    /// Of a model that steers in the kernel: "kernel"; or "classic filter: " or "primary: " and why
    /// it is not that.
    std::string steering{};
};

/// A datagram socket that workers share. Those of one worker alone are not known here.
struct datagram_stats {
    std::string address{};
    std::uint64_t workers = 0;           ///< that receive from it
    std::uint64_t queued_bytes = 0;      ///< of memory, for datagrams that nobody has read yet
    std::uint64_t queue_limit_bytes = 0; ///< the most of it: the system's receive buffer
    std::uint64_t dropped = 0;           ///< datagrams that the system had no room for
};

/// The state of a cluster at one moment. A value: it is not updated.
struct cluster_stats {
    std::uint32_t generation = 0; ///< of the workers that start now
    std::chrono::nanoseconds uptime{0};
    std::uint64_t reloads = 0; ///< that succeeded
    std::uint64_t reloads_failed = 0;
    std::uint64_t spares = 0; ///< processes that wait to become workers (supervision_options)
    std::vector<worker_stats> workers{};
    std::vector<slot_stats> slots{};
    std::vector<listener_stats> listeners{};
    std::vector<datagram_stats> datagrams{};

    /// One object with the members' names; durations are decimal numbers of seconds, with "_seconds"
    /// behind the name. Valid UTF-8: bytes of a name that are none become U+FFFD.
    [[nodiscard]] std::string to_json() const;

    /// OpenMetrics 1.0, for Prometheus and others
    /// (application/openmetrics-text; version=1.0.0; charset=utf-8).
    [[nodiscard]] std::string to_openmetrics() const;
};

} // namespace v0
} // namespace cluster

#include "detail/stats_writers.hpp"

#endif // CLUSTER_STATS_HPP
