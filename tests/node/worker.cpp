// SPDX-License-Identifier: MIT
// The handle on a worker, and what it tells at each moment.
#include "../support/every_model.hpp"

#include <chrono>
#include <string>
#include <system_error>
#include <vector>

#include <signal.h>

using namespace cluster_test;

namespace {

bool is_alive(int pid) {
    return ::kill(pid, 0) == 0;
}

} // namespace

// Node.js: test/parallel/test-cluster-worker-constructor.js
// Workers are made by fork() only; what a constructor's arguments say there is the options' part.
CLUSTER_CASE("test-cluster-worker-constructor") {
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& plain = primary.fork();
            CHECK(plain.id() == 1);
            CHECK(plain.name().empty());
            CHECK(plain.state() == cluster::worker_state::none);
            CHECK_FALSE(plain.exited_after_disconnect());
            CHECK(plain.pid() > 0);
            CHECK(plain.status() == cluster::exit_status::unknown());

            auto& named = primary.fork({.name = "named"});
            CHECK(named.id() == 2);
            CHECK(named.name() == "named");
            CHECK(named.state() == cluster::worker_state::none);

            auto& nobody = primary.fork({.executable = "/nonexistent/program"});
            CHECK(nobody.id() == 3);
            CHECK(nobody.pid() == -1);
            CHECK(nobody.state() == cluster::worker_state::none);
            CHECK_FALSE(nobody.exited_after_disconnect());
            CHECK_FALSE(nobody.is_dead());

            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ++exits;
                if (&worker == &nobody) {
                    CHECK(status.reason() == cluster::exit_reason::spawn_failed);
                    if constexpr (Backend::separate_memory) {
                        CHECK(status.error() == std::errc::no_such_file_or_directory);
                    } else {
                        CHECK(status.error() == cluster::errc::not_supported);
                    }
                } else {
                    CHECK_MESSAGE(status.success(), status.to_string());
                }
            });
        },
        [](auto& self) { self.disconnect(); });
    CHECK(exits == 3);
}

// Node.js: test/parallel/test-cluster-worker-death.js
CLUSTER_CASE_ON(all_backends, "test-cluster-worker-death") {
    std::vector<std::string> events;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                events.push_back("worker");
                CHECK(status.reason() == cluster::exit_reason::exited);
                CHECK(status.code() == 42);
                CHECK(status.signal() == 0);
            });
            primary.on(cluster::event::exit, [&](auto& which, const cluster::exit_status& status) {
                events.push_back("cluster");
                CHECK(&which == &worker);
                CHECK(status == worker.status());
            });
        },
        [](auto& self) { exit_worker(self, 42); });
    CHECK(events == std::vector<std::string>{"worker", "cluster"});
}

// Node.js: test/parallel/test-cluster-worker-destroy.js
CLUSTER_CASE("test-cluster-worker-destroy") {
    int disconnects = 0;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            for (const char* when : {"connected", "leaving", "gone"}) {
                auto& worker = primary.fork({.name = when});
                worker.on(cluster::event::disconnect, [&] {
                    ++disconnects;
                    CHECK(worker.exited_after_disconnect());
                });
                worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                    ++exits;
                    CHECK_MESSAGE(status.success(), status.to_string());
                    CHECK(worker.exited_after_disconnect());
                });
            }
        },
        [](auto& self) {
            if (self.name() == "connected") {
                self.kill();
                self.kill(); // no more than once
                return;
            }
            if (self.name() == "leaving") {
                self.on(cluster::event::disconnect, [&self] { self.kill(); });
            } else {
                self.every(std::chrono::milliseconds{1}, [&self] { // until the channel is closed
                    if (self.send(std::string{"?"}) == cluster::send_result::closed) {
                        self.kill();
                    }
                });
            }
            self.disconnect();
        });
    CHECK(disconnects == 3);
    CHECK(exits == 3);
}

// Node.js: test/parallel/test-cluster-worker-disconnect.js
EVERY_MODEL_CASE("test-cluster-worker-disconnect") {
    std::vector<std::string> events;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.once(cluster::event::listening, [&] {
                worker.disconnect();
                CHECK_FALSE(worker.is_connected());
                CHECK(primary.workers().size() == 1); // here until its exit
            });
            worker.on(cluster::event::disconnect, [&] {
                events.push_back("worker disconnect");
                CHECK(worker.exited_after_disconnect());
                CHECK(worker.state() == cluster::worker_state::disconnected);
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                events.push_back("worker exit");
                CHECK(status.code() == 42); // by its handler of event::disconnect
                CHECK(is_alive(worker.pid()) == !Backend::separate_memory);
            });
            primary.on(cluster::event::disconnect, [&] { events.push_back("cluster disconnect"); });
            primary.on(cluster::event::exit, [&] { events.push_back("cluster exit"); });
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            self.on(cluster::event::disconnect, [&self] { exit_worker(self, 42); });
        });
    CHECK(events == std::vector<std::string>{
                        "worker disconnect", "cluster disconnect", "worker exit", "cluster exit"});
}

// Node.js: test/parallel/test-cluster-worker-events.js
// One object per side here: a message reaches every handler of its type, with the same value.
CLUSTER_CASE("test-cluster-worker-events") {
    struct report {
        std::string handler;
        std::string seen;
        bool sent;
    };
    std::vector<std::string> reports;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            CHECK(worker.send(std::string{"some value"}) == cluster::send_result::ok);
            worker.on_message([&](const report& from_worker) {
                CHECK(from_worker.sent);
                reports.push_back(from_worker.handler + ": " + from_worker.seen);
                if (reports.size() == 2) {
                    worker.kill();
                }
            });
            worker.on(cluster::event::error,
                      [](std::error_code error) { FAIL_CHECK(error.message()); });
        },
        [](auto& self) {
            auto answer = [&self, sent = true](std::string handler,
                                               const std::string& seen) mutable {
                sent = self.send(report{handler, seen, sent}) == cluster::send_result::ok;
            };
            self.on_message([answer](const std::string& value) mutable { answer("first", value); });
            self.on_message(
                [answer](const std::string& value) mutable { answer("second", value); });
        });
    CHECK(reports == std::vector<std::string>{"first: some value", "second: some value"});
}

// Node.js: test/parallel/test-cluster-worker-init.js
CLUSTER_CASE("test-cluster-worker-init") {
    int answers = 0;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::online, [&] { worker.send(std::string{"foo"}); });
            worker.on_message([&](bool understood) {
                ++answers;
                CHECK(understood);
                worker.disconnect();
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            self.on_message([&self](const std::string& message) { self.send(message == "foo"); });
        });
    CHECK(answers == 1);
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-worker-isconnected.js
CLUSTER_CASE("test-cluster-worker-isconnected") {
    int disconnects = 0;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            CHECK(worker.is_connected());
            worker.on_message([&](bool connected_there) {
                CHECK(connected_there);
                CHECK(worker.is_connected());
                worker.disconnect();
            });
            worker.on(cluster::event::disconnect, [&] {
                ++disconnects;
                CHECK_FALSE(worker.is_connected());
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK_FALSE(worker.is_connected());
            });
        },
        [](auto& self) {
            self.send(self.is_connected());
            self.on(cluster::event::disconnect,
                    [&self] { expect_in_worker(!self.is_connected(), 3); });
        });
    CHECK(disconnects == 1);
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-worker-isdead.js
// A worker's own object does not have the question: it would never be dead.
CLUSTER_CASE("test-cluster-worker-isdead") {
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            CHECK_FALSE(worker.is_dead());
            worker.on_message([&](const std::string&) {
                CHECK_FALSE(worker.is_dead());
                worker.kill();
                CHECK_FALSE(worker.is_dead()); // not before it is known
            });
            worker.on(cluster::event::disconnect, [&] { CHECK_FALSE(worker.is_dead()); });
            worker.on(cluster::event::exit, [&] {
                ++exits;
                CHECK(worker.is_dead());
            });
        },
        [](auto& self) { self.send(std::string{"alive"}); });
    CHECK(exits == 1);
}
