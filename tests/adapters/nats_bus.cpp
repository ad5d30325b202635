// SPDX-License-Identifier: MIT
#include <cluster/adapters/nats_bus.hpp>

#include "../support/bus_log.hpp"
#include "support/foreign_server.hpp"

#include <cluster.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/socket.h>

namespace {

using namespace std::chrono_literals;
using cluster::nats_bus;
using cluster_test::all_connected;
using cluster_test::bytes_of;
using cluster_test::dispatch_until;
using cluster_test::string_of;
using cluster_test::words;
using node = cluster_test::node_of<nats_bus>;

class nats_server {
public:
    explicit nats_server(const std::vector<std::string>& more = {}) {
        std::vector<std::string> command{
            NATS_SERVER, "-a", "127.0.0.1", "-p", std::to_string(port_)};
        command.insert(command.end(), more.begin(), more.end());
        server_ = std::make_unique<cluster_test::foreign_server>(std::move(command));
        start();
    }
    void start() {
        server_->start();
        REQUIRE(scenario::eventually([this] { return cluster_test::accepts(address()); }));
    }
    void kill() { server_->kill(); }
    cluster_test::foreign_server& process() { return *server_; }
    [[nodiscard]] cluster::address address() const { return cluster_test::loopback(port_); }
    [[nodiscard]] std::string host() const { return "127.0.0.1:" + std::to_string(port_); }

    cluster::nats_options options(std::string name = {}) const {
        cluster::nats_options made;
        made.url = "nats://" + host();
        made.node = std::move(name);
        made.reconnect_wait = 5ms;
        return made;
    }

    /// What a stranger publishes, by its own words; returns when the server has taken it.
    void publish(const std::string& subject, const std::string& payload) const {
        auto socket = cluster_test::connect_socket(address());
        auto text = "CONNECT {\"verbose\":false}\r\nPUB " + subject + ' ' +
                    std::to_string(payload.size()) + "\r\n" + payload + "\r\nPING\r\n";
        REQUIRE(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(text.size()));
        std::string got;
        char bytes[4096];
        while (got.find("PONG\r\n") == std::string::npos) {
            auto count = ::recv(socket.get(), bytes, sizeof bytes, 0);
            REQUIRE(count > 0);
            got.append(bytes, static_cast<std::size_t>(count));
        }
    }

private:
    std::uint16_t port_ = cluster_test::unused_port();
    std::unique_ptr<cluster_test::foreign_server> server_;
};

} // namespace

TEST_CASE("nats: every other node gets what is published and nobody an echo") {
    nats_server server;
    node a{server.options("a")};
    node b{server.options("b")};
    node c{server.options("c.d")};
    REQUIRE(dispatch_until(
        [&] { return a.connected + b.connected + c.connected == 3; }, a.bus, b.bus, c.bus));
    CHECK_FALSE(a.bus.publish("news", bytes_of("1")));
    CHECK_FALSE(a.bus.publish("other", bytes_of("not for them")));
    CHECK_FALSE(a.bus.publish("news", bytes_of(std::string_view{"\0\r\n$", 4})));
    CHECK(dispatch_until(
        [&] { return b.heard.size() == 2 && c.heard.size() == 2; }, a.bus, b.bus, c.bus));
    CHECK_FALSE(c.bus.publish_to("b", "news", bytes_of("2")));
    CHECK_FALSE(c.bus.publish_to("c.d", "news", bytes_of("to myself")));
    CHECK(dispatch_until([&] { return b.heard.size() == 3; }, a.bus, b.bus, c.bus));
    CHECK_FALSE(b.bus.publish("news", bytes_of("3")));
    CHECK_FALSE(b.bus.publish_to("c.d", "news", bytes_of("")));
    CHECK(dispatch_until(
        [&] { return a.heard.size() == 1 && c.heard.size() == 4; }, a.bus, b.bus, c.bus));
    CHECK(a.heard == words{"b:3"});
    CHECK(b.heard == words{"a:1", {"a:\0\r\n$", 6}, "c.d:2"});
    CHECK(c.heard == words{"a:1", {"a:\0\r\n$", 6}, "b:3", "b:"});
    CHECK(a.bad + b.bad + c.bad == 0);
    CHECK(a.lost + b.lost + c.lost == 0);
}

TEST_CASE("nats: subscriptions begin and end while it is connected") {
    nats_server server;
    node a{server.options("a")};
    node b{server.options("b")};
    REQUIRE(all_connected(a, b));
    words heard;
    auto late = b.bus.subscribe("late", [&](const cluster::bus_message& arrived) {
        heard.push_back(string_of(arrived.payload));
    });
    b.subscription.cancel();
    // It has begun when something comes.
    CHECK(dispatch_until(
        [&] {
            if (heard.empty()) {
                a.bus.publish("late", bytes_of("?"));
            }
            return !heard.empty();
        },
        a.bus,
        b.bus));
    a.bus.publish("news", bytes_of("nobody listens"));
    a.bus.publish("late", bytes_of("end"));
    CHECK(dispatch_until([&] { return heard.back() == "end"; }, a.bus, b.bus));
    CHECK(b.heard.empty());
}

TEST_CASE("nats: a group is a work queue in which each message comes to one") {
    nats_server server;
    node a{server.options("a")};
    node b{server.options("b")};
    node c{server.options("c")};
    std::size_t at_b = 0;
    std::size_t at_c = 0;
    auto one = b.bus.subscribe_group("jobs", "crew", [&](const cluster::bus_message& job) {
        CHECK(job.subject == "jobs");
        ++at_b;
    });
    auto two = c.bus.subscribe_group("jobs", "crew", [&](const cluster::bus_message&) { ++at_c; });
    REQUIRE(dispatch_until(
        [&] { return a.connected + b.connected + c.connected == 3; }, a.bus, b.bus, c.bus));
    for (int i = 0; i != 200; ++i) {
        a.bus.publish("jobs", bytes_of("job"));
    }
    a.bus.publish("news", bytes_of("end"));
    CHECK(dispatch_until([&] { return at_b + at_c == 200 && !b.heard.empty() && !c.heard.empty(); },
                         a.bus,
                         b.bus,
                         c.bus));
    CHECK(at_b > 0);
    CHECK(at_c > 0);
    CHECK(b.lost + c.lost == 0);
}

TEST_CASE("nats: after kill -9 of the server it reconnects and subscribes again") {
    nats_server server;
    auto options = server.options("a");
    options.queue = 4000;
    node a{options};
    node b{server.options("b")};
    REQUIRE(all_connected(a, b));
    a.bus.publish("news", bytes_of("before"));
    CHECK(dispatch_until([&] { return b.heard.size() == 1; }, a.bus, b.bus));
    server.kill();
    CHECK(dispatch_until([&] { return a.disconnected == 1 && b.disconnected == 1; }, a.bus, b.bus));
    // What does not fit into the queue is refused.
    int taken = 0;
    std::error_code refused;
    while (!(refused = a.bus.publish("news", bytes_of("meanwhile")))) {
        REQUIRE(++taken < 1000);
    }
    CHECK(taken > 5);
    CHECK(refused == cluster::errc::would_block);
    server.start();
    CHECK(all_connected(a, b, 2));
    CHECK(dispatch_until( // the queue may be full still
        [&] { return !a.bus.publish("news", bytes_of("after")); },
        a.bus,
        b.bus));
    CHECK(dispatch_until([&] { return b.heard.back() == "a:after"; }, a.bus, b.bus));
    // Who was back first decides who has heard what; what is missing is known.
    CHECK(b.heard.size() + b.lost == static_cast<std::size_t>(taken) + 2);
    CHECK(a.disconnected == 1);
}

TEST_CASE("nats: hostile payloads cost themselves and no more") {
    nats_server server;
    node a{server.options("a")};
    node b{server.options("b")};
    REQUIRE(all_connected(a, b));
    int sent = 0;
    for (const std::string& each : {std::string{},
                                    std::string{"x"},
                                    std::string{"\1"},
                                    std::string{"\1\377"},
                                    std::string{"\1\2ab"},
                                    std::string{"\1\0", 2} + std::string(16, 'i'),
                                    std::string{"\1\1 "} + std::string(16, 'i'),
                                    std::string(100'000, '\377')}) {
        server.publish("cluster.all.news", each);
        server.publish("cluster.to.1.b.news", each);
        sent += 2;
    }
    a.bus.publish("news", bytes_of("still here"));
    CHECK(dispatch_until([&] { return b.heard.size() == 1 && b.bad == sent; }, a.bus, b.bus));
    CHECK(b.disconnected == 0);
    CHECK(b.why == cluster::errc::bad_frame);
}

TEST_CASE("nats: what it cannot send is an error of the call") {
    nats_server server;
    node a{server.options("a")};
    node b{server.options("b")};
    REQUIRE(all_connected(a, b));
    CHECK(a.bus.publish("no subject", {}) == std::errc::invalid_argument);
    CHECK(a.bus.publish("all.>", {}) == std::errc::invalid_argument);
    CHECK(a.bus.publish_to("", "news", {}) == std::errc::invalid_argument);
    std::vector<std::byte> much(nats_bus::traits.max_payload + 1);
    CHECK(a.bus.publish("news", much) == cluster::errc::message_too_large);
    much.pop_back();
    CHECK_FALSE(a.bus.publish("news", much));
    CHECK(dispatch_until([&] { return b.heard.size() == 1; }, a.bus, b.bus));
    CHECK(b.heard[0].size() == much.size() + 2);
    CHECK_THROWS_AS((nats_bus{server.options("no node")}), std::system_error);
    auto options = server.options();
    options.url = "nats://127.0.0.1:port";
    CHECK_THROWS_AS((nats_bus{options}), std::system_error);
}

TEST_CASE("nats: two nodes of one name hear of each other") {
    nats_server server;
    node a{server.options("twin")};
    node b{server.options("twin")};
    REQUIRE(all_connected(a, b));
    a.bus.publish("news", bytes_of("x"));
    CHECK(dispatch_until([&] { return b.bad == 1; }, a.bus, b.bus));
    CHECK(b.why == std::errc::address_in_use);
    CHECK(a.bad == 0);
}

TEST_CASE("nats: a server that is not there is told once and found when it comes") {
    nats_server server;
    server.kill();
    node a{server.options("a")};
    auto options = server.options("b");
    node b{options};
    CHECK(dispatch_until([&] { return a.disconnected == 1 && b.disconnected == 1; }, a.bus, b.bus));
    CHECK_FALSE(a.bus.publish("news", bytes_of("early")));
    server.start();
    CHECK(all_connected(a, b));
    a.bus.publish("news", bytes_of("x"));
    CHECK(
        dispatch_until([&] { return !b.heard.empty() && b.heard.back() == "a:x"; }, a.bus, b.bus));
    CHECK(a.disconnected == 1);
}

TEST_CASE("nats: a server that accepts and never answers is left and tried again") {
    auto silent = scenario::bind_to(cluster_test::loopback(0), true);
    cluster::nats_options options;
    options.url = "nats://127.0.0.1:" + std::to_string(scenario::port_of(silent.get()));
    options.timeout = 30ms;
    options.reconnect_wait = 5ms;
    node a{options};
    CHECK(dispatch_until([&] { return a.disconnected == 1; }, a.bus));
    CHECK(a.connected == 0);
    CHECK_FALSE(a.bus.publish("news", bytes_of("waits")));
}

TEST_CASE("nats: a server that falls silent is left and found again") {
    nats_server server;
    auto options = server.options("a");
    options.keep_alive = 50ms;
    options.timeout = 500ms;
    node a{options};
    REQUIRE(dispatch_until([&] { return a.connected == 1; }, a.bus));
    auto before = a.disconnected;
    server.process().stop_running();
    CHECK(dispatch_until([&] { return a.disconnected > before; }, a.bus));
    auto times = a.connected;
    server.process().go_on();
    CHECK(dispatch_until([&] { return a.connected > times; }, a.bus));
}

TEST_CASE("nats: a password is given and a wrong one is told") {
    nats_server server{{"--user", "me", "--pass", "secret"}};
    auto options = server.options();
    options.url = "nats://me:wrong@" + server.host();
    node wrong{options};
    options.url = "nats://me:secret@" + server.host();
    node right{options};
    CHECK(dispatch_until(
        [&] { return wrong.disconnected != 0 && right.connected == 1; }, wrong.bus, right.bus));
    CHECK(wrong.connected == 0);
}
