// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_REDIS_OPTIONS_HPP
#define CLUSTER_ADAPTERS_REDIS_OPTIONS_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace cluster {
inline namespace v0 {

/// How a redis_bus reaches its server.
struct redis_options {
    std::string host = "127.0.0.1"; ///< a name is looked up at each connect, which blocks
    std::uint16_t port = 6379;
    std::string path{}; ///< of a UNIX socket, instead
    std::string username{};
    std::string password{}; ///< empty: no AUTH
    /// The number that SELECT gets.
    int database = 0;
    std::string node{};             ///< this node's name, no other's; empty: made up
    std::string prefix = "cluster"; ///< of all channels and keys
    /// A server that has not answered for so long is left; also while connecting.
    std::chrono::nanoseconds timeout = std::chrono::seconds{5};
    std::chrono::nanoseconds keep_alive = std::chrono::seconds{5};     ///< how often it is asked
    std::chrono::nanoseconds backoff = std::chrono::milliseconds{100}; ///< before the first retry,
    std::chrono::nanoseconds backoff_limit = std::chrono::seconds{10}; ///< doubled up to this
    std::size_t queue = 64 * 1024 * 1024; ///< bytes that the server has not taken yet
    std::size_t stream_length = 10'000;   ///< entries that a stream keeps, about
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_REDIS_OPTIONS_HPP
