// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_UNIX_BUS_OPTIONS_HPP
#define CLUSTER_BUS_UNIX_BUS_OPTIONS_HPP

#include "../detail/chrono.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cluster {
inline namespace v0 {

/// How a node takes part in a unix_bus.
struct unix_bus_options {
    /// Of the socket where the nodes meet, in a folder that only they may write to; a file beside it,
    /// with `.lock` behind its name, says who may bind it, and stays.
    std::string path{};
    std::string node{};                   ///< this node's name, no other's; empty: made up
    std::size_t queue = 16 * 1024 * 1024; ///< bytes that one other node has not taken yet
    unsigned mode = 0600;                 ///< access to the socket; 0: as the umask has it
    /// Numbers of users that may take part besides our own: the sockets and processes of others are
    /// refused, whatever `mode` says.
    std::vector<std::uint32_t> users{};
    /// A hub that was silent for so long, because it is stopped or blocked, loses its place. The same
    /// for all nodes.
    std::chrono::nanoseconds timeout = std::chrono::seconds{5};
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_UNIX_BUS_OPTIONS_HPP
