// SPDX-License-Identifier: MIT
// Datagram sockets: addresses that cannot be had, sockets that close early, ports that are shared.
#include "../support/client.hpp"
#include "../support/datagram.hpp"
#include "../support/every_backend.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <system_error>
#include <vector>

using namespace cluster_test;

namespace {

constexpr auto local_host = "127.0.0.1";

/// An address of the loopback network on which nothing else in the system makes sockets, for a port
/// that is free for a while and that nobody shall take then.
constexpr auto own_host = "127.87.0.2";
std::uint16_t free_port() {
    return udp_client{cluster::address::ipv4({127, 87, 0, 2}, 0)}.address().port();
}

struct bound {
    std::uint16_t port;
};
struct refused {
    int code;
};
struct go_on {};
struct two_ports {
    std::uint16_t fixed;
    std::uint16_t exclusive;
};

template <typename Primary>
void count_clean_exits(Primary& primary, int& exits) {
    primary.on(cluster::event::exit, [&exits](auto&, const cluster::exit_status& status) {
        ++exits;
        CHECK_MESSAGE(status.success(), status.to_string());
    });
}

} // namespace

// Node.js: test/parallel/test-dgram-bind-socket-close-before-cluster-reply.js
// bind() returns with the answer, so that nothing can close before it: what is left is that a
// socket whose bind failed may be closed and says nothing any more.
CLUSTER_CASE("test-dgram-bind-socket-close-before-cluster-reply") {
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& owner = primary.bind({.host = local_host});
            primary.fork({.data = owner.address().port()});
            primary.on(cluster::event::listening, [] { FAIL_CHECK("the address was taken"); });
            count_clean_exits(primary, exits);
            primary.on(cluster::event::exit, [&owner] { owner.close(); });
        },
        [](auto& self) {
            std::error_code error;
            auto& socket = self.bind(
                {.host = local_host, .port = self.template data<std::uint16_t>()},
                [](auto, const auto&) { fail_worker(3); },
                error);
            socket.on_error([](auto, const auto&) { fail_worker(4); });
            socket.on_close([] { fail_worker(5); });
            socket.close();
            expect_in_worker(error == std::errc::address_in_use, 6);
            expect_in_worker(!socket.is_open(), 7);
            expect_in_worker(socket.send_to("x", loopback(9)) == cluster::send_result::closed, 8);
            self.disconnect();
        });
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-dgram-cluster-bind-error.js
CLUSTER_CASE("test-dgram-cluster-bind-error") {
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& owner = primary.bind({.host = local_host});
            primary.fork({.data = owner.address().port()});
            count_clean_exits(primary, exits);
            primary.on(cluster::event::exit, [&owner] { owner.close(); });
        },
        [](auto& self) {
            auto port = self.template data<std::uint16_t>();
            try {
                self.bind({.host = local_host, .port = port});
                fail_worker(3);
            } catch (const std::system_error& thrown) {
                expect_in_worker(thrown.code() == std::errc::address_in_use, 4);
                auto where = "bind " + (local_host + (':' + std::to_string(port)));
                expect_in_worker(std::string{thrown.what()}.find(where) != std::string::npos, 5);
            }
            expect_in_worker(self.bind({.host = local_host}).is_open(), 6); // nothing is left of it
            self.disconnect();
        });
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-dgram-cluster-close-during-bind.js
// Closed in the turn in which it was bound: its handler is never called and the primary lets go of
// the address.
CLUSTER_CASE("test-dgram-cluster-close-during-bind") {
    int exits = 0;
    bool free_again = false;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on_message([&](const bound& message) {
                std::error_code error;
                auto& socket = primary.bind({.host = local_host, .port = message.port}, {}, error);
                free_again = !error;
                socket.close();
                worker.disconnect();
            });
            count_clean_exits(primary, exits);
        },
        [](auto& self) {
            auto& socket =
                self.bind({.host = local_host}, [](auto, const auto&) { fail_worker(3); });
            auto at = socket.address();
            socket.send_to("to itself", at);
            socket.close();
            self.send(bound{at.port()});
        });
    CHECK(free_again);
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-dgram-cluster-close-in-listening.js
CLUSTER_CASE("test-dgram-cluster-close-in-listening") {
    constexpr int workers = 3;
    int exits = 0;
    int listening = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork(workers);
            primary.on(cluster::event::listening, [&](auto& worker, const cluster::address&) {
                ++listening;
                worker.send(go_on{});
            });
            count_clean_exits(primary, exits);
        },
        [](auto& self) {
            auto& socket = self.bind({.host = local_host}, [](auto, const auto&) {});
            self.on_message([&](const go_on&) {
                socket.close();
                self.disconnect();
            });
        });
    CHECK(listening == workers);
    CHECK(exits == workers);
}

// Node.js: test/parallel/test-dgram-exclusive-implicit-bind.js
// Two workers share a port; two that only send have one of their own each (`exclusive`).
CLUSTER_CASE("test-dgram-exclusive-implicit-bind") {
    int exits = 0;
    std::set<std::uint16_t> sources;
    std::set<std::string> senders;
    run_on<Backend>(
        [&](auto& primary) {
            auto& socket = primary.bind({.host = local_host});
            socket.on_message([&](auto bytes, const cluster::address& from) {
                sources.insert(from.port());
                senders.insert(text_of(bytes));
                if (senders.size() == 4) {
                    primary.disconnect([&socket] { socket.close(); });
                }
            });
            auto port = socket.address().port();
            primary.fork(2, {.name = "bound", .data = port});
            primary.fork(2, {.name = "sends only", .data = port});
            count_clean_exits(primary, exits);
        },
        [](auto& self) {
            auto to = loopback(self.template data<std::uint16_t>());
            bool alone = self.name() != "bound";
            auto& socket = self.bind({.host = local_host, .exclusive = alone});
            socket.send_to(std::to_string(self.id()), to);
        });
    CHECK(sources.size() == 3);
    CHECK(exits == 4);
}

// Node.js: test/parallel/test-dgram-unref-in-cluster.js
CLUSTER_CASE("test-dgram-unref-in-cluster") {
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork();
            count_clean_exits(primary, exits);
        },
        [](auto& self) {
            auto& socket = self.bind({.host = local_host}, [](auto, const auto&) {});
            self.keep_alive(false);
            socket.unref(); // nothing is left that would keep this worker
        });
    CHECK(exits == 1);
}

// Node.js: test/sequential/test-dgram-bind-shared-ports.js
CLUSTER_CASE("test-dgram-bind-shared-ports") {
    int exits = 0;
    std::vector<int> results;
    std::set<std::uint16_t> random_ports;
    run_on<Backend>(
        [&](auto& primary) {
            cluster::fork_options options{.data = two_ports{free_port(), free_port()}};
            auto& first = primary.fork(options);
            primary.on_message([&random_ports](const bound& m) { random_ports.insert(m.port); });
            primary.on_message([&, options](auto& from, const refused& message) {
                results.push_back(message.code);
                if (from.id() == first.id()) {
                    primary.fork(options);
                } else {
                    primary.disconnect();
                }
            });
            count_clean_exits(primary, exits);
        },
        [](auto& self) {
            auto [fixed, exclusive] = self.template data<two_ports>();
            auto& random = self.bind({.host = own_host});
            auto& shared = self.bind({.host = own_host, .port = fixed});
            expect_in_worker(random.address().port() != 0, 3);
            expect_in_worker(shared.address().port() == fixed, 4);
            std::error_code error;
            self.bind({.host = own_host, .port = exclusive, .exclusive = true}, {}, error);
            self.send(bound{random.address().port()});
            self.send(refused{error.value()});
        });
    REQUIRE(results.size() == 2);
    CHECK(results[0] == 0);
    CHECK(results[1] == static_cast<int>(std::errc::address_in_use));
    CHECK(random_ports.size() == 1);
    CHECK(exits == 2);
}

// Node.js: test/known_issues/test-dgram-bind-shared-ports-after-port-0.js
// A known issue there: the worker that names the port which another one got for 0 shares it.
CLUSTER_CASE("test-dgram-bind-shared-ports-after-port-0") {
    int exits = 0;
    std::vector<cluster::address> addresses;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork({.data = std::uint16_t{0}});
            primary.on(cluster::event::listening, [&](auto&, const cluster::address& at) {
                addresses.push_back(at);
                if (addresses.size() == 1) {
                    primary.fork({.data = at.port()});
                } else {
                    primary.disconnect();
                }
            });
            count_clean_exits(primary, exits);
        },
        [](auto& self) {
            auto port = self.template data<std::uint16_t>();
            self.bind({.host = local_host, .port = port}, [](auto, const auto&) {});
        });
    REQUIRE(addresses.size() == 2);
    CHECK(addresses[0] == addresses[1]);
    CHECK(exits == 2);
}
