// SPDX-License-Identifier: MIT
#ifndef CLUSTER_FWD_HPP
#define CLUSTER_FWD_HPP

/// \file
/// Declarations and defaults only: every template and alias that a user names, no definitions.

namespace cluster {
inline namespace v0 {

namespace scheduling {
class round_robin;
struct shared_socket;
struct reuse_port;
class least_connections;
class power_of_two;
class weighted_round_robin;
class random;
namespace sticky_key {
struct client_address;
template <unsigned IPv4Bits = 24, unsigned IPv6Bits = 48>
struct client_network;
struct proxy_address;
} // namespace sticky_key
template <typename Key = sticky_key::client_address>
class sticky;
class sticky_modulo;
template <typename... Policies>
class from_environment;
} // namespace scheduling

namespace serialization {
struct binary;
struct raw;
} // namespace serialization

namespace restart {
struct never;
struct always;
struct on_failure;
template <typename Inner = always>
class one_for_one;
template <typename Inner = always>
class one_for_all;
template <typename Inner = always>
class rest_for_one;
// Not backoff and limit: their parameters need literals.hpp.
} // namespace restart

namespace transport {
struct socket;
// Not shared_memory: its parameter needs its definition.
} // namespace transport

namespace backend {
template <typename Transport = transport::socket>
struct basic_process;
using process = basic_process<transport::socket>;
template <typename Transport = transport::socket>
class basic_fork;
using fork = basic_fork<transport::socket>;
template <bool Serializes>
struct basic_thread;
using thread = basic_thread<false>;
using serializing_thread = basic_thread<true>;
} // namespace backend

template <typename Scheduling = scheduling::round_robin,
          typename Serializer = serialization::binary,
          typename Restart = restart::never,
          typename Backend = backend::process>
class basic_cluster;

/// The cluster most programs want: worker processes, connections in turn, binary messages, the dead
/// stay dead.
using process_cluster = basic_cluster<>;
/// The same with workers that are copies of the primary.
using prefork_cluster =
    basic_cluster<scheduling::round_robin, serialization::binary, restart::never, backend::fork>;
/// The same with workers that are threads of one process.
using thread_cluster =
    basic_cluster<scheduling::round_robin, serialization::binary, restart::never, backend::thread>;

template <typename Backend, typename Serializer = serialization::binary>
class basic_pool;

/// Tasks in worker processes: one that crashes fails alone. \see pool/process_pool.hpp
using process_pool = basic_pool<backend::process>;
/// Tasks in threads: any callable, at the price of a queue. \see pool/thread_pool.hpp
using thread_pool = basic_pool<backend::thread>;

template <typename R>
class task_future;

template <typename Cluster>
class basic_primary;
template <typename Cluster>
class basic_worker;
template <typename Cluster>
class basic_self;

template <typename Serializer = serialization::binary>
class basic_program_port;
template <typename Serializer = serialization::binary>
class basic_child_program;
template <typename Serializer = serialization::binary>
class basic_parent_channel;

} // namespace v0
} // namespace cluster

#endif // CLUSTER_FWD_HPP
