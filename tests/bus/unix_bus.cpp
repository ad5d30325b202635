// SPDX-License-Identifier: MIT
#include <cluster/bus/unix_bus.hpp>

#include "../support/bus_test.hpp"
#include "../support/unix_bus_test.hpp"

#include <cluster/bus/bus_node.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace {

namespace os = cluster::detail::os;
using namespace std::chrono_literals;
using cluster::unix_bus;
using cluster_test::all_up;
using cluster_test::bytes_of;
using cluster_test::dispatch_until;
using cluster_test::string_of;
using cluster_test::words;
using node = cluster_test::unix_node;
using place = cluster_test::unix_place;

} // namespace

TEST_CASE("unix: what a node publishes reaches every other one and not itself") {
    place at;
    node a{at("a")};
    node b{at("b")};
    node c{at("c")};
    CHECK(a.bus.is_hub());
    REQUIRE(all_up(a, b, c));
    CHECK_FALSE(b.bus.is_hub());
    CHECK_FALSE(a.bus.publish("news", bytes_of("1")));
    CHECK_FALSE(a.bus.publish("other", bytes_of("not for them")));
    CHECK_FALSE(a.bus.publish("news", bytes_of(std::string_view{"\0\n", 2})));
    CHECK(dispatch_until(
        [&] { return b.heard.size() == 2 && c.heard.size() == 2; }, a.bus, b.bus, c.bus));
    CHECK_FALSE(c.bus.publish_to("b", "news", bytes_of("2")));
    CHECK_FALSE(c.bus.publish_to("c", "news", bytes_of("to myself")));
    CHECK_FALSE(c.bus.publish_to("nobody", "news", bytes_of("to nobody")));
    CHECK_FALSE(c.bus.publish_to("a", "news", bytes_of("to the hub")));
    CHECK(dispatch_until(
        [&] { return b.heard.size() == 3 && a.heard.size() == 1; }, a.bus, b.bus, c.bus));
    CHECK_FALSE(b.bus.publish("news", bytes_of("")));
    CHECK_FALSE(a.bus.publish_to("c", "news", bytes_of("from the hub")));
    CHECK(dispatch_until(
        [&] { return a.heard.size() == 2 && c.heard.size() == 4; }, a.bus, b.bus, c.bus));
    CHECK(a.heard == words{"c:to the hub", "b:"});
    CHECK(b.heard == words{"a:1", {"a:\0\n", 4}, "c:2"});
    CHECK(c.heard.size() == 4);
    CHECK(a.connected + b.connected + c.connected == 3);
    CHECK(a.bad + b.bad + c.bad == 0);
    CHECK(a.lost + b.lost + c.lost == 0);
}

TEST_CASE("unix: nodes in threads of their own hear all that the others publish in order") {
    constexpr std::size_t nodes = 4;
    constexpr int each = 1000;
    place at;
    std::vector<std::unique_ptr<unix_bus>> buses;
    std::vector<std::vector<int>> next(nodes, std::vector<int>(nodes, 0));
    std::vector<int> in_order(nodes, 0);
    std::vector<cluster::bus_subscription> subscriptions;
    for (std::size_t i = 0; i != nodes; ++i) {
        buses.push_back(std::make_unique<unix_bus>(at("n" + std::to_string(i))));
        subscriptions.push_back(
            buses[i]->subscribe("x", [&, i](const cluster::bus_message& arrived) {
                auto from = static_cast<std::size_t>(arrived.from[1] - '0');
                in_order[i] +=
                    string_of(arrived.payload) == std::to_string(next[i][from]++) ? 1 : 0;
            }));
    }
    REQUIRE(dispatch_until(
        [&] {
            return buses[1]->is_connected() && buses[2]->is_connected() && buses[3]->is_connected();
        },
        *buses[0],
        *buses[1],
        *buses[2],
        *buses[3]));
    constexpr int all = static_cast<int>(nodes - 1) * each;
    std::atomic<int> done = 0; // the hub works until everybody has everything
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i != nodes; ++i) {
        threads.emplace_back([&, i] {
            for (int n = 0; n != each; ++n) {
                buses[i]->publish("x", bytes_of(std::to_string(n)));
                buses[i]->dispatch();
            }
            dispatch_until([&] { return in_order[i] == all; }, *buses[i]);
            ++done;
            dispatch_until([&] { return done == static_cast<int>(nodes); }, *buses[i]);
        });
    }
    for (auto& one : threads) {
        one.join();
    }
    CHECK(in_order == std::vector<int>(nodes, all));
}

TEST_CASE("unix: when the hub ends another node takes over and nothing is lost that comes later") {
    place at;
    auto hub = std::make_unique<node>(at("hub"));
    node a{at("a")};
    node b{at("b")};
    node c{at("c")};
    REQUIRE(all_up(*hub, a, b, c));
    a.bus.publish("news", bytes_of("before"));
    REQUIRE(dispatch_until(
        [&] { return b.heard.size() == 1 && c.heard.size() == 1; }, hub->bus, a.bus, b.bus, c.bus));
    hub.reset();
    REQUIRE(dispatch_until([&] { return a.disconnected == 1; }, a.bus));
    CHECK(a.why == cluster::errc::channel_closed);
    CHECK_FALSE(a.bus.publish("news", bytes_of("meanwhile")));
    REQUIRE(dispatch_until(
        [&] { return b.heard.size() == 2 && c.heard.size() == 2; }, a.bus, b.bus, c.bus));
    CHECK(a.bus.is_hub() + b.bus.is_hub() + c.bus.is_hub() == 1);
    CHECK(b.heard == words{"a:before", "a:meanwhile"});
    CHECK(b.lost + c.lost == 0);
    CHECK(b.connected == 2);
    CHECK(b.disconnected == 1);
}

TEST_CASE("unix: the second node of a name is refused until the first one is gone") {
    place at;
    node hub{at("hub")};
    auto first = std::make_unique<node>(at("x"));
    REQUIRE(all_up(hub, *first));
    node second{at("x")};
    node another_hub{at("hub")};
    REQUIRE(
        dispatch_until([&] { return second.disconnected == 1 && another_hub.disconnected == 1; },
                       hub.bus,
                       first->bus,
                       second.bus,
                       another_hub.bus));
    CHECK(second.why == std::errc::address_in_use);
    CHECK(second.text == "x");
    CHECK(another_hub.why == std::errc::address_in_use);
    CHECK(second.connected == 0);
    hub.bus.publish("news", bytes_of("1"));
    CHECK(
        dispatch_until([&] { return first->heard.size() == 1; }, hub.bus, first->bus, second.bus));
    CHECK(second.heard.empty());
    first.reset();
    CHECK(dispatch_until([&] { return second.connected == 1; }, hub.bus, second.bus));
    CHECK(second.disconnected == 1);
}

TEST_CASE("unix: a node whose hub takes nothing keeps what fits into its queue") {
    place at;
    node hub{at("hub")};
    auto small = at("a");
    small.queue = 64 * 1024;
    node a{small};
    REQUIRE(all_up(hub, a));
    const std::string kilobyte(1024, 'x');
    std::size_t taken = 0;
    while (!a.bus.publish("news", bytes_of(kilobyte))) {
        ++taken;
        a.bus.dispatch();
        REQUIRE(taken < 10'000);
    }
    CHECK(a.bus.publish("news", bytes_of(kilobyte)) == cluster::errc::would_block);
    CHECK(dispatch_until([&] { return hub.heard.size() == taken; }, hub.bus, a.bus));
    CHECK_FALSE(a.bus.publish("news", bytes_of("again")));
    CHECK(dispatch_until([&] { return hub.heard.size() == taken + 1; }, hub.bus, a.bus));
    CHECK(hub.lost == 0); // what was refused has no number
}

TEST_CASE("unix: a hub that breaks the rules is left") {
    place at;
    auto server = cluster_test::listen_at(at.path);
    node a{at("a")};
    CHECK_FALSE(a.bus.is_hub());
    auto client = os::accept_from(server.get());
    REQUIRE(client);
    os::send(client.get(), bytes_of(std::string(64, '\xee')));
    CHECK(dispatch_until([&] { return a.disconnected == 1; }, a.bus));
    CHECK(a.why == cluster::errc::bad_frame);
    server.reset();
    CHECK(dispatch_until([&] { return a.bus.is_hub(); }, a.bus));
}

TEST_CASE("unix: a hub that does not answer is replaced and comes back as a node") {
    place at;
    auto quickly = [&](const char* name) {
        auto options = at(name);
        options.timeout = 100ms;
        return options;
    };
    node hub{quickly("hub")}; // whose dispatch() nobody calls: it is as good as stopped
    node a{quickly("a")};
    node b{quickly("b")};
    CHECK(dispatch_until([&] { return a.connected > 0 && b.connected > 0; }, a.bus, b.bus));
    CHECK(a.disconnected > 0);
    CHECK(dispatch_until([&] { return hub.connected > 1; }, hub.bus, a.bus, b.bus));
    CHECK(dispatch_until(
        [&] {
            hub.bus.publish("news", bytes_of("back"));
            return !a.heard.empty() && !b.heard.empty();
        },
        hub.bus,
        a.bus,
        b.bus));
}

TEST_CASE("unix: a bus says what it cannot send") {
    place at;
    node a{at("a")};
    node b{at("b")};
    REQUIRE(all_up(a, b));
    CHECK(a.bus.node() == "a");
    CHECK(a.bus.publish("a b", {}) == std::errc::invalid_argument);
    CHECK(a.bus.publish_to("*", "x", {}) == std::errc::invalid_argument);
    std::vector<std::byte> much(unix_bus::traits.max_payload + 1);
    CHECK(b.bus.publish("news", much) == cluster::errc::message_too_large);
    much.pop_back();
    CHECK_FALSE(b.bus.publish("news", much));
    CHECK(dispatch_until([&] { return a.heard.size() == 1; }, a.bus, b.bus));
    CHECK(a.heard.at(0).size() == 2 + much.size());
    unix_bus unnamed{at("")};
    CHECK(cluster::valid_bus_name(unnamed.node()));
}

TEST_CASE("unix: typed messages and requests go over it") {
    place at;
    cluster::event_loop loop;
    cluster::bus_node<unix_bus> a{loop, unix_bus{at("a")}};
    cluster::bus_node<unix_bus> b{loop, unix_bus{at("b")}};
    b.on_request([](const int& asked) { return asked * 2; });
    int answer = 0;
    a.on_node([&](std::string_view, bool here) {
        if (here) {
            a.request<int>(
                "b", 21, 60s, [&](cluster::result<int> reply) { answer = reply.value_or(-1); });
        }
    });
    CHECK(cluster_test::run_until(loop, [&] { return answer != 0; }));
    CHECK(answer == 42);
}
