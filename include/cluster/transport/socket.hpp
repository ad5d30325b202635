// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TRANSPORT_SOCKET_HPP
#define CLUSTER_TRANSPORT_SOCKET_HPP

#include "../detail/memory.hpp"
#include "../ipc/socket_carrier.hpp"
#include "../unique_fd.hpp"
#include "concept.hpp"

#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace transport {

/// A `transport_policy`, the default: a UNIX stream socket. The messages of one turn of the loop
/// leave by one system call. It has a buffer of the system's and no memory of its own.
struct socket {
    /// The primary's end.
    static std::unique_ptr<detail::carrier> open(unique_fd channel, detail::transport_memory&) {
        return std::make_unique<detail::socket_carrier>(std::move(channel));
    }
    /// The worker's end.
    static std::unique_ptr<detail::carrier>
    join(unique_fd channel, detail::transport_memory&, std::error_code&) {
        return std::make_unique<detail::socket_carrier>(std::move(channel));
    }
};

static_assert(transport_policy<socket>);

} // namespace transport
} // namespace v0
} // namespace cluster

#endif // CLUSTER_TRANSPORT_SOCKET_HPP
