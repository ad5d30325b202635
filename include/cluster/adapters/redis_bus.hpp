// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_REDIS_BUS_HPP
#define CLUSTER_ADAPTERS_REDIS_BUS_HPP

#include "../bus/concept.hpp"
#include "../bus/detail/bus_handle.hpp"
#include "detail/redis_core.hpp"
#include "redis_options.hpp"

#include <cstdint>
#include <memory>
#include <utility>

namespace cluster {
inline namespace v0 {

enum class redis_mode : std::uint8_t {
    pubsub, ///< nothing is kept: who is cut off misses it and is told how much
    streams ///< publish() is kept in a stream and comes after a reconnect; publish_to() is not
};

/// The message bus of cluster/bus/concept.hpp over a Redis server (5 and newer), by hiredis (0.14 and
/// newer; link with -lhiredis).
///
/// It connects, and connects again with back-off, by itself; what is published meanwhile waits in a
/// bounded queue. `bus_change::connected` comes when all that is subscribed by then arrives from
/// then on. Messages are numbered, so that a gap is told (`bus_change::lost` with the node and the
/// count) when the next one comes, and nothing comes twice. Whoever can write to the server can
/// pretend to be any node: protect it. No thread; the loop's thread for everything.
template <redis_mode Mode>
class basic_redis_bus : public detail::bus_handle<detail::redis_core> {
public:
    static constexpr bus_traits traits{.delivery = Mode == redis_mode::streams
                                                       ? bus_delivery::at_least_once
                                                       : bus_delivery::at_most_once,
                                       .ordered_per_publisher = true,
                                       .replay = Mode == redis_mode::streams,
                                       .max_payload = detail::redis_core::max_payload};

    /// Returns at once; dispatch() connects. \throws std::system_error (`invalid_argument`) for a
    /// node or prefix that is no name
    explicit basic_redis_bus(redis_options options = {})
        : bus_handle{std::make_unique<detail::redis_core>(std::move(options),
                                                          Mode == redis_mode::streams)} {}

    [[nodiscard]] bool is_connected() const noexcept { return inbox().is_connected(); }
};

using redis_bus = basic_redis_bus<redis_mode::pubsub>;
using redis_stream_bus = basic_redis_bus<redis_mode::streams>;

static_assert(message_bus<redis_bus> && message_bus<redis_stream_bus>);

} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_REDIS_BUS_HPP
