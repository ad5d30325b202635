// SPDX-License-Identifier: MIT
// Nodes of a unix_bus in processes of their own, which are killed and stopped.
#include <cluster/bus/unix_bus.hpp>

#include "../fixtures/scenario.hpp"
#include "../support/bus_log.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <signal.h>

namespace {

using namespace std::chrono_literals;
using cluster::unix_bus;
using cluster::unix_bus_options;
using cluster_test::bytes_of;
using cluster_test::dispatch_until;
using cluster_test::string_of;
using node = cluster_test::node_of<unix_bus>;

/// What a process of its own is told by its part: "<name> <milliseconds> <path>".
std::string
part_of(const std::string& name, std::chrono::milliseconds timeout, const std::string& path) {
    return name + ' ' + std::to_string(timeout.count()) + ' ' + path;
}
unix_bus_options options_of(std::string_view part) {
    auto name_end = part.find(' ');
    auto time_end = part.find(' ', name_end + 1);
    unix_bus_options made;
    made.node = part.substr(0, name_end);
    made.timeout =
        std::chrono::milliseconds{std::atoi(std::string{part.substr(name_end + 1)}.c_str())};
    made.path = part.substr(time_end + 1);
    return made;
}

/// What a node has heard of the news, each of which begins with its number.
struct tally {
    std::size_t heard = 0;
    std::uint64_t lost = 0;
    int late = 0; // out of order
    std::vector<std::pair<std::string, int>> next{};

    void hear(const cluster::bus_message& arrived) {
        ++heard;
        auto number = std::atoi(string_of(arrived.payload).c_str());
        for (auto& each : next) {
            if (each.first == arrived.from) {
                late += number < each.second ? 1 : 0;
                each.second = number + 1;
                return;
            }
        }
        next.emplace_back(arrived.from, number + 1);
    }
    [[nodiscard]] std::string text() const {
        return std::to_string(heard) + " heard " + std::to_string(lost) + " lost " +
               std::to_string(late) + " late";
    }
};

/// Hears news and does what it is told by subject "do": "count" publishes a thousand, "say" answers
/// with its tally, "end" is the end.
void run_node(std::string_view part) {
    unix_bus bus{options_of(part)};
    tally all;
    bool ended = false;
    auto news = bus.subscribe("news", [&](const cluster::bus_message& m) { all.hear(m); });
    auto told = bus.subscribe("do", [&](const cluster::bus_message& m) {
        auto what = string_of(m.payload);
        if (what == "say") {
            bus.publish_to(m.from, "news", bytes_of(all.text()));
        }
        for (int i = 0; what == "count" && i != 1000; ++i) {
            bus.publish("news", bytes_of(std::to_string(i)));
        }
        ended = what == "end";
    });
    bus.on_event([&](const cluster::bus_event& happened) {
        if (happened.what == cluster::bus_change::connected) {
            scenario::say(bus.is_hub() ? "hub" : "node");
        }
        all.lost += happened.count;
    });
    dispatch_until([&] { return ended; }, bus);
}
void run_part(const char* part) {
    run_node(part);
    std::exit(0);
}

/// How many of them are the hub.
template <typename... Nodes>
int hubs(const Nodes&... nodes) {
    return (0 + ... + (nodes.bus.is_hub() ? 1 : 0));
}

} // namespace

TEST_CASE("unix bus: three processes hear a thousand messages of each other in order") {
    constexpr auto name =
        "unix bus: three processes hear a thousand messages of each other in order";
    if (const char* part = scenario::part()) {
        run_part(part);
    }
    scenario::temporary_directory folder;
    const auto path = folder / "bus";
    scenario::another_primary a{name, part_of("a", 1min, path)};
    REQUIRE(a.line() == "hub");
    scenario::another_primary b{name, part_of("b", 1min, path)};
    scenario::another_primary c{name, part_of("c", 1min, path)};
    CHECK(b.line() == "node");
    CHECK(c.line() == "node");
    node here{options_of(part_of("here", 1min, path))};
    REQUIRE(dispatch_until([&] { return here.connected == 1; }, here.bus));
    here.bus.publish("do", bytes_of("count"));
    REQUIRE(dispatch_until([&] { return here.heard.size() == 3000; }, here.bus));
    // Each answer comes behind all that its node has said and heard.
    for (const char* each : {"a", "b", "c"}) {
        here.bus.publish_to(each, "do", bytes_of("say"));
    }
    REQUIRE(dispatch_until([&] { return here.heard.size() == 3003; }, here.bus));
    std::sort(here.heard.begin() + 3000, here.heard.end());
    for (std::size_t i = 0; i != 3; ++i) {
        CHECK(here.heard.at(3000 + i).substr(1) == ":2000 heard 0 lost 0 late");
    }
    CHECK(here.lost == 0);
    here.bus.publish("do", bytes_of("end"));
    here.bus.dispatch();
    CHECK(a.wait() == 0);
    CHECK(b.wait() == 0);
    CHECK(c.wait() == 0);
}

TEST_CASE("unix bus: after kill -9 of the hub in the middle of traffic another node takes over") {
    constexpr auto name =
        "unix bus: after kill -9 of the hub in the middle of traffic another node takes over";
    if (const char* part = scenario::part()) {
        run_part(part);
    }
    scenario::temporary_directory folder;
    const auto path = folder / "bus";
    auto hub = std::make_unique<scenario::another_primary>(name, part_of("hub", 1min, path));
    REQUIRE(hub->line() == "hub");
    node a{options_of(part_of("a", 1min, path))};
    node b{options_of(part_of("b", 1min, path))};
    node c{options_of(part_of("c", 1min, path))};
    REQUIRE(dispatch_until(
        [&] { return a.connected + b.connected + c.connected == 3; }, a.bus, b.bus, c.bus));
    std::size_t published = 0;
    auto publish = [&] {
        auto number = std::to_string(published);
        published += a.bus.publish("news", bytes_of(number)) ? 0U : 1U;
    };
    for (int round = 0; round != 2; ++round) {
        const auto before = b.heard.size();
        REQUIRE(dispatch_until(
            [&] {
                publish();
                return b.heard.size() > before + 100;
            },
            a.bus,
            b.bus,
            c.bus));
        if (round == 0) {
            hub->kill(SIGKILL);
            REQUIRE(dispatch_until(
                [&] {
                    publish();
                    return a.connected == 2 && b.connected == 2 && c.connected == 2;
                },
                a.bus,
                b.bus,
                c.bus));
            CHECK(hubs(a, b, c) == 1);
        }
    }
    a.bus.publish("news", bytes_of("end"));
    ++published;
    REQUIRE(dispatch_until([&] { return b.heard.back() == "a:end" && c.heard.back() == "a:end"; },
                           a.bus,
                           b.bus,
                           c.bus));
    for (const auto* each : {&b, &c}) {
        CHECK(each->heard.size() + each->lost == published); // what is missing is known
        long last = -1;
        for (const auto& one : each->heard) {
            if (one != "a:end") {
                auto number = std::atol(one.c_str() + 2);
                CHECK(number > last);
                last = number;
            }
        }
        CHECK(each->disconnected == 1);
        CHECK(each->own_lost == 0);
    }
    CHECK(a.disconnected == 1);
}

TEST_CASE("unix bus: a stopped node slows nobody and is told what it has missed") {
    constexpr auto name = "unix bus: a stopped node slows nobody and is told what it has missed";
    if (const char* part = scenario::part()) {
        run_part(part);
    }
    constexpr std::size_t count = 3000;
    scenario::temporary_directory folder;
    const auto path = folder / "bus";
    auto small = options_of(part_of("hub", 1min, path));
    small.queue = 64 * 1024;
    node hub{small};
    node quick{options_of(part_of("quick", 1min, path))};
    scenario::another_primary slow{name, part_of("slow", 1min, path)};
    std::size_t asked = 0;
    auto ask = [&] {
        hub.bus.publish_to("slow", "do", bytes_of("say"));
        ++asked;
    };
    REQUIRE(dispatch_until( // until it is there
        [&] {
            ask();
            return !hub.heard.empty();
        },
        hub.bus,
        quick.bus));
    slow.kill(SIGSTOP);
    REQUIRE(scenario::eventually([&] { return scenario::process_state(slow.pid()) == 'T'; }));
    std::size_t published = 0;
    auto publish = [&] {
        auto text = std::to_string(published++) + std::string(1000, ' ');
        CHECK_FALSE(hub.bus.publish("news", bytes_of(text)));
    };
    while (published != count) {
        publish();
        REQUIRE(
            dispatch_until([&] { return quick.heard.size() == published; }, hub.bus, quick.bus));
    }
    CHECK(quick.lost == 0);
    slow.kill(SIGCONT);
    unsigned long heard = 0;
    unsigned long lost = 0;
    int late = -1;
    REQUIRE(dispatch_until( // until it has heard one of those that come now
        [&] {
            publish();
            ask();
            std::sscanf(
                hub.heard.back().c_str(), "slow:%lu heard %lu lost %d", &heard, &lost, &late);
            return heard + lost > count;
        },
        hub.bus,
        quick.bus));
    CHECK(lost > 0);
    CHECK(late == 0);
    CHECK(heard + lost <= published + asked); // some questions are lost, too
    CHECK(hub.bad == 0);
}

TEST_CASE("unix bus: a stopped hub is replaced and takes part again when it goes on") {
    constexpr auto name =
        "unix bus: a stopped hub is replaced and takes part again when it goes on";
    if (const char* part = scenario::part()) {
        run_part(part);
    }
    scenario::temporary_directory folder;
    const auto path = folder / "bus";
    scenario::another_primary hub{name, part_of("hub", 300ms, path)};
    REQUIRE(hub.line() == "hub");
    node a{options_of(part_of("a", 300ms, path))};
    node b{options_of(part_of("b", 300ms, path))};
    REQUIRE(dispatch_until([&] { return a.connected > 0 && b.connected > 0; }, a.bus, b.bus));
    hub.kill(SIGSTOP);
    REQUIRE(dispatch_until([&] { return hubs(a, b) == 1; }, a.bus, b.bus));
    // However slow the machine is, and however often somebody takes over: it arrives.
    CHECK(dispatch_until(
        [&] {
            a.bus.publish("news", bytes_of("1"));
            return !b.heard.empty();
        },
        a.bus,
        b.bus));
    CHECK(a.disconnected > 0);
    CHECK(a.heard.empty());
    hub.kill(SIGCONT);
    CHECK(dispatch_until(
        [&] {
            a.bus.publish_to("hub", "do", bytes_of("say"));
            return !a.heard.empty();
        },
        a.bus,
        b.bus));
    CHECK(a.heard.at(0).starts_with("hub:"));
}
