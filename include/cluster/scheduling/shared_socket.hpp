// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_SHARED_SOCKET_HPP
#define CLUSTER_SCHEDULING_SHARED_SOCKET_HPP

#include "concept.hpp"

#include <string_view>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: all workers accept from one socket, and the kernel wakes one of them
/// (what Node.js calls SCHED_NONE). A busy worker is not waiting, so it gets nothing: the best
/// choice when connections differ much. A worker that misuses the socket misuses everybody's.
struct shared_socket {
    static constexpr std::string_view name = "shared_socket";
    static constexpr auto accepts_in = accept_site::shared_socket;
};

static_assert(scheduling_policy<shared_socket>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_SHARED_SOCKET_HPP
