// SPDX-License-Identifier: MIT
// Fault matrix, rows 64, 65, 67 to 70 and 77: listening sockets that come, go and are in the way.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <netinet/tcp.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

using replacing = cluster::compose<cluster::restart::always>;
using sharing = cluster::compose<cluster::scheduling::shared_socket>;

struct listen_at {
    std::string host, path;
    std::uint16_t port = 0;
    bool own_socket = false;
};
struct outcome {
    int error = 0;
    std::uint16_t port = 0;
};
struct close_second {};

/// A worker that listens where it is told, and says what came of it.
template <typename Self>
void listen_on_demand(Self& self) {
    self.on_message([&self](const listen_at& where) {
        std::error_code error;
        auto& server = self.listen({.host = where.host,
                                    .port = where.port,
                                    .path = where.path,
                                    .reuse_port = where.own_socket},
                                   scenario::answer_with_id(self),
                                   error);
        self.send(outcome{error.value(), error ? where.port : server.address().port()});
    });
}

struct queues {
    std::size_t connections = 0;
    std::size_t not_empty = 0;
};

/// What waits in the listening sockets of this process for somebody to accept it.
queues waiting_connections() {
    queues all;
    for (int fd = 0; fd != 256; ++fd) {
        int listens = 0;
        socklen_t size = sizeof listens;
        tcp_info info{};
        socklen_t info_size = sizeof info;
        if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0 &&
            ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_size) == 0) {
            all.connections += info.tcpi_unacked; // of a listening socket: the length of its queue
            all.not_empty += info.tcpi_unacked != 0 ? 1U : 0U;
        }
    }
    return all;
}

/// Whether only the queues of the `stopped` workers are left. The hash gives each of them some of
/// the clients, as good as certainly.
bool only_stopped_have_some(std::size_t answered, std::size_t clients, std::size_t stopped) {
    auto now = waiting_connections();
    return answered + now.connections == clients && now.not_empty == stopped;
}

} // namespace

// A server that the application closes: here close() refuses what no worker has accepted when it is
// the last one of its address (scenario 26); a reload that drops a listener is another row.
TEST_CASE("fault_64_a_listener_that_is_removed_under_load_disturbs_no_other") {
    struct tally {
        int answered = 0, refused = 0, cut = 0;
    };
    tally stays, goes_before, goes_after;
    std::string late_answer;
    std::size_t descriptors_before = 0, descriptors_after = 1;
    run_case<cluster::process_cluster>(
        "fault_64_a_listener_that_is_removed_under_load_disturbs_no_other",
        [&](auto& primary) {
            struct state_type {
                std::vector<cluster::address> at;
                int listening = 0, closed = 0, loops = 0, begun_before = 0;
                bool over = false;
                cluster::stream* old_client = nullptr;
            };
            auto state = std::make_shared<state_type>();
            // One client after the other, until the time is over or nobody listens.
            auto client_loop = [&, state](auto& again, std::size_t which) -> void {
                if (state->over || (which == 1 && state->closed == 2 && goes_after.refused != 0)) {
                    --state->loops;
                    return;
                }
                bool before = which == 1 && state->closed == 0;
                state->begun_before += before ? 1 : 0;
                auto& count = which == 0 ? stays : before ? goes_before : goes_after;
                scenario::ask(primary,
                              state->at[which],
                              "?",
                              [again, which, state, before, &count](const std::string& text) {
                                  ++(text == "refused" ? count.refused
                                     : text.empty()    ? count.cut
                                                       : count.answered);
                                  state->begun_before -= before ? 1 : 0;
                                  again(again, which);
                              });
            };
            auto finish = [&, state] {
                state->over = true;
                auto closed = [&, state] { // and nothing is left but without the removed socket
                    descriptors_after = scenario::open_descriptors();
                    return state->loops == 0 && descriptors_after == descriptors_before - 1;
                };
                scenario::when(primary, closed, [&] { primary.disconnect(); });
            };
            auto ask_old_client = [&, state, finish] {
                state->old_client->on_data([&](cluster::stream::bytes data) {
                    late_answer.append(reinterpret_cast<const char*>(data.data()), data.size());
                });
                state->old_client->on_close([finish](std::error_code) { finish(); });
                state->old_client->write("?");
            };
            auto load = [&, state, client_loop, ask_old_client] {
                descriptors_before = scenario::open_descriptors();
                state->old_client =
                    &primary.attach(cluster::connection{scenario::connect_to(state->at[1])});
                for (std::size_t i = 0; i != 8; ++i) {
                    ++state->loops;
                    client_loop(client_loop, i % 2);
                }
                auto warm = [&] { return stays.answered > 100 && goes_before.answered > 100; };
                scenario::when(
                    primary, warm, [&] { primary.workers().at(0).send(close_second{}); });
                auto gone = [&] { return goes_after.refused != 0 && stays.answered > 300; };
                scenario::when(primary, gone, ask_old_client);
            };
            primary.on_message([&, state](const close_second& message) {
                if (++state->closed == 1) {
                    auto one_serves = [&, state] {
                        return state->begun_before == 0 && goes_after.answered > 50;
                    };
                    scenario::when(primary, one_serves, [&, message] {
                        CHECK(goes_after.refused + goes_after.cut == 0);
                        primary.workers().at(1).send(message);
                    });
                }
            });
            primary.on(cluster::event::listening, [state, load](const cluster::address& at) {
                if (std::find(state->at.begin(), state->at.end(), at) == state->at.end()) {
                    state->at.push_back(at);
                }
                if (++state->listening == 4) {
                    load();
                }
            });
            primary.fork(2);
        },
        [](auto& self) {
            auto answer = [&self](cluster::connection one) {
                auto& client = self.attach(std::move(one));
                client.on_data([&self, &client](cluster::stream::bytes) {
                    client.end(std::to_string(self.id()));
                });
            };
            self.listen({.host = "127.0.0.1"}, answer);
            auto& second = self.listen({.host = "127.0.0.1"}, answer);
            self.on_message([&self, &second](const close_second& message) {
                second.close();
                self.send(message);
            });
        });
    MESSAGE(stays.answered,
            " and ",
            goes_before.answered + goes_after.answered,
            " answered, ",
            goes_after.cut,
            " cut by the last close");
    CHECK(stays.answered > 300);
    CHECK(stays.refused + stays.cut == 0);
    CHECK(goes_before.refused + goes_before.cut == 0); // while one worker still served it
    CHECK(goes_after.refused > 0);
    CHECK(goes_after.cut <= 4); // of the four clients of that moment
    CHECK((late_answer == "1" || late_answer == "2"));
    CHECK(descriptors_after == descriptors_before - 1);
}

// Here the primary keeps every place's socket, so that neither tcp_migrate_req nor a drain protocol
// is needed.
TEST_CASE("fault_65_a_reuse_port_group_that_shrinks_loses_no_queued_connection") {
    constexpr std::size_t clients = 80;
    std::vector<std::string> answers;
    std::size_t waiting = 0;
    run_case<cluster::process_cluster>(
        "fault_65_a_reuse_port_group_that_shrinks_loses_no_queued_connection",
        [&](auto& primary) {
            primary.supervise({.stalled_after = 0s}); // nor is a queue served before the death
            auto shrink = [&] {
                waiting = waiting_connections().connections;
                primary.workers().find(2)->kill(SIGKILL);
                primary.workers().find(3)->disconnect();
                primary.workers().find(3)->kill(SIGCONT);
                scenario::when(
                    primary,
                    [&] { return answers.size() == clients; },
                    [&] { primary.disconnect(); });
            };
            auto go = [&, shrink](const cluster::address& at) {
                for (std::size_t i = 0; i != clients; ++i) {
                    scenario::ask(primary, at, "?", [&](const std::string& text) {
                        answers.push_back(text);
                    });
                }
                auto only_the_stopped_have_some = [&] {
                    return only_stopped_have_some(answers.size(), clients, 2);
                };
                scenario::when(primary, only_the_stopped_have_some, shrink);
            };
            primary.on(
                cluster::event::listening,
                [&, go, listening = 0](const cluster::address& at) mutable {
                    if (++listening != 4) {
                        return;
                    }
                    for (std::uint32_t id : {2U, 3U}) {
                        primary.workers().find(id)->kill(SIGSTOP);
                    }
                    auto stopped = [&] {
                        return scenario::process_state(primary.workers().find(2)->pid()) == 'T' &&
                               scenario::process_state(primary.workers().find(3)->pid()) == 'T';
                    };
                    scenario::when(primary, stopped, [go, at] { go(at); });
                });
            primary.fork(4);
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1", .reuse_port = true}, scenario::answer_with_id(self));
        });
    CHECK(waiting > 0);
    CHECK(answers.size() == clients);
    CHECK(std::count(answers.begin(), answers.end(), "2") == 0);
    for (const auto& each : answers) {
        CHECK((each == "1" || each == "3" || each == "4"));
    }
}

TEST_CASE("fault_65_others_serve_the_queue_of_a_dead_worker") {
    constexpr std::size_t clients = 60;
    std::vector<std::string> answers;
    std::size_t waiting = 0;
    run_case<replacing>(
        "fault_65_others_serve_the_queue_of_a_dead_worker",
        [&](auto& primary) {
            primary.supervise({.stalled_after = 0s}); // nor is a queue served before the death
            auto go = [&](const cluster::address& at) {
                for (std::size_t i = 0; i != clients; ++i) {
                    scenario::ask(primary, at, "?", [&](const std::string& text) {
                        answers.push_back(text);
                    });
                }
                auto only_the_stopped_has_some = [&] {
                    return only_stopped_have_some(answers.size(), clients, 1);
                };
                scenario::when(primary, only_the_stopped_has_some, [&] {
                    waiting = waiting_connections().connections;
                    primary.workers().find(2)->kill(SIGKILL);
                    scenario::when(
                        primary,
                        [&] { return answers.size() == clients; },
                        [&] { primary.disconnect(); });
                });
            };
            primary.on(cluster::event::listening,
                       [&, go, listening = 0](const cluster::address& at) mutable {
                           if (++listening != 3) {
                               return;
                           }
                           auto& second = *primary.workers().find(2);
                           second.kill(SIGSTOP);
                           auto stopped = [&second] {
                               return scenario::process_state(second.pid()) == 'T';
                           };
                           scenario::when(primary, stopped, [go, at] { go(at); });
                       });
            primary.fork(3);
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1", .reuse_port = true}, scenario::answer_with_id(self));
        });
    CHECK(waiting > 0);
    CHECK(answers.size() == clients);
    CHECK(std::count(answers.begin(), answers.end(), "2") == 0);
}

namespace {

/// Four workers want a port that somebody has: twice in vain, then it is free.
template <typename Cluster>
void occupied_port(const char* name, bool own_socket) {
    auto stranger = scenario::bind_to(scenario::loopback(0), true);
    auto number = scenario::port_of(stranger.get());
    std::vector<outcome> seen;
    std::vector<std::size_t> descriptors;
    std::string answer;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            const listen_at where{"127.0.0.1", {}, number, own_socket};
            auto online = std::make_shared<int>(0);
            primary.on(cluster::event::online, [&, where, online] {
                if (++*online == 4) {
                    descriptors.push_back(scenario::open_descriptors());
                    primary.broadcast(where);
                }
            });
            primary.on_message([&, where](const outcome& one) {
                seen.push_back(one);
                if (seen.size() % 4 != 0) {
                    return;
                }
                if (seen.size() == 12) {
                    scenario::ask(primary, scenario::loopback(number), "?", [&](auto text) {
                        answer = text;
                        primary.disconnect();
                    });
                    return;
                }
                descriptors.push_back(scenario::open_descriptors());
                if (seen.size() == 8) {
                    stranger.reset();
                }
                primary.broadcast(where);
            });
            primary.fork(4);
        },
        [](auto& self) { listen_on_demand(self); });
    REQUIRE(seen.size() == 12);
    for (std::size_t i = 0; i != seen.size(); ++i) {
        CHECK(seen[i].error == (i < 8 ? EADDRINUSE : 0));
        CHECK(seen[i].port == number);
    }
    REQUIRE(descriptors.size() == 3);
    CHECK(descriptors[1] == descriptors[0]);
    CHECK(descriptors[2] == descriptors[0]);
    CHECK(answer.size() == 1);
}

} // namespace

TEST_CASE("fault_67_every_worker_gets_the_error_of_a_bind_that_fails_with_a_shared_socket") {
    occupied_port<sharing>(
        "fault_67_every_worker_gets_the_error_of_a_bind_that_fails_with_a_shared_socket", false);
}
TEST_CASE("fault_67_every_worker_gets_the_error_of_a_bind_that_fails_with_sockets_of_their_own") {
    occupied_port<replacing>(
        "fault_67_every_worker_gets_the_error_of_a_bind_that_fails_with_sockets_of_their_own",
        true);
}

namespace {

/// Two workers on port 0, killed together again and again.
void port_stays(const char* name, bool own_socket) {
    constexpr std::uint32_t rounds = 4;
    std::set<std::uint16_t> told, seen_by_workers;
    std::vector<std::string> answers;
    run_case<replacing>(
        name,
        [&](auto& primary) {
            auto reports = std::make_shared<std::uint32_t>(0);
            primary.on(cluster::event::listening,
                       [&](const cluster::address& at) { told.insert(at.port()); });
            primary.on_message([&, reports](const outcome& mine) {
                seen_by_workers.insert(mine.port);
                if (++*reports % 2 != 0) {
                    return;
                }
                scenario::ask(primary, scenario::loopback(mine.port), "?", [&](auto text) {
                    answers.push_back(text);
                    if (answers.size() == rounds) {
                        primary.shutdown();
                        return;
                    }
                    for (auto& each : primary.workers()) {
                        each.kill(SIGKILL);
                    }
                });
            });
            primary.fork(2, {.environment = {{"OWN_SOCKET", own_socket ? "yes" : "no"}}});
        },
        [](auto& self) {
            bool own = std::string{std::getenv("OWN_SOCKET")} == "yes";
            auto& server = self.listen({.host = "127.0.0.1", .reuse_port = own},
                                       scenario::answer_with_id(self));
            self.send(outcome{0, server.address().port()});
        });
    CHECK(told.size() == 1);
    CHECK(told.count(0) == 0);
    CHECK(seen_by_workers == told);
    REQUIRE(answers.size() == rounds);
    for (std::uint32_t i = 0; i != rounds; ++i) { // two new workers in each round
        auto first = std::to_string(2 * i + 1);
        auto second = std::to_string(2 * i + 2);
        CHECK((answers[i] == first || answers[i] == second));
    }
}

} // namespace

TEST_CASE("fault_68_port_zero_is_one_port_for_the_life_of_the_cluster") {
    port_stays("fault_68_port_zero_is_one_port_for_the_life_of_the_cluster", false);
}
TEST_CASE("fault_68_port_zero_is_one_port_with_sockets_of_their_own") {
    port_stays("fault_68_port_zero_is_one_port_with_sockets_of_their_own", true);
}

namespace {

/// Number of the file at `path`, not of what a link points at; 0 when there is none.
ino_t file_number(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

} // namespace

// The matrix' `bind_denied` is EADDRINUSE here, and the stale socket is unlinked, not renamed over.
TEST_CASE("fault_69_only_our_own_stale_socket_file_is_replaced") {
    scenario::temporary_directory directory;
    std::vector<std::string> names{"plain", "folder", "link", "dangling", "live"};
    bool is_root = ::geteuid() == 0;
    std::map<std::string, ino_t> before, after;
    std::map<std::string, int> errors;
    std::string answer;
    cluster::unique_fd live;
    run_case<cluster::process_cluster>(
        "fault_69_only_our_own_stale_socket_file_is_replaced",
        [&](auto& primary) {
            auto path = [&](const std::string& name) { return directory.path() + '/' + name; };
            auto leave_stale = [&](const std::string& name) {
                CHECK(scenario::bind_to(cluster::address::local(path(name)), true));
            };
            std::ofstream{path("plain")} << "precious";
            std::filesystem::create_directory(path("folder"));
            leave_stale("target");
            leave_stale("stale");
            ::symlink(path("target").c_str(), path("link").c_str());
            ::symlink(path("nowhere").c_str(), path("dangling").c_str());
            live = scenario::bind_to(cluster::address::local(path("live")), true);
            if (is_root) {
                names.push_back("foreign");
                leave_stale("foreign");
                CHECK(::chown(path("foreign").c_str(), 65534, 65534) == 0);
            }
            for (const auto& each : names) {
                before[each] = file_number(path(each));
            }
            auto& worker = primary.fork();
            auto next = std::make_shared<std::size_t>(0);
            auto try_next = [&, next, path] {
                worker.send(listen_at{{}, path(*next < names.size() ? names[*next] : "stale")});
            };
            worker.on_message([&, next, path, try_next](const outcome& what) {
                if (*next < names.size()) {
                    errors[names[(*next)++]] = what.error;
                    try_next();
                    return;
                }
                errors["stale"] = what.error;
                for (const auto& each : names) {
                    after[each] = file_number(path(each));
                }
                CHECK(file_number(path("target")) != 0);
                CHECK(file_number(path("nowhere")) == 0);
                scenario::ask(primary, cluster::address::local(path("stale")), "?", [&](auto text) {
                    answer = text;
                    primary.disconnect();
                });
            });
            try_next();
        },
        [](auto& self) { listen_on_demand(self); });
    for (const auto& each : names) {
        INFO(each);
        CHECK(errors[each] == EADDRINUSE);
        CHECK(before[each] != 0);
        CHECK(after[each] == before[each]);
    }
    CHECK(errors["stale"] == 0);
    CHECK(answer == "1");
    if (!is_root) {
        MESSAGE("skipped: only root can make a file of another user");
    }
}

TEST_CASE("fault_69_the_socket_file_stays_while_all_its_workers_are_replaced") {
    scenario::temporary_directory directory;
    std::string path;
    std::vector<ino_t> files;
    std::vector<std::string> answers;
    run_case<replacing>(
        "fault_69_the_socket_file_stays_while_all_its_workers_are_replaced",
        [&](auto& primary) {
            path = directory.path() + "/server.sock";
            auto kill_and_ask = [&](auto& worker) {
                worker.kill(SIGKILL);
                // The client may be there before the replacement.
                scenario::ask(primary, cluster::address::local(path), "?", [&](auto text) {
                    answers.push_back(text);
                });
            };
            primary.on(cluster::event::listening, [&, kill_and_ask](auto& worker) {
                files.push_back(file_number(path));
                auto answered = [&] { return answers.size() + 1 == files.size(); };
                scenario::when(primary, answered, [&, kill_and_ask] {
                    if (files.size() == 4) {
                        primary.shutdown();
                    } else {
                        kill_and_ask(worker);
                    }
                });
            });
            primary.on(cluster::event::exit, [&] {
                if (files.size() < 4) {
                    files.back() = file_number(path) == files.back() ? files.back() : 0;
                }
            });
            primary.fork(1, {.environment = {{"SOCKET_PATH", path}}});
        },
        [](auto& self) {
            self.listen({.path = std::getenv("SOCKET_PATH")}, scenario::answer_with_id(self));
        });
    REQUIRE(files.size() == 4);
    CHECK(files.front() != 0);
    CHECK(files == std::vector<ino_t>(4, files.front()));
    REQUIRE(answers.size() == 3);
    for (const auto& each : answers) {
        CHECK_FALSE(each.empty());
        CHECK(each != "refused");
    }
    CHECK(file_number(path) == 0);
}

// listen_options::path is always a file: no name of the abstract kind can be asked for, so that a
// stranger who has one is in nobody's way, and none of ours can be taken by strangers.
TEST_CASE("fault_70_an_abstract_name_is_never_used_for_a_path") {
    scenario::temporary_directory directory;
    std::map<std::string, int> errors;
    std::string answer;
    bool is_file = false;
    cluster::unique_fd stranger;
    run_case<cluster::process_cluster>(
        "fault_70_an_abstract_name_is_never_used_for_a_path",
        [&](auto& primary) {
            auto name = "cluster_fault_70_" + std::to_string(::getpid());
            sockaddr_un at{};
            at.sun_family = AF_UNIX;
            std::memcpy(at.sun_path + 1, name.data(), name.size());
            auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
            stranger.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
            REQUIRE(::bind(stranger.get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
            REQUIRE(::listen(stranger.get(), 16) == 0);
            auto& worker = primary.fork({.directory = directory.path()});
            worker.send(listen_at{{}, std::string{'\0'} + name});
            worker.send(listen_at{{}, '@' + name});
            worker.on_message([&, file = directory.path() + "/@" + name](const outcome& what) {
                errors[errors.empty() ? "zero" : "at sign"] = what.error;
                if (errors.size() == 1) {
                    return;
                }
                is_file = file_number(file) != 0;
                scenario::ask(primary, cluster::address::local(file), "?", [&](auto text) {
                    answer = text;
                    primary.disconnect();
                });
            });
        },
        [](auto& self) { listen_on_demand(self); });
    CHECK(errors["zero"] != 0);
    CHECK(errors["at sign"] == 0);
    CHECK(is_file);
    CHECK(answer == "1");
    pollfd asked{stranger.get(), POLLIN, 0};
    CHECK(::poll(&asked, 1, 0) == 0); // nobody came to the stranger
}

namespace {

/// The server of row 77, which says its workers' numbers once they listen, or an error.
void server_that_crashes(const char* name) {
    run_case<cluster::process_cluster>(
        name,
        [](auto& primary) {
            auto listening = std::make_shared<int>(0);
            primary.on_message([&primary, listening](const outcome& what) {
                if (what.error != 0) {
                    scenario::say("error " + std::to_string(what.error));
                } else if (++*listening == 2) {
                    for (auto& each : primary.workers()) {
                        scenario::say(std::to_string(each.pid()));
                    }
                }
            });
            primary.fork(2);
        },
        [](auto& self) {
            std::error_code error;
            self.listen(
                {.port = static_cast<std::uint16_t>(std::atoi(std::getenv("PORT"))),
                 .reuse_port = std::string{std::getenv("SCENARIO_PART")} == "own"},
                [&self](cluster::connection one) {
                    auto& client = self.attach(std::move(one));
                    client.on_data([&self, &client](cluster::stream::bytes) {
                        client.end(std::to_string(self.id()));
                    });
                },
                error);
            self.send(outcome{error.value()});
        });
}

/// Sends a question and reads to the end.
std::string ask_blocking(int fd) {
    char text[16] = "";
    if (::send(fd, "?", 1, MSG_NOSIGNAL) != 1) {
        return {};
    }
    auto got = ::recv(fd, text, sizeof text, MSG_WAITALL);
    return got <= 0 ? std::string{} : std::string{text, static_cast<std::size_t>(got)};
}

} // namespace

// On every interface, IPv6 and IPv4. TCP_DEFER_ACCEPT and TCP_FASTOPEN cannot be asked for here.
TEST_CASE("fault_77_a_killed_server_is_back_on_its_port_at_once") {
    const char* name = "fault_77_a_killed_server_is_back_on_its_port_at_once";
    if (scenario::part() != nullptr) {
        server_that_crashes(name);
        return;
    }
    scenario::reserved_port port;
    ::setenv("PORT", std::to_string(port.number()).c_str(), 1);
    std::vector<cluster::unique_fd> old_clients; // of dead servers
    for (int round = 0; round != 100; ++round) {
        scenario::another_primary server{name, round % 2 == 0 ? "handed" : "own"};
        std::vector<int> workers;
        for (int i = 0; i != 2; ++i) {
            auto line = server.line();
            workers.push_back(std::atoi(line.c_str()));
            REQUIRE_MESSAGE(workers.back() > 0, round, ": ", line);
        }
        auto at = scenario::loopback(port.number());
        auto client = scenario::connect_to(at); // the server ends it: TIME_WAIT on its side
        REQUIRE(client);
        CHECK(ask_blocking(client.get()).size() == 1);
        old_clients.push_back(scenario::connect_to(at)); // stays
        CHECK(old_clients.back());
        server.kill(SIGKILL);
        for (int each : workers) {
            ::kill(each, SIGKILL);
        }
        CHECK(server.wait() != -1);
        CHECK(scenario::eventually(
            [&] { return std::all_of(workers.begin(), workers.end(), scenario::is_gone); }));
    }
    ::unsetenv("PORT");
}
