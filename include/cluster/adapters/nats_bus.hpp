// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_NATS_BUS_HPP
#define CLUSTER_ADAPTERS_NATS_BUS_HPP

#include "../bus/bus_subscription.hpp"
#include "../bus/concept.hpp"
#include "detail/nats_core.hpp"
#include "nats_options.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
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
class nats_bus {
public:
    using subscription = bus_subscription;
    static constexpr bus_traits traits{.delivery = bus_delivery::at_most_once,
                                       .ordered_per_publisher = true,
                                       .replay = false,
                                       .max_payload = detail::nats_core::max_payload};

    /// Tries to connect once, which blocks for `timeout` at most; goes on trying behind the scenes.
    /// \throws std::system_error for a URL, node or prefix that is none
    explicit nats_bus(nats_options options = {})
        : core_{std::make_unique<detail::nats_core>(std::move(options))} {}

    /// What cluster/bus/concept.hpp says. subscribe() throws for a subject that is no name.
    std::error_code publish(std::string_view subject, std::span<const std::byte> payload) {
        return core_->publish(nullptr, subject, payload);
    }
    std::error_code publish_to(std::string_view node,
                               std::string_view subject,
                               std::span<const std::byte> payload) {
        return core_->publish(&node, subject, payload);
    }
    subscription subscribe(std::string_view subject, bus_handler handler) {
        return core_->subscribe(subject, std::move(handler));
    }
    /// A work queue: each message that others publish() comes to one of all who subscribe as `group`.
    subscription
    subscribe_group(std::string_view subject, std::string_view group, bus_handler handler) {
        return core_->subscribe_group(subject, group, std::move(handler));
    }
    void on_event(bus_event_handler handler) { core_->on_event(std::move(handler)); }
    [[nodiscard]] std::string_view node() const noexcept { return core_->node(); }
    [[nodiscard]] int native_handle() const noexcept { return core_->native_handle(); }
    std::size_t dispatch() { return core_->dispatch(); }

private:
    std::unique_ptr<detail::nats_core> core_;
};

static_assert(message_bus<nats_bus>);

} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_NATS_BUS_HPP
