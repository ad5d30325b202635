// SPDX-License-Identifier: MIT
// Node.js: test/parallel/test-cluster-basic.js
#include "../support/cluster_test.hpp"

#include <cstdlib>
#include <string>
#include <vector>

using namespace cluster_test;

TEST_CASE("test-cluster-basic") {
    std::vector<std::string> events;
    run_case<cluster::process_cluster>(
        "test-cluster-basic",
        [&](auto& primary) {
            auto& worker = primary.fork();
            CHECK(worker.id() == 1);
            CHECK(worker.state() == cluster::worker_state::none);
            CHECK(worker.is_connected());
            CHECK_FALSE(worker.is_dead());
            CHECK(primary.workers().find(1) == &worker);
            worker.on(cluster::event::online, [&] { events.push_back("worker online"); });
            worker.on(cluster::event::listening, [&](const cluster::address& at) {
                events.push_back("worker listening");
                CHECK(at.family() == cluster::address_family::ipv4);
                CHECK(at.host() == "127.0.0.1");
                CHECK(at.port() != 0);
                CHECK(worker.state() == cluster::worker_state::listening);
                worker.disconnect();
            });
            worker.on(cluster::event::exit, [&] { events.push_back("worker exit"); });
            primary.on(cluster::event::fork, [&](auto& which) {
                events.push_back("fork");
                CHECK(&which == &worker);
                CHECK(which.state() == cluster::worker_state::none);
            });
            primary.on(cluster::event::online, [&](auto& which) {
                events.push_back("online");
                CHECK(&which == &worker);
                CHECK(which.state() == cluster::worker_state::online);
            });
            primary.on(cluster::event::listening, [&](auto& which, const cluster::address&) {
                events.push_back("listening");
                CHECK(&which == &worker);
            });
            primary.on(cluster::event::disconnect, [&] { events.push_back("disconnect"); });
            primary.on(cluster::event::exit, [&](auto& which, const cluster::exit_status& status) {
                events.push_back("exit");
                CHECK(&which == &worker);
                CHECK(status == worker.status());
                CHECK(status.success());
                CHECK(which.state() == cluster::worker_state::dead);
                CHECK(primary.workers().empty());
            });
        },
        [](auto& self) {
            if (std::getenv("CLUSTER_WORKER") != nullptr) {
                std::exit(2);
            }
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
        });
    CHECK(events == std::vector<std::string>{"fork",
                                             "worker online",
                                             "online",
                                             "worker listening",
                                             "listening",
                                             "disconnect",
                                             "worker exit",
                                             "exit"});
}
