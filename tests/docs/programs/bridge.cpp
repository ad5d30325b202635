// SPDX-License-Identifier: MIT
// What .github/docs/buses.md shows.
#include <cluster.hpp>

#include <cstddef>
#include <cstdio>
#include <span>
#include <string>

namespace docs_bridge {

struct news {
    std::string text;
};
struct how_many_workers {};

int run(int argc, char** argv, cluster::local_hub hub) {
    cluster::process_cluster app{argc, argv};
    return app.run(
        [&](auto& primary) {
            // [bridge]
            auto& bridge = cluster::connect_bus(primary, cluster::local_bus{hub, {.node = "eu-1"}});
            bridge.broadcast(news{"to the workers of all other clusters"}); // self.on_message(…)
            bridge.on_request([&](const how_many_workers&) { return primary.workers().size(); });
            bridge.template request_all<std::size_t>(
                how_many_workers{}, [](cluster::bus_answers<std::size_t> got) {
                    for (const auto& each : got.answers) { // a value or an error for each node
                        std::printf("%s: %zu\n", each.node.c_str(), each.reply.value_or(0));
                    }
                });
            bridge.registry().claim("session 17"); // others: lookup("session 17") == "eu-1"
            // [/bridge]
            // [events]
            bridge.on_event([](const cluster::bus_event& happened) {
                if (happened.what == cluster::bus_change::lost) {
                    std::printf("missed %llu messages of %.*s\n",
                                static_cast<unsigned long long>(happened.count),
                                static_cast<int>(happened.node.size()),
                                happened.node.data());
                }
            });
            // [/events]
            primary.fork();
        },
        [](auto& self) {
            self.on_message([](const news& heard) { std::puts(heard.text.c_str()); });
        });
}

void without_a_cluster() {
    // [unix]
    cluster::unix_bus bus{{.path = "/run/app/bus", .node = "billing"}};
    auto orders = bus.subscribe("orders", [](const cluster::bus_message& arrived) {
        std::printf("%zu bytes of %.*s\n",
                    arrived.payload.size(),
                    static_cast<int>(arrived.from.size()),
                    arrived.from.data());
    });
    bus.publish("orders", std::as_bytes(std::span{"any bytes", 9}));
    // [/unix]
}

} // namespace docs_bridge
