// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_ADAPTERS_LONE_ROLE_HPP
#define CLUSTER_TESTS_ADAPTERS_LONE_ROLE_HPP

#include <cluster/event.hpp>
#include <cluster/event_loop.hpp>
#include <cluster/subscription.hpp>

#include <utility>

/// As much of a worker as an adapter looks at.
struct lone_role {
    template <typename F>
    cluster::subscription on(decltype(cluster::event::disconnect), F&& handler) {
        return disconnected.add(std::forward<F>(handler), false);
    }
    cluster::event_loop& loop() { return turning; }
    /// Thread-safe. As a worker does it: from then on its channel keeps nothing alive.
    void disconnect() {
        turning.post([this] {
            disconnected.emit();
            if (std::exchange(connected, false)) {
                turning.unref();
            }
        });
    }

    lone_role() { turning.ref(); }

    cluster::event_loop turning;
    cluster::detail::emitter<> disconnected;
    bool connected = true;
};

#endif // CLUSTER_TESTS_ADAPTERS_LONE_ROLE_HPP
