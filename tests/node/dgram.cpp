// SPDX-License-Identifier: MIT
// Workers that share datagram sockets.
#include "../support/client.hpp"
#include "../support/datagram.hpp"
#include "../support/every_backend.hpp"
#include "unshared.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

using namespace cluster_test;
using cluster::datagram_socket;

namespace {

constexpr auto local_host = "127.0.0.1";
constexpr std::size_t workers = 4;
constexpr std::size_t packets_per_worker = 10;

struct descriptor_number {
    int fd;
};
struct received {
    std::uint32_t count;
};

/// Takes its ten datagrams, tells, and leaves. One at a time: those that it does not want are for
/// the others.
template <typename Self>
void take_packets(Self& self, cluster::datagram_options options) {
    options.batch = 1;
    auto& socket = self.bind(options);
    socket.on_message([&self, &socket, count = 0U](auto bytes, const auto&) mutable {
        expect_in_worker(text_of(bytes) == "hello world", 3);
        if (++count == packets_per_worker) {
            self.send(received{count});
            socket.close();
            self.disconnect();
        }
    });
}

/// Sends what the workers want, once all of them are there, and counts what they got.
template <typename Primary>
struct packet_source {
    Primary& primary;
    std::size_t total = 0;
    std::size_t exits = 0;
    std::set<std::uint16_t> ports;
    std::size_t listening = 0;
    datagram_socket* socket = nullptr;

    explicit packet_source(Primary& with) : primary{with} { // the handlers' owner keeps it alive
        primary.on(cluster::event::listening, [this](auto&, const cluster::address& at) {
            ports.insert(at.port());
            if (++listening == workers) {
                socket = &primary.bind({.host = local_host});
                for (std::size_t i = 0; i != workers * packets_per_worker; ++i) {
                    CHECK(socket->send_to("hello world", at) == cluster::send_result::ok);
                }
            }
        });
        primary.on_message([this](const received& message) { total += message.count; });
        primary.on(cluster::event::exit, [this](auto&, const cluster::exit_status& status) {
            ++exits;
            CHECK_MESSAGE(status.success(), status.to_string());
            if (exits == workers) {
                CHECK(total == workers * packets_per_worker);
                CHECK(ports.size() == 1);
                socket->close();
            }
        });
    }
};

} // namespace

// Node.js: test/parallel/test-cluster-child-index-dgram.js
CLUSTER_CASE("test-cluster-child-index-dgram") {
    std::vector<std::uint16_t> ports;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork();
            primary.on(cluster::event::listening,
                       [&](const cluster::address& at) { ports.push_back(at.port()); });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto& first = self.bind({.host = local_host});
            auto& second = self.bind({.host = local_host});
            first.close();
            auto& third = self.bind({.host = local_host});
            second.close();
            auto& fourth = self.bind({.host = local_host});
            expect_in_worker(third.is_open() && fourth.is_open(), 3);
            self.disconnect();
        });
    REQUIRE(ports.size() == 4);
    CHECK(ports[0] != ports[1]);
    CHECK(ports[1] != ports[2]);
    CHECK(ports[2] != ports[3]);
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-dgram-1.js
CLUSTER_CASE("test-cluster-dgram-1") {
    bool over = false;
    run_on<Backend>(
        [&](auto& primary) {
            using role = std::remove_reference_t<decltype(primary)>;
            auto made = std::make_shared<packet_source<role>>(primary);
            primary.fork(workers);
            primary.on(cluster::event::exit, [&over, made] { over = made->exits == workers; });
        },
        [](auto& self) { take_packets(self, {.host = local_host}); });
    CHECK(over);
}

// Node.js: test/parallel/test-cluster-dgram-2.js
CLUSTER_CASE("test-cluster-dgram-2") {
    std::size_t got = 0;
    std::size_t exits = 0;
    std::set<std::uint16_t> senders;
    run_on<Backend>(
        [&](auto& primary) {
            auto& socket = primary.bind({.host = local_host});
            socket.on_message([&](auto bytes, const cluster::address& from) {
                CHECK(text_of(bytes) == "hello world");
                senders.insert(from.port());
                if (++got == workers * packets_per_worker) {
                    primary.disconnect([&socket] { socket.close(); });
                }
            });
            primary.fork(workers, {.data = socket.address().port()});
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto port = self.template data<std::uint16_t>();
            auto& socket = self.bind({.host = local_host});
            self.every(std::chrono::milliseconds{1},
                       [&socket, port] { socket.send_to("hello world", loopback(port)); })
                .unref();
        });
    CHECK(got >= workers * packets_per_worker);
    CHECK(senders.size() == 1);
    CHECK(exits == workers);
}

// Node.js: test/parallel/test-cluster-dgram-bind-fd.js
CLUSTER_CASE("test-cluster-dgram-bind-fd") {
    bool over = false;
    run_on<Backend>(
        [&](auto& primary) {
            using role = std::remove_reference_t<decltype(primary)>;
            auto made = std::make_shared<packet_source<role>>(primary);
            auto socket = std::make_shared<udp_client>();
            for (auto& worker : primary.fork(workers)) {
                worker.send(descriptor_number{socket->fd()});
            }
            primary.on(cluster::event::exit, [&over, made, socket] {
                CHECK(made->ports.contains(socket->address().port()));
                over = made->exits == workers;
            });
        },
        [](auto& self) {
            self.on_message([&self](const descriptor_number& message) {
                take_packets(self, {.fd = message.fd});
            });
        });
    CHECK(over);
}

// Node.js: test/parallel/test-cluster-dgram-ipv6only.js
CLUSTER_CASE("test-cluster-dgram-ipv6only") {
    if (!has_ipv6()) {
        MESSAGE("skipped: no IPv6 here");
        return;
    }
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork();
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            std::error_code error = std::make_error_code(std::errc::address_in_use);
            for (int i = 0; i != 10 && error; ++i) { // a port that a stranger has for the other one
                auto& six = self.bind({.host = "::", .ipv6_only = true});
                auto& four =
                    self.bind({.host = "0.0.0.0", .port = six.address().port()}, {}, error);
                expect_in_worker(error || four.address().port() == six.address().port(), 3);
                six.close();
                four.close();
            }
            expect_in_worker(!error, 4);
            self.disconnect();
        });
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-dgram-reuse.js
CLUSTER_CASE("test-cluster-dgram-reuse") {
    std::vector<cluster::address> addresses;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork(2);
            primary.on(cluster::event::listening,
                       [&](const cluster::address& at) { addresses.push_back(at); });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto& first = self.bind({.host = local_host, .reuse_address = true});
            auto port = first.address().port();
            auto& second = self.bind({.host = local_host, .port = port, .reuse_address = true});
            expect_in_worker(second.address() == first.address(), 3);
            std::error_code error;
            self.bind({.host = local_host, .port = port}, {}, error);
            expect_in_worker(error == std::errc::address_in_use, 4);
            self.disconnect();
        });
    CHECK(addresses.size() == 4);
    CHECK(exits == 2);
}

// Node.js: test/parallel/test-cluster-dgram-reuseport.js
CLUSTER_CASE("test-cluster-dgram-reuseport") {
    int exits = 0;
    int ready = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork();
            primary.on(cluster::event::listening, [] { FAIL_CHECK("the primary was asked"); });
            primary.on(cluster::event::ready, [&] { ++ready; });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto& first = self.bind({.host = local_host, .reuse_port = true});
            auto& second =
                self.bind({.host = local_host, .port = first.address().port(), .reuse_port = true});
            expect_in_worker(second.address() == first.address(), 3);
            self.disconnect();
        });
    CHECK(ready == 1);
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-disconnect-unshared-udp.js
CLUSTER_CASE("test-cluster-disconnect-unshared-udp") {
    disconnect_unshared<Backend, cluster::scheduling::shared_socket>(
        [](auto& self) { self.bind({}, [](auto, const auto&) {}); });
}
