// SPDX-License-Identifier: MIT
// What listen_options says reaches the sockets.
#include "../fixtures/crowd.hpp"
#include "../fixtures/scenario.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

using namespace std::chrono_literals;
using cluster_test::run_case;
using scenario::crowd;
using scenario::when_listening;

namespace {

struct options_of_connection {
    std::int32_t keep_alive = 0;
    std::int32_t idle = 0;
    std::int32_t no_delay = 0;
};

template <typename Cluster>
void inherited_options(const char* name) {
    options_of_connection seen;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            when_listening(primary, 1, [&](const cluster::address& at) {
                scenario::ask(primary, at, "?", [](const std::string&) {});
            });
            primary.on_message([&](const options_of_connection& told) {
                seen = told;
                primary.disconnect();
            });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1", .keep_alive = 77s}, [&self](auto client) {
                namespace os = cluster::detail::os;
                int fd = client.native_handle();
                self.send(options_of_connection{os::option(fd, SOL_SOCKET, SO_KEEPALIVE, -1),
                                                os::option(fd, IPPROTO_TCP, TCP_KEEPIDLE, -1),
                                                os::option(fd, IPPROTO_TCP, TCP_NODELAY, -1)});
            });
        });
    CHECK(seen.keep_alive == 1);
    CHECK(seen.idle == 77);
    CHECK(seen.no_delay == 1);
}

} // namespace

TEST_CASE("listen options: connections inherit keep_alive and no_delay under round robin") {
    inherited_options<cluster::process_cluster>(
        "listen options: connections inherit keep_alive and no_delay under round robin");
}

TEST_CASE("listen options: connections inherit keep_alive and no_delay with reuse_port") {
    inherited_options<cluster::compose<cluster::scheduling::reuse_port>>(
        "listen options: connections inherit keep_alive and no_delay with reuse_port");
}

TEST_CASE("listen options: with defer_accept a connection comes when its first bytes do") {
    std::vector<std::string> answers;
    cluster::unique_fd silent;
    run_case<cluster::process_cluster>(
        "listen options: with defer_accept a connection comes when its first bytes do",
        [&](auto& primary) {
            when_listening(primary, 1, [&](const cluster::address& at) {
                silent = scenario::connect_to(at);
                scenario::ask_in_turn(primary, at, 2, [&](const auto& told) {
                    answers = told;
                    primary.disconnect();
                });
            });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1", .defer_accept = 60s, .fast_open = 16},
                        [&self, count = 0](cluster::connection client) mutable {
                            self.attach(std::move(client)).end(std::to_string(++count));
                        });
        });
    CHECK(answers == std::vector<std::string>{"1", "2"}); // the silent one came first
}

TEST_CASE("listen options: an abstract name has no file and conflicts with nothing") {
    auto name = "cluster-test-" + std::to_string(::getpid());
    std::string answer;
    bool file = true;
    scenario::temporary_directory directory;
    run_case<cluster::process_cluster>(
        "listen options: an abstract name has no file and conflicts with nothing",
        [&](auto& primary) {
            when_listening(primary, 2, [&](const cluster::address&) {
                auto at = cluster::address::local(std::string{'\0'} + name);
                scenario::ask(primary, at, "?", [&](const std::string& told) {
                    answer = told;
                    primary.disconnect();
                });
            });
            primary.fork(2, {.environment = {{"NAME", name}}});
        },
        [](auto& self) {
            self.listen({.path = std::getenv("NAME"), .abstract = true},
                        scenario::answer_with_id(self));
        });
    file = scenario::entries_of(".") != 0 && ::access(name.c_str(), F_OK) == 0;
    CHECK((answer == "1" || answer == "2"));
    CHECK_FALSE(file);
}

TEST_CASE("listen options: a UNIX socket has the mode and the owner that were asked for") {
    scenario::temporary_directory directory;
    auto path = directory.path() + "/s";
    struct stat info {};
    run_case<cluster::process_cluster>(
        "listen options: a UNIX socket has the mode and the owner that were asked for",
        [&](auto& primary) {
            when_listening(primary, 1, [&](const cluster::address&) {
                CHECK(::lstat(path.c_str(), &info) == 0);
                primary.disconnect();
            });
            primary.fork({.environment = {{"SOCKET", path}}});
        },
        [](auto& self) {
            cluster::listen_options options{.path = std::getenv("SOCKET"), .mode = 0620};
            options.group = ::getegid();
            options.owner = ::geteuid() == 0 ? 12345 : ::geteuid();
            self.listen(options, scenario::answer_with_id(self));
        });
    CHECK((info.st_mode & 0777U) == 0620);
    CHECK(info.st_uid == (::geteuid() == 0 ? 12345 : ::geteuid()));
    CHECK(info.st_gid == ::getegid());
}

TEST_CASE("listen options: a backlog that the system clips is told") {
    std::vector<std::uint16_t> clipped;
    std::uint16_t port = 0;
    run_case<cluster::process_cluster>(
        "listen options: a backlog that the system clips is told",
        [&](auto& primary) {
            primary.on(cluster::event::backlog_clipped, [&](const cluster::address& at) {
                clipped.push_back(at.port());
                primary.disconnect();
            });
            primary.once(cluster::event::listening,
                         [&](auto&, const cluster::address& at) { port = at.port(); });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1", .backlog = 1 << 20}, scenario::answer_with_id(self));
        });
    CHECK(clipped == std::vector<std::uint16_t>{port});
}

namespace {

/// 12 clients, 2 workers, 8 connections at most; then three clients go.
template <typename Cluster>
void limit_of_the_cluster(const char* name, bool drops) {
    crowd clients;
    std::size_t before = 0;
    std::uint64_t refused = 0;
    run_case<Cluster>(
        name,
        [&, drops](auto& primary) {
            auto end = [&] {
                refused = primary.stats().listeners.front().refused;
                clients.leave();
                primary.disconnect();
            };
            auto some_leave = [&, drops, end] {
                before = clients.answered;
                clients.leave(3);
                scenario::when(
                    primary, [&, drops] { return clients.answered == (drops ? 8 : 11); }, end);
            };
            when_listening(primary, 2, [&, drops, some_leave](const cluster::address& at) {
                clients.come(primary, at, 12, 1);
                scenario::when(
                    primary,
                    [&, drops] { return clients.answered == 8 && (!drops || clients.closed == 4); },
                    some_leave);
            });
            primary.fork(2, {.environment = {{"DROPS", drops ? "1" : "0"}}});
        },
        [](auto& self) {
            cluster::listen_options options{.host = "127.0.0.1"};
            options.max_cluster_connections = 8;
            options.drop_beyond_max = *std::getenv("DROPS") == '1';
            scenario::stay_with_clients(self, options);
        });
    CHECK(before == 8);
    CHECK(refused == (drops ? 4 : 0));
}

} // namespace

TEST_CASE("listen options: connections beyond the cluster's limit wait") {
    limit_of_the_cluster<cluster::process_cluster>(
        "listen options: connections beyond the cluster's limit wait", false);
}

TEST_CASE("listen options: connections beyond the cluster's limit are closed with reuse_port") {
    limit_of_the_cluster<cluster::compose<cluster::scheduling::reuse_port>>(
        "listen options: connections beyond the cluster's limit are closed with reuse_port", true);
}

namespace {

template <typename Cluster>
void behind_a_proxy(const char* name) {
    std::vector<std::string> answers(4);
    std::size_t answered = 0;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            when_listening(primary, 1, [&](const cluster::address& at) {
                const std::vector<std::string> texts{
                    "PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\nhello",
                    std::string{"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\x0a\1\2\3\xc0\0\2\1"
                                "\x30\x39\0\x50\4\0\1\0hello",
                                37},
                    "PROXY UNKNOWN\r\nhello",
                    "GET / HTTP/1.1\r\n\r\n"};
                for (std::size_t i = 0; i != texts.size(); ++i) {
                    scenario::ask(primary, at, texts[i], [&, i](const std::string& told) {
                        answers[i] = told;
                        if (++answered == answers.size()) {
                            primary.disconnect();
                        }
                    });
                }
            });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1", .proxy_protocol = true}, [&self](auto client) {
                auto from = client.remote();
                auto& open = self.attach(std::move(client));
                open.on_data([&open, from](cluster::stream::bytes bytes) {
                    open.end((from.host() == "127.0.0.1" ? "?" : from.to_string()) + ' ' +
                             cluster_test::text_of(bytes));
                });
            });
        });
    CHECK(answers[0] == "192.0.2.7:1234 hello");
    CHECK(answers[1] == "10.1.2.3:12345 hello");
    CHECK(answers[2] == "? hello");
    CHECK(answers[3].empty());
}

} // namespace

TEST_CASE("listen options: behind a proxy the client is who the proxy says under round robin") {
    behind_a_proxy<cluster::process_cluster>(
        "listen options: behind a proxy the client is who the proxy says under round robin");
}

TEST_CASE("listen options: behind a proxy the client is who the proxy says with reuse_port") {
    behind_a_proxy<cluster::compose<cluster::scheduling::reuse_port>>(
        "listen options: behind a proxy the client is who the proxy says with reuse_port");
}
