// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_BUS_BRIDGE_HPP
#define CLUSTER_BUS_BUS_BRIDGE_HPP

#include "../detail/memory.hpp"
#include "../event_loop.hpp"
#include "../fwd.hpp"
#include "../primary.hpp"
#include "../subscription.hpp"
#include "bus_node.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// Connects a cluster to a bus: made in the primary, whose loop and serializer it uses.
///
///     cluster::bus_bridge bridge{primary, std::move(bus)};
///     bridge.broadcast(news{"..."});   // to the workers of all other clusters: self.on_message
///     bridge.relay<chat_line>();       // what a worker sends to its primary, too
///
/// Everything of bus_node besides: messages and requests to the primaries of other clusters, and the
/// registry. It must end before the primary's loop (or be of connect_bus()), and does not keep run()
/// from returning.
template <typename Cluster, typename Bus>
class bus_bridge : public bus_node<Bus, typename Cluster::serializer_type> {
    using base = bus_node<Bus, typename Cluster::serializer_type>;

public:
    explicit bus_bridge(basic_primary<Cluster>& primary, Bus bus, bus_options options = {})
        : base{primary.loop(), std::move(bus), std::move(options)}, primary_{primary} {
        this->on_broadcast_ = [this](std::uint32_t type, std::span<const std::byte> payload) {
            primary_.broadcast_encoded(type, payload);
        };
    }
    ~bus_bridge() {
        for (auto& each : relays_) {
            each.cancel();
        }
    }

    /// Sends to the workers of all other clusters, or of one, as their primary.broadcast() would;
    /// and to the handlers of their bridges. Errors as of the bus's publish(). A worker that cannot
    /// decode it has an event::error, and that is all.
    template <typename Message>
    std::error_code broadcast(const Message& message) {
        return this->send(base::everybody, detail::bus_kind::broadcast, 0, message);
    }
    template <typename Message>
    std::error_code broadcast_to(std::string_view node, const Message& message) {
        return this->send(base::checked(node), detail::bus_kind::broadcast, 0, message);
    }

    /// Broadcasts whatever messages of this type this cluster's workers send to their primary. Ends
    /// with the bridge. What the bus does not take is told by on_event (`bus_change::lost`).
    template <typename Message>
    void relay() {
        relays_.push_back(primary_.on_message([this](const Message& message) {
            if (auto error = broadcast(message)) {
                this->tell_lost(error);
            }
        }));
    }

private:
    basic_primary<Cluster>& primary_;
    std::vector<subscription> relays_;
};

/// Makes a bridge that lives as long as the primary's loop: for a primary's main function that returns
/// before the loop runs.
template <typename Cluster, typename Bus>
bus_bridge<Cluster, Bus>&
connect_bus(basic_primary<Cluster>& primary, Bus bus, bus_options options = {}) {
    struct part final : detail::loop_part {
        part(basic_primary<Cluster>& of, Bus by, bus_options with)
            : bridge{of, std::move(by), std::move(with)} {}
        bus_bridge<Cluster, Bus> bridge;
    };
    auto made = std::make_unique<part>(primary, std::move(bus), std::move(options));
    auto& owned = *made.release();
    primary.loop().adopt(owned);
    return owned.bridge;
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_BUS_BRIDGE_HPP
