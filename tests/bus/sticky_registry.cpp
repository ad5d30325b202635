// SPDX-License-Identifier: MIT
#include <cluster/bus/sticky_registry.hpp>

#include "../support/bus_test.hpp"

#include <cluster/bus/bus_node.hpp>
#include <cluster/bus/local_bus.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cluster::local_bus;
using cluster_test::run_until;

/// A bus that loses what it is told to.
class lossy_bus {
public:
    using subscription = local_bus::subscription;
    static constexpr cluster::bus_traits traits = local_bus::traits;

    lossy_bus(const cluster::local_hub& hub, const char* node, std::shared_ptr<bool> deaf)
        : inner_{hub, {.node = node}}, deaf_{std::move(deaf)} {}

    std::error_code publish(std::string_view subject, std::span<const std::byte> payload) {
        return *deaf_ ? std::error_code{} : inner_.publish(subject, payload);
    }
    std::error_code publish_to(std::string_view node,
                               std::string_view subject,
                               std::span<const std::byte> payload) {
        return *deaf_ ? std::error_code{} : inner_.publish_to(node, subject, payload);
    }
    subscription subscribe(std::string_view subject, cluster::bus_handler handler) {
        return inner_.subscribe(
            subject,
            [deaf = deaf_, handler = std::move(handler)](const cluster::bus_message& m) mutable {
                if (!*deaf) {
                    handler(m);
                }
            });
    }
    void on_event(cluster::bus_event_handler handler) { inner_.on_event(std::move(handler)); }
    [[nodiscard]] std::string_view node() const { return inner_.node(); }
    [[nodiscard]] int native_handle() const { return inner_.native_handle(); }
    std::size_t dispatch() { return inner_.dispatch(); }

private:
    local_bus inner_;
    std::shared_ptr<bool> deaf_;
};

struct member {
    member(cluster::event_loop& loop,
           const cluster::local_hub& hub,
           const char* name,
           std::chrono::milliseconds timeout = 60s)
        : node{loop, {hub, name, deaf}, {.heartbeat = 10ms, .timeout = timeout}} {}

    [[nodiscard]] std::string owner(const std::string& key) {
        return node.registry().lookup(key).value_or("nobody");
    }

    std::shared_ptr<bool> deaf = std::make_shared<bool>(false);
    cluster::bus_node<lossy_bus> node;
};

struct two {
    cluster::event_loop loop;
    cluster::local_hub hub;
    member a{loop, hub, "a"};
    member b{loop, hub, "b"};

    bool both_say(const std::string& key, const std::string& who) {
        return run_until(loop, [&] { return a.owner(key) == who && b.owner(key) == who; });
    }
};

} // namespace

TEST_CASE("every node knows who has claimed a key until it is released") {
    two all;
    CHECK_FALSE(all.a.node.registry().claim("session 1"));
    CHECK(all.a.owner("session 1") == "a");
    CHECK(all.both_say("session 1", "a"));
    all.b.node.registry().release("session 1"); // not its own
    CHECK(all.b.owner("session 1") == "a");
    all.b.node.registry().claim("session 1"); // takes it over
    CHECK(all.both_say("session 1", "b"));
    all.b.node.registry().release("session 1");
    CHECK(all.both_say("session 1", "nobody"));
    CHECK(all.a.node.registry().claim("") == std::errc::invalid_argument);
    CHECK(all.a.node.registry().claim(std::string(1025, 'k')) == std::errc::invalid_argument);
}

TEST_CASE("the last claim wins on both sides whatever the order of arrival") {
    two all;
    for (int round = 0; round != 50; ++round) { // neither has heard of the other's
        auto key = std::to_string(round);
        all.a.node.registry().claim(key);
        all.b.node.registry().claim(key);
        CHECK(run_until(all.loop, [&] { return all.a.owner(key) == all.b.owner(key); }));
    }
}

TEST_CASE("who comes later learns what was claimed before") {
    cluster::event_loop loop;
    cluster::local_hub hub;
    member a{loop, hub, "a"};
    constexpr int many = 3000; // several parts
    for (int i = 0; i != many; ++i) {
        a.node.registry().claim("a rather long key, so that there are parts " + std::to_string(i));
    }
    member b{loop, hub, "b"};
    CHECK(run_until(loop, [&] { return b.node.registry().size() == many; }));
    CHECK(b.owner("a rather long key, so that there are parts 2999") == "a");
}

TEST_CASE("copies that have missed claims and releases are mended by the next heartbeat") {
    two all;
    all.a.node.registry().claim("kept");
    all.a.node.registry().claim("dropped");
    CHECK(all.both_say("dropped", "a"));
    *all.b.deaf = true;
    all.a.node.registry().release("dropped");
    all.a.node.registry().claim("new");
    all.b.node.registry().claim("of b");
    CHECK(run_until(all.loop, [&, turns = 0]() mutable { return ++turns == 20; }));
    CHECK(all.b.owner("new") == "nobody");
    CHECK(all.b.owner("dropped") == "a");
    *all.b.deaf = false;
    CHECK(all.both_say("new", "a"));
    CHECK(all.both_say("dropped", "nobody"));
    CHECK(all.both_say("kept", "a"));
    CHECK(all.both_say("of b", "b"));
}

TEST_CASE("of two who claim a key while they are apart the later one has it in the end") {
    two all;
    CHECK(run_until(all.loop, [&] { return all.a.node.nodes().size() == 1; }));
    *all.a.deaf = *all.b.deaf = true;
    all.a.node.registry().claim("key");
    all.b.node.registry().claim("key");
    all.b.node.registry().claim("other");
    all.a.node.registry().claim("other");
    CHECK(all.a.owner("key") == "a");
    CHECK(all.b.owner("key") == "b");
    *all.a.deaf = *all.b.deaf = false;
    CHECK(all.both_say("key", "b"));
    // Within one microsecond the greater name has it.
    CHECK(run_until(all.loop, [&] { return all.a.owner("other") == all.b.owner("other"); }));
}

TEST_CASE("the claims of a node that is gone are nobody's") {
    cluster::event_loop loop;
    cluster::local_hub hub;
    member a{loop, hub, "a", 200ms};
    auto b = std::make_unique<member>(loop, hub, "b");
    auto c = std::make_unique<member>(loop, hub, "c");
    b->node.registry().claim("of b");
    c->node.registry().claim("of c");
    CHECK(run_until(loop, [&] { return a.node.registry().size() == 2; }));
    std::string story;
    a.node.registry().on_change([&](std::string_view key, std::string_view owner) {
        story += std::string{key} + '=' + std::string{owner} + ' ';
    });
    *b->deaf = true; // its heartbeats stop
    CHECK(run_until(loop, [&] { return a.owner("of b") == "nobody"; }));
    CHECK(a.owner("of c") == "c");
    c.reset(); // says goodbye
    CHECK(run_until(loop, [&] { return a.owner("of c") == "nobody"; }));
    *b->deaf = false; // it is back
    CHECK(run_until(loop, [&] { return a.owner("of b") == "b"; }));
    CHECK(story == "of b= of c= of b=b ");
}

TEST_CASE("claims from a far future are no claims") {
    two all;
    local_bus liar{all.hub, {.node = "zzz"}};
    auto lie = [&](std::uint64_t stamp) {
        cluster::byte_buffer out;
        cluster::detail::encode_bus_header(
            {cluster::detail::bus_kind::registry_claim,
             cluster::detail::fnv1a(cluster::serialization::binary::name),
             0,
             0},
            out);
        cluster::detail::encode_wire(cluster::detail::bus_claims{0, true, {{"key", stamp}}}, out);
        liar.publish("cluster", out.span());
    };
    int bad = 0;
    all.a.node.on_event([&](const cluster::bus_event& happened) {
        bad += happened.what == cluster::bus_change::bad_message ? 1 : 0;
    });
    all.a.node.registry().claim("key");
    lie(~std::uint64_t{0});
    CHECK(run_until(all.loop, [&] { return bad == 1; }));
    CHECK(all.both_say("key", "a"));
    lie(1); // and older ones lose
    CHECK(all.both_say("key", "a"));
}
