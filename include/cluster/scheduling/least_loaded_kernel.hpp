// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_LEAST_LOADED_KERNEL_HPP
#define CLUSTER_SCHEDULING_LEAST_LOADED_KERNEL_HPP

#include "concept.hpp"
#include "least_connections.hpp"

#include <string_view>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: `least_connections` at the price of `reuse_port`. Every worker has a
/// listening socket of its own and an eBPF program picks the worker with the fewest connections,
/// those that wait in its queue included; workers tell theirs by plain stores. As
/// `round_robin_kernel` in what it needs, and what it is otherwise: `least_connections`.
struct least_loaded_kernel : least_connections {
    static constexpr auto accepts_in = accept_site::own_socket;
    static constexpr auto steering = kernel_steering::least_loaded;
    static constexpr std::string_view name = "least_loaded_kernel";
};

static_assert(scheduling_policy<least_loaded_kernel>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_LEAST_LOADED_KERNEL_HPP
