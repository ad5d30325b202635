// SPDX-License-Identifier: MIT
#include "../support/every_backend.hpp"

#include <csignal>

using namespace cluster_test;

// Node.js: test/parallel/test-cluster-kill-disconnect.js
CLUSTER_CASE("test-cluster-kill-disconnect") {
    int disconnects = 0;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            for (const char* action : {"disconnect", "kill"}) {
                auto& worker = primary.fork({.name = action});
                worker.on(cluster::event::disconnect, [&] {
                    ++disconnects;
                    CHECK(worker.exited_after_disconnect());
                });
                worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                    ++exits;
                    CHECK(worker.exited_after_disconnect());
                    CHECK(status.success());
                });
            }
        },
        [](auto& self) {
            if (self.name() == "disconnect") {
                self.disconnect();
            } else {
                self.kill();
            }
        });
    CHECK(disconnects == 2);
    CHECK(exits == 2);
}

// Node.js: test/parallel/test-cluster-kill-infinite-loop.js
CLUSTER_CASE_ON(processes_and_forks, "test-cluster-kill-infinite-loop") {
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::online, [&] { CHECK_FALSE(worker.kill()); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.reason() == cluster::exit_reason::signaled);
                CHECK(status.signal() == SIGTERM);
                CHECK_FALSE(worker.exited_after_disconnect());
            });
        },
        [](auto&) {
            volatile bool for_ever = true;
            while (for_ever) {
            }
        });
    CHECK(exits == 1);
}
