// SPDX-License-Identifier: MIT
// Acceptance scenarios 2, 29 to 36 and 54: how workers begin and end.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct note {
    std::string text;
};

std::vector<std::string> environment_now() {
    std::vector<std::string> result;
    for (char** each = environ; *each != nullptr; ++each) {
        result.emplace_back(*each);
    }
    return result;
}

bool mentions_cluster_worker() {
    auto all = environment_now();
    return std::any_of(all.begin(), all.end(), [](const std::string& each) {
        return each.starts_with("CLUSTER_WORKER");
    });
}

} // namespace

CLUSTER_CASE("scenario 2: a worker is number one and its own child is a primary") {
    if (scenario::part() != nullptr) { // the worker's child
        cluster::compose<Backend> app{program::argc, program::argv};
        scenario::say(app.is_primary() && !app.is_worker() ? "primary" : "worker");
        return;
    }
    auto before = environment_now();
    std::string seen;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            CHECK(worker.id() == 1);
            CHECK(worker.state() == cluster::worker_state::none);
            CHECK(worker.is_connected());
            CHECK_FALSE(worker.is_dead());
            CHECK(worker.pid() > 0);
            CHECK(primary.workers().size() == 1);
            CHECK(primary.workers().find(1) == &worker);
            CHECK(environment_now() == before);
            worker.on_message([&](const note& message) {
                seen = message.text;
                worker.disconnect();
            });
        },
        [](auto& self) {
            std::string text = "id " + std::to_string(self.id());
            text += mentions_cluster_worker() ? ", marked" : ", unmarked";
            if constexpr (Backend::separate_memory) {
                scenario::another_primary child{running_case(), "child"};
                text += ", child " + child.line();
            }
            self.send(note{text});
        });
    CHECK(environment_now() == before);
    CHECK(seen == (Backend::separate_memory ? "id 1, unmarked, child primary" : "id 1, unmarked"));
}

CLUSTER_CASE(
    "scenario 29: a disconnected worker gets no new client and goes when the last one has ended") {
    std::vector<std::string> events;
    std::vector<std::string> answers;
    auto held = std::make_shared<cluster::unique_fd>();
    run_on<Backend>(
        [&](auto& primary) {
            primary.on(cluster::event::listening,
                       [&, listening = 0](auto&, const cluster::address& at) mutable {
                           if (++listening == 1) { // alone, so it gets this client
                               *held = scenario::connect_to(at);
                           } else {
                               primary.workers().find(1)->disconnect();
                               CHECK_FALSE(primary.workers().find(1)->is_connected());
                               scenario::ask_in_turn(primary, at, 6, [&](const auto& all) {
                                   answers = all;
                                   events.push_back("client ends");
                                   held->reset();
                               });
                           }
                       });
            primary.on_message([&](const note&) { primary.fork(); });
            primary.on(cluster::event::disconnect, [&](auto& worker) {
                events.push_back("disconnect " + std::to_string(worker.id()));
            });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                events.push_back("exit " + std::to_string(worker.id()) + ' ' + status.to_string());
                CHECK(worker.exited_after_disconnect());
                primary.disconnect();
            });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                auto& stream = self.attach(std::move(client));
                if (self.id() == 1) {
                    stream.on_data([](cluster::stream::bytes) {}); // until the client ends
                    self.send(note{"has a client"});
                } else {
                    stream.end(std::to_string(self.id()));
                }
            });
        });
    CHECK(answers == std::vector<std::string>(6, "2"));
    CHECK(events == std::vector<std::string>{"client ends",
                                             "disconnect 1",
                                             "exit 1 exit code 0",
                                             "disconnect 2",
                                             "exit 2 exit code 0"});
}

CLUSTER_CASE(
    "scenario 30: at the deadline of a shutdown workers are ended with SIGTERM and then SIGKILL") {
    std::map<std::string, std::string> ends;
    std::vector<cluster::unique_fd> clients;
    auto deadline = unless_sanitized(300ms, 4000ms); // by then the quick one has ended
    auto begun = std::chrono::steady_clock::time_point{};
    auto ended = begun;
    int code = run_on<Backend>(
        [&](auto& primary) {
            auto on_note = [&, ready = 0](auto&, const note&) mutable {
                if (++ready == 3) {
                    begun = std::chrono::steady_clock::now();
                    primary.shutdown({.deadline = deadline, .kill_after = 200ms});
                }
            };
            primary.on_message(on_note);
            primary.on(cluster::event::listening,
                       [&, listening = 0](auto&, const cluster::address& at) mutable {
                           if (++listening == 2) { // in turn: each worker has one that never ends
                               clients.push_back(scenario::connect_to(at));
                               clients.push_back(scenario::connect_to(at));
                           }
                       });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ends[worker.name()] = status.to_string();
                ended = std::chrono::steady_clock::now();
                CHECK(worker.exited_after_disconnect());
            });
            primary.fork({.name = "polite"});
            primary.fork({.name = Backend::separate_memory ? "stubborn" : "polite too"});
            primary.fork({.name = "quick"});
        },
        [](auto& self) {
            auto ready = [&self] { self.send(note{"ready"}); };
            if (self.name() == "quick") {
                ready();
                return;
            }
            if (self.name() == "stubborn") {
                std::signal(SIGTERM, SIG_IGN);
            }
            self.listen({.host = "127.0.0.1"}, [&self, ready](cluster::connection client) {
                self.attach(std::move(client)).on_data([](auto) {});
                ready();
            });
        });
    CHECK(code == 1); // somebody had to be forced
    if constexpr (Backend::separate_memory) {
        CHECK(ends == std::map<std::string, std::string>{{"polite", "killed by SIGTERM"},
                                                         {"quick", "exit code 0"},
                                                         {"stubborn", "killed by SIGKILL"}});
        CHECK(ended - begun >= deadline + 200ms); // and what the machine needs
    } else { // SIGTERM is a request to stop, which a loop grants
        CHECK(ends == std::map<std::string, std::string>{{"polite", "exit code 1"},
                                                         {"polite too", "exit code 1"},
                                                         {"quick", "exit code 0"}});
        CHECK(ended - begun >= deadline);
    }
}

CLUSTER_CASE("scenario 31: disconnect and kill can be repeated and mixed at any time") {
    std::map<std::string, std::vector<std::string>> ends;
    int errors = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto act = [](auto& worker) {
                const std::string& name = worker.name();
                if (name.starts_with("kill")) {
                    CHECK_FALSE(worker.kill());
                }
                if (name.starts_with("disconnect")) {
                    worker.disconnect();
                }
                if (name.find("then disconnect") != std::string::npos) {
                    worker.disconnect();
                }
                if (name.find("then kill") != std::string::npos) {
                    worker.kill();
                }
            };
            primary.on(cluster::event::error, [&] { ++errors; });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                bool flag = worker.exited_after_disconnect();
                ends[worker.name()].push_back(status.to_string() + (flag ? " after" : ""));
                worker.disconnect();
                worker.kill();
            });
            for (const char* what : {"disconnect then disconnect",
                                     "disconnect then kill",
                                     "kill then kill",
                                     "kill then disconnect"}) {
                primary.fork({.name = what}).on(cluster::event::online, act);
                act(primary.fork({.name = std::string{what} + " before online"}));
            }
        },
        [](auto&) {});
    CHECK(errors == 0);
    CHECK(ends.size() == 8);
    for (const auto& [name, end] : ends) {
        CAPTURE(name);
        REQUIRE(end.size() == 1);
        bool disconnects = name.find("disconnect") != std::string::npos;
        bool kills = name.find("kill") != std::string::npos;
        CHECK(end[0].ends_with(" after") == disconnects);
        bool ok = (!kills && end[0] == "exit code 0 after") ||
                  (kills && end[0].starts_with(after_kill<Backend>().to_string())) ||
                  // It may have finished before the signal came.
                  (kills && disconnects && end[0] == "exit code 0 after");
        CHECK_MESSAGE(ok, end[0]);
    }
}

CLUSTER_CASE("scenario 32: a disconnected worker lives as long as its client and its timer") {
    std::map<std::string, std::vector<std::string>> events;
    std::map<std::string, cluster::unique_fd> clients;
    run_on<Backend>(
        [&](auto& primary) {
            primary.on(cluster::event::listening,
                       [&, listening = 0](auto&, const cluster::address& at) mutable {
                           if (++listening == 2) { // they take turns: one each, in their order
                               clients["client first"] = scenario::connect_to(at);
                               clients["timer first"] = scenario::connect_to(at);
                           }
                       });
            primary.on_message([&](auto& from, const note& message) {
                auto& mine = events[from.name()];
                mine.push_back(message.text);
                if (message.text == "client") {
                    from.disconnect();
                    if (from.name() == "client first") {
                        clients[from.name()].reset();
                    }
                } else { // its timer has ended, its client has not
                    CHECK(from.state() == cluster::worker_state::listening);
                    clients[from.name()].reset();
                }
            });
            primary.on(cluster::event::disconnect,
                       [&](auto& worker) { events[worker.name()].push_back("disconnect"); });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                events[worker.name()].push_back(status.to_string());
                CHECK(worker.exited_after_disconnect());
            });
            primary.fork({.name = "client first"});
            primary.fork({.name = "timer first"});
        },
        [](auto& self) {
            bool client_first = self.name() == "client first";
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                self.attach(std::move(client)).on_data([](auto) {});
                self.send(note{"client"});
            });
            self.on(cluster::event::disconnect, [&self, client_first] {
                self.after(client_first ? 500ms : 10ms, [&self, client_first] {
                    // With the channel closed only the code can tell that the timer has run.
                    client_first ? self.stop(32) : static_cast<void>(self.send(note{"timer"}));
                });
            });
        });
    CHECK(events["client first"] ==
          std::vector<std::string>{"client", "disconnect", "exit code 32"});
    CHECK(events["timer first"] ==
          std::vector<std::string>{"client", "timer", "disconnect", "exit code 0"});
}

CLUSTER_CASE("scenario 33: the callback of disconnect comes once and after the last exit") {
    std::vector<std::string> order;
    run_on<Backend>(
        [&](auto& primary) {
            auto with_none = std::make_shared<bool>(false);
            primary.disconnect([&, with_none] {
                CHECK(*with_none); // not from inside disconnect()
                order.push_back("nobody");
                primary.fork({.name = "700"});
                primary.fork({.name = "0"});
                primary.fork({.name = "350"});
            });
            *with_none = true;
            primary.on(cluster::event::online, [&, online = 0]() mutable {
                if (++online == 3) {
                    primary.disconnect([&] {
                        CHECK(primary.workers().empty());
                        order.push_back("all");
                    });
                    order.push_back("asked");
                }
            });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status&) {
                CHECK(worker.exited_after_disconnect());
                order.push_back("exit " + worker.name());
            });
        },
        [](auto& self) {
            auto needs = std::chrono::milliseconds{std::atoi(self.name().c_str())};
            self.on(cluster::event::disconnect, [&self, needs] { self.after(needs, [] {}); });
        });
    REQUIRE(order.size() == 6);
    CHECK(order.front() == "nobody");
    CHECK(order[1] == "asked");
    CHECK(order.back() == "all");
    std::sort(order.begin() + 2, order.end() - 1); // they race on a slow machine
    CHECK(order[2] == "exit 0");
    CHECK(order[3] == "exit 350");
    CHECK(order[4] == "exit 700");
}

// A limit on silence (heartbeat) is a feature of its own; here the user's kill() and the ladder.
TEST_CASE("scenario 34: a worker that spins is ended by kill and by the ladder of a shutdown") {
    std::map<std::string, std::string> ends;
    int code = run_case<cluster::process_cluster>(
        "scenario 34: a worker that spins is ended by kill and by the ladder of a shutdown",
        [&](auto& primary) {
            primary.on_message([&](auto& from, const note&) {
                if (from.name() == "killed") {
                    from.kill();
                } else {
                    primary.shutdown({.deadline = 100ms, .kill_after = 100ms});
                }
            });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ends[worker.name()] = status.to_string();
                if (worker.name() == "killed") {
                    CHECK_FALSE(worker.exited_after_disconnect());
                    primary.fork({.name = "ignores SIGTERM"});
                }
            });
            primary.fork({.name = "killed"});
        },
        [](auto& self) {
            if (self.name() != "killed") {
                std::signal(SIGTERM, SIG_IGN);
            }
            self.send(note{"spinning"});
            self.flush();
            for (volatile bool go = true; go;) {
            }
        });
    CHECK(code == 1);
    CHECK(ends == std::map<std::string, std::string>{{"ignores SIGTERM", "killed by SIGKILL"},
                                                     {"killed", "killed by SIGTERM"}});
}

TEST_CASE("scenario 35: a worker killed by SIGKILL is told with its signal and is gone") {
    std::vector<std::string> events;
    run_case<cluster::process_cluster>(
        "scenario 35: a worker killed by SIGKILL is told with its signal and is gone",
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::online, [&] { CHECK_FALSE(worker.kill(SIGKILL)); });
            worker.on(cluster::event::disconnect, [&] {
                events.push_back("disconnect");
                CHECK(worker.state() == cluster::worker_state::disconnected);
                CHECK(primary.workers().size() == 1);
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                events.push_back("exit");
                CHECK(status.reason() == cluster::exit_reason::signaled);
                CHECK(status.signal() == SIGKILL);
                CHECK(status.code() == 0);
                CHECK_FALSE(status.success());
                CHECK_FALSE(worker.exited_after_disconnect());
                CHECK(worker.is_dead());
                CHECK_FALSE(worker.is_connected());
                CHECK(primary.workers().empty());
                CHECK(primary.workers().find(1) == nullptr);
                CHECK(scenario::process_state(worker.pid()) == '-');
            });
        },
        [](auto&) {});
    CHECK(events == std::vector<std::string>{"disconnect", "exit"});
}

// Node: 1 for an uncaught exception. Here it leaves run(), and what follows is the program's
// choice: its own code, or std::terminate, which is SIGABRT.
CLUSTER_CASE(
    "scenario 36: a worker that ends by itself is replaced and one that was told to go is not") {
    std::map<std::string, std::vector<std::string>> expected{
        {"stop", {"exit code 42", "exit code 0"}}, {"throw", {"exit code 1", "exit code 0"}}};
    if (Backend::separate_memory) { // else it is everybody's end
        expected["exit"] = {"exit code 42", "exit code 0"};
        expected["terminate"] = {"killed by SIGABRT", "exit code 0"};
    }
    std::map<std::string, std::vector<std::string>> ends;
    std::size_t replacements = 0;
    run_on<Backend, cluster::restart::always>(
        [&](auto& primary) {
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ends[worker.name()].push_back(status.to_string());
                CHECK(worker.exited_after_disconnect() == (worker.id() > expected.size()));
            });
            primary.on(cluster::event::restart,
                       [&](auto& dead, const cluster::restart_decision& decision) {
                           CHECK(dead.id() <= expected.size());
                           CHECK(decision == cluster::restart_now);
                           ++replacements;
                       });
            primary.on(cluster::event::online, [&](auto& worker) {
                if (worker.id() > expected.size()) {
                    worker.disconnect();
                }
            });
            if constexpr (Backend::separate_memory) {
                primary.setup(
                    {.standard_error = cluster::stdio::ignore, .limits = {{RLIMIT_CORE, 0, 0}}});
            }
            for (const auto& [way, how] : expected) {
                primary.fork({.name = way});
            }
        },
        [first_ones = expected.size()](auto& self) {
            if (self.id() > first_ones) {
                return;
            }
            if (self.name() == "exit") {
                std::exit(42);
            } else if (self.name() == "stop") {
                self.stop(42);
            } else if (self.name() == "terminate") {
                std::terminate(); // as for an exception that nobody catches
            } else if constexpr (Backend::separate_memory) {
                try { // stands for a program whose main() catches what leaves run()
                    throw std::runtime_error("no");
                } catch (const std::exception&) {
                    std::exit(1);
                }
            } else {
                throw std::runtime_error("no");
            }
        });
    CHECK(replacements == expected.size());
    CHECK(ends == expected);
}

namespace {

// The program of scenario 54, with clients that the test holds. Says the port, then what happens.
template <typename Backend>
void loaded_primary() {
    int code = run_on<Backend>(
        [](auto& primary) {
            for (int signal : {SIGTERM, SIGINT}) {
                primary.on_signal(signal, [&primary] {
                    primary.shutdown({.deadline = 60s, .kill_after = 60s});
                    scenario::say("shutting down");
                });
            }
            primary.on(cluster::event::listening,
                       [listening = 0](auto&, const cluster::address& at) mutable {
                           if (++listening == 4) {
                               scenario::say(std::to_string(at.port()));
                           }
                       });
            primary.on_message([](auto& from, const note& message) {
                scenario::say(message.text + ' ' + std::to_string(from.id()));
            });
            primary.on(cluster::event::exit, [](auto&, const cluster::exit_status& status) {
                scenario::say(status.to_string());
            });
            primary.fork(4);
        },
        [](auto& self) {
            self.on(cluster::event::shutdown, [&self] { self.send(note{"told"}); });
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                auto& stream = self.attach(std::move(client));
                stream.on_data([&stream](cluster::stream::bytes data) {
                    stream.end({reinterpret_cast<const char*>(data.data()), data.size()});
                });
                self.send(note{"client"});
            });
        });
    scenario::say("run " + std::to_string(code));
    std::exit(code);
}

struct loaded {
    scenario::another_primary primary;
    std::vector<cluster::unique_fd> clients;

    loaded() : primary{running_case(), "loaded"} {
        auto port = static_cast<std::uint16_t>(std::atoi(primary.line().c_str()));
        for (int i = 0; i != 4; ++i) {
            clients.push_back(scenario::connect_to(scenario::loopback(port)));
        }
        CHECK(lines(4) == std::vector<std::string>{"client 1", "client 2", "client 3", "client 4"});
    }

    std::vector<std::string> lines(std::size_t count) {
        std::vector<std::string> result;
        while (result.size() != count) {
            result.push_back(primary.line());
        }
        std::sort(result.begin(), result.end());
        return result;
    }
};

} // namespace

CLUSTER_CASE("scenario 54: SIGTERM to a loaded primary tells the workers and lets them finish") {
    if (scenario::part() != nullptr) {
        loaded_primary<Backend>();
    }
    loaded one;
    one.primary.kill(SIGTERM);
    CHECK(one.lines(5) ==
          std::vector<std::string>{"shutting down", "told 1", "told 2", "told 3", "told 4"});
    for (auto& each : one.clients) { // they get their answers all the same
        char answer[8] = "";
        CHECK(::write(each.get(), "answer?", 7) == 7);
        CHECK(::recv(each.get(), answer, 7, MSG_WAITALL) == 7);
        CHECK(std::string{answer} == "answer?");
        each.reset();
    }
    CHECK(one.lines(4) == std::vector<std::string>(4, "exit code 0"));
    CHECK(one.primary.line() == "run 0");
    CHECK(one.primary.wait() == 0);
}

CLUSTER_CASE("scenario 54: a second signal to a loaded primary forces its end") {
    if (scenario::part() != nullptr) {
        loaded_primary<Backend>();
    }
    loaded one;
    one.primary.kill(SIGINT);
    CHECK(one.lines(5) ==
          std::vector<std::string>{"shutting down", "told 1", "told 2", "told 3", "told 4"});
    one.primary.kill(SIGTERM);
    std::vector<std::string> forced(4, after_kill<Backend>().to_string());
    forced.push_back("shutting down");
    CHECK(one.lines(5) == forced);
    CHECK(one.primary.line() == "run 1");
    int status = one.primary.wait();
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 1);
}
