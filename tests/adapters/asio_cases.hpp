// SPDX-License-Identifier: MIT
// The tests of both Asios; read by tests that have `namespace net`, the one or the other, and ADAPTER, the suite's name.
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

namespace {

using namespace std::chrono_literals;
using cluster::adapters::to_asio;
using net::ip::tcp;
using local = net::local::stream_protocol;

struct host {
    static constexpr bool throws = true;

    void run() {
        context.restart();
        context.run();
    }
    void after(std::chrono::milliseconds delay, std::function<void()> task) {
        auto timer = std::make_shared<net::steady_timer>(context);
        timer->expires_after(delay < 1h ? delay : 1h);
        timer->async_wait([timer, task = std::move(task)](const auto& error) {
            if (!error) {
                task();
            }
        });
    }
    auto drive(cluster::event_loop& loop) {
        return std::make_unique<cluster::adapters::asio_driver<net::io_context>>(context, loop);
    }

    net::io_context context;
};

cluster::connection connection_of(raw::ends& pair) {
    return cluster::connection{std::move(pair.ours)};
}

} // namespace

TEST_SUITE(ADAPTER) {
#include "driver_cases.hpp"

    TEST_CASE("a TCP connection becomes a socket of the io_context") {
        net::io_context context;
        auto pair = raw::tcp_pair();
        auto socket = to_asio(context, connection_of(pair));
        static_assert(std::is_same_v<decltype(socket), tcp::socket>);
        CHECK(socket.local_endpoint().address().is_v4());
        std::string got(5, ' ');
        net::async_read(
            socket, net::buffer(got), [](const auto& error, std::size_t) { CHECK_FALSE(error); });
        raw::send_some(pair.theirs.get(), "hello");
        context.run();
        CHECK(got == "hello");
        socket.close();
        bool end = false;
        raw::read_some(pair.theirs.get(), &end);
        CHECK(end);
    }

    TEST_CASE("a UNIX connection becomes one with its protocol or an error without") {
        net::io_context context;
        auto pair = raw::unix_pair();
        auto socket = to_asio<local>(context.get_executor(), connection_of(pair));
        static_assert(std::is_same_v<decltype(socket), local::socket>);
        net::write(socket, net::buffer("x", 1));
        CHECK(raw::read_some(pair.theirs.get()) == "x");

        auto other = raw::unix_pair();
        std::error_code error;
        auto none = to_asio(context, connection_of(other), error);
        CHECK(error == std::errc::address_family_not_supported);
        CHECK_FALSE(none.is_open());
        bool end = false;
        raw::read_some(other.theirs.get(), &end);
        CHECK(end); // nobody has it any more
        auto tcp_pair = raw::tcp_pair();
        CHECK_THROWS_AS(to_asio<local>(context, connection_of(tcp_pair)), std::system_error);
    }

    TEST_CASE("an empty connection or listener is an error") {
        net::io_context context;
        std::error_code error;
        CHECK_FALSE(to_asio(context, cluster::connection{}, error).is_open());
        CHECK(error == std::errc::bad_file_descriptor);
        CHECK_FALSE(to_asio(context, cluster::listener{}, error).is_open());
        CHECK(error == std::errc::bad_file_descriptor);
        CHECK_THROWS_AS(to_asio(context, cluster::listener{}), std::system_error);
    }

    TEST_CASE("a connection whose peer has gone is a socket that reads its end") {
        net::io_context context;
        auto pair = raw::tcp_pair();
        pair.theirs.reset();
        std::error_code error;
        auto socket = to_asio(context, connection_of(pair), error);
        CHECK_FALSE(error);
        char byte = 0;
        bool ended = false;
        socket.async_read_some(net::buffer(&byte, 1),
                               [&](const auto& failed, std::size_t) { ended = !!failed; });
        context.run();
        CHECK(ended);
    }

    TEST_CASE("a listener becomes an acceptor, and closing that leaves others their socket") {
        net::io_context context;
        sockaddr_in at{};
        cluster::listener listener{raw::tcp_listener(at)};
        auto ours = listener.duplicate();
        auto acceptor = to_asio(context, std::move(listener));
        static_assert(std::is_same_v<decltype(acceptor), tcp::acceptor>);
        CHECK(acceptor.local_endpoint().port() == ntohs(at.sin_port));
        auto client = raw::tcp_connect(at);
        bool accepted = false;
        acceptor.async_accept([&](const auto& error, tcp::socket) { accepted = !error; });
        context.run();
        CHECK(accepted);
        acceptor.close();
        CHECK(raw::tcp_connect(at)); // `ours` still listens
        CHECK(ours);
    }

    TEST_CASE("an IPv6 connection is one for Asio as well") {
        net::io_context context;
        std::error_code error;
        tcp::acceptor acceptor{context};
        try {
            acceptor = tcp::acceptor{context, {net::ip::address_v6::loopback(), 0}};
        } catch (const std::exception&) {
            return; // this system has none
        }
        tcp::socket client{context};
        client.connect(acceptor.local_endpoint());
        cluster::connection taken{cluster::unique_fd{acceptor.accept().release()}};
        auto socket = to_asio(context, std::move(taken), error);
        REQUIRE_FALSE(error);
        CHECK(socket.local_endpoint().address().is_v6());
    }
}
