// SPDX-License-Identifier: MIT
#include "../adapters/support/two_hosts.hpp"
#include "../fixtures/scenario.hpp"

#include <cluster.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

struct bus_news {
    static constexpr std::string_view message_name = "bus_news";
    std::string text;
};
struct bus_heard { // a worker tells its primary
    static constexpr std::string_view message_name = "bus_heard";
    std::string text;
};
struct bus_question {
    static constexpr std::string_view message_name = "bus_question";
    int number = 0;
};
struct bus_finish {
    static constexpr std::string_view message_name = "bus_finish";
};

// What a worker of either cluster does.
template <typename Self>
void repeat_news(Self& self) {
    self.on_message([&self](const bus_news& arrived) {
        self.send(bus_heard{std::to_string(self.id()) + ':' + arrived.text});
    });
    self.ready();
}

// A cluster in a thread of its own, as if it were on another host: its workers broadcast what they
// have heard, and it ends when it is told.
void run_other_host(cluster::local_hub hub) {
    cluster::thread_cluster app{1, std::vector<char*>{const_cast<char*>("other"), nullptr}.data()};
    app.run(
        [&](auto& primary) {
            auto& bridge = cluster::connect_bus(
                primary, cluster::local_bus{hub, {.node = "other"}}, {.subject = "scenario"});
            bridge.template relay<bus_heard>();
            bridge.on_request([](const bus_question& asked) { return asked.number * 2; });
            bridge.on_message([&primary](const bus_finish&) { primary.disconnect(); });
            primary.fork(2);
            primary.when_ready([&bridge] { bridge.publish(std::string{"ready"}); });
        },
        [](auto& self) { repeat_news(self); });
}

} // namespace

TEST_CASE("a broadcast over the bus reaches the workers of the other cluster and not the own") {
    constexpr auto name =
        "a broadcast over the bus reaches the workers of the other cluster and not the own";
    std::vector<std::string> heard_there;
    std::vector<std::string> heard_here;
    int answer = 0;
    std::thread other;
    cluster_test::run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            cluster::local_hub hub;
            auto& bridge = cluster::connect_bus(
                primary, cluster::local_bus{hub, {.node = "here"}}, {.subject = "scenario"});
            primary.on_message([&](const bus_heard& said) { heard_here.push_back(said.text); });
            bridge.on_message([&](const std::string& said) {
                CHECK(said == "ready");
                CHECK_FALSE(bridge.broadcast(bus_news{"hello"}));
            });
            // Their relays are broadcasts, which are for our primary's handlers as well.
            bridge.on_message([&, &primary = primary](auto& from, const bus_heard& said) {
                CHECK(from.node() == "other");
                heard_there.push_back(said.text);
                if (heard_there.size() == 2) {
                    bridge.template request<int>(
                        "other", bus_question{21}, 30s, [&](cluster::result<int> reply) {
                            answer = reply.value_or(-1);
                            bridge.publish_to("other", bus_finish{});
                            primary.disconnect();
                        });
                }
            });
            primary.fork(1);
            primary.when_ready([&other, hub] { other = std::thread{run_other_host, hub}; });
        },
        [](auto& self) { repeat_news(self); });
    if (other.joinable()) {
        other.join();
    }
    std::sort(heard_there.begin(), heard_there.end());
    CHECK(heard_there == std::vector<std::string>{"1:hello", "2:hello"});
    CHECK(heard_here.empty());
    CHECK(answer == 42);
}

TEST_CASE("bytes from the bus that are no message for a worker are an error there and no more") {
    constexpr auto name =
        "bytes from the bus that are no message for a worker are an error there and no more";
    std::vector<std::string> heard;
    int code = cluster_test::run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            cluster::local_hub hub;
            cluster::connect_bus(primary, cluster::local_bus{hub, {.node = "here"}});
            auto stranger =
                std::make_shared<cluster::local_bus>(hub, cluster::local_bus_options{.node = "x"});
            primary.on_message([&, &primary = primary](const bus_heard& said) {
                heard.push_back(said.text);
                if (heard.size() == 2) {
                    primary.disconnect();
                }
            });
            primary.fork(1);
            primary.when_ready([stranger] {
                for (bool good : {false, true}) {
                    cluster::byte_buffer out;
                    cluster::detail::encode_bus_header(
                        {cluster::detail::bus_kind::broadcast,
                         cluster::detail::fnv1a(cluster::serialization::binary::name),
                         cluster::detail::message_id<bus_news>(),
                         0},
                        out);
                    if (good) {
                        cluster::serialization::binary{}.encode(bus_news{"ok"}, out);
                    } else {
                        out.append("\xff\xff\xff\xff", 4);
                    }
                    stranger->publish("cluster", out.span());
                }
            });
        },
        [](auto& self) {
            self.on(cluster::event::error, [&self] { self.send(bus_heard{"error"}); });
            repeat_news(self);
        });
    CHECK(code == 0);
    CHECK(heard == std::vector<std::string>{"error", "1:ok"});
}

TEST_CASE("two clusters of one machine broadcast and ask each other over a unix bus") {
    constexpr auto name =
        "two clusters of one machine broadcast and ask each other over a unix bus";
    if (const char* part = scenario::part()) {
        two_hosts::run_cluster(name, part == std::string{"left"}, [](const char* node) {
            return cluster::unix_bus{{.path = std::getenv("BUS_TEST_PATH"), .node = node}};
        });
        return;
    }
    cluster_test::temporary_directory folder;
    ::setenv("BUS_TEST_PATH", (folder / "bus").c_str(), 1);
    scenario::another_primary left{name, "left"};
    scenario::another_primary right{name, "right"};
    ::unsetenv("BUS_TEST_PATH");
    two_hosts::check_story(left, right);
}
