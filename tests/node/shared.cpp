// SPDX-License-Identifier: MIT
// Who shares an address with whom, and who may not.
#include "../support/client.hpp"
#include "../support/every_model.hpp"
#include "../support/temporary_directory.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

using namespace cluster_test;

namespace {

constexpr auto local_host = "127.0.0.1";
constexpr std::uint16_t privileged_port = 42;

/// An address of the loopback network on which nothing else in the system makes connections, for a
/// port that is free for a while and that nobody shall take then.
constexpr auto own_host = "127.87.0.1";

/// A worker tries to listen where it must not, in both forms of listen(), and finishes.
template <typename Self>
void fail_to_listen(Self& self, std::uint16_t port, std::errc expected) {
    auto never = [](cluster::connection) { fail_worker(3); };
    std::error_code error;
    auto& server = self.listen({.host = local_host, .port = port}, never, error);
    expect_in_worker(error == expected, 4);
    expect_in_worker(!server.is_listening(), 5);
    try {
        self.listen({.host = local_host, .port = port}, never);
        fail_worker(6);
    } catch (const std::system_error& thrown) {
        expect_in_worker(thrown.code() == expected, 7);
        auto where = local_host + (':' + std::to_string(port));
        expect_in_worker(std::string{thrown.what()}.find(where) != std::string::npos, 8);
    }
    self.disconnect();
}

} // namespace

// Node.js: test/parallel/test-cluster-shared-handle-bind-error.js
EVERY_MODEL_CASE("test-cluster-shared-handle-bind-error") {
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& owner = primary.listen({.host = local_host}, [](cluster::connection) {});
            auto& worker = primary.fork({.data = owner.address().port()});
            worker.on(cluster::event::listening, [] { FAIL_CHECK("the address was taken"); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK(owner.is_listening());
                owner.close();
            });
        },
        [](auto& self) {
            fail_to_listen(self, self.template data<std::uint16_t>(), std::errc::address_in_use);
        });
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-shared-handle-bind-privileged-port.js
EVERY_MODEL_CASE("test-cluster-shared-handle-bind-privileged-port") {
    namespace os = cluster::detail::os;
    if (os::bind_to(os::open_stream_socket(cluster::address_family::ipv4).get(),
                    loopback(privileged_port))) {
        MESSAGE("skipped: this user may bind port 42");
        return;
    }
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::listening, [] { FAIL_CHECK("the port is privileged"); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) { fail_to_listen(self, privileged_port, std::errc::permission_denied); });
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-shared-leak.js
EVERY_MODEL_CASE("test-cluster-shared-leak") {
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& first = primary.fork();
            first.once(cluster::event::listening, [&](const cluster::address& at) {
                auto& second = primary.fork();
                second.on(cluster::event::online, [&, at] {
                    auto& client = primary.attach(connect_to(at));
                    client.on_data(
                        [](cluster::stream::bytes) {}); // "bye" or a reset: both are fine
                    first.disconnect();
                    second.disconnect();
                });
                second.on(cluster::event::exit, [&, at] {
                    if (primary.workers().empty()) {
                        CHECK_FALSE(connect_to(at)); // nobody keeps the socket
                    }
                });
            });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            std::error_code refused; // the second worker may be told to go before it listens
            self.listen(
                {.host = local_host},
                [&self](cluster::connection client) { self.attach(std::move(client)).end("bye"); },
                refused);
        });
    CHECK(exits == 2);
}

// Node.js: test/sequential/test-cluster-port-reuse-between-workers.js
EVERY_MODEL_CASE("test-cluster-port-reuse-between-workers") {
    std::vector<std::string> steps;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& first = primary.fork({.name = "first"});
            primary.on_message([&](auto& from, const std::string& step) {
                steps.push_back(from.name() + ' ' + step);
                if (steps.back() == "first closed again") {
                    for (auto& each : primary.workers()) {
                        each.kill();
                    }
                } else if (from.name() == "second") {
                    first.send(std::string{"go on"});
                }
            });
            primary.on_message(
                [&](auto&, std::uint16_t port) { primary.fork({.name = "second", .data = port}); });
            primary.on(cluster::event::exit, [](auto&, const cluster::exit_status& status) {
                CHECK_MESSAGE(status == after_kill<Backend>(), status.to_string());
            });
        },
        [](auto& self) {
            auto ignore = [](cluster::connection) {};
            if (self.name() == "second") {
                self.listen({.host = own_host, .port = self.template data<std::uint16_t>()},
                            ignore);
                self.send(std::string{"listens"});
                return;
            }
            auto& server = self.listen({.host = own_host}, ignore);
            std::uint16_t port = server.address().port();
            std::error_code error;
            self.listen({.host = own_host, .port = port}, ignore, error);
            self.send(error == std::errc::address_in_use ? std::string{"refused"}
                                                         : "not refused: " + error.message());
            server.on_close([&self, port] {
                self.send(std::string{"closed"});
                self.send(port);
            });
            server.close();
            self.on_message([&self, port, ignore](const std::string&) {
                auto& again = self.listen({.host = own_host, .port = port}, ignore);
                again.on_close([&self] { self.send(std::string{"closed again"}); });
                again.close();
            });
        });
    CHECK(steps == std::vector<std::string>{
                       "first refused", "first closed", "second listens", "first closed again"});
}

// Node.js: test/sequential/test-net-listen-shared-ports.js
EVERY_MODEL_CASE("test-net-listen-shared-ports") {
    struct ports {
        std::uint16_t shared;
        std::uint16_t exclusive;
    };
    std::string outcome;
    std::vector<std::uint32_t> listened;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            primary.fork({.data = ports{}});
            primary.on(cluster::event::listening, [&](auto& worker, const cluster::address&) {
                listened.push_back(worker.id());
            });
            primary.on_message([&](auto&, const ports& taken) { primary.fork({.data = taken}); });
            primary.on_message([&](auto&, const std::string& what) {
                outcome = what;
                for (auto& each : primary.workers()) {
                    each.kill();
                }
            });
            primary.on(cluster::event::exit, [](auto&, const cluster::exit_status& status) {
                CHECK_MESSAGE(status == after_kill<Backend>(), status.to_string());
            });
        },
        [](auto& self) {
            auto never = [](cluster::connection) { fail_worker(3); };
            const auto& wanted = self.template data<ports>();
            auto& shared = self.listen({.host = local_host, .port = wanted.shared}, never);
            std::error_code error;
            auto& alone = self.listen(
                {.host = local_host, .port = wanted.exclusive, .exclusive = true}, never, error);
            if (self.id() == 1 && !error) {
                self.send(ports{shared.address().port(), alone.address().port()});
            } else {
                bool in_use = error == std::errc::address_in_use;
                self.send(std::to_string(self.id()) + (in_use ? " in use" : error.message()));
            }
        });
    CHECK(outcome == "2 in use");
    CHECK(listened == std::vector<std::uint32_t>{1, 2}); // the primary knows the shared one only
}

// Node.js: test/parallel/test-net-listen-exclusive-random-ports.js
CLUSTER_CASE("test-net-listen-exclusive-random-ports") {
    std::vector<cluster::address> addresses;
    std::string answers;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork(2);
            primary.on(cluster::event::listening,
                       [] { FAIL_CHECK("the primary was told of an exclusive address"); });
            primary.on_message([&](auto& from, std::uint16_t port) {
                addresses.push_back(loopback(port));
                ask(primary,
                    addresses.back(),
                    "",
                    [&, id = std::to_string(from.id())](const std::string& answer,
                                                        std::error_code) {
                        CHECK(answer == id);
                        answers += answer;
                        if (answers.size() == 2) {
                            primary.disconnect(); // here it closes exclusive servers, too
                        }
                    });
            });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto& server = self.listen(
                {.host = local_host, .exclusive = true}, [&self](cluster::connection client) {
                    self.attach(std::move(client)).end(std::to_string(self.id()));
                });
            self.send(server.address().port());
        });
    CHECK(exits == 2);
    REQUIRE(addresses.size() == 2);
    CHECK(addresses[0] != addresses[1]);
    CHECK_FALSE(connect_to(addresses[0]));
    CHECK_FALSE(connect_to(addresses[1]));
}

// Node.js: test/parallel/test-cluster-net-reuseport.js
// There a server with `reusePort` is its worker's own; here that takes `exclusive`, since the primary
// otherwise keeps a socket for every worker.
EVERY_MODEL_CASE("test-cluster-net-reuseport") {
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::listening, [] { FAIL_CHECK("the primary was asked"); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK(worker.exited_after_disconnect());
            });
        },
        [open = 2](auto& self) mutable {
            auto ignore = [](cluster::connection) {};
            auto close = [&] {
                if (--open == 0) {
                    self.disconnect();
                }
            };
            cluster::listen_options options{
                .host = local_host, .exclusive = true, .reuse_port = true};
            auto& first = self.listen(options, ignore);
            options.port = first.address().port();
            auto& second = self.listen(options, ignore);
            expect_in_worker(second.address() == first.address(), 3);
            first.on_close(close);
            second.on_close(close);
            first.close();
            second.close();
        });
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-net-listen-twice.js
// Here listen() returns with the primary's answer, and each call makes a server of its own.
EVERY_MODEL_CASE("test-net-listen-twice") {
    std::vector<cluster::address> addresses;
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::listening,
                      [&](const cluster::address& at) { addresses.push_back(at); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK_FALSE(worker.exited_after_disconnect());
            });
        },
        [open = 2](auto& self) mutable {
            for (int i = 0; i != 2; ++i) {
                auto& server = self.listen({}, [](cluster::connection) {});
                server.on_close([&] {
                    if (--open == 0) {
                        self.close();
                    }
                });
                self.loop().defer([&server] { server.close(); });
            }
        });
    CHECK(exits == 1);
    REQUIRE(addresses.size() == 2);
    CHECK(addresses[0].port() != addresses[1].port());
}

// Node.js: test/parallel/test-net-server-close-before-ipc-response.js
// Here the answer is there when listen() returns; closed at once, nothing of the server is left.
EVERY_MODEL_CASE("test-net-server-close-before-ipc-response") {
    cluster::address closed;
    bool asked = false;
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::listening, [&](const cluster::address& at) { closed = at; });
            worker.on_message([&](const std::string&) {
                asked = true;
                CHECK_FALSE(connect_to(closed));
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            self.listen({.host = local_host}, [](cluster::connection) {}).close();
            self.send(std::string{"closed"});
            self.keep_alive(false); // so that a server that is left over keeps the worker
        });
    CHECK(asked);
    CHECK(exits == 1);
}

// Beyond Node.js, where exclusive servers outlive the disconnect.
CLUSTER_CASE("an exclusive server is closed by disconnect and takes its file along") {
    std::string answer;
    int exits = 0;
    run_on<Backend>(
        [&, place = std::unique_ptr<temporary_directory>{}](auto& primary) mutable {
            place = std::make_unique<temporary_directory>();
            auto path = *place / "socket";
            auto& worker = primary.fork({.data = path});
            worker.on_message([&, path](const std::string&) {
                CHECK(std::filesystem::exists(path));
                ask(primary,
                    cluster::address::local(path),
                    "",
                    [&](std::string text, std::error_code) {
                        answer = std::move(text);
                        worker.disconnect();
                    });
            });
            worker.on(cluster::event::listening, [] { FAIL_CHECK("the primary was asked"); });
            worker.on(cluster::event::exit, [&, path](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK_FALSE(std::filesystem::exists(path));
            });
        },
        [](auto& self) {
            self.listen({.path = self.template data<std::string>(), .exclusive = true},
                        [&self](cluster::connection client) {
                            self.attach(std::move(client)).end("hello");
                        });
            self.on(cluster::event::disconnect, [&self] {
                std::error_code error;
                self.listen(
                    {.host = local_host, .exclusive = true}, [](cluster::connection) {}, error);
                expect_in_worker(error == cluster::errc::channel_closed, 3);
            });
            self.send(std::string{"listening"});
        });
    CHECK(answer == "hello");
    CHECK(exits == 1);
}
