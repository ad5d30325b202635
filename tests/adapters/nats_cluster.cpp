// SPDX-License-Identifier: MIT
#include <cluster/adapters/nats_bus.hpp>

#include "support/two_hosts.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <string>

TEST_CASE("nats: clusters of two hosts broadcast and ask each other") {
    constexpr auto name = "nats: clusters of two hosts broadcast and ask each other";
    if (const char* part = scenario::part()) {
        const char* net = std::getenv("BUS_TEST_NET");
        two_hosts::enter(net == nullptr ? "" : net);
        two_hosts::run_cluster(name, part == std::string{"left"}, [](const char* node) {
            cluster::nats_options options;
            options.url = std::getenv("BUS_TEST_SERVER");
            options.node = node;
            options.reconnect_wait = std::chrono::milliseconds{5};
            return cluster::nats_bus{options};
        });
        return;
    }
    two_hosts::networks nets;
    auto port = std::to_string(cluster_test::unused_port());
    cluster_test::foreign_server server{{NATS_SERVER, "-a", nets.server_address(), "-p", port}};
    server.start(nets.left());
    auto url = "nats://" + nets.server_address() + ':' + port;
    ::setenv("BUS_TEST_SERVER", url.c_str(), 1);
    ::setenv("BUS_TEST_NET", nets.left().c_str(), 1);
    scenario::another_primary left{name, "left"};
    ::setenv("BUS_TEST_NET", nets.right().c_str(), 1);
    scenario::another_primary right{name, "right"};
    two_hosts::check_story(left, right);
}
