// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_NATS_BUS_HPP
#define CLUSTER_ADAPTERS_NATS_BUS_HPP

#include "../bus/concept.hpp"
#include "../bus/detail/bus_handle.hpp"
#include "detail/nats_core.hpp"
#include "nats_options.hpp"

#include <memory>
#include <string_view>
#include <utility>

namespace cluster {
inline namespace v0 {

/// The message bus of cluster/bus/concept.hpp over core NATS (a server 2.2 or newer), by cnats (3.4 and
/// newer; link with -lnats).
///
/// cnats connects again by itself, from a thread of its own; no such thread calls the user's code, all
/// of which runs in dispatch(). What is published while the server is gone waits in a bounded queue.
/// Nothing is kept for a node that is cut off; messages are numbered, so that it is told what it has
/// missed (`bus_change::lost`) when the next one comes. Whoever can publish on the server can pretend
/// to be any node: protect it. The first bus starts cnats, which starts threads (so make it before
/// workers of backend::fork need a copy of this process, or there) and ignores SIGPIPE from then on.
/// After two refusals of the credentials in a row cnats gives up: `bus_change::disconnected` with
/// `std::errc::permission_denied`.
class nats_bus : public detail::bus_handle<detail::nats_core> {
public:
    static constexpr bus_traits traits{.delivery = bus_delivery::at_most_once,
                                       .ordered_per_publisher = true,
                                       .replay = false,
                                       .max_payload = detail::nats_core::max_payload};

    /// Tries to connect once, which blocks for `timeout` at most; goes on trying behind the scenes.
    /// \throws std::system_error for a URL, node or prefix that is none
    explicit nats_bus(nats_options options = {})
        : bus_handle{std::make_unique<detail::nats_core>(std::move(options))} {}

    /// A work queue: each message that others publish() comes to one of all who subscribe as `group`.
    subscription
    subscribe_group(std::string_view subject, std::string_view group, bus_handler handler) {
        return inbox().subscribe_group(subject, group, std::move(handler));
    }
};

static_assert(message_bus<nats_bus>);

} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_NATS_BUS_HPP
