// SPDX-License-Identifier: MIT
#include "../support/client.hpp"
#include "../support/every_model.hpp"

#include <cstddef>
#include <span>
#include <string>

using namespace cluster_test;

// Node.js: test/parallel/test-cluster-message.js
// A message goes both ways while a TCP connection, on which the worker says what it got, is a
// second way whose order to the first nobody knows.
EVERY_MODEL_CASE_ON(all_backends, "test-cluster-message") {
    const std::string to_worker = "message from the primary";
    const std::string to_primary = "message from the worker";
    std::string at_worker; // what the primary and its worker object get
    std::string at_cluster;
    std::string echoed; // what the worker got
    int exits = 0;
    cluster::stream* client = nullptr; // in the worker
    std::string got;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            auto look = [&] {
                if (!at_worker.empty() && !at_cluster.empty() && echoed == to_worker) {
                    worker.kill();
                }
            };
            worker.on_message([&, look](const std::string& text) {
                CHECK(at_worker.empty());
                at_worker = text;
                look();
            });
            primary.on_message([&, look](auto& from, const std::string& text) {
                CHECK(&from == &worker);
                CHECK(at_cluster.empty());
                at_cluster = text;
                look();
            });
            worker.on(cluster::event::listening, [&, look](const cluster::address& at) {
                primary.attach(connect_to(at)).on_data([&, look](std::span<const std::byte> bytes) {
                    echoed += text_of(bytes);
                    look();
                });
                CHECK(worker.send(to_worker) == cluster::send_result::ok);
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status == after_kill<Backend>());
                CHECK_FALSE(worker.exited_after_disconnect());
            });
        },
        [&](auto& self) {
            auto answer = [&] {
                if (client != nullptr && !got.empty()) {
                    client->write(got);
                }
            };
            self.listen({.host = "127.0.0.1"}, [&, answer](cluster::connection from) {
                client = &self.attach(std::move(from));
                client->on_data([](std::span<const std::byte>) {});
                answer();
                self.send(to_primary);
            });
            self.on_message([&, answer](const std::string& text) {
                got = text;
                answer();
            });
        });
    CHECK(at_worker == to_primary);
    CHECK(at_cluster == to_primary);
    CHECK(echoed == to_worker);
    CHECK(exits == 1);
}
