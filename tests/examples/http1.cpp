// SPDX-License-Identifier: MIT
#include <http1.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using examples::request;
using examples::responder;
using examples::response;

// As much of a worker as serve_http needs.
struct fake_self {
    cluster::event_loop loop;
    cluster::detail::stream_set streams{loop};
    bool connected = true;

    cluster::stream& attach(cluster::connection client) {
        return streams.attach(std::move(client));
    }
    [[nodiscard]] bool is_connected() const { return connected; }
};

// A client and its server in one thread: what one writes to a socketpair is there for the other.
struct talk {
    fake_self self;
    cluster::unique_fd client;

    template <typename Handler>
    explicit talk(Handler handler, const examples::serve_options& options = {}) {
        cluster::unique_fd server;
        REQUIRE_FALSE(cluster::detail::os::make_channel(client, server));
        examples::serve_http(
            self, cluster::connection{std::move(server)}, std::move(handler), options);
    }

    void turn() {
        for (int i = 0; i != 8; ++i) {
            self.loop.poll();
        }
    }

    void say(std::string_view text) {
        turn();
        auto sent = cluster::detail::os::send(client.get(), std::as_bytes(std::span{text}));
        REQUIRE(sent.bytes == text.size());
        turn();
    }

    void finish_sending() { cluster::detail::os::shutdown_writes(client.get()); }

    // What has arrived; `ended` when the server has closed its side.
    std::string hear() {
        std::string heard;
        std::vector<std::byte> piece(256 * 1024);
        for (;;) {
            turn();
            auto got = cluster::detail::os::receive(client.get(), piece);
            if (got.error != 0 || got.bytes == 0) {
                ended = ended || !got.would_block();
                return heard;
            }
            heard.append(reinterpret_cast<const char*>(piece.data()), got.bytes);
        }
    }

    std::string ask(std::string_view text) {
        say(text);
        return hear();
    }

    // Runs until the condition holds, at most ten seconds.
    template <typename Condition>
    bool until(Condition&& holds) {
        for (auto end = std::chrono::steady_clock::now() + 10s;
             std::chrono::steady_clock::now() < end;) {
            turn();
            if (holds()) {
                return true;
            }
        }
        return false;
    }
    bool until_ended() {
        return until([&] {
            last_words += hear();
            return ended;
        });
    }

    bool ended = false;
    std::string last_words;
};

response echo(const request& what) {
    return {200,
            std::string{what.method} + ' ' + std::string{what.target} + ' ' +
                std::string{what.body}};
}

constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::string answer(std::string_view body, std::string_view extra = "") {
    return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n" + std::string{extra} + "\r\n" + std::string{body};
}

std::size_t count(std::string_view text, std::string_view part) {
    std::size_t found = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) {
        ++found;
    }
    return found;
}

} // namespace

TEST_SUITE_BEGIN("examples/http1");

TEST_CASE("a request is answered and its connection is kept") {
    talk with{echo};
    CHECK(with.ask(get) == answer("GET / "));
    CHECK(with.ask("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab") ==
          answer("POST /x ab"));
    CHECK_FALSE(with.ended);
}

TEST_CASE("a request may arrive in two pieces, whatever they are") {
    std::string text = "POST /x?y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                       "chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    for (std::size_t split = 1; split < text.size(); ++split) {
        talk with{echo};
        CHECK(with.ask(text.substr(0, split)).empty());
        CHECK(with.ask(text.substr(split) + std::string{get}) ==
              answer("POST /x?y abc") + answer("GET / "));
    }
}

TEST_CASE("pipelined requests are answered in order") {
    talk with{echo};
    std::string requests;
    std::string answers;
    for (int i = 0; i != 100; ++i) {
        requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
        answers += answer("GET /" + std::to_string(i) + ' ');
    }
    CHECK(with.ask(requests) == answers);
}

TEST_CASE("HEAD is answered like GET, without the body") {
    talk with{echo};
    auto heard = with.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(heard == answer("HEAD / ").substr(0, heard.size()));
    CHECK(heard.ends_with("Content-Length: 7\r\n\r\n"));
    CHECK(with.ask(get) == answer("GET / "));
}

TEST_CASE("the connection ends when the client asks for it") {
    talk with{echo};
    CHECK(with.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") ==
          answer("GET / ", "Connection: close\r\n"));
    CHECK(with.ended);
}

TEST_CASE("HTTP/1.0 closes unless the client asks to keep") {
    talk one{echo};
    CHECK(one.ask("GET / HTTP/1.0\r\n\r\n") == answer("GET / ", "Connection: close\r\n"));
    CHECK(one.ended);
    talk other{echo};
    CHECK(other.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") ==
          answer("GET / ", "Connection: keep-alive\r\n"));
    CHECK_FALSE(other.ended);
}

TEST_CASE("requests behind the last one are not answered") {
    talk with{echo};
    auto heard =
        with.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + std::string{get});
    CHECK(count(heard, "HTTP/1.1 200") == 1);
    CHECK(with.ended);
}

TEST_CASE("an answer carries the handler's headers, and never a header of the client's making") {
    talk with{[](const request&) {
        return response{201, "", "", {{"X-A", "b\r\nSet-Cookie: c"}, {"Content-Length", "7"}}};
    }};
    CHECK(with.ask(get) ==
          "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nX-A: b  Set-Cookie: c\r\n\r\n");
}

TEST_CASE("a handler may end the connection, and may answer without a body") {
    talk with{[](const request&) {
        return response{204, "dropped", "text/plain", {{"Connection", "close"}}};
    }};
    CHECK(with.ask(get) == "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    CHECK(with.ended);
}

TEST_CASE("an error is answered behind the answers before it, and ends the connection") {
    struct fault {
        std::string_view text, status;
    };
    for (auto [text, status] : {
             fault{"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"},
             fault{"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed"},
             fault{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported"},
             fault{"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n",
                   "413 Content Too Large"},
             fault{"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
                   "501 Not Implemented"},
             fault{"GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", "417 Expectation Failed"},
         }) {
        CAPTURE(text);
        talk with{echo};
        auto heard = with.ask(std::string{get} + std::string{text} + std::string{get});
        CHECK(heard.starts_with(answer("GET / ") + "HTTP/1.1 " + std::string{status} + "\r\n"));
        CHECK(count(heard, "HTTP/1.1 ") == 2);
        CHECK(count(heard, "Connection: close\r\n") == 1);
        CHECK((count(heard, "Allow: GET, HEAD") == 1) == (status.substr(0, 3) == "405"));
        CHECK(with.ended);
    }
}

TEST_CASE("a header section beyond the limits is a 431") {
    talk many{echo};
    std::string fields;
    for (int i = 0; i != 101; ++i) {
        fields += "A: b\r\n";
    }
    CHECK(many.ask("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n").starts_with("HTTP/1.1 431 "));
    talk big{echo};
    big.say("GET / HTTP/1.1\r\nHost: a\r\nA: " + std::string(10'000, 'x'));
    CHECK(big.ask(std::string(10'000, 'x')).starts_with("HTTP/1.1 431 "));
    CHECK(big.ended);
}

TEST_CASE("what follows an error is read and dropped, so that no reset eats the answer") {
    talk with{echo};
    with.say("GET / HTTP/1.1\r\n\r\n");
    for (int i = 0; i != 100; ++i) {
        with.say(std::string(10'000, 'x'));
    }
    CHECK(with.hear().starts_with("HTTP/1.1 400 "));
    CHECK(with.ended);
    with.client.reset();
    CHECK(with.until([&] { return !with.self.loop.poll(); })); // nothing is left
}

TEST_CASE("a client that expects 100 Continue gets it before it sends the body") {
    talk with{echo};
    CHECK(with.ask(
              "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n") ==
          "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(with.ask("ab") == answer("PUT / ab"));
}

TEST_CASE("a client may finish sending before it is answered") {
    talk with{echo};
    with.say(get);
    with.finish_sending();
    CHECK(with.hear() == answer("GET / "));
    CHECK(with.ended);
    CHECK_FALSE(with.self.loop.poll());
}

TEST_CASE("a responder answers later, in order, from bytes that have stayed") {
    std::vector<responder> waiting;
    const request* asked = nullptr;
    talk with{[&](const request& what, responder later) {
        asked = &what;
        waiting.push_back(std::move(later));
    }};
    CHECK(with.ask("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nPOST ")
              .empty());
    REQUIRE(waiting.size() == 1);
    CHECK(asked->target == "/1");
    with.say("/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"); // while it waits
    CHECK(asked->target == "/1");
    waiting[0]({200, "one"});
    waiting[0]({200, "twice"});
    CHECK(with.hear() == answer("one"));
    REQUIRE(waiting.size() == 2);
    CHECK(asked->target == "/2");
    waiting[1](echo(*asked));
    CHECK(with.hear() == answer("GET /2 "));
    REQUIRE(waiting.size() == 3);
    waiting[2](echo(*asked));
    CHECK(with.hear() == answer("POST /3 x"));
}

TEST_CASE("a responder may answer at once, and from a timer") {
    fake_self* self = nullptr;
    talk with{[&](const request& what, responder later) {
        if (what.path() == "/now") {
            return later({200, "now"});
        }
        self->loop.after(1ms, [later = std::move(later), &what] { later(echo(what)); });
    }};
    self = &with.self;
    with.say("GET /now HTTP/1.1\r\nHost: a\r\n\r\nGET /soon HTTP/1.1\r\nHost: a\r\n\r\n"
             "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(with.until_ended());
    CHECK(with.last_words ==
          answer("now") + answer("GET /soon ") + answer("now", "Connection: close\r\n"));
}

TEST_CASE("a client that finished sending is still answered later") {
    std::optional<responder> waiting;
    talk with{[&](const request&, responder later) { waiting = std::move(later); }};
    with.say(get);
    with.finish_sending();
    CHECK(with.hear().empty());
    CHECK_FALSE(with.ended);
    (*waiting)({200, "late"});
    CHECK(with.hear() == answer("late"));
    CHECK(with.ended);
}

TEST_CASE("an answer to a client that is gone goes nowhere, and its request is still there") {
    std::vector<responder> waiting;
    const request* asked = nullptr;
    auto handler = [&](const request& what, responder later) {
        asked = &what;
        waiting.push_back(std::move(later));
    };
    {
        talk with{handler};
        with.say(get);
        with.client.reset();
        with.turn();
        REQUIRE(waiting.size() == 1);
        waiting[0]({200, "nobody"}); // finds out, or not
        with.turn();
        CHECK_FALSE(with.self.loop.poll());
    }
    {
        talk with{handler};
        with.say(get);
    } // the whole role is gone
    REQUIRE(waiting.size() == 2);
    CHECK(asked->method == "GET");
    waiting[1]({200, "nobody"});
}

TEST_CASE("a responder that is dropped answers 500") {
    talk with{[](const request&, responder) {}};
    CHECK(with.ask(std::string{get} + std::string{get}).starts_with("HTTP/1.1 500 "));
    CHECK(with.ended);
}

TEST_CASE("a handler that throws answers 500, and the exception leaves the loop") {
    talk with{[](const request&) -> response { throw std::runtime_error{"handler"}; }};
    CHECK_THROWS_WITH(with.say(std::string{get} + std::string{get}), "handler");
    auto heard = with.hear();
    CHECK(heard.starts_with("HTTP/1.1 500 "));
    CHECK(count(heard, "HTTP/1.1 ") == 1);
    CHECK(with.ended);
}

TEST_CASE("a head must arrive in its time") {
    talk with{echo, {.header_timeout = 5ms}};
    with.say("GET / HTTP/1.1\r\n");
    CHECK(with.until([&] {
        if (!with.ended && with.client) {
            (void)cluster::detail::os::send(with.client.get(), std::as_bytes(std::span{"A", 1}));
        }
        with.last_words += with.hear(); // more bytes win no time
        return with.ended;
    }));
    CHECK(with.last_words.starts_with("HTTP/1.1 408 "));
}

TEST_CASE("a body must arrive in its time") {
    talk with{echo, {.body_timeout = 5ms}};
    with.say("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
    CHECK(with.until_ended());
    CHECK(with.last_words.starts_with("HTTP/1.1 408 "));
}

TEST_CASE("a kept connection ends when nothing happens on it") {
    talk with{echo, {.idle_timeout = 5ms}};
    CHECK(with.ask(get) == answer("GET / "));
    CHECK(with.until_ended());
    CHECK(with.last_words.empty());
    talk silent{echo, {.idle_timeout = 5ms}};
    CHECK(silent.until_ended());
}

TEST_CASE("a handler may take its time") {
    std::optional<responder> waiting;
    talk with{
        [&](const request&, responder later) { waiting = std::move(later); },
        {.header_timeout = 1ms, .body_timeout = 1ms, .idle_timeout = 1ms, .write_timeout = 1ms}};
    with.say(get);
    bool passed = false;
    with.self.loop.after(20ms, [&] { passed = true; });
    CHECK(with.until([&] { return passed; }));
    CHECK(with.hear().empty());
    CHECK_FALSE(with.ended);
    (*waiting)({200, "late"});
    CHECK(with.hear() == answer("late"));
}

TEST_CASE("a worker that drains answers what it has begun and ends the connection") {
    std::optional<responder> waiting;
    talk with{[&](const request&, responder later) { waiting = std::move(later); }};
    with.say(get);
    with.self.connected = false;
    with.self.streams.drain();
    with.turn();
    CHECK_FALSE(with.ended);
    (*waiting)({200, "last"});
    CHECK(with.hear() == answer("last", "Connection: close\r\n"));
    CHECK(with.ended);
}

TEST_CASE("a worker that drains ends idle connections, but waits for a first request") {
    talk kept{echo};
    kept.ask(get);
    kept.self.streams.drain();
    CHECK(kept.until_ended());
    CHECK(kept.hear().empty());
    talk fresh{echo};
    fresh.self.connected = false;
    fresh.self.streams.drain();
    CHECK(fresh.ask(get) == answer("GET / ", "Connection: close\r\n"));
    CHECK(fresh.ended);
    talk silent{echo};
    silent.self.streams.drain();
    CHECK(silent.until_ended());
}

TEST_CASE("big answers wait for a slow reader, and stop the next requests meanwhile") {
    int handled = 0;
    std::string body(1'000'000, 'x');
    talk with{[&](const request&) {
        ++handled;
        return response{200, body};
    }};
    std::string requests;
    for (int i = 0; i != 20; ++i) {
        requests += get;
    }
    with.say(requests + "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(handled == 1);
    CHECK(with.until_ended());
    CHECK(handled == 21);
    CHECK(with.last_words.size() ==
          20 * answer(body).size() + answer(body, "Connection: close\r\n").size());
    CHECK(with.last_words.ends_with(body));
}

TEST_CASE("a client that takes nothing is given up, one that takes a little is not") {
    std::string body(2'000'000, 'x');
    talk stuck{[&](const request&) { return response{200, body}; }, {.write_timeout = 5ms}};
    stuck.say(get);
    CHECK(stuck.until([&] { return !stuck.self.loop.poll(); }));
    stuck.until_ended();
    CHECK(stuck.last_words.size() < body.size());

    talk slow{[&](const request&) { return response{200, body}; }, {.write_timeout = 200ms}};
    slow.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(slow.until_ended());
    CHECK(slow.last_words.ends_with(body));
}

TEST_SUITE_END();
