// SPDX-License-Identifier: MIT
#include <cluster/adapters/redis_bus.hpp>

#include "support/two_hosts.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

template <typename Bus>
void run(const char* name) {
    if (const char* part = scenario::part()) {
        const char* net = std::getenv("BUS_TEST_NET");
        two_hosts::enter(net == nullptr ? "" : net);
        two_hosts::run_cluster(name, part == std::string{"left"}, [](const char* node) {
            cluster::redis_options options;
            options.host = std::getenv("BUS_TEST_SERVER");
            options.port = static_cast<std::uint16_t>(std::atoi(std::getenv("BUS_TEST_PORT")));
            options.node = node;
            options.backoff = std::chrono::milliseconds{5};
            return Bus{options};
        });
        return;
    }
    two_hosts::networks nets;
    cluster_test::temporary_directory scratch;
    auto port = std::to_string(cluster_test::unused_port());
    cluster_test::foreign_server server{{REDIS_SERVER,
                                         "--port",
                                         port,
                                         "--bind",
                                         nets.server_address(),
                                         "--protected-mode",
                                         "no",
                                         "--save",
                                         "",
                                         "--dir",
                                         scratch.path()}};
    server.start(nets.left());
    ::setenv("BUS_TEST_SERVER", nets.server_address().c_str(), 1);
    ::setenv("BUS_TEST_PORT", port.c_str(), 1);
    ::setenv("BUS_TEST_NET", nets.left().c_str(), 1);
    scenario::another_primary left{name, "left"};
    ::setenv("BUS_TEST_NET", nets.right().c_str(), 1);
    scenario::another_primary right{name, "right"};
    two_hosts::check_story(left, right);
}

} // namespace

TEST_CASE("redis: clusters of two hosts broadcast and ask each other over pub/sub") {
    run<cluster::redis_bus>(
        "redis: clusters of two hosts broadcast and ask each other over pub/sub");
}

TEST_CASE("redis: clusters of two hosts broadcast and ask each other over streams") {
    run<cluster::redis_stream_bus>(
        "redis: clusters of two hosts broadcast and ask each other over streams");
}
