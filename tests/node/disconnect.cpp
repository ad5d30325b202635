// SPDX-License-Identifier: MIT
#include "../support/client.hpp"
#include "../support/every_model.hpp"

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <vector>

using namespace cluster_test;

CLUSTER_CASE_ON(all_transports, "test-cluster-call-and-destroy") {
    int disconnected = 0;
    int exited = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::disconnect, [&] {
                ++disconnected;
                CHECK_FALSE(worker.is_connected());
                worker.kill(); // it may be gone, or about to go, or has still to notice
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exited;
                CHECK((status.success() || status == after_kill<Backend>()));
                CHECK(worker.exited_after_disconnect());
                CHECK(worker.kill() == std::errc::no_such_process);
            });
        },
        [](auto& self) {
            expect_in_worker(self.is_connected(), 2);
            self.disconnect();
        });
    CHECK(disconnected == 1);
    CHECK(exited == 1);
}

CLUSTER_CASE_ON(all_transports, "test-cluster-disconnect-before-exit") {
    int told = 0;
    int exited = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::online, [&] { worker.disconnect(); });
            worker.on(cluster::event::disconnect, [&] {
                CHECK(primary.workers().size() == 1); // it has not exited yet
                primary.disconnect([&] { ++told; });
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exited;
                CHECK(told == 0);
                CHECK(status.success());
            });
        },
        [](auto&) {});
    CHECK(exited == 1);
    CHECK(told == 1);
}

CLUSTER_CASE_ON(all_transports, "test-cluster-disconnect-idle-worker") {
    int told = 0;
    int exited = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork(2);
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ++exited;
                CHECK(status.success());
                CHECK(worker.exited_after_disconnect());
            });
            primary.on(cluster::event::online, [&, online = 0]() mutable {
                if (++online == 2) {
                    primary.disconnect([&] {
                        ++told;
                        CHECK(primary.workers().empty());
                        CHECK(exited == 2); // Node calls this when the first one is gone
                    });
                }
            });
        },
        [](auto&) {});
    CHECK(told == 1);
}

CLUSTER_CASE("test-cluster-disconnect-with-no-workers") {
    int told = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.disconnect([&] { ++told; });
            CHECK(told == 0);
        },
        [](auto&) {});
    CHECK(told == 1);
}

EVERY_MODEL_CASE_ON(all_backends, "test-cluster-disconnect") {
    static constexpr std::size_t worker_count = 8;
    static constexpr std::size_t server_count = 2;
    int finished = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            struct progress {
                int runs = 0;
                std::size_t listening = 0;
                std::size_t answered = 0;
                std::set<std::uint16_t> ports;
            };
            auto now = std::make_shared<progress>();
            auto stop = [&primary, &finished, now] {
                primary.disconnect([&primary, &finished, now] {
                    CHECK(primary.workers().empty());
                    for (auto port : now->ports) { // nothing of the cluster is left
                        CHECK_FALSE(connect_to(cluster::address::ipv4({127, 0, 0, 1}, port)));
                    }
                    ++finished;
                    if (++now->runs == 1) { // again, in the same primary
                        *now = {.runs = 1, .listening = 0, .answered = 0, .ports = {}};
                        primary.fork(worker_count);
                    }
                });
            };
            primary.on(cluster::event::listening,
                       [&primary, now, stop](auto&, const cluster::address& at) {
                           now->ports.insert(at.port());
                           if (++now->listening != worker_count * server_count) {
                               return;
                           }
                           CHECK(now->ports.size() == server_count);
                           for (auto port : now->ports) {
                               ask(primary,
                                   at.with_port(port),
                                   "",
                                   [now, stop](std::string answer, std::error_code error) {
                                       CHECK(answer == "echo");
                                       CHECK_FALSE(error);
                                       if (++now->answered == server_count) {
                                           stop();
                                       }
                                   });
                           }
                       });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                CHECK(status.success());
                CHECK(worker.exited_after_disconnect());
                CHECK((worker.id() > worker_count) == (finished == 1));
            });
            primary.fork(worker_count);
        },
        [](auto& self) {
            auto serve = [&self](cluster::connection client) {
                self.attach(std::move(client)).end("echo");
            };
            self.listen({.host = "127.0.0.1"}, serve);
            self.listen({.host = "127.0.0.1"}, serve);
        });
    CHECK(finished == 2);
}
