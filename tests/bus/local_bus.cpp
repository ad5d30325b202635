// SPDX-License-Identifier: MIT
#include <cluster/bus/local_bus.hpp>

#include "../support/bus_test.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <poll.h>

namespace {

using cluster::local_bus;
using cluster_test::bytes_of;
using cluster_test::dispatch_until;
using cluster_test::string_of;

struct listener {
    explicit listener(local_bus& bus, std::string_view subject = "news")
        : subscription{bus.subscribe(subject, [this](const cluster::bus_message& arrived) {
              heard.push_back(std::string{arrived.from} + ':' + string_of(arrived.payload));
          })} {}
    std::vector<std::string> heard;
    cluster::bus_subscription subscription;
};

bool is_readable(int fd) {
    pollfd ready{fd, POLLIN, 0};
    return ::poll(&ready, 1, 0) == 1;
}

} // namespace

TEST_CASE("what a node publishes reaches every other one and not itself") {
    cluster::local_hub hub;
    local_bus a{hub, {.node = "a"}};
    local_bus b{hub, {.node = "b"}};
    local_bus c{hub, {.node = "c"}};
    listener at_a{a};
    listener at_b{b};
    listener at_c{c};
    listener elsewhere{c, "other"};
    CHECK_FALSE(a.publish("news", bytes_of("1")));
    CHECK_FALSE(b.publish_to("c", "news", bytes_of("2")));
    CHECK_FALSE(b.publish_to("b", "news", bytes_of("to itself")));
    CHECK_FALSE(b.publish_to("nobody", "news", bytes_of("to nobody")));
    CHECK_FALSE(c.publish("news", bytes_of("")));
    CHECK(
        dispatch_until([&] { return at_c.heard.size() == 2 && at_b.heard.size() == 2; }, a, b, c));
    CHECK(at_b.heard == std::vector<std::string>{"a:1", "c:"});
    CHECK(at_c.heard == std::vector<std::string>{"a:1", "b:2"});
    CHECK(dispatch_until([&] { return !at_a.heard.empty(); }, a));
    CHECK(at_a.heard == std::vector<std::string>{"c:"});
    CHECK(elsewhere.heard.empty());
}

TEST_CASE("a subscription ends with its object and one that is moved goes on") {
    cluster::local_hub hub;
    local_bus a{hub};
    local_bus b{hub};
    int first = 0;
    int second = 0;
    auto kept = b.subscribe("news", [&](const cluster::bus_message&) { ++first; });
    {
        auto dropped = b.subscribe("news", [&](const cluster::bus_message&) { ++second; });
        CHECK(dropped.active());
    }
    auto moved = std::move(kept);
    a.publish("news", bytes_of("x"));
    CHECK(dispatch_until([&] { return first == 1; }, b));
    moved.cancel();
    a.publish("news", bytes_of("x"));
    while (is_readable(b.native_handle())) {
        CHECK(b.dispatch() == 0);
    }
    CHECK(first == 1);
    CHECK(second == 0);
}

TEST_CASE("a subscription that outlives its bus does nothing") {
    cluster::local_hub hub;
    cluster::bus_subscription late;
    {
        local_bus a{hub};
        late = a.subscribe("news", [](const cluster::bus_message&) {});
    }
    late.cancel();
    CHECK_FALSE(late.active());
}

TEST_CASE("handlers of a bus may subscribe and publish and end themselves") {
    cluster::local_hub hub;
    local_bus a{hub, {.node = "a"}};
    local_bus b{hub, {.node = "b"}};
    std::string said;
    cluster::bus_subscription inner;
    cluster::bus_subscription outer = b.subscribe("x", [&](const cluster::bus_message& m) {
        said += "outer ";
        b.publish_to(m.from, "x", bytes_of("back"));
        inner = b.subscribe("y", [&](const cluster::bus_message&) { said += "inner "; });
        outer.cancel();
    });
    auto back = a.subscribe("x", [&](const cluster::bus_message&) { said += "back"; });
    a.publish("x", bytes_of("1"));
    a.publish("y", bytes_of("2"));
    a.publish("x", bytes_of("3"));
    CHECK(dispatch_until([&] { return said == "outer inner back"; }, a, b));
}

TEST_CASE("what a handler throws leaves dispatch and the next message comes with the next call") {
    cluster::local_hub hub;
    local_bus a{hub};
    local_bus b{hub};
    std::vector<std::string> heard;
    auto one = b.subscribe("news", [&](const cluster::bus_message& arrived) {
        heard.push_back(string_of(arrived.payload));
        if (heard.size() == 1) {
            throw std::runtime_error{"no"};
        }
    });
    a.publish("news", bytes_of("1"));
    a.publish("news", bytes_of("2"));
    int thrown = 0;
    while (heard.size() < 2) {
        REQUIRE(is_readable(b.native_handle()));
        try {
            b.dispatch();
        } catch (const std::runtime_error&) {
            ++thrown;
        }
    }
    CHECK(thrown == 1);
    CHECK(heard == std::vector<std::string>{"1", "2"});
}

TEST_CASE("a full queue loses what comes and its node is told how much") {
    cluster::local_hub hub;
    local_bus a{hub, {.node = "a"}};
    local_bus b{hub, {.node = "b", .queue = 100}};
    listener at_b{b};
    std::uint64_t lost = 0;
    b.on_event([&](const cluster::bus_event& happened) { lost += happened.count; });
    for (int i = 0; i != 10; ++i) {
        CHECK_FALSE(a.publish("news", bytes_of("0123456789")));
    }
    CHECK(dispatch_until([&] { return lost != 0; }, b));
    CHECK(at_b.heard.size() == 6);
    CHECK(lost == 4);
    a.publish("news", bytes_of("again"));
    CHECK(dispatch_until([&] { return at_b.heard.size() == 7; }, b));
}

TEST_CASE("a bus says what it cannot send and who it cannot be") {
    cluster::local_hub hub;
    local_bus a{hub, {.node = "a"}};
    CHECK(a.node() == "a");
    CHECK_THROWS_AS((local_bus{hub, {.node = "a"}}), std::system_error);
    CHECK_THROWS_AS((local_bus{hub, {.node = "a b"}}), std::system_error);
    CHECK_THROWS_AS((void)a.subscribe("", [](const cluster::bus_message&) {}), std::system_error);
    CHECK(a.publish("a b", {}) == std::errc::invalid_argument);
    CHECK(a.publish_to("*", "x", {}) == std::errc::invalid_argument);
    std::vector<std::byte> much(local_bus::traits.max_payload + 1);
    CHECK(a.publish("x", much) == cluster::errc::message_too_large);
    local_bus unnamed{hub};
    local_bus other{hub};
    CHECK(cluster::valid_bus_name(unnamed.node()));
    CHECK(unnamed.node() != other.node());
}

TEST_CASE("nodes in threads of their own hear all that the others publish in order") {
    constexpr int nodes = 4;
    constexpr int each = 500;
    cluster::local_hub hub;
    std::vector<local_bus> buses;
    for (int i = 0; i != nodes; ++i) {
        buses.emplace_back(hub, cluster::local_bus_options{.node = "n" + std::to_string(i)});
    }
    std::vector<int> in_order(nodes, 0);
    std::vector<std::thread> threads;
    // Everybody subscribes before anybody publishes.
    std::vector<std::vector<int>> next(nodes, std::vector<int>(nodes, 0));
    std::vector<cluster::bus_subscription> subscriptions;
    for (std::size_t i = 0; i != nodes; ++i) {
        subscriptions.push_back(
            buses[i].subscribe("x", [&in_order, &next, i](const cluster::bus_message& arrived) {
                auto from = static_cast<std::size_t>(arrived.from[1] - '0');
                in_order[i] +=
                    string_of(arrived.payload) == std::to_string(next[i][from]++) ? 1 : 0;
            }));
    }
    for (std::size_t i = 0; i != nodes; ++i) {
        threads.emplace_back([&, i] {
            for (int n = 0; n != each; ++n) {
                buses[i].publish("x", bytes_of(std::to_string(n)));
                buses[i].dispatch();
            }
            dispatch_until([&] { return in_order[i] == (nodes - 1) * each; }, buses[i]);
        });
    }
    for (auto& one : threads) {
        one.join();
    }
    CHECK(in_order == std::vector<int>(nodes, (nodes - 1) * each));
}
