// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_ROUND_ROBIN_KERNEL_HPP
#define CLUSTER_SCHEDULING_ROUND_ROBIN_KERNEL_HPP

#include "concept.hpp"
#include "round_robin.hpp"

#include <string_view>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: `round_robin` at the price of `reuse_port`. Every worker has a listening
/// socket of its own and an eBPF program gives them the clients in turn, stalled and draining
/// workers left out. Needs CAP_BPF and CAP_NET_ADMIN when the address is bound; without, and for
/// UNIX sockets, it is `round_robin` (listener_stats::steering tells). 1,024 places at most.
struct round_robin_kernel : round_robin {
    static constexpr auto accepts_in = accept_site::own_socket;
    static constexpr auto steering = kernel_steering::round_robin;
    static constexpr std::string_view name = "round_robin_kernel";
};

static_assert(scheduling_policy<round_robin_kernel>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_ROUND_ROBIN_KERNEL_HPP
