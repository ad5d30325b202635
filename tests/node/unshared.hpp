// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_NODE_UNSHARED_HPP
#define CLUSTER_TESTS_NODE_UNSHARED_HPP

#include "../support/every_backend.hpp"

#include <doctest/doctest.h>

namespace cluster_test {

/// test-cluster-disconnect-unshared-tcp and -udp: one worker has a socket, by `open(self)`, and the
/// other, which has none, leaves first.
template <typename Backend, typename Scheduling, typename Open>
void disconnect_unshared(Open open) {
    int exited = 0;
    run_on<Backend, Scheduling>(
        [&](auto& primary) {
            auto& unbound = primary.fork();
            unbound.on(cluster::event::online, [&] {
                auto& bound = primary.fork({.name = "bound"});
                bound.on(cluster::event::listening, [&] {
                    unbound.on(cluster::event::disconnect, [&] { primary.disconnect(); });
                    unbound.disconnect();
                });
            });
            primary.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exited;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [open](auto& self) {
            if (self.name() == "bound") {
                open(self);
            }
        });
    CHECK(exited == 2);
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_NODE_UNSHARED_HPP
