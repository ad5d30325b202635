// SPDX-License-Identifier: MIT
// Acceptance scenarios 1, 12 to 16, 18 and 19: ports, addresses and files.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct listen_to {
    std::string host;
    std::uint16_t port = 0;
    bool ipv6_only = false;
};
struct outcome {
    int error = 0;
    std::string text;
    std::uint16_t port = 0;
};
struct close_server {};

template <typename Self>
outcome try_to_listen(Self& self, const cluster::listen_options& options) {
    try {
        auto& server = self.listen(options, scenario::answer_with_id(self));
        return {0, {}, server.address().port()};
    } catch (const std::system_error& error) {
        return {error.code().value(), error.what(), options.port};
    }
}

/// A worker that listens when it is told to, and says what came of it.
template <typename Self>
void listen_on_demand(Self& self) {
    auto servers = std::make_shared<std::vector<cluster::server*>>();
    self.on_message([&self, servers](const listen_to& where) {
        std::error_code error;
        cluster::listen_options options{
            .host = where.host, .port = where.port, .ipv6_only = where.ipv6_only};
        auto& server = self.listen(options, scenario::answer_with_id(self), error);
        if (!error) {
            servers->push_back(&server);
        }
        self.send(
            outcome{error.value(), error.message(), error ? where.port : server.address().port()});
    });
    self.on_message([&self, servers](const close_server&) {
        servers->front()->on_close([&self] { self.send(outcome{}); });
        servers->front()->close();
        servers->erase(servers->begin());
    });
}

std::map<std::string, std::size_t> counted(const std::vector<std::string>& answers) {
    std::map<std::string, std::size_t> result;
    for (const auto& each : answers) {
        ++result[each];
    }
    return result;
}

} // namespace

CLUSTER_CASE("scenario 1: all workers share one port and take turns") {
    scenario::reserved_port port;
    std::size_t count = std::max<std::size_t>(cluster::available_parallelism(), 2);
    std::map<std::uint32_t, std::vector<std::string>> events;
    std::map<std::string, std::size_t> served;
    run_on<Backend>(
        [&](auto& primary) {
            primary.on(cluster::event::fork,
                       [&](auto& one) { events[one.id()].push_back("fork"); });
            primary.on(cluster::event::online,
                       [&](auto& one) { events[one.id()].push_back("online"); });
            primary.on(
                cluster::event::listening,
                [&, listening = std::size_t{0}](auto& one, const cluster::address& at) mutable {
                    events[one.id()].push_back("listening " + std::to_string(at.port()));
                    if (++listening == count) {
                        scenario::ask_in_turn(primary, at, 20 * count, [&](const auto& answers) {
                            served = counted(answers);
                            primary.disconnect();
                        });
                    }
                });
            primary.fork(count, {.data = port.number()});
        },
        [](auto& self) {
            auto number = self.template data<std::uint16_t>();
            self.listen({.host = "127.0.0.1", .port = number}, scenario::answer_with_id(self));
        });
    CHECK(events.size() == count);
    for (const auto& [id, happened] : events) {
        CHECK(happened == std::vector<std::string>{
                              "fork", "online", "listening " + std::to_string(port.number())});
    }
    CHECK(served.size() == count);
    for (const auto& [id, connections] : served) {
        CHECK(connections >= 19);
        CHECK(connections <= 21);
    }
}

CLUSTER_CASE("scenario 12: eight workers with two servers each on port zero have two ports") {
    constexpr std::size_t workers = 8;
    std::vector<std::size_t> ports_of_round;
    std::vector<std::size_t> descriptors;
    int answered = 0;
    std::set<std::uint16_t> ports;
    run_on<Backend>(
        [&](auto& primary) {
            auto start = [&] {
                ports.clear();
                descriptors.push_back(scenario::open_descriptors());
                primary.fork(workers);
            };
            auto finish = [&primary, &ports_of_round, &ports, start] {
                ports_of_round.push_back(ports.size());
                primary.disconnect([&primary, &ports_of_round, start] {
                    CHECK(primary.workers().empty());
                    if (ports_of_round.size() != 3) {
                        start();
                    }
                });
            };
            primary.on(cluster::event::listening,
                       [&, finish, listening = std::size_t{0}](const cluster::address& at) mutable {
                           ports.insert(at.port());
                           if (++listening % (2 * workers) != 0) {
                               return;
                           }
                           auto left = std::make_shared<std::size_t>(ports.size());
                           for (auto port : ports) {
                               scenario::ask(primary,
                                             scenario::loopback(port),
                                             "?",
                                             [&, finish, left](const std::string& answer) {
                                                 answered += !answer.empty() && answer != "refused";
                                                 if (--*left == 0) {
                                                     finish();
                                                 }
                                             });
                           }
                       });
            start();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self));
            self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self));
        });
    CHECK(ports_of_round == std::vector<std::size_t>{2, 2, 2});
    CHECK(answered == 6);
    REQUIRE(descriptors.size() == 3);
    CHECK(descriptors[1] == descriptors[0]);
    CHECK(descriptors[2] == descriptors[0]);
}

CLUSTER_CASE("scenario 13: a port that the system chose can be asked for by number") {
    std::map<std::string, std::size_t> served;
    std::vector<int> errors;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork(2);
            primary.workers().at(0).send(listen_to{"127.0.0.1", 0});
            primary.on_message([&](auto& from, const outcome& message) {
                errors.push_back(message.error);
                if (from.id() == 1) {
                    primary.workers().find(2)->send(listen_to{"127.0.0.1", message.port});
                    return;
                }
                scenario::ask_in_turn(
                    primary, scenario::loopback(message.port), 10, [&](const auto& answers) {
                        served = counted(answers);
                        primary.disconnect();
                    });
            });
        },
        [](auto& self) { listen_on_demand(self); });
    CHECK(errors == std::vector<int>{0, 0});
    CHECK(served == std::map<std::string, std::size_t>{{"1", 5}, {"2", 5}});
}

CLUSTER_CASE(
    "scenario 14: a port that a stranger owns is an error with its address and can be had later") {
    auto stranger = scenario::bind_to(scenario::loopback(0), true);
    auto number = scenario::port_of(stranger.get());
    std::vector<outcome> first;
    std::vector<outcome> second;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork(4);
            primary.broadcast(listen_to{"127.0.0.1", number});
            primary.on_message([&](const outcome& message) {
                (first.size() == 4 ? second : first).push_back(message);
                if (first.size() == 4 && second.empty()) {
                    stranger.reset();
                    primary.broadcast(listen_to{"127.0.0.1", number});
                } else if (second.size() == 4) {
                    primary.disconnect();
                }
            });
        },
        [](auto& self) {
            self.on_message([&self](const listen_to& where) {
                self.send(try_to_listen(self, {.host = where.host, .port = where.port}));
            });
        });
    REQUIRE(first.size() == 4);
    REQUIRE(second.size() == 4);
    for (std::size_t i = 0; i != 4; ++i) {
        CHECK(first[i].error == EADDRINUSE);
        CHECK(first[i].text.find("127.0.0.1:" + std::to_string(number)) != std::string::npos);
        CHECK(second[i].error == 0);
        CHECK(second[i].port == number);
    }
}

namespace {

bool everybody_may_listen_on_42() {
    int first = 1024;
    if (std::FILE* file = std::fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re")) {
        first = std::fscanf(file, "%d", &first) == 1 ? first : 1024;
        std::fclose(file);
    }
    return first <= 42;
}

template <typename Backend, typename Scheduling>
outcome listen_on_42() {
    outcome seen;
    run_on<Backend, Scheduling>(
        [&](auto& primary) {
            primary.fork().on_message([&](const outcome& message) {
                seen = message;
                primary.disconnect();
            });
        },
        [](auto& self) { self.send(try_to_listen(self, {.host = "127.0.0.1", .port = 42})); });
    return seen;
}

template <typename Backend, typename Scheduling>
void privileged_port() {
    constexpr unsigned nobody = 65534;
    if (everybody_may_listen_on_42()) {
        MESSAGE("skipped: everybody may listen on port 42 here");
        return;
    }
    if (scenario::part() == nullptr && ::geteuid() == 0) { // another process becomes nobody
        scenario::another_primary other{running_case(), "nobody"};
        CHECK(other.line() == std::to_string(EACCES));
        CHECK(other.line().find("127.0.0.1:42") != std::string::npos);
        return;
    }
    bool dropped = ::geteuid() != 0 || (::setgid(nobody) == 0 && ::setuid(nobody) == 0);
    auto seen = listen_on_42<Backend, Scheduling>();
    CHECK(dropped);
    CHECK(seen.error == EACCES);
    CHECK(seen.text.find("127.0.0.1:42") != std::string::npos);
    if (scenario::part() != nullptr) {
        scenario::say(std::to_string(seen.error));
        scenario::say(seen.text);
    }
}

} // namespace

CLUSTER_CASE("scenario 15: a privileged port is EACCES in the worker under round robin") {
    privileged_port<Backend, cluster::scheduling::round_robin>();
}

CLUSTER_CASE("scenario 15: a privileged port is EACCES in the worker with a shared socket") {
    privileged_port<Backend, cluster::scheduling::shared_socket>();
}

CLUSTER_CASE("scenario 16: a port can be closed and had again while another worker has it") {
    scenario::reserved_port port;
    std::vector<int> errors;
    std::map<std::string, std::size_t> served;
    run_on<Backend>(
        [&](auto& primary) {
            auto& first = primary.fork();
            auto& second = primary.fork();
            listen_to where{"127.0.0.1", port.number()};
            first.send(where);
            first.send(where); // the same port twice in one worker
            first.send(close_server{});
            primary.on_message([&, where](const outcome& message) {
                errors.push_back(message.error);
                if (errors.size() == 3) {
                    second.send(where);
                } else if (errors.size() == 4) {
                    first.send(where);
                } else if (errors.size() == 5) {
                    scenario::ask_in_turn(
                        primary, scenario::loopback(where.port), 10, [&](const auto& answers) {
                            served = counted(answers);
                            primary.disconnect();
                        });
                }
            });
        },
        [](auto& self) { listen_on_demand(self); });
    CHECK(errors == std::vector<int>{0, EADDRINUSE, 0, 0, 0});
    CHECK(served == std::map<std::string, std::size_t>{{"1", 5}, {"2", 5}});
}

namespace {

template <typename Backend, typename Scheduling>
void ipv6_only() {
    if (!has_ipv6()) {
        MESSAGE("skipped: no IPv6 here");
        return;
    }
    bool free_with = false;
    bool free_without = true;
    int conflict = -1;
    std::string with, without;
    run_on<Backend, Scheduling>(
        [&](auto& primary) {
            auto any = [](std::uint16_t port) { return cluster::address::ipv4({}, port); };
            auto& worker = primary.fork();
            worker.send(listen_to{"::", 0, true});
            worker.on_message([&, any, step = 0, tries = 0](const outcome& message) mutable {
                auto port = message.port;
                switch (++step) {
                case 1:
                    free_with = static_cast<bool>(scenario::bind_to(any(port), true));
                    if (!free_with && ++tries != 20) { // another program has this IPv4 port
                        step = 0;
                        worker.send(listen_to{"::", 0, true});
                        break;
                    }
                    scenario::ask(primary, scenario::loopback(port), "?", [&, port](auto answer) {
                        with = answer;
                        worker.send(listen_to{"::", port, false});
                    });
                    break;
                case 2: // in one worker it is the same port twice, whatever the options
                    conflict = message.error;
                    worker.send(listen_to{"::", 0, false});
                    break;
                default:
                    free_without = static_cast<bool>(scenario::bind_to(any(port), true));
                    scenario::ask(primary, scenario::loopback(port), "?", [&](auto answer) {
                        without = answer;
                        primary.disconnect();
                    });
                }
            });
        },
        [](auto& self) { listen_on_demand(self); });
    CHECK(with == "refused");
    CHECK(free_with);
    CHECK(conflict == EADDRINUSE);
    CHECK_FALSE(free_without);
    CHECK(without == "1");
}

} // namespace

CLUSTER_CASE("scenario 18: ipv6_only decides about IPv4 clients under round robin") {
    ipv6_only<Backend, cluster::scheduling::round_robin>();
}

CLUSTER_CASE("scenario 18: ipv6_only decides about IPv4 clients with a shared socket") {
    ipv6_only<Backend, cluster::scheduling::shared_socket>();
}

namespace {

struct listen_at {
    std::string path;
    unsigned mode = 0;
};

bool exists(const std::string& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

} // namespace

CLUSTER_CASE("scenario 19: a UNIX socket serves and its file goes with the last server") {
    scenario::temporary_directory directory;
    std::string relative, longest;
    std::vector<std::string> answers;
    std::vector<unsigned> modes;
    auto old_mask = ::umask(022);
    run_on<Backend>(
        [&](auto& primary) {
            relative = directory.path() + "/relative.sock";
            longest = directory.path() + '/';
            longest += std::string(105 - longest.size(), 'l');
            cluster::fork_options options;
            if (Backend::separate_memory) {
                options.directory = directory.path();
            }
            auto& worker = primary.fork(options);
            worker.send(listen_at{Backend::separate_memory ? "relative.sock" : relative});
            worker.send(listen_at{longest, 0777});
            worker.on(cluster::event::listening, [&, count = 0]() mutable {
                if (++count != 2) {
                    return;
                }
                for (const auto& path : {relative, longest}) {
                    struct stat info {};
                    CHECK(::stat(path.c_str(), &info) == 0);
                    modes.push_back(info.st_mode & 0777U);
                    scenario::ask(primary,
                                  cluster::address::local(path),
                                  "?",
                                  [&](const std::string& answer) {
                                      answers.push_back(answer);
                                      if (answers.size() == 2) {
                                          worker.disconnect();
                                      }
                                  });
                }
            });
        },
        [](auto& self) {
            self.on_message([&self](const listen_at& where) {
                self.listen({.path = where.path, .mode = where.mode},
                            scenario::answer_with_id(self));
            });
        });
    ::umask(old_mask);
    CHECK(answers == std::vector<std::string>{"1", "1"});
    CHECK(modes == std::vector<unsigned>{0755, 0777});
    CHECK_FALSE(exists(relative));
    CHECK_FALSE(exists(longest));
}

CLUSTER_CASE(
    "scenario 19: the socket file of a crashed primary is taken over and a live one is not") {
    auto serve = [](auto& self) {
        self.send(try_to_listen(self, {.path = self.template data<std::string>()}));
    };
    if (scenario::part() != nullptr) { // the primary that will be killed
        run_on<Backend>(
            [](auto& primary) {
                primary.on(cluster::event::listening, [] { scenario::say("listening"); });
                primary.fork({.data = std::getenv("SOCKET_PATH")});
            },
            serve);
        return;
    }
    scenario::temporary_directory directory;
    std::string path;
    std::vector<int> errors;
    std::string answer;
    run_on<Backend>(
        [&](auto& primary) {
            path = directory.path() + "/server.sock";
            ::setenv("SOCKET_PATH", path.c_str(), 1);
            auto other = std::make_shared<scenario::another_primary>(running_case(), "killed");
            CHECK(other->line() == "listening");
            primary.fork({.data = path});
            primary.on_message([&, other](const outcome& message) {
                errors.push_back(message.error);
                if (errors.size() == 1) { // the other one lives
                    CHECK(scenario::connect_to(cluster::address::local(path)));
                    other->kill(SIGKILL);
                    other->wait();
                    CHECK(exists(path));
                    primary.fork({.data = path});
                    return;
                }
                scenario::ask(primary, cluster::address::local(path), "?", [&](auto text) {
                    answer = text;
                    primary.disconnect();
                });
            });
        },
        serve);
    CHECK(errors == std::vector<int>{EADDRINUSE, 0});
    CHECK(answer == "2");
    CHECK_FALSE(exists(path));
    ::unsetenv("SOCKET_PATH");
}
