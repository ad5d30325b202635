// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_NATS_OPTIONS_HPP
#define CLUSTER_ADAPTERS_NATS_OPTIONS_HPP

#include <chrono>
#include <cstddef>
#include <string>

namespace cluster {
inline namespace v0 {

/// How a nats_bus reaches its server.
struct nats_options {
    std::string url = "nats://127.0.0.1:4222"; ///< with user:password@ or token@ if need be
    std::string node{};                        ///< this node's name, no other's; empty: made up
    std::string prefix = "cluster";            ///< of all subjects
    std::chrono::milliseconds timeout = std::chrono::seconds{2};    ///< of one attempt to connect
    std::chrono::milliseconds keep_alive = std::chrono::seconds{5}; ///< two unanswered: it is gone
    /// Between two attempts.
    std::chrono::milliseconds reconnect_wait = std::chrono::milliseconds{500};
    std::size_t queue = 8 * 1024 * 1024; ///< bytes that the server has not taken yet
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_NATS_OPTIONS_HPP
