// SPDX-License-Identifier: MIT
#include <cluster/bus/bus_node.hpp>

#include "../support/bus_test.hpp"

#include <cluster/bus/local_bus.hpp>
#include <cluster/serialization/raw.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cluster::local_bus;
using cluster_test::bytes_of;
using cluster_test::run_until;
using node = cluster::bus_node<local_bus>;

struct greeting {
    std::string text;
    int number = 0;
};
struct question {
    int number = 0;
};

struct three_nodes {
    cluster::event_loop loop;
    cluster::local_hub hub;
    node a{loop, local_bus{hub, {.node = "a"}}};
    node b{loop, local_bus{hub, {.node = "b"}}};
    node c{loop, local_bus{hub, {.node = "c"}}};

    bool know_each_other() {
        return run_until(loop, [this] {
            return a.nodes().size() == 2 && b.nodes().size() == 2 && c.nodes().size() == 2;
        });
    }
};

} // namespace

TEST_CASE("typed messages reach the handlers of the other nodes with their sender") {
    three_nodes all;
    std::vector<std::string> heard;
    all.b.on_message([&](auto& from, const greeting& arrived) {
        heard.push_back("b<" + std::string{from.node()} + arrived.text);
    });
    all.c.on_message([&](const greeting& arrived) { heard.push_back("c" + arrived.text); });
    all.c.on_message([&](const std::string& arrived) { heard.push_back("c string " + arrived); });
    all.a.on_message([&](const greeting&) { heard.emplace_back("echo"); });
    CHECK_FALSE(all.a.publish(greeting{"hello", 1}));
    CHECK_FALSE(all.a.publish_to("c", "text"));
    CHECK_FALSE(all.a.publish_to("c", 3.5)); // nobody's
    CHECK(all.a.publish_to("no node", 1) == std::errc::invalid_argument);
    CHECK(run_until(all.loop, [&] { return heard.size() == 3; }));
    CHECK(heard == std::vector<std::string>{"b<ahello", "chello", "c string text"});
}

TEST_CASE("a request to one node has one answer or the reason why not") {
    three_nodes all;
    std::vector<std::string> answers;
    auto note = [&](cluster::result<std::string> reply) {
        answers.push_back(reply ? *reply : reply.error().message() + '/' + reply.text());
    };
    all.b.on_request([](const question& asked) -> std::string {
        if (asked.number == 13) {
            throw std::runtime_error{"unlucky"};
        }
        return std::to_string(asked.number);
    });
    std::optional<node::responder<std::string>> later;
    all.c.on_request([&](const question&, node::responder<std::string> answer) {
        later.emplace(std::move(answer));
    });
    auto step = [&](std::size_t count) {
        CHECK(run_until(all.loop, [&] { return answers.size() == count; }));
        return answers.back();
    };
    all.a.request<std::string>("b", question{7}, 30s, note);
    CHECK(step(1) == "7");
    all.a.request<std::string>("b", question{13}, 30s, note);
    CHECK(step(2) == "the handler of the request failed/unlucky");
    all.a.request<std::string>("b", greeting{}, 30s, note);
    CHECK(step(3) == "nobody handles messages of this type/");
    all.a.request<std::string>("nobody", question{1}, 20ms, note);
    CHECK(step(4) == "the request was not answered in time/");
    all.a.request<std::string>("no node", question{1}, 30s, note);
    CHECK(step(5).starts_with(std::make_error_code(std::errc::invalid_argument).message()));
    all.a.request<int>("b", question{7}, 30s, [&](cluster::result<int> reply) {
        CHECK(reply.error() == cluster::errc::bad_payload);
        answers.emplace_back("not an int");
    });
    CHECK(step(6) == "not an int");
    all.a.request<std::string>("c", question{1}, 30s, note);
    CHECK(run_until(all.loop, [&] { return later.has_value(); }));
    (*later)("late");
    CHECK(step(7) == "late");
    all.a.request<std::string>("c", question{1}, 30s, note);
    later.reset();
    CHECK(run_until(all.loop, [&] { return later.has_value(); }));
    later.reset();
    CHECK(step(8) == "the handler of the request failed/the request was dropped");
}

TEST_CASE("a request to all is answered by every node that is known") {
    three_nodes all;
    REQUIRE(all.know_each_other());
    all.b.on_request([](const question& asked) { return asked.number + 1; });
    all.c.on_request([](const question&) -> int { throw std::runtime_error{"not me"}; });
    std::optional<cluster::bus_answers<int>> got;
    auto keep = [&](cluster::bus_answers<int> answers) { got = std::move(answers); };
    all.a.request_all<int>(question{1}, keep);
    CHECK(run_until(all.loop, [&] { return got.has_value(); }));
    CHECK(got->expected == 2);
    CHECK(got->values() == 1);
    CHECK_FALSE(got->complete());
    REQUIRE(got->answers.size() == 2);
    if (got->answers[0].node == "c") { // they come as they come
        std::swap(got->answers[0], got->answers[1]);
    }
    CHECK(got->answers[0].node == "b");
    CHECK(got->answers[0].reply.value_or(0) == 2);
    CHECK(got->answers[1].node == "c");
    CHECK(got->answers[1].reply.error() == cluster::errc::request_failed);
    CHECK(got->answers[1].reply.text() == "not me");
    // The first answer is enough.
    got.reset();
    all.a.request_all<int>(question{5}, {.expected = 1}, keep);
    CHECK(run_until(all.loop, [&] { return got.has_value(); }));
    CHECK(got->answers.size() == 1);
    CHECK(got->complete());
}

TEST_CASE("at the deadline of a request to all silent nodes stand there with an error") {
    three_nodes all;
    REQUIRE(all.know_each_other());
    all.b.on_request([](const question& asked) { return asked.number; });
    std::optional<node::responder<int>> never;
    all.c.on_request(
        [&](const question&, node::responder<int> answer) { never.emplace(std::move(answer)); });
    std::optional<cluster::bus_answers<int>> got;
    all.a.request_all<int>(question{1},
                           {.expected = 3, .timeout = 200ms},
                           [&](cluster::bus_answers<int> answers) { got = std::move(answers); });
    CHECK(run_until(all.loop, [&] { return got.has_value(); }));
    REQUIRE(got->answers.size() == 2);
    CHECK(got->answers.back().node == "c");
    CHECK(got->answers.back().reply.error() == cluster::errc::request_timeout);
    CHECK_FALSE(got->complete());
}

TEST_CASE("a request to all that nobody is there for is answered with nothing") {
    cluster::event_loop loop;
    node alone{loop, local_bus{cluster::local_hub{}}};
    bool done = false;
    alone.request_all<int>(question{}, [&](const cluster::bus_answers<int>& got) {
        CHECK(got.answers.empty());
        CHECK(got.complete());
        done = true;
    });
    CHECK_FALSE(done);
    CHECK(run_until(loop, [&] { return done; }));
}

TEST_CASE("what cannot be sent is an error of the call and of the request") {
    three_nodes all;
    std::string much(local_bus::traits.max_payload, 'x');
    CHECK(all.a.publish(much) == cluster::errc::message_too_large);
    std::error_code why;
    all.a.request_all<int>(much, {.expected = 2}, [&](const cluster::bus_answers<int>& got) {
        why = got.error;
        CHECK_FALSE(got.complete());
    });
    CHECK(run_until(all.loop, [&] { return static_cast<bool>(why); }));
    CHECK(why == cluster::errc::message_too_large);
    all.b.on_request([&](const question&) { return much; });
    why.clear();
    all.a.request<std::string>(
        "b", question{}, 30s, [&](const cluster::result<std::string>& got) { why = got.error(); });
    CHECK(run_until(all.loop, [&] { return static_cast<bool>(why); }));
    CHECK(why == cluster::errc::message_too_large);
}

TEST_CASE("nodes come and say goodbye and are missed when they fall silent") {
    cluster::event_loop loop;
    cluster::local_hub hub;
    cluster::bus_options fast{.heartbeat = 10ms, .timeout = 100ms};
    node a{loop, local_bus{hub, {.node = "a"}}, fast};
    std::string story;
    a.on_node([&](std::string_view who, bool here) {
        story += std::string{who} + (here ? " comes, " : " goes, ");
    });
    {
        node b{loop, local_bus{hub, {.node = "b"}}};
        CHECK(run_until(loop, [&] { return !a.nodes().empty(); }));
    }
    CHECK(run_until(loop, [&] { return a.nodes().empty(); }));
    CHECK(story == "b comes, b goes, ");
    // One that just ends: its last words are a heartbeat.
    local_bus silent{hub, {.node = "s"}};
    std::vector<std::byte> beat;
    auto copy = silent.subscribe("cluster", [&](const cluster::bus_message& arrived) {
        beat.assign(arrived.payload.begin(), arrived.payload.end());
    });
    CHECK(cluster_test::run_until(loop, [&] {
        silent.dispatch();
        return !beat.empty();
    }));
    silent.publish("cluster", beat);
    CHECK(run_until(loop, [&] { return a.nodes().size() == 1; }));
    CHECK(run_until(loop, [&] { return a.nodes().empty(); }));
    CHECK(story == "b comes, b goes, s comes, s goes, ");
}

TEST_CASE("bytes that are no message cost that message only and are told") {
    three_nodes all;
    local_bus stranger{all.hub, {.node = "stranger"}};
    std::vector<std::error_code> told;
    all.b.on_event([&](const cluster::bus_event& happened) {
        if (happened.what == cluster::bus_change::bad_message) {
            CHECK(happened.node == "stranger");
            told.push_back(happened.why);
        }
    });
    int heard = 0;
    all.b.on_message([&](const greeting&) { ++heard; });
    all.b.on_request([&](const question&) { return 1; });

    cluster::byte_buffer right;
    auto header = [&](cluster::detail::bus_kind kind, std::uint32_t type) {
        right.clear();
        cluster::detail::encode_bus_header(
            {kind, cluster::detail::fnv1a(cluster::serialization::binary::name), type, 1}, right);
    };
    auto greeting_id = cluster::detail::message_id<greeting>();
    std::size_t sent = 0;
    auto send = [&](std::string_view bytes) {
        stranger.publish("cluster", bytes_of(bytes));
        ++sent;
    };
    auto send_right = [&](std::string_view payload) {
        right.append(payload.data(), payload.size());
        stranger.publish("cluster", right.span());
        ++sent;
    };
    send("");
    send("x");
    send(std::string(19, '\1'));
    send(std::string(1000, '\xff'));
    send(std::string("\1\1\0\1", 4) + std::string(20, '\0'));   // reserved
    send(std::string("\1\x63\0\0", 4) + std::string(20, '\0')); // a kind that is none
    send(std::string("\1\1\0\0", 4) + std::string(20, '\0'));   // another serializer
    header(cluster::detail::bus_kind::message, greeting_id);
    send_right(std::string(4, '\xff')); // a length that is too long
    header(cluster::detail::bus_kind::message, greeting_id);
    send_right("");
    header(cluster::detail::bus_kind::request, cluster::detail::message_id<question>());
    send_right("?");
    for (auto kind : {cluster::detail::bus_kind::beat,
                      cluster::detail::bus_kind::registry_claim,
                      cluster::detail::bus_kind::registry_drop,
                      cluster::detail::bus_kind::registry_state}) {
        header(kind, 0);
        send_right("\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    }
    auto count = sent;
    header(cluster::detail::bus_kind::reply, greeting_id); // that nobody has asked for
    send_right("?");
    header(cluster::detail::bus_kind::failure, 999);
    send_right("?");
    CHECK(run_until(all.loop, [&] { return told.size() == count; }));
    all.a.publish(greeting{"still here", 1});
    CHECK(run_until(all.loop, [&] { return heard == 1; }));
    CHECK(told.size() == count);
}

TEST_CASE("nodes with different serializers tell each other so") {
    cluster::event_loop loop;
    cluster::local_hub hub;
    node a{loop, local_bus{hub, {.node = "a"}}};
    cluster::bus_node<local_bus, cluster::serialization::raw> b{loop,
                                                                local_bus{hub, {.node = "b"}}};
    b.on_request([](const int& asked) { return asked; });
    std::error_code why;
    a.request<int>("b", 1, 30s, [&](const cluster::result<int>& got) { why = got.error(); });
    std::error_code told;
    b.on_event([&](const cluster::bus_event& happened) { told = happened.why; });
    CHECK(run_until(loop, [&] { return static_cast<bool>(why); }));
    CHECK(why == cluster::errc::protocol_mismatch);
    CHECK(told == cluster::errc::protocol_mismatch);
}

TEST_CASE("an answer counts only from who was asked and only once") {
    three_nodes all;
    local_bus liar{all.hub, {.node = "liar"}};
    // The liar answers whatever request it sees, three times each.
    auto lies = liar.subscribe("cluster", [&](const cluster::bus_message& arrived) {
        auto bytes = arrived.payload;
        cluster::detail::bus_header header;
        if (!cluster::detail::decode_bus_header(bytes, header) ||
            header.kind != cluster::detail::bus_kind::request) {
            return;
        }
        header.kind = cluster::detail::bus_kind::reply;
        header.type = cluster::detail::message_id<int>();
        cluster::byte_buffer lie;
        cluster::detail::encode_bus_header(header, lie);
        cluster::serialization::binary{}.encode(666, lie);
        for (int i = 0; i != 3; ++i) {
            liar.publish_to(arrived.from, "cluster", lie.span());
        }
    });
    all.b.on_request([](const question&) { return 1; });
    std::optional<cluster::bus_answers<int>> got;
    all.a.request_all<int>(question{}, {.expected = 3}, [&](cluster::bus_answers<int> answers) {
        got = std::move(answers);
    });
    // c has no handler: b and c and the liar are three.
    CHECK(run_until(all.loop, [&] {
        liar.dispatch();
        return got.has_value();
    }));
    CHECK(got->answers.size() == 3);
    CHECK(got->values() == 2);
}
