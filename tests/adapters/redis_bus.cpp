// SPDX-License-Identifier: MIT
#include <cluster/adapters/redis_bus.hpp>

#include "../support/bus_log.hpp"
#include "../support/bus_test.hpp"
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

#include <hiredis/hiredis.h>

TYPE_TO_STRING(cluster::redis_bus);
TYPE_TO_STRING(cluster::redis_stream_bus);

namespace {

using namespace std::chrono_literals;
using cluster::redis_bus;
using cluster::redis_stream_bus;
using cluster_test::all_connected;
using cluster_test::bytes_of;
using cluster_test::dispatch_until;
using cluster_test::node_of;
using cluster_test::string_of;
using cluster_test::words;

/// A redis-server in a scratch folder, on a UNIX socket.
class redis_server {
public:
    explicit redis_server(std::vector<std::string> more = {}) {
        std::vector<std::string> command{REDIS_SERVER,
                                         "--port",
                                         "0",
                                         "--unixsocket",
                                         path(),
                                         "--save",
                                         "",
                                         "--dir",
                                         scratch_.path()};
        command.insert(command.end(), more.begin(), more.end());
        server_ = std::make_unique<cluster_test::foreign_server>(std::move(command));
        start();
    }
    void start() {
        server_->start();
        REQUIRE(scenario::eventually(
            [this] { return cluster_test::accepts(cluster::address::local(path())) && asks(); }));
    }
    void kill() { server_->kill(); }
    cluster_test::foreign_server& process() { return *server_; }
    [[nodiscard]] std::string path() const { return scratch_.path() + "/redis"; }

    cluster::redis_options options(std::string node = {}) const {
        cluster::redis_options made;
        made.path = path();
        made.node = std::move(node);
        made.backoff = 5ms;
        made.backoff_limit = 50ms;
        return made;
    }

    /// What redis-cli would do. \returns the reply as text
    std::string cli(const std::vector<std::string>& command) const {
        auto* context = redisConnectUnix(path().c_str());
        std::string result;
        if (context->err == 0) {
            std::vector<const char*> texts;
            std::vector<std::size_t> sizes;
            for (const auto& each : command) {
                texts.push_back(each.data());
                sizes.push_back(each.size());
            }
            auto* reply = static_cast<redisReply*>(redisCommandArgv(
                context, static_cast<int>(command.size()), texts.data(), sizes.data()));
            if (reply != nullptr) {
                result = reply->type == REDIS_REPLY_INTEGER
                             ? std::to_string(reply->integer)
                             : std::string{reply->str == nullptr ? "" : reply->str};
                freeReplyObject(reply);
            }
        }
        redisFree(context);
        return result;
    }

private:
    [[nodiscard]] bool asks() const { return !cli({"PING"}).empty(); }

    cluster_test::temporary_directory scratch_;
    std::unique_ptr<cluster_test::foreign_server> server_;
};

} // namespace

TEST_CASE_TEMPLATE("redis: every other node gets what is published and nobody an echo",
                   Bus,
                   redis_bus,
                   redis_stream_bus) {
    redis_server server;
    node_of<Bus> a{server.options("a")};
    node_of<Bus> b{server.options("b")};
    node_of<Bus> c{server.options("c")};
    REQUIRE(dispatch_until(
        [&] { return a.connected + b.connected + c.connected == 3; }, a.bus, b.bus, c.bus));
    CHECK(a.bus.is_connected());
    CHECK_FALSE(a.bus.publish("news", bytes_of("1")));
    CHECK_FALSE(a.bus.publish("other", bytes_of("not for them")));
    CHECK_FALSE(a.bus.publish("news", bytes_of(std::string_view{"\0\r\n$", 4})));
    CHECK(dispatch_until(
        [&] { return b.heard.size() == 2 && c.heard.size() == 2; }, a.bus, b.bus, c.bus));
    CHECK_FALSE(c.bus.publish_to("b", "news", bytes_of("2")));
    CHECK_FALSE(c.bus.publish_to("c", "news", bytes_of("to myself")));
    CHECK(dispatch_until([&] { return b.heard.size() == 3; }, a.bus, b.bus, c.bus));
    CHECK_FALSE(b.bus.publish("news", bytes_of("3")));
    CHECK(dispatch_until(
        [&] { return a.heard.size() == 1 && c.heard.size() == 3; }, a.bus, b.bus, c.bus));
    CHECK(a.heard == words{"b:3"});
    CHECK(b.heard == words{"a:1", {"a:\0\r\n$", 6}, "c:2"});
    CHECK(c.heard == words{"a:1", {"a:\0\r\n$", 6}, "b:3"});
    CHECK(a.bad + b.bad + c.bad == 0);
    CHECK(a.lost + b.lost + c.lost == 0);
}

TEST_CASE_TEMPLATE("redis: subscriptions begin and end while it is connected",
                   Bus,
                   redis_bus,
                   redis_stream_bus) {
    redis_server server;
    node_of<Bus> a{server.options("a")};
    node_of<Bus> b{server.options("b")};
    REQUIRE(all_connected(a, b));
    words heard;
    auto late = b.bus.subscribe("late", [&](const cluster::bus_message& arrived) {
        heard.push_back(string_of(arrived.payload));
    });
    // It has begun when something comes.
    int number = 0;
    CHECK(dispatch_until(
        [&] {
            if (heard.empty()) {
                a.bus.publish("late", bytes_of(std::to_string(number++)));
            }
            a.bus.dispatch();
            b.bus.dispatch();
            return !heard.empty();
        },
        a.bus,
        b.bus));
    b.subscription.cancel();
    auto mark = static_cast<std::size_t>(number);
    a.bus.publish("news", bytes_of("nobody listens"));
    a.bus.publish("late", bytes_of("end"));
    CHECK(dispatch_until([&] { return heard.back() == "end"; }, a.bus, b.bus));
    CHECK(b.heard.empty());
    CHECK(heard.size() <= mark + 1);
}

TEST_CASE("redis: after kill -9 of the server pub/sub reconnects and says what was lost") {
    redis_server server;
    node_of<redis_bus> a{server.options("a")};
    node_of<redis_bus> b{server.options("b")};
    REQUIRE(all_connected(a, b));
    a.bus.publish("news", bytes_of("before"));
    CHECK(dispatch_until([&] { return b.heard.size() == 1; }, a.bus, b.bus));
    server.kill();
    CHECK(dispatch_until([&] { return a.disconnected == 1 && b.disconnected == 1; }, a.bus, b.bus));
    CHECK(a.why);
    server.start();
    // Only a comes back at first: what it says then, b misses.
    CHECK(dispatch_until([&] { return a.connected == 2; }, a.bus));
    for (const char* each : {"missed", "missed, too"}) {
        CHECK_FALSE(a.bus.publish("news", bytes_of(each)));
    }
    CHECK(scenario::eventually([&] { // both are gone out
        a.bus.dispatch();
        return server.cli({"GET", "x"}).empty() && a.own_lost == 0;
    }));
    CHECK(dispatch_until([&] { return b.connected == 2; }, b.bus));
    a.bus.publish("news", bytes_of("after"));
    CHECK(dispatch_until([&] { return b.heard.back() == "a:after"; }, a.bus, b.bus));
    CHECK(b.heard == words{"a:before", "a:after"});
    CHECK(b.lost == 2);
    CHECK(a.disconnected == 1);
}

TEST_CASE("redis: what is published while the server is gone goes out when it is back") {
    redis_server server;
    auto options = server.options("a");
    options.queue = 1000;
    node_of<redis_bus> a{options};
    options = server.options("b");
    options.backoff = options.backoff_limit = 5ms;
    node_of<redis_stream_bus> b{options};
    node_of<redis_stream_bus> c{server.options("c")};
    REQUIRE(dispatch_until(
        [&] { return a.connected + b.connected + c.connected == 3; }, a.bus, b.bus, c.bus));
    server.kill();
    CHECK(dispatch_until([&] { return a.disconnected + b.disconnected + c.disconnected == 3; },
                         a.bus,
                         b.bus,
                         c.bus));
    int taken = 0;
    while (!a.bus.publish("news", bytes_of("x"))) {
        ++taken;
    }
    CHECK(taken > 5);
    CHECK(taken < 100);
    CHECK(a.bus.publish("news", bytes_of("x")) == cluster::errc::would_block);
    words expected;
    for (int i = 0; i != 200; ++i) {
        CHECK_FALSE(b.bus.publish("news", bytes_of(std::to_string(i))));
        expected.push_back("b:" + std::to_string(i));
    }
    server.start();
    CHECK(dispatch_until([&] { return c.heard.size() == 200; }, a.bus, b.bus, c.bus));
    CHECK(c.heard == expected);
    CHECK(c.lost == 0);
    CHECK(dispatch_until([&] { return a.connected == 2; }, a.bus, b.bus, c.bus));
    CHECK_FALSE(a.bus.publish("news", bytes_of("x"))); // there is room again
}

TEST_CASE("redis: a stream brings what was published while a node was cut off once each") {
    redis_server server{{"--appendonly", "yes", "--appendfsync", "always"}};
    node_of<redis_stream_bus> a{server.options("a")};
    node_of<redis_stream_bus> b{server.options("b")};
    REQUIRE(all_connected(a, b));
    a.bus.publish("news", bytes_of("0"));
    CHECK(dispatch_until([&] { return b.heard.size() == 1; }, a.bus, b.bus));
    SUBCASE("its connections are cut") {
        server.cli({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
        server.cli({"CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"});
    }
    SUBCASE("the server is killed and has kept the stream") {
        server.kill();
        server.start();
    }
    CHECK(dispatch_until([&] { return a.connected == 2; }, a.bus));
    words expected{"a:0"};
    for (int i = 1; i != 500; ++i) { // b does not look
        a.bus.publish("news", bytes_of(std::to_string(i)));
        expected.push_back("a:" + std::to_string(i));
    }
    CHECK(dispatch_until(
        [&] {
            return std::stoi(server.cli({"XLEN", "cluster:stream:news"})) >= 500;
        },
        a.bus));
    CHECK(dispatch_until([&] { return b.heard.size() == expected.size(); }, a.bus, b.bus));
    CHECK(b.heard == expected);
    CHECK(b.lost == 0);
    CHECK(b.connected == 2);
}

TEST_CASE("redis: a stream that was trimmed says how much is missing") {
    redis_server server;
    node_of<redis_stream_bus> a{server.options("a")};
    node_of<redis_stream_bus> b{server.options("b")};
    REQUIRE(all_connected(a, b));
    a.bus.publish("news", bytes_of("first"));
    CHECK(dispatch_until([&] { return b.heard.size() == 1; }, a.bus, b.bus));
    server.cli({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    CHECK(dispatch_until([&] { return a.connected == 2; }, a.bus));
    for (int i = 0; i != 10; ++i) {
        a.bus.publish("news", bytes_of("x"));
    }
    CHECK(dispatch_until(
        [&] {
            return server.cli({"XLEN", "cluster:stream:news"}) == "11";
        },
        a.bus));
    server.cli({"XTRIM", "cluster:stream:news", "MAXLEN", "3"});
    CHECK(dispatch_until([&] { return b.heard.size() == 4; }, a.bus, b.bus));
    CHECK(b.lost == 7);
}

TEST_CASE_TEMPLATE("redis: hostile payloads cost themselves and no more",
                   Bus,
                   redis_bus,
                   redis_stream_bus) {
    redis_server server;
    node_of<Bus> a{server.options("a")};
    node_of<Bus> b{server.options("b")};
    REQUIRE(all_connected(a, b));
    constexpr bool streams = std::is_same_v<Bus, redis_stream_bus>;
    int sent = 0;
    for (const std::string& each : {std::string{},
                                    std::string{"x"},
                                    std::string{"\1"},
                                    std::string{"\1\377"},
                                    std::string{"\1\2ab"},
                                    std::string{"\1\0", 2} + std::string(16, 'i'),
                                    std::string{"\1\1 "} + std::string(16, 'i'),
                                    std::string(100'000, '\377')}) {
        if (streams) {
            server.cli({"XADD", "cluster:stream:news", "*", "m", each});
            server.cli({"XADD", "cluster:stream:news", "*", "m", each, "more", each});
            sent += 2;
        } else {
            server.cli({"PUBLISH", "cluster:all:news", each});
            ++sent;
        }
        server.cli({"PUBLISH", "cluster:to:1:b:news", each});
        ++sent;
    }
    a.bus.publish("news", bytes_of("still here"));
    CHECK(dispatch_until([&] { return b.heard.size() == 1 && b.bad == sent; }, a.bus, b.bus));
    CHECK(b.disconnected == 0);
    CHECK(b.why == cluster::errc::bad_frame);
}

TEST_CASE("redis: two nodes of one name hear of each other") {
    redis_server server;
    node_of<redis_bus> a{server.options("twin")};
    node_of<redis_bus> b{server.options("twin")};
    REQUIRE(all_connected(a, b));
    a.bus.publish("news", bytes_of("x"));
    CHECK(dispatch_until([&] { return b.bad == 1; }, a.bus, b.bus));
    CHECK(b.why == std::errc::address_in_use);
    CHECK(a.bad == 0);
}

TEST_CASE("redis: what it cannot send is an error of the call") {
    redis_server server;
    node_of<redis_bus> a{server.options("a")};
    CHECK(a.bus.publish("no subject", {}) == std::errc::invalid_argument);
    CHECK(a.bus.publish_to("", "news", {}) == std::errc::invalid_argument);
    std::vector<std::byte> much(redis_bus::traits.max_payload + 1);
    CHECK(a.bus.publish("news", much) == cluster::errc::message_too_large);
    CHECK_THROWS_AS((redis_bus{server.options("no node")}), std::system_error);
    much.pop_back();
    node_of<redis_bus> b{server.options("b")};
    REQUIRE(all_connected(a, b));
    CHECK_FALSE(a.bus.publish("news", much));
    CHECK(dispatch_until([&] { return b.heard.size() == 1; }, a.bus, b.bus));
    CHECK(b.heard[0].size() == much.size() + 2);
}

TEST_CASE("redis: a server that refuses a command loses that message and is heard") {
    redis_server server;
    node_of<redis_stream_bus> a{server.options("a")};
    server.cli({"SET", "cluster:stream:odd", "no stream"});
    REQUIRE(dispatch_until([&] { return a.connected == 1; }, a.bus));
    CHECK_FALSE(a.bus.publish("odd", bytes_of("x")));
    CHECK(dispatch_until([&] { return a.own_lost == 1; }, a.bus));
    CHECK(a.text.starts_with("WRONGTYPE"));
    CHECK(a.disconnected == 0);
}

TEST_CASE("redis: a password is given and a wrong one is told") {
    redis_server server{{"--requirepass", "secret"}};
    auto options = server.options("a");
    node_of<redis_bus> none{options};
    options.password = "wrong";
    node_of<redis_bus> wrong{options};
    options.password = "secret";
    options.database = 3;
    node_of<redis_bus> right{options};
    CHECK(dispatch_until(
        [&] { return none.disconnected == 1 && wrong.disconnected == 1 && right.connected == 1; },
        none.bus,
        wrong.bus,
        right.bus));
    CHECK(none.why == std::errc::permission_denied);
    CHECK(none.text.starts_with("NOAUTH"));
    CHECK(wrong.text.starts_with("WRONGPASS"));
}

TEST_CASE_TEMPLATE("redis: a server that accepts and never answers is left and tried again",
                   Bus,
                   redis_bus,
                   redis_stream_bus) {
    auto silent = scenario::bind_to(cluster_test::loopback(0), true);
    cluster::redis_options options;
    options.port = scenario::port_of(silent.get());
    options.timeout = 30ms;
    options.backoff = 5ms;
    node_of<Bus> a{options};
    CHECK(dispatch_until([&] { return a.disconnected == 1; }, a.bus));
    CHECK(a.why == cluster::errc::request_timeout);
    CHECK(a.connected == 0);
    CHECK_FALSE(a.bus.publish("news", bytes_of("waits")));
}

TEST_CASE_TEMPLATE("redis: a server that falls silent is left and found again",
                   Bus,
                   redis_bus,
                   redis_stream_bus) {
    redis_server server;
    auto options = server.options("a");
    options.keep_alive = 20ms;
    options.timeout = 300ms;
    node_of<Bus> a{options};
    REQUIRE(dispatch_until([&] { return a.connected == 1; }, a.bus));
    auto before = a.disconnected;
    server.process().stop_running();
    CHECK(dispatch_until([&] { return a.disconnected > before; }, a.bus));
    CHECK(a.why == cluster::errc::request_timeout);
    server.process().go_on();
    auto times = a.connected;
    CHECK(dispatch_until([&] { return a.connected > times; }, a.bus));
}

TEST_CASE("redis: a server that is not there is told once and found when it comes") {
    cluster::redis_options options;
    options.port = cluster_test::unused_port();
    options.backoff = options.backoff_limit = 5ms;
    node_of<redis_bus> a{options};
    CHECK(dispatch_until([&] { return a.disconnected == 1; }, a.bus));
    CHECK(a.text == "Connection refused");
    cluster_test::temporary_directory scratch;
    cluster_test::foreign_server late{{REDIS_SERVER,
                                       "--port",
                                       std::to_string(options.port),
                                       "--save",
                                       "",
                                       "--dir",
                                       scratch.path()}};
    late.start();
    CHECK(dispatch_until([&] { return a.connected == 1; }, a.bus));
    CHECK(a.disconnected == 1);
}
