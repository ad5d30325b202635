// SPDX-License-Identifier: MIT
// More workers and fewer, none at all, planned replacements, and what the statistics and ps(1) show.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

using replacing = cluster::compose<cluster::restart::always>;

struct has_client {};
struct finish {};

template <typename Primary>
std::set<std::uint32_t> staying(Primary& primary) {
    std::set<std::uint32_t> ids;
    for (auto& each : primary.workers()) {
        if (each.is_connected()) {
            ids.insert(each.id());
        }
    }
    return ids;
}

/// Holds its clients until it is told to answer.
template <typename Self>
void hold_clients(Self& self) {
    auto held = std::make_shared<std::vector<cluster::stream*>>();
    self.listen({.host = "127.0.0.1"}, [&self, held](cluster::connection client) {
        held->push_back(&self.attach(std::move(client)));
        self.send(has_client{});
    });
    self.on_message([&self, held](const finish&) {
        for (auto* each : std::exchange(*held, {})) {
            each->end(std::to_string(self.id()));
        }
    });
}

// Five clients are at three workers when one of them has to go.
struct shrunk {
    std::map<std::uint32_t, std::size_t> clients; // by worker
    std::uint32_t victim = 0;
    std::vector<std::string> answers;
    std::string end;
    std::size_t alive = 0; // while the victim's clients are still there
    int code = -1;

    template <typename Primary>
    void shrink(Primary& primary, cluster::victim which) {
        primary.scale(2, {.victims = which});
        for (auto& each : primary.workers()) {
            if (!each.is_connected()) {
                CHECK(victim == 0);
                victim = each.id();
            } else {
                each.send(finish{});
            }
        }
        scenario::when(
            primary,
            [this] { return answers.size() == 5 - clients[victim]; },
            [this, &primary] {
                alive = primary.workers().size();
                REQUIRE(primary.workers().find(victim) != nullptr);
                primary.workers().find(victim)->send(finish{});
                scenario::when(
                    primary, [this] { return !end.empty(); }, [&primary] { primary.shutdown(); });
            });
    }
};

shrunk lose_one(const char* name, cluster::victim which) {
    shrunk seen;
    seen.code = run_case<replacing>(
        name,
        [&](auto& primary) {
            primary.once(cluster::event::listening, [&](auto&, const cluster::address& where) {
                primary.when_ready([&, where] {
                    for (int i = 0; i != 5; ++i) {
                        scenario::ask(primary, where, "?", [&](const std::string& text) {
                            seen.answers.push_back(text);
                        });
                    }
                });
            });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                if (worker.id() == seen.victim) {
                    seen.end = status.to_string();
                    CHECK(worker.exited_after_disconnect());
                }
            });
            primary.on_message([&, count = 0, which](auto& from, const has_client&) mutable {
                ++seen.clients[from.id()];
                if (++count == 5) {
                    seen.shrink(primary, which);
                }
            });
            primary.fork(3);
        },
        [](auto& self) { hold_clients(self); });
    CHECK(seen.code == 0);
    CHECK(seen.alive == 3);
    CHECK(seen.end == "exit code 0");
    CHECK(seen.answers.size() == 5);
    CHECK(std::count(seen.answers.begin(), seen.answers.end(), "") == 0);
    return seen;
}

} // namespace

TEST_CASE("a cluster that shrinks loses its newest worker when that has drained") {
    auto seen = lose_one("a cluster that shrinks loses its newest worker when that has drained",
                         cluster::victim::newest);
    CHECK(seen.victim == 3);
}
TEST_CASE("a cluster that shrinks loses its oldest worker if told so") {
    auto seen = lose_one("a cluster that shrinks loses its oldest worker if told so",
                         cluster::victim::oldest);
    CHECK(seen.victim == 1);
}
TEST_CASE("a cluster that shrinks loses the worker with the fewest connections if told so") {
    auto seen =
        lose_one("a cluster that shrinks loses the worker with the fewest connections if told so",
                 cluster::victim::fewest_connections);
    for (const auto& [id, count] : seen.clients) {
        CAPTURE(id);
        CHECK(seen.clients[seen.victim] <= count);
    }
}

TEST_CASE("scale starts what is missing and counts what is on its way") {
    std::size_t forks = 0, most = 0;
    std::set<std::uint32_t> at_first, at_last;
    int code = run_case<replacing>(
        "scale starts what is missing and counts what is on its way",
        [&](auto& primary) {
            primary.on(cluster::event::fork, [&] { ++forks; });
            primary.scale(2);
            primary.scale(2);
            at_first = staying(primary);
            primary.scale(4);
            primary.when_ready([&] {
                primary.workers().find(2)->kill(SIGKILL);
                primary.once(cluster::event::exit, [&] {
                    primary.loop().defer([&] { // its replacement is on its way, or has come
                        primary.scale(4);
                        scenario::when(
                            primary,
                            [&] { return staying(primary).contains(5); },
                            [&] {
                                primary.scale(4);
                                most = primary.workers().size();
                                primary.scale(1, {.victims = cluster::victim::oldest});
                                at_last = staying(primary);
                                auto one_left = [&] { return primary.workers().size() == 1; };
                                scenario::when(primary, one_left, [&] { primary.shutdown(); });
                            });
                    });
                });
            });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    CHECK(code == 0);
    CHECK(forks == 5);
    CHECK(most == 4);
    CHECK(at_first == std::set<std::uint32_t>{1, 2});
    CHECK(at_last == std::set<std::uint32_t>{5});
}

namespace {

constexpr std::size_t waiting_clients = 8;

struct paused {
    std::vector<std::string> answers;
    std::size_t early = 0; // answers while nobody was there
    int code = -1;

    template <typename Primary>
    void ask(Primary& primary, const cluster::address& at) {
        for (std::size_t i = 0; i != waiting_clients; ++i) {
            scenario::ask(primary, at, "?", [&](const std::string& text) {
                answers.push_back(text);
                if (answers.size() == waiting_clients) {
                    primary.shutdown();
                }
            });
        }
    }
    void check(const std::string& by) const {
        CHECK(code == 0);
        CHECK(early == 0);
        CHECK(answers == std::vector<std::string>(waiting_clients, by));
    }
};

// Clients that come while the cluster is scaled to nothing.
template <typename Backend, typename Scheduling>
void pause_and_go_on() {
    paused seen;
    cluster::address at;
    seen.code = run_on<Backend, Scheduling>(
        [&](auto& primary) {
            primary.on(cluster::event::listening,
                       [&](auto&, const cluster::address& where) { at = where; });
            primary.fork(2);
            primary.when_ready([&] {
                primary.scale(0);
                scenario::when(
                    primary,
                    [&] { return primary.workers().empty(); },
                    [&] {
                        seen.ask(primary, at);
                        primary.after(100ms, [&] {
                            seen.early = seen.answers.size();
                            primary.scale(1);
                        });
                    });
            });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    seen.check("3");
}

// Clients that come when the last worker has died, and the program starts another one.
template <typename Backend, typename Scheduling>
void hold_for_the_next() {
    paused seen;
    cluster::address at;
    seen.code = run_on<Backend, Scheduling, cluster::restart::never>(
        [&](auto& primary) {
            primary.supervise({.hold_when_empty = true});
            primary.on(cluster::event::listening,
                       [&](auto&, const cluster::address& where) { at = where; });
            primary.on(cluster::event::exit, [&, first = true](auto& worker) mutable {
                if (std::exchange(first, false)) {
                    CHECK(worker.status() == after_kill<Backend>());
                    seen.ask(primary, at);
                    primary.after(100ms, [&] {
                        seen.early = seen.answers.size();
                        primary.fork();
                    });
                }
            });
            primary.fork();
            primary.when_ready([&] { primary.workers().find(1)->kill(); });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    seen.check("2");
}

} // namespace

CLUSTER_CASE("clients wait while a cluster is scaled to nothing: round_robin") {
    pause_and_go_on<Backend, cluster::scheduling::round_robin>();
}
CLUSTER_CASE("clients wait while a cluster is scaled to nothing: shared_socket") {
    pause_and_go_on<Backend, cluster::scheduling::shared_socket>();
}
CLUSTER_CASE("clients wait while a cluster is scaled to nothing: reuse_port") {
    pause_and_go_on<Backend, cluster::scheduling::reuse_port>();
}

CLUSTER_CASE("clients of the last worker wait for the next if told so: round_robin") {
    hold_for_the_next<Backend, cluster::scheduling::round_robin>();
}
CLUSTER_CASE("clients of the last worker wait for the next if told so: shared_socket") {
    hold_for_the_next<Backend, cluster::scheduling::shared_socket>();
}
CLUSTER_CASE("clients of the last worker wait for the next if told so: reuse_port") {
    hold_for_the_next<Backend, cluster::scheduling::reuse_port>();
}

CLUSTER_CASE("a worker that is forked in the exit handler of the last one serves who waits") {
    paused seen;
    cluster::address at;
    seen.code = run_on<Backend>(
        [&](auto& primary) {
            primary.supervise({.hold_when_empty = true});
            primary.on(cluster::event::listening,
                       [&](auto&, const cluster::address& where) { at = where; });
            primary.on(cluster::event::exit, [&](auto& worker) {
                if (worker.id() == 1) {
                    seen.ask(primary, at);
                    primary.fork();
                }
            });
            primary.fork();
            primary.when_ready([&] { primary.workers().find(1)->kill(); });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    seen.check("2");
}

CLUSTER_CASE("nobody waits for a worker longer than hold_timeout") {
    std::string waited = "nothing yet";
    bool refused = false, held = false;
    run_on<Backend>(
        [&](auto& primary) {
            primary.supervise({.hold_when_empty = true, .hold_timeout = 400ms});
            primary.on(cluster::event::listening, [&](auto&, const cluster::address& where) {
                primary.on(cluster::event::exit, [&, where] {
                    scenario::ask(primary, where, "?", [&, where](const std::string& text) {
                        waited = text;
                        auto is_refused = [where] { return !scenario::connect_to(where); };
                        scenario::when(primary, is_refused, [&] {
                            refused = true;
                            primary.stop();
                        });
                    });
                    held = waited == "nothing yet";
                });
            });
            primary.fork();
            primary.when_ready([&] { primary.workers().find(1)->kill(); });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    CHECK(held);
    CHECK(waited.empty()); // cut off
    CHECK(refused);
}

namespace {

struct fill {
    std::uint64_t bytes = 0;
};
struct are_you_through {};

struct recycled {
    std::vector<std::string> ends;
    std::vector<std::string> answers;
    std::chrono::milliseconds uptime{0};
    std::uint32_t serving = 0;
    int code = -1;

    template <typename Primary>
    void watch(Primary& primary) {
        primary.on(cluster::event::exit, [this](auto& worker, const cluster::exit_status& status) {
            ends.push_back(std::to_string(worker.id()) + ": " + status.to_string());
            if (worker.id() == 1) {
                uptime = worker.report().uptime;
            }
        });
    }
    void check(std::size_t workers) {
        CHECK(code == 0);
        REQUIRE(ends.size() == workers);
        std::sort(ends.begin(), ends.end()); // the last one does not wait for the one before
        for (std::size_t i = 0; i + 1 != workers; ++i) {
            CHECK(ends[i] == std::to_string(i + 1) + ": recycled: exit code 0");
        }
        CHECK(ends.back() == std::to_string(workers) + ": exit code 0");
    }
};

} // namespace

TEST_CASE("a worker is recycled when it has had its number of connections and nobody is lost") {
    recycled seen;
    std::function<void()> next;
    seen.code = run_case<cluster::process_cluster>(
        "a worker is recycled when it has had its number of connections and nobody is lost",
        [&](auto& primary) {
            seen.watch(primary);
            primary.once(cluster::event::listening, [&](auto&, const cluster::address& at) {
                next = [&, at] {
                    scenario::ask(primary, at, "?", [&](const std::string& text) {
                        seen.answers.push_back(text);
                        text == "3" ? primary.shutdown() : next();
                    });
                };
                next();
            });
            primary.fork({.recycle = {{.max_requests = 5, .jitter = 0}}});
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    seen.check(3);
    for (const auto* each : {"1", "2", "3"}) {
        CAPTURE(each);
        auto count = std::count(seen.answers.begin(), seen.answers.end(), each);
        CHECK(count >= (*each == '3' ? 1 : 5));
    }
    CHECK(std::is_sorted(seen.answers.begin(), seen.answers.end()));
    CHECK(seen.answers.front() == "1"); // none is empty
}

TEST_CASE("a worker that counts its requests is recycled by their number") {
    recycled seen;
    bool early = false;
    seen.code = run_case<cluster::process_cluster>(
        "a worker that counts its requests is recycled by their number",
        [&](auto& primary) {
            seen.watch(primary);
            primary.on(cluster::event::fork,
                       [&](auto& worker) { early |= worker.id() == 2 && seen.answers.size() < 5; });
            primary.once(cluster::event::listening, [&](auto&, const cluster::address& at) {
                auto& client = primary.attach(cluster_test::connect_to(at)); // one, all the time
                client.on_data([&](cluster::stream::bytes bytes) {
                    seen.answers.push_back(text_of(bytes));
                    if (seen.answers.size() == 4) { // one too few: it would be found in this time
                        primary.after(1500ms, [&client] { client.write("?"); });
                    } else if (seen.answers.size() < 5) {
                        client.write("?");
                    }
                });
                primary.on(cluster::event::ready, [&](auto& worker) {
                    if (worker.id() == 2) {
                        client.end(); // the old one had to wait for it
                        CHECK(primary.workers().size() == 2);
                    }
                });
                primary.on(cluster::event::exit, [&] { primary.shutdown(); });
                client.write("?");
            });
            primary.fork({.recycle = {{.max_requests = 5, .jitter = 0}}});
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                auto& stream = self.attach(std::move(client));
                stream.on_data([&self, &stream](cluster::stream::bytes) {
                    self.count_request();
                    stream.write("+");
                });
            });
        });
    seen.check(2);
    CHECK(seen.answers == std::vector<std::string>(5, "+"));
    CHECK_FALSE(early);
}

TEST_CASE("a worker is recycled at the end of its life-time") {
    recycled seen;
    seen.code = run_case<cluster::process_cluster>(
        "a worker is recycled at the end of its life-time",
        [&](auto& primary) {
            seen.watch(primary);
            primary.once(cluster::event::exit, [&] { primary.shutdown(); });
            primary.fork({.recycle = {{.max_lifetime = 2s, .jitter = 0}}});
        },
        [](auto& self) { self.ready(); });
    REQUIRE(seen.ends.size() >= 2);
    CHECK(seen.ends.front() == "1: recycled: exit code 0");
    CHECK(seen.uptime >= 2s);
}

TEST_CASE("a worker is recycled when it has become too big") {
    constexpr std::uint64_t mebibyte = 1 << 20;
    recycled seen;
    bool early = false;
    seen.code = run_case<cluster::process_cluster>(
        "a worker is recycled when it has become too big",
        [&](auto& primary) {
            seen.watch(primary);
            primary.on(cluster::event::exit, [&](auto& worker) {
                if (worker.id() == 2) {
                    primary.shutdown();
                }
            });
            primary.fork(); // shows how big they are
            primary.when_ready([&] {
                auto usual = primary.stats().workers.at(0).resident_bytes;
                CHECK(usual > mebibyte);
                auto& one =
                    primary.fork({.recycle = {{.max_memory = usual + 64 * mebibyte, .jitter = 0}}});
                one.once(cluster::event::ready, [&](auto& worker) {
                    primary.after(1500ms, [&] { // long enough to be found
                        early = primary.workers().size() != 2;
                        worker.send(fill{128 * mebibyte});
                    });
                });
            });
        },
        [](auto& self) {
            self.ready();
            auto held = std::make_shared<std::string>();
            self.on_message(
                [held](const fill& asked) { held->assign(std::size_t{asked.bytes}, 'x'); });
        });
    CHECK_FALSE(early);
    REQUIRE(seen.ends.size() == 3);
    CHECK(seen.ends[0] == "2: recycled: exit code 0");
}

TEST_CASE("the statistics of a place survive a crash and a reload") {
    cluster::cluster_stats first, crashed, last;
    std::string json, metrics;
    std::function<void(std::uint32_t, std::size_t)> serve;
    run_case<replacing>(
        "the statistics of a place survive a crash and a reload",
        [&](auto& primary) {
            primary.on(cluster::event::listening, [&](auto&, const cluster::address& where) {
                serve = [&, where](std::uint32_t, std::size_t count) {
                    scenario::ask_in_turn(primary, where, count, [&](const auto& answers) {
                        auto& worker = primary.workers().at(0);
                        auto self = std::to_string(worker.id());
                        CHECK(answers == std::vector<std::string>(answers.size(), self));
                        worker.send(std::string(1000, 'x'));
                        worker.template request<int>(are_you_through{}, [&](const auto& result) {
                            REQUIRE(result);
                            auto now = primary.stats();
                            if (now.slots.at(0).restarts == 0) {
                                first = now;
                                primary.workers().at(0).kill(SIGKILL);
                            } else if (now.generation == 1) {
                                crashed = now;
                                primary.reload();
                            } else {
                                last = now;
                                json = last.to_json();
                                metrics = last.to_openmetrics();
                                primary.shutdown();
                            }
                        });
                    });
                };
            });
            primary.on(cluster::event::ready, [&](auto& worker) {
                if (worker.generation() == 1) {
                    serve(worker.id(), worker.id() == 1 ? 3 : 2);
                }
            });
            primary.on(cluster::event::exit, [&](auto& worker) {
                if (worker.status().reason() == cluster::exit_reason::recycled) {
                    serve(0, 4);
                }
            });
            primary.fork({.name = "counted"});
        },
        [](auto& self) {
            self.on_message([](const std::string&) {});
            self.on_request([](const are_you_through&) { return 1; });
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                self.count_request(10);
                scenario::answer_with_id(self)(std::move(client));
            });
        });
    auto ends = [](const cluster::cluster_stats& of, cluster::exit_reason reason) {
        return of.slots.at(0).ends.at(static_cast<std::size_t>(reason));
    };
    using reason = cluster::exit_reason;
    REQUIRE(first.slots.size() == 1);
    CHECK(first.slots[0].connections_accepted == 3);
    CHECK(first.slots[0].requests == 30);
    CHECK(first.slots[0].messages_sent == 2);
    CHECK(first.slots[0].messages_received >= 1);
    CHECK(first.slots[0].bytes_sent >= 1000);
    CHECK(first.slots[0].bytes_sent < 2000);
    CHECK(first.workers.at(0).connections_accepted == 3);
    CHECK(first.workers[0].name == "counted");
    CHECK(first.workers[0].state == "ready");
    CHECK(first.listeners.size() == 1);

    CHECK(crashed.slots.at(0).connections_accepted == 5);
    CHECK(crashed.slots[0].requests == 50);
    CHECK(crashed.slots[0].messages_sent == 4);
    CHECK(crashed.slots[0].bytes_sent == 2 * first.slots[0].bytes_sent);
    CHECK(crashed.slots[0].messages_received == 2 * first.slots[0].messages_received);
    CHECK(crashed.slots[0].restarts == 1);
    CHECK(ends(crashed, reason::signaled) == 1);
    CHECK(ends(crashed, reason::recycled) == 0);
    CHECK(crashed.workers.at(0).connections_accepted == 2);
    CHECK(crashed.workers[0].restarts == 1);

    CHECK(last.slots.at(0).connections_accepted == 9);
    CHECK(last.slots[0].requests == 90);
    CHECK(last.slots[0].messages_sent == 6);
    CHECK(last.slots[0].bytes_sent == 3 * first.slots[0].bytes_sent);
    CHECK(ends(last, reason::signaled) == 1);
    CHECK(ends(last, reason::recycled) == 1);
    CHECK(last.generation == 2);
    CHECK(last.reloads == 1);
    CHECK(last.workers.at(0).generation == 2);
    CHECK(last.workers[0].connections_accepted == 4);

    CHECK(json.find("\"name\":\"counted\"") != std::string::npos);
    CHECK(json.find("\"signaled\":1") != std::string::npos);
    CHECK(json.back() == '}');
    CHECK(metrics.find("cluster_worker_connections_accepted_total") != std::string::npos);
    CHECK(metrics.ends_with("# EOF\n"));
}

namespace {

std::string content(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}
std::string command_line(int pid) {
    auto text = content("/proc/" + std::to_string(pid) + "/cmdline");
    std::replace(text.begin(), text.end(), '\0', ' ');
    return text;
}
std::string short_name(int pid) {
    auto text = content("/proc/" + std::to_string(pid) + "/comm");
    return text.substr(0, text.find('\n'));
}

struct titles {
    std::string before, primary, worker, worker_name;
};

titles titles_of(const char* name, bool wanted) {
    titles seen;
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            seen.before = command_line(::getpid());
            if (!wanted) {
                primary.supervise({.process_titles = false});
            }
            primary.fork(2);
            primary.when_ready([&] {
                seen.primary = command_line(::getpid());
                seen.worker = command_line(primary.workers().at(1).pid());
                seen.worker_name = short_name(primary.workers().at(1).pid());
                primary.shutdown();
            });
        },
        [](auto& self) { self.ready(); });
    return seen;
}

} // namespace

TEST_CASE("processes say who they are") {
    auto seen = titles_of("processes say who they are", true);
    std::string program = cluster_test::program::argv[0];
    CHECK(seen.worker_name == "worker 2 g1"); // always permitted
    cluster::detail::os::set_process_title("again");
    if (command_line(::getpid()) != "again ") {
        MESSAGE("skipped: longer titles are not permitted here");
        return;
    }
    CHECK(seen.primary == program + ": primary ");
    CHECK(seen.worker == program + ": worker 2, generation 1 ");
}
TEST_CASE("processes do not say who they are if told so") {
    auto seen = titles_of("processes do not say who they are if told so", false);
    CHECK(seen.primary == seen.before);
    CHECK(seen.worker_name == short_name(::getpid()));
    CHECK(seen.worker.find("--worker-case processes do not say") != std::string::npos);
}

namespace {

struct was_told {
    bool before = false; // it was asked to finish
};

} // namespace

// That the last one started is asked first cannot be seen from outside: each has a channel of its
// own.
TEST_CASE("every worker is told of a shutdown before it is asked to finish") {
    std::map<std::uint32_t, bool> told;
    int code = run_case<cluster::process_cluster>(
        "every worker is told of a shutdown before it is asked to finish",
        [&](auto& primary) {
            primary.on_message([&](auto& from, const was_told& message) {
                CHECK(told.try_emplace(from.id(), message.before).second);
            });
            primary.fork(4);
            primary.when_ready([&] { primary.shutdown(); });
        },
        [](auto& self) {
            auto asked = std::make_shared<bool>(false);
            self.on(cluster::event::disconnect, [asked] { *asked = true; });
            self.on(cluster::event::shutdown, [&self, asked] { self.send(was_told{!*asked}); });
            self.ready();
        });
    CHECK(code == 0);
    CHECK(told == std::map<std::uint32_t, bool>{{1, true}, {2, true}, {3, true}, {4, true}});
}
