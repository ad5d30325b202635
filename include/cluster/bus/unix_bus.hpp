// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_UNIX_BUS_HPP
#define CLUSTER_BUS_UNIX_BUS_HPP

#include "../detail/memory.hpp"
#include "concept.hpp"
#include "detail/bus_handle.hpp"
#include "detail/unix_core.hpp"
#include "unix_bus_options.hpp"

#include <utility>

namespace cluster {
inline namespace v0 {

/// The message bus of cluster/bus/concept.hpp for the programs of one machine, without a server: the
/// nodes meet at the path of a UNIX socket. One of them is the hub and passes on what the others
/// publish; when it ends, in whatever way, another one takes over by itself, and one that is silent
/// for `timeout` is replaced.
///
/// A publish that finds no hub waits in a bounded queue; what was on its way when the hub died is
/// lost. A node that does not take what comes loses it when its queue at the hub is full, and slows
/// nobody down. Messages are numbered, so that a gap is told (`bus_change::lost` with the node and
/// the count) when the next one comes. A node whose name is taken is told so
/// (`bus_change::disconnected` with `std::errc::address_in_use`) and goes on trying. No thread; the
/// hub works in its dispatch() only. Fork safety: a copy of the process must not use it.
class unix_bus : public detail::bus_handle<detail::unix_core> {
public:
    static constexpr bus_traits traits{.delivery = bus_delivery::at_most_once,
                                       .ordered_per_publisher = true,
                                       .replay = false,
                                       .max_payload = detail::unix_core::max_payload};

    /// Never blocks. \throws std::system_error when the path is nothing to meet at: a folder that is
    /// not there or not ours (`no_such_file_or_directory`, `permission_denied`), a path too long for
    /// a socket (`filename_too_long`), a file or link (`not_a_socket`), a stranger's socket
    /// (`permission_denied`); `invalid_argument` for a node that is no name, or no path
    explicit unix_bus(unix_bus_options options)
        : bus_handle{std::make_unique<detail::unix_core>(std::move(options))} {}

    /// Whether there is a hub, and it has let this node in.
    [[nodiscard]] bool is_connected() const noexcept { return inbox().is_connected(); }
    /// Whether this node is the hub.
    [[nodiscard]] bool is_hub() const noexcept { return inbox().is_hub(); }
};

static_assert(message_bus<unix_bus>);

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_UNIX_BUS_HPP
