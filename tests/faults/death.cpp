// SPDX-License-Identifier: MIT
// Faults 1 to 5, 11 and 26: workers that die, and what becomes of the connections around them.
// The matrix's `gone` is event::exit here, which is the last event of a worker.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

using replacing = cluster::compose<cluster::restart::always>;

struct served {}; // a handler has a connection
struct finish {};

template <typename Primary>
std::size_t listening_workers(Primary& primary) {
    std::size_t count = 0;
    for (auto& each : primary.workers()) {
        count += each.state() == cluster::worker_state::listening ? 1U : 0U;
    }
    return count;
}

} // namespace

TEST_CASE("fault_01_a_killed_idle_worker_is_told_once_and_replaced") {
    constexpr std::size_t places = 4;
    const std::uint32_t kills = sized(unless_sanitized(300U, 80U), 1000U);
    std::map<std::uint32_t, std::vector<std::string>> events;
    std::size_t killed = 0, restarts = 0, baseline = 0;
    bool back_to_baseline = false;
    run_case<replacing>(
        "fault_01_a_killed_idle_worker_is_told_once_and_replaced",
        [&](auto& primary) {
            auto log = [&](std::string what) {
                return [&events, what](auto& worker) { events[worker.id()].push_back(what); };
            };
            primary.on(cluster::event::fork, log("fork"));
            primary.on(cluster::event::online, log("online"));
            primary.on(cluster::event::listening, log("listening"));
            primary.on(cluster::event::disconnect, log("disconnect"));
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                events[worker.id()].push_back(status.to_string());
            });
            primary.on(cluster::event::restart, [&] { ++restarts; });
            auto strike = std::make_shared<std::function<void()>>();
            *strike = [&, strike = std::weak_ptr{strike}] {
                auto all_listen = [&] { return listening_workers(primary) == places; };
                scenario::when(primary, all_listen, [&, again = strike.lock()] {
                    if (killed == 0) {
                        baseline = scenario::open_descriptors();
                    }
                    if (killed != kills) {
                        for (auto& each : primary.workers()) {
                            CHECK_FALSE(each.kill(SIGKILL));
                            ++killed;
                        }
                        auto noticed = [&] { return restarts == killed; };
                        scenario::when(primary, noticed, [again] { (*again)(); });
                        return;
                    }
                    auto same = [&] { return scenario::open_descriptors() == baseline; };
                    scenario::when(primary, same, [&] {
                        back_to_baseline = true;
                        events.erase(events.find(kills + 1), events.end()); // those who still live
                        primary.stop();
                    });
                });
            };
            (*strike)();
            primary.fork(places);
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, [](cluster::connection) {}); });
    CHECK(back_to_baseline);
    CHECK(restarts == kills);
    CHECK(events.size() == kills);
    for (const auto& [id, seen] : events) {
        std::string all;
        for (const auto& each : seen) {
            all += each + ' ';
        }
        CAPTURE(id);
        CAPTURE(all);
        CHECK(seen == std::vector<std::string>{
                          "fork", "online", "listening", "disconnect", "killed by SIGKILL"});
    }
}

// The statistics of many kills are in scenarios/storm.cpp; here it is known who had what.
TEST_CASE("fault_02_a_killed_worker_loses_the_clients_that_it_had_and_no_others") {
    constexpr std::size_t clients = 12;
    std::map<std::uint32_t, std::size_t> held_by;
    std::vector<std::string> held, later;
    bool exited = false;
    run_case<replacing>(
        "fault_02_a_killed_worker_loses_the_clients_that_it_had_and_no_others",
        [&](auto& primary) {
            auto release = [&] {
                auto settled = [&] {
                    return exited && later.size() == clients &&
                           held.size() == held_by[2]; // their ends reach us by themselves
                };
                scenario::when(primary, settled, [&] {
                    primary.broadcast(finish{});
                    auto all = [&] { return held.size() == clients; };
                    scenario::when(primary, all, [&] { primary.shutdown(); });
                });
            };
            auto strike = [&, release](const cluster::address& at) {
                primary.workers().find(2)->kill(SIGKILL);
                for (std::size_t i = 0; i != clients; ++i) { // in its queue or to come to it
                    scenario::ask(primary, at, "now", [&](const std::string& text) {
                        later.push_back(text);
                    });
                }
                release();
            };
            primary.on(cluster::event::exit, [&](auto& worker) { exited |= worker.id() == 2; });
            primary.on(cluster::event::listening,
                       [&, strike, listening = 0](auto&, const cluster::address& at) mutable {
                           if (++listening != 3) {
                               return;
                           }
                           primary.on_message([&, strike, at](auto& from, const served&) {
                               ++held_by[from.id()];
                               if (held_by[1] + held_by[2] + held_by[3] == clients) {
                                   strike(at);
                               }
                           });
                           for (std::size_t i = 0; i != clients; ++i) {
                               scenario::ask(primary, at, "hold", [&](const std::string& text) {
                                   held.push_back(text);
                               });
                           }
                       });
            primary.fork(3);
        },
        [](auto& self) {
            auto waiting = std::make_shared<std::vector<cluster::stream*>>();
            self.listen({.host = "127.0.0.1"}, [&self, waiting](cluster::connection client) {
                auto& stream = self.attach(std::move(client));
                stream.on_data([&self, &stream, waiting](cluster::stream::bytes data) {
                    if (static_cast<char>(data[0]) == 'h') {
                        waiting->push_back(&stream);
                        self.send(served{});
                    } else {
                        stream.end(std::to_string(self.id()));
                    }
                });
            });
            self.on_message([&self, waiting](const finish&) {
                for (auto* each : *waiting) {
                    each->end(std::to_string(self.id()));
                }
            });
        });
    std::map<std::string, std::size_t> ends;
    for (const auto& each : held) {
        ++ends[each];
    }
    CHECK(held_by[2] == clients / 3);
    CHECK(ends == std::map<std::string, std::size_t>{
                      {"", held_by[2]}, {"1", held_by[1]}, {"3", held_by[3]}});
    CHECK(later.size() == clients);
    for (const auto& each : later) {
        CHECK_MESSAGE((each == "1" || each == "3" || each == "4"), each);
    }
}

// With another worker beside it: scenario 24.
TEST_CASE("fault_03_what_a_worker_never_took_is_served_once_by_its_replacement") {
    constexpr std::size_t clients = 10;
    std::vector<std::string> answers;
    std::size_t handled = 0, baseline = 0;
    run_case<replacing>(
        "fault_03_what_a_worker_never_took_is_served_once_by_its_replacement",
        [&](auto& primary) {
            auto hand_over = [&](auto& frozen, const cluster::address& at) {
                baseline = scenario::open_descriptors();
                for (std::size_t i = 0; i != clients; ++i) {
                    scenario::ask(primary, at, "?", [&](const std::string& answer) {
                        answers.push_back(answer);
                        if (answers.size() == clients) {
                            primary.shutdown();
                        }
                    });
                }
                // Two descriptors of each here, the client's and the accepted one on its way.
                auto accepted = [&] {
                    return scenario::open_descriptors() == baseline + 2 * clients;
                };
                scenario::when(primary, accepted, [&frozen] { frozen.kill(SIGKILL); });
            };
            primary.on_message([&](const served&) { ++handled; });
            primary.on(cluster::event::listening,
                       [&, hand_over](auto& worker, const cluster::address& at) {
                           if (worker.id() == 1) {
                               worker.kill(SIGSTOP);
                               auto stopped = [&worker] {
                                   return scenario::process_state(worker.pid()) == 'T';
                               };
                               scenario::when(primary, stopped, [&worker, hand_over, at] {
                                   hand_over(worker, at);
                               });
                           }
                       });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                self.send(served{});
                self.attach(std::move(client)).end(std::to_string(self.id()));
            });
        });
    CHECK(answers == std::vector<std::string>(clients, "2"));
    CHECK(handled == clients);
}

// There is no count of lost connections in the exit: the handlers of a worker know what they had.
TEST_CASE("fault_04_a_connection_whose_handler_has_begun_ends_once_and_goes_to_nobody_else") {
    constexpr std::size_t clients = 5;
    std::vector<std::string> answers;
    std::vector<std::uint32_t> handled_by;
    std::size_t deaths = 0;
    run_case<replacing>(
        "fault_04_a_connection_whose_handler_has_begun_ends_once_and_goes_to_nobody_else",
        [&](auto& primary) {
            primary.on_message([&](auto& from, const served&) { handled_by.push_back(from.id()); });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                deaths += status.signal() == SIGKILL ? 1U : 0U;
            });
            primary.on(cluster::event::listening, [&](auto& worker, const cluster::address& at) {
                if (worker.id() == clients + 1) { // a connection served twice would be its first
                    scenario::ask(primary, at, "?", [&](const std::string& answer) {
                        answers.push_back(answer);
                        primary.shutdown();
                    });
                } else {
                    scenario::ask(primary, at, "?", [&](const std::string& answer) {
                        answers.push_back(answer);
                    });
                }
            });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                self.send(served{});
                self.flush();
                if (self.id() <= clients) {
                    ::raise(SIGKILL);
                }
                self.attach(std::move(client)).end(std::to_string(self.id()));
            });
        });
    std::vector<std::string> expected(clients, "");
    expected.push_back(std::to_string(clients + 1));
    CHECK(answers == expected);
    CHECK(deaths == clients);
    CHECK(handled_by == std::vector<std::uint32_t>{1, 2, 3, 4, 5, 6});
}

namespace {

struct comes_back_late { // so that there is a time without any worker
    cluster::restart_decision decide(const cluster::exit_report&) {
        return cluster::restart_after(100ms);
    }
};

// Rounds in which all workers die; clients come before and after the primary knows of it.
template <typename Scheduling>
void all_workers_die(const char* name) {
    constexpr std::size_t places = 3;
    constexpr std::size_t clients = 6;
    constexpr std::uint32_t rounds = 8;
    std::size_t begun = 0, refused = 0, wrong = 0, answered = 0, without_any = 0;
    std::uint32_t round = 0;
    run_case<cluster::compose<Scheduling, comes_back_late>>(
        name,
        [&](auto& primary) {
            auto some_clients = [&](const cluster::address& at) {
                for (std::size_t i = 0; i != clients; ++i) {
                    ++begun;
                    scenario::ask(primary, at, "?", [&, round](const std::string& answer) {
                        ++answered;
                        refused += answer == "refused" ? 1U : 0U;
                        // By a worker that came after those who were killed in this round.
                        auto id = static_cast<std::uint32_t>(std::atoi(answer.c_str()));
                        wrong += id <= round * places ? 1U : 0U;
                    });
                }
            };
            auto strike = [&, some_clients](const cluster::address& at) {
                ++round;
                for (auto& each : primary.workers()) {
                    each.kill(SIGKILL);
                }
                some_clients(at);
            };
            auto at = std::make_shared<cluster::address>();
            primary.on(cluster::event::exit, [&, some_clients, at] {
                if (primary.workers().empty() && round != 0) {
                    ++without_any;
                    some_clients(*at);
                }
            });
            primary.on(cluster::event::listening, [&, strike, at](auto&, const auto& where) {
                *at = where;
                if (listening_workers(primary) != places) {
                    return;
                }
                scenario::when(
                    primary,
                    [&] { return answered == begun; },
                    [&, strike, at] { round == rounds ? primary.stop() : strike(*at); });
            });
            primary.fork(places);
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    CHECK(round == rounds);
    CHECK(without_any == rounds);
    CHECK(begun == rounds * 2 * clients);
    CHECK(answered == begun);
    CHECK(refused == 0);
    CHECK(wrong == 0);
}

} // namespace

TEST_CASE("fault_05_all_workers_die_and_their_clients_wait_under_round_robin") {
    all_workers_die<cluster::scheduling::round_robin>(
        "fault_05_all_workers_die_and_their_clients_wait_under_round_robin");
}
TEST_CASE("fault_05_all_workers_die_and_their_clients_wait_with_a_shared_socket") {
    all_workers_die<cluster::scheduling::shared_socket>(
        "fault_05_all_workers_die_and_their_clients_wait_with_a_shared_socket");
}
TEST_CASE("fault_05_all_workers_die_and_their_clients_wait_with_reuse_port") {
    all_workers_die<cluster::scheduling::reuse_port>(
        "fault_05_all_workers_die_and_their_clients_wait_with_reuse_port");
}

// The matrix allows two deaths before `poison_dropped`. Here a connection that a handler has seen is
// never handed over again, so that there is one.
TEST_CASE("fault_11_a_poisonous_client_kills_one_worker_and_no_second") {
    constexpr std::size_t poisoned = 6;
    std::vector<std::string> good, bad;
    std::map<std::string, std::size_t> ends;
    run_case<replacing>(
        "fault_11_a_poisonous_client_kills_one_worker_and_no_second",
        [&](auto& primary) {
            auto next = std::make_shared<std::function<void(cluster::address)>>();
            *next = [&, next = std::weak_ptr{next}](cluster::address at) {
                scenario::ask(
                    primary, at, "good", [&, at, next = next.lock()](const std::string& answer) {
                        good.push_back(answer);
                        if (bad.size() == poisoned) {
                            auto all_back = [&] { return listening_workers(primary) == 3; };
                            scenario::when(primary, all_back, [&] { primary.stop(); });
                            return;
                        }
                        scenario::ask(
                            primary, at, "poison", [&, at, next](const std::string& nothing) {
                                bad.push_back(nothing);
                                (*next)(at); // at once, also while the primary does not know yet
                            });
                    });
            };
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ++ends[status.to_string()];
            });
            primary.on(cluster::event::listening,
                       [&, next, listening = 0](auto&, const cluster::address& at) mutable {
                           if (++listening == 3) {
                               (*next)(at);
                           }
                       });
            primary.fork(3, {.limits = {{RLIMIT_CORE, 0, 0}}});
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                char first = 0; // looked at before the handler returns
                pollfd arrives{client.native_handle(), POLLIN, 0};
                ::poll(&arrives, 1, -1);
                if (::recv(client.native_handle(), &first, 1, MSG_PEEK) == 1 && first == 'p') {
                    std::abort();
                }
                self.attach(std::move(client)).end("fine");
            });
        });
    CHECK(good == std::vector<std::string>(poisoned + 1, "fine"));
    CHECK(bad == std::vector<std::string>(poisoned, ""));
    CHECK(ends == std::map<std::string, std::size_t>{{"killed by SIGABRT", poisoned}});
}

TEST_CASE("fault_26_sixty_four_deaths_in_one_turn_are_sixty_four_exits") {
    constexpr std::size_t all = 64;
    std::map<std::uint32_t, int> exits;
    std::size_t wrong = 0;
    bool all_dead = false;
    run_case<cluster::process_cluster>(
        "fault_26_sixty_four_deaths_in_one_turn_are_sixty_four_exits",
        [&](auto& primary) {
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ++exits[worker.id()];
                wrong += status.signal() != SIGKILL ? 1U : 0U;
            });
            primary.fork(all, {.executable = FIXTURE_CHILD, .arguments = {"hang"}});
            primary.after(0ms, [&] { // the loop sees nothing before every one of them is dead
                for (auto& each : primary.workers()) {
                    each.kill(SIGKILL);
                }
                all_dead = scenario::eventually([&] {
                    auto workers = primary.workers();
                    return std::all_of(workers.begin(), workers.end(), [](auto& each) {
                        return scenario::is_gone(each.pid());
                    });
                });
                CHECK(primary.workers().size() == all);
            });
        },
        [](auto&) {});
    CHECK(all_dead);
    CHECK(exits.size() == all);
    for (const auto& [id, count] : exits) {
        CAPTURE(id);
        CHECK(count == 1);
    }
    CHECK(wrong == 0);
    CHECK_FALSE(scenario::has_children());
}
