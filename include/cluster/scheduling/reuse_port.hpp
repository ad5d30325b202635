// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_REUSE_PORT_HPP
#define CLUSTER_SCHEDULING_REUSE_PORT_HPP

#include "concept.hpp"

#include <string_view>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: every worker has a listening socket of its own and the kernel spreads
/// clients over them by a hash (SO_REUSEPORT). The cheapest per connection; even only on average,
/// and a busy worker keeps getting its share. The primary keeps the sockets, so that a worker's
/// death resets no connection that waits. TCP only.
struct reuse_port {
    static constexpr std::string_view name = "reuse_port";
    static constexpr auto accepts_in = accept_site::own_socket;
};

static_assert(scheduling_policy<reuse_port>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_REUSE_PORT_HPP
