// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_STICKY_KERNEL_HPP
#define CLUSTER_SCHEDULING_STICKY_KERNEL_HPP

#include "concept.hpp"
#include "sticky.hpp"

#include <string_view>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: `sticky<>` by the client's address, at the price of `reuse_port`: every
/// worker has a listening socket of its own and the kernel computes the same hash, by an eBPF
/// program or, without the right to that, a classic filter (200 places at most; a place that is
/// given up keeps its socket). Clients whose worker is away have another one until it is back.
struct sticky_kernel : sticky<> {
    static constexpr auto accepts_in = accept_site::own_socket;
    static constexpr auto steering = kernel_steering::client_address;
    static constexpr std::string_view name = "sticky_kernel";
};

static_assert(scheduling_policy<sticky_kernel>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_STICKY_KERNEL_HPP
