// SPDX-License-Identifier: MIT
// Connections that go with messages.
#include "../support/client.hpp"
#include "../support/every_backend.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

using namespace cluster_test;

namespace {

struct connect_order {
    std::uint16_t port;
};
struct passed_on {
    int number;
};
struct given_back {
    int number;
};

const cluster::listen_options here{.host = "127.0.0.1"};

} // namespace

// Node.js: test/parallel/test-cluster-net-send.js
CLUSTER_CASE_ON(all_transports, "test-cluster-net-send") {
    std::string result;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on_message([&](const std::string& text, cluster::handle passed) {
                CHECK(text == "handle");
                CHECK(passed.is_connection());
                worker.send("got");
                auto& stream = primary.attach(passed.to_connection());
                stream.on_data([&](std::span<const std::byte> bytes) { result += text_of(bytes); });
                stream.on_end([&] {
                    CHECK(result == "hello");
                    stream.end();
                    worker.kill();
                });
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status == after_kill<Backend>());
            });
        },
        [](auto& self) {
            auto options = here;
            options.exclusive = true;
            auto& server = self.listen(options, [&self](cluster::connection accepted) {
                auto& stream = self.attach(std::move(accepted));
                stream.on_data([](std::span<const std::byte>) {});
                self.on_message([&stream](const std::string& text) {
                    expect_in_worker(text == "got", 3);
                    stream.end("hello");
                });
            });
            self.send("handle", connect_to(server.address()));
        });
    CHECK(result == "hello");
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-send-deadlock.js
// More sockets than one message carries, on their way in both directions at the same time.
CLUSTER_CASE_ON(all_transports, "test-cluster-send-deadlock") {
    constexpr int count = 100;
    int accepted = 0;
    int returned = 0;
    int exits = 0;
    int open_clients = count; // in the worker
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            auto& server = primary.listen(here, [&](cluster::connection from) {
                worker.send(passed_on{accepted++}, std::move(from));
            });
            worker.send(connect_order{server.address().port()});
            worker.on_message([&](const given_back& what, cluster::handle passed) {
                CHECK(what.number == returned++);
                CHECK(passed.is_connection()); // and is closed here, which its client sees
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
                server.close();
            });
        },
        [&](auto& self) {
            self.on_message([&](const connect_order& order) {
                for (int i = 0; i != count; ++i) {
                    auto at = cluster::address::ipv4({127, 0, 0, 1}, order.port);
                    auto& client = self.attach(connect_to(at));
                    client.on_data([](std::span<const std::byte>) {});
                    client.on_close([&](std::error_code) {
                        if (--open_clients == 0) {
                            self.disconnect();
                        }
                    });
                }
            });
            self.on_message([&self](const passed_on& what, cluster::handle passed) {
                self.send(given_back{what.number}, std::move(passed));
            });
        });
    CHECK(accepted == count);
    CHECK(returned == count);
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-send-handle-twice.js
CLUSTER_CASE_ON(all_transports, "test-cluster-send-handle-twice") {
    std::string received;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on_message([&](const std::string& text, cluster::handle passed) {
                received += text + (passed ? " with " : " without ");
                CHECK_FALSE(passed.error());
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
            });
        },
        [](auto& self) {
            auto& server = self.listen(here, [&self](cluster::connection from) {
                self.send("first", std::move(from));
                self.send("second", std::move(from)); // there is nothing in it any more
            });
            auto& client = self.attach(connect_to(server.address()));
            client.on_data([](std::span<const std::byte>) {});
            client.on_close([&self](std::error_code) { self.disconnect(); });
        });
    CHECK(received == "first with second without ");
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-send-socket-to-worker-http-server.js
CLUSTER_CASE_ON(all_transports, "test-cluster-send-socket-to-worker-http-server") {
    std::string answer;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            auto& server = primary.listen(here, [&](cluster::connection from) {
                CHECK(worker.send("socket", std::move(from)) == cluster::send_result::ok);
            });
            worker.once(cluster::event::listening, [&] {
                auto& client = primary.attach(connect_to(server.address()));
                client.write("question");
                client.on_data([&](std::span<const std::byte> bytes) { answer += text_of(bytes); });
                client.on_close([&](std::error_code) {
                    server.close();
                    worker.disconnect();
                });
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
            });
        },
        [server = static_cast<cluster::server*>(nullptr)](auto& self) mutable {
            server = &self.listen(here, [&self, &server](cluster::connection from) {
                auto& stream = self.attach(std::move(from));
                stream.on_data([&stream, &server](std::span<const std::byte> bytes) {
                    std::string text = std::to_string(server->connections()) + " asks ";
                    text += text_of(bytes);
                    stream.end(text);
                });
            });
            self.on_message([&server](const std::string& text, cluster::handle passed) {
                expect_in_worker(text == "socket" && passed.is_connection(), 3);
                server->inject(passed.to_connection());
            });
        });
    CHECK(answer == "1 asks question");
    CHECK(exits == 1);
}
