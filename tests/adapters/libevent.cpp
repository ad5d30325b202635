// SPDX-License-Identifier: MIT
#include <cluster/adapters/libevent.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <csignal>

#include <event2/buffer.h>

namespace {

using namespace std::chrono_literals;
using cluster::adapters::to_libevent;

struct host {
    static constexpr bool throws = false;

    host() = default;
    host(host&&) = delete;
    host& operator=(host&&) = delete;
    ~host() { event_base_free(base); }

    void run() { event_base_dispatch(base); }
    void after(std::chrono::milliseconds delay, std::function<void()> task) {
        ::timeval when{static_cast<time_t>(delay / 1s), static_cast<suseconds_t>(delay % 1s / 1us)};
        tasks.push_back(std::make_unique<std::function<void()>>(std::move(task)));
        event_base_once(
            base,
            -1,
            EV_TIMEOUT,
            [](evutil_socket_t, short, void* run) {
                (*static_cast<std::function<void()>*>(run))();
            },
            tasks.back().get(),
            &when);
    }
    auto drive(cluster::event_loop& role) {
        return std::make_unique<cluster::adapters::libevent_driver>(base, role);
    }

    event_base* base = event_base_new();
    std::vector<std::unique_ptr<std::function<void()>>> tasks;
};

std::string ask(host& other, const sockaddr_in& at) {
    auto client = raw::tcp_connect(at);
    raw::send_some(client.get(), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    std::string got;
    bool end = false;
    auto late = std::chrono::steady_clock::now() + 30s;
    while (!end && std::chrono::steady_clock::now() < late) {
        event_base_loop(other.base, EVLOOP_NONBLOCK);
        got += raw::read_some(client.get(), &end);
    }
    return got;
}

} // namespace

TEST_SUITE("adapters/libevent") {
#include "driver_cases.hpp"

    TEST_CASE("a connection becomes a bufferevent: TCP and UNIX") {
        host other;
        raw::ends pair;
        SUBCASE("TCP") {
            pair = raw::tcp_pair();
        }
        SUBCASE("UNIX") {
            pair = raw::unix_pair();
        }
        auto* events = to_libevent(other.base, cluster::connection{std::move(pair.ours)});
        REQUIRE(events != nullptr);
        bufferevent_setcb(
            events,
            [](bufferevent* from, void*) {
                evbuffer_add_buffer(bufferevent_get_output(from), bufferevent_get_input(from));
            },
            nullptr,
            [](bufferevent* from, short, void*) { bufferevent_free(from); },
            nullptr);
        bufferevent_enable(events, EV_READ | EV_WRITE);
        raw::send_some(pair.theirs.get(), "hello");
        ::shutdown(pair.theirs.get(), SHUT_WR);
        other.run();
        bool end = false;
        CHECK(raw::read_some(pair.theirs.get(), &end) == "hello");
        CHECK(end);
    }

    TEST_CASE("an empty connection or listener is an error") {
        host other;
        std::error_code error;
        CHECK(to_libevent(other.base, cluster::connection{}, error) == nullptr);
        CHECK(error == std::errc::bad_file_descriptor);
        CHECK_THROWS_AS(static_cast<void>(to_libevent(other.base, cluster::connection{})),
                        std::system_error);
        auto* http = evhttp_new(other.base);
        CHECK(to_libevent(http, cluster::listener{}, error) == nullptr);
        CHECK(error == std::errc::bad_file_descriptor);
        CHECK_THROWS_AS(to_libevent(http, cluster::listener{}), std::system_error);
        evhttp_free(http);
    }

    TEST_CASE("an HTTP server accepts from a listener and leaves others their socket") {
        host other;
        sockaddr_in at{};
        cluster::listener listener{raw::tcp_listener(at)};
        auto ours = listener.duplicate();
        auto* http = evhttp_new(other.base);
        evhttp_set_gencb(
            http,
            [](evhttp_request* asked, void*) { evhttp_send_reply(asked, 204, "Nothing", nullptr); },
            nullptr);
        auto* bound = to_libevent(http, std::move(listener));
        CHECK(ask(other, at).starts_with("HTTP/1.1 204"));
        CHECK(ask(other, at).starts_with("HTTP/1.1 204"));
        evhttp_del_accept_socket(http, bound);
        other.run(); // nothing is left to wait for
        CHECK(raw::tcp_connect(at));
        CHECK(ours);
        evhttp_free(http);
    }
}
