// SPDX-License-Identifier: MIT
#include <cluster/adapters/cpp_httplib.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"
#include "lone_role.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <ctime>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace {

using namespace std::chrono_literals;

struct fixture {
    fixture() {
        listener = cluster::listener{raw::tcp_listener(at)};
        kept = listener.duplicate();
        server.set_keep_alive_timeout(1);
        server.Get("/", [](const httplib::Request&, httplib::Response& response) {
            response.set_content("hello", "text/plain");
        });
        server.Get("/disconnect", [this](const httplib::Request&, httplib::Response& response) {
            worker.disconnect();
            std::this_thread::sleep_for(200ms); // the answer is still to come
            response.set_content("bye", "text/plain");
        });
    }

    // Blocking: for a thread beside serve().
    std::string get(const char* path) {
        httplib::Client client{"127.0.0.1", ntohs(at.sin_port)};
        auto answer = client.Get(path);
        return answer ? answer->body : "error " + std::to_string(static_cast<int>(answer.error()));
    }
    [[nodiscard]] bool still_listens() const {
        int on = 0;
        socklen_t size = sizeof on;
        return ::getsockopt(kept.get(), SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on == 1;
    }

    sockaddr_in at{};
    cluster::listener listener;
    cluster::unique_fd kept;
    lone_role worker;
    cluster::adapters::httplib_server server;
};

} // namespace

TEST_SUITE("adapters/cpp_httplib") {
    TEST_CASE_FIXTURE(fixture, "it serves until the disconnect and leaves others their socket") {
        std::string first;
        std::string last;
        std::thread client{[&] {
            first = get("/");
            last = get("/disconnect");
        }};
        server.serve(worker, std::move(listener));
        client.join();
        CHECK(first == "hello");
        CHECK(last == "bye");
        CHECK(still_listens());
        CHECK_FALSE(worker.turning.was_stopped());
        CHECK(worker.turning.run() == 0);
    }

    TEST_CASE_FIXTURE(fixture, "stop() and drain() of the server let the clients finish") {
        std::thread client{[&] {
            CHECK(get("/") == "hello");
            server.stop();
            worker.disconnect();
        }};
        server.serve(worker, std::move(listener));
        client.join();
        CHECK(still_listens());
    }

    TEST_CASE_FIXTURE(fixture, "a stop() of the role is what its run() returns") {
        std::thread client{[&] {
            CHECK(get("/") == "hello");
            worker.turning.stop(7);
        }};
        server.serve(worker, std::move(listener));
        client.join();
        CHECK(worker.turning.run() == 7);
        CHECK(still_listens());
    }

    TEST_CASE_FIXTURE(fixture,
                      "what a handler of the role throws leaves when the threads are done") {
        worker.turning.after(20ms, [] { throw std::runtime_error("oops"); });
        CHECK_THROWS_WITH(server.serve(worker, std::move(listener)), "oops");
        CHECK(still_listens());
    }

    TEST_CASE_FIXTURE(fixture, "an empty listener is an error") {
        CHECK_THROWS_AS(server.serve(worker, cluster::listener{}), std::system_error);
    }

    TEST_CASE_FIXTURE(fixture, "a socket that does not listen is an error") {
        auto pair = raw::unix_pair();
        CHECK_THROWS_AS(server.serve(worker, cluster::listener{std::move(pair.ours)}),
                        std::system_error);
    }

    TEST_CASE_FIXTURE(fixture,
                      "a socket that somebody else shuts down is an error, for a new start") {
        std::thread client{[&] {
            CHECK(get("/") == "hello");
            ::shutdown(kept.get(), SHUT_RDWR);
        }};
        CHECK_THROWS_AS(server.serve(worker, std::move(listener)), std::system_error);
        client.join();
        CHECK(worker.turning.run() == 1);
    }

    TEST_CASE_FIXTURE(fixture, "a server that waits uses next to no CPU") {
        worker.turning.after(1s, [&] { worker.disconnect(); });
        std::clock_t before = std::clock();
        server.serve(worker, std::move(listener));
        CHECK(std::clock() - before < CLOCKS_PER_SEC / 2);
    }
}
