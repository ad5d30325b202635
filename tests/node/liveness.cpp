// SPDX-License-Identifier: MIT
// What keeps a worker running: its channel, its servers, and when they no longer do.
#include "../support/every_model.hpp"

#include <cstdint>
#include <string>
#include <vector>

using namespace cluster_test;

namespace {

struct ping {
    int round;
};
struct pong {
    int round;
};

} // namespace

// Node.js: test/parallel/test-cluster-process-disconnect.js
EVERY_MODEL_CASE("test-cluster-process-disconnect") {
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
                CHECK_FALSE(worker.exited_after_disconnect());
            });
        },
        [](auto& self) {
            self.listen({}, [](cluster::connection) {});
            self.close();
        });
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-rr-handle-close.js
EVERY_MODEL_CASE("test-cluster-rr-handle-close") {
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            primary.fork().on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
            });
        },
        [](auto& self) {
            auto& server = self.listen({}, [](cluster::connection) {});
            self.keep_alive(false);
            server.close();
        });
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-rr-handle-keep-loop-alive.js
// Each answer is a turn of a loop that only the server keeps running.
EVERY_MODEL_CASE("test-cluster-rr-handle-keep-loop-alive") {
    constexpr int rounds = 20;
    int answered = 0;
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::listening, [&] { worker.send(ping{0}); });
            worker.on_message([&](const pong& from) {
                CHECK(from.round == answered);
                if (++answered == rounds) {
                    worker.kill();
                } else {
                    worker.send(ping{answered});
                }
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status == after_kill<Backend>());
            });
        },
        [](auto& self) {
            self.on_message([&self](const ping& from) { self.send(pong{from.round}); });
            self.listen({}, [](cluster::connection) { fail_worker(3); });
            self.keep_alive(false);
        });
    CHECK(answered == rounds);
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-rr-handle-ref-unref.js
// A server listens from its first moment here, so "before" is the turn in which listen() is called.
EVERY_MODEL_CASE("test-cluster-rr-handle-ref-unref") {
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            for (const char* when : {"before", "after"}) {
                auto& worker = primary.fork({.name = when});
                worker.on(cluster::event::listening, [&] {
                    if (worker.name() == "after") {
                        worker.send(ping{});
                    }
                });
                worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                    ++exits;
                    CHECK(status.success());
                });
            }
        },
        [](auto& self) {
            auto& server = self.listen({}, [](cluster::connection) { fail_worker(3); });
            self.keep_alive(false);
            if (self.name() == "before") {
                server.unref();
            } else {
                self.on_message([&server](const ping&) { server.unref(); });
            }
        });
    CHECK(exits == 2);
}

// Node.js: test/parallel/test-cluster-rr-ref.js
EVERY_MODEL_CASE("test-cluster-rr-ref") {
    int done = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            primary.fork().on_message([&](auto& worker, const pong&) {
                ++done;
                worker.kill();
            });
        },
        [](auto& self) {
            auto& server = self.listen({}, [](cluster::connection) { fail_worker(3); });
            server.unref();
            server.ref();
            server.on_close([&self] { self.send(pong{}); });
            server.close();
        });
    CHECK(done == 1);
}

namespace {

/// The second worker leaves the shared port while the first stays, comes back and leaves again.
template <typename Backend>
void restart_server() {
    std::vector<std::uint16_t> ports;
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& first = primary.fork();
            first.once(cluster::event::listening, [&] {
                primary.fork().on(cluster::event::exit, [&] { first.disconnect(); });
            });
            primary.on(cluster::event::listening,
                       [&](const cluster::address& at) { ports.push_back(at.port()); });
            primary.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
            });
        },
        [](auto& self) {
            auto ignore = [](cluster::connection) {};
            auto& server = self.listen({}, ignore);
            if (self.id() == 2) {
                server.on_close([&self, ignore] {
                    auto& again = self.listen({}, ignore);
                    again.on_close([&self] { self.close(); });
                    again.close();
                });
                server.close();
            }
        });
    CHECK(exits == 2);
    REQUIRE(ports.size() == 3);
    CHECK(ports[1] == ports[0]);
    CHECK(ports[2] == ports[0]);
}

} // namespace

// Node.js: test/parallel/test-cluster-server-restart-none.js
CLUSTER_CASE("test-cluster-server-restart-none") {
    on_model("none", restart_server<Backend>);
}

// Node.js: test/parallel/test-cluster-server-restart-rr.js
EVERY_MODEL_CASE("test-cluster-server-restart-rr") {
    restart_server<Backend>();
}
