// SPDX-License-Identifier: MIT
// Node.js's tests of sockets that go to children, by their names; see README.md.
#include <cluster.hpp>

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"
#include "../support/talk.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

namespace {

using cluster::child_program;
using cluster::fork_program;
using cluster::handle;
using cluster::unique_fd;
using cluster_test::journal;
using cluster_test::patient_loop;
using cluster_test::talk;

/// What comes on a connection until its end.
std::string all_from(int fd) {
    std::string got;
    bool end = false;
    while (!end && raw::readable(fd, 60'000)) {
        got += raw::read_some(fd, &end);
    }
    return got;
}

/// A socket bound to a free port of 127.0.0.1 that others may share.
unique_fd bound(int type, sockaddr_in& at) {
    unique_fd fd{::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    int on = 1;
    at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
    return fd;
}

void reuse_port(int type, const char* name) {
    patient_loop loop;
    sockaddr_in at{};
    auto ours = bound(type, at);
    journal seen;
    auto one = fork_program(loop, talk({"reuse_port", name, std::to_string(ntohs(at.sin_port))}));
    one.on_message([&](const std::string& text) {
        seen.push_back(text);
        one.disconnect();
    });
    loop.run();
    CHECK(seen == journal{"bound"}); // in a process of its own, with a socket of its own
}

} // namespace

TEST_SUITE("child/node_handles") {
    TEST_CASE("test-child-process-fork-net") { // twelve connections among three children
        patient_loop loop;
        sockaddr_in at{};
        auto listener = raw::tcp_listener(at);
        std::vector<child_program> all;
        std::vector<unique_fd> clients;
        int served = 0;
        for (int i = 0; i != 3; ++i) {
            all.push_back(fork_program(loop, talk({"serve"})));
            all.back().on_message([&](const std::string& text) {
                served += text == "served" ? 1 : 0;
                if (served == 12) {
                    for (auto& each : all) {
                        each.disconnect();
                    }
                }
            });
        }
        for (std::size_t i = 0; i != 12; ++i) {
            clients.push_back(raw::tcp_connect(at));
            raw::readable(listener.get(), 60'000);
            unique_fd accepted{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
            all[i % 3].send("from " + std::to_string(i % 3),
                            cluster::connection{std::move(accepted)});
        }
        loop.run();
        for (std::size_t i = 0; i != 12; ++i) {
            CHECK(all_from(clients[i].get()) == "from " + std::to_string(i % 3));
        }
    }

    TEST_CASE("test-child-process-fork-net-socket") { // one, which we do not keep
        patient_loop loop;
        auto pair = raw::tcp_pair();
        auto one = fork_program(loop, talk({"serve"}));
        one.on_message([&](const std::string& text) {
            if (text == "served") {
                one.disconnect();
            }
        });
        cluster::connection given{std::move(pair.ours)};
        one.send("hello", std::move(given));
        CHECK_FALSE(given);
        loop.run();
        CHECK(all_from(pair.theirs.get()) == "hello"); // and its end: nobody else holds it
    }

    TEST_CASE("test-child-process-fork-net-server") { // a listener of both sides: both accept
        patient_loop loop;
        sockaddr_in at{};
        auto listener = raw::tcp_listener(at);
        std::string from_child;
        std::string from_us;
        unique_fd client;
        auto one = fork_program(loop, talk({"serve"}));
        one.on_message([&](const std::string& text) {
            if (text == "up") {
                one.send("listen", handle{listener.duplicate()});
            } else if (text == "listening") {
                client = raw::tcp_connect(at); // nobody else accepts now
            } else if (text == "accepted") {
                from_child = all_from(client.get());
                one.disconnect();
            }
        });
        loop.run();
        CHECK(from_child == "child");
        client = raw::tcp_connect(at); // and now it is ours
        raw::readable(listener.get(), 60'000);
        {
            unique_fd accepted{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
            REQUIRE(accepted);
            raw::send_some(accepted.get(), "parent");
        }
        CHECK(all_from(client.get()) == "parent");
    }

    TEST_CASE("test-child-process-fork-dgram") { // a datagram socket of both sides: both receive
        patient_loop loop;
        sockaddr_in at{};
        auto socket = bound(SOCK_DGRAM, at);
        unique_fd client{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
        auto send = [&](const std::string& text) {
            ::sendto(client.get(),
                     text.data(),
                     text.size(),
                     0,
                     reinterpret_cast<const sockaddr*>(&at),
                     sizeof at);
        };
        std::string got;
        auto one = fork_program(loop, talk({"receive"}));
        one.on_message([&](const std::string& text) {
            if (text == "up") {
                one.send("socket", handle{socket.duplicate()});
            } else if (text == "reading") {
                send("for the child");
            } else {
                got = text;
                one.disconnect();
            }
        });
        loop.run();
        CHECK(got == "for the child");
        send("for us");
        CHECK(raw::readable(socket.get(), 60'000));
        CHECK(raw::read_some(socket.get()) == "for us");
    }

    TEST_CASE("test-child-process-fork-getconnections") { // they go when the child closes them
        patient_loop loop;
        std::vector<unique_fd> clients;
        int served = 0;
        std::size_t closed = 0;
        auto one = fork_program(loop, talk({"serve", "keep"}));
        for (int i = 0; i != 6; ++i) {
            auto pair = raw::tcp_pair();
            one.send("x", cluster::connection{std::move(pair.ours)});
            clients.push_back(std::move(pair.theirs));
        }
        auto ended = [&] {
            std::size_t count = 0;
            for (auto& each : clients) {
                bool end = false;
                raw::read_some(each.get(), &end);
                count += end ? 1U : 0U;
            }
            return count;
        };
        one.on_message([&](const std::string& text) {
            served += text == "served" ? 1 : 0;
            closed += text == "closed" ? 1U : 0U;
            if (text == "up" || served != 6) {
                return;
            }
            CHECK(ended() == closed);
            closed == 6 ? one.disconnect() : void(one.send("close"));
        });
        loop.run();
        CHECK(closed == 6);
    }

    TEST_CASE("test-child-process-net-reuseport") {
        reuse_port(SOCK_STREAM, "tcp");
    }

    TEST_CASE("test-child-process-dgram-reuseport") {
        reuse_port(SOCK_DGRAM, "udp");
    }
}
