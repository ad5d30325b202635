// SPDX-License-Identifier: MIT
// Faults 9 and 12 to 16: workers that do not come up, and workers that do not answer.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;
using namespace std::chrono_literals;
using namespace cluster::literals;

namespace {

using clock_type = std::chrono::steady_clock;
using replacing = cluster::compose<cluster::restart::always>;

std::chrono::microseconds cpu_time() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return std::chrono::seconds{used.ru_utime.tv_sec + used.ru_stime.tv_sec} +
           std::chrono::microseconds{used.ru_utime.tv_usec + used.ru_stime.tv_usec};
}

using in_vain = cluster::restart::backoff<100_ms, 800_ms>;

} // namespace

// `boot_crash` is exit_reason::boot_failed; the first generation is no exception to anything.
TEST_CASE("fault_09_a_worker_that_never_boots_is_started_ever_less_often") {
    std::size_t forks = 0, wrong = 0;
    clock_type::time_point started;
    clock_type::duration elapsed{};
    std::chrono::microseconds used{};
    run_case<cluster::compose<in_vain>>(
        "fault_09_a_worker_that_never_boots_is_started_ever_less_often",
        [&](auto& primary) {
            primary.on(cluster::event::fork, [&] { ++forks; });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                bool failed = status.reason() == cluster::exit_reason::boot_failed;
                wrong += failed && status.code() == 7 && !worker.report().was_ready ? 0U : 1U;
            });
            started = clock_type::now();
            auto before = cpu_time();
            primary.fork();
            primary.after(4s, [&, before] {
                elapsed = clock_type::now() - started;
                used = cpu_time() - before;
                primary.stop();
            });
        },
        [](auto& self) {
            self.defer_ready();
            ::_exit(7);
        });
    // The certain halves of the pauses: 50, 100, 200, 400, 400, ... ms, and the first start.
    auto most =
        5U + static_cast<std::size_t>(std::max<clock_type::duration>(elapsed - 350ms, 0ms) / 400ms);
    MESSAGE(forks, " starts, at most ", most, "; ", used.count(), " us of CPU time");
    CHECK(forks > 2);
    CHECK(forks <= most);
    CHECK(wrong == 0);
    CHECK(used < elapsed / 4);
}

TEST_CASE("fault_09_a_crash_loop_ends_where_the_policy_says") {
    std::size_t forks = 0, gave_up = 0, refused = 0;
    std::size_t idle_forks = 0;
    std::chrono::microseconds used{};
    clock_type::duration idle{};
    run_case<cluster::compose<cluster::restart::limit<5, 1000_s>>>(
        "fault_09_a_crash_loop_ends_where_the_policy_says",
        [&](auto& primary) {
            primary.on(cluster::event::fork, [&] { ++forks; });
            primary.on(cluster::event::give_up, [&](auto&, const cluster::exit_report& report) {
                ++gave_up;
                CHECK(report.restarts == 5);
                CHECK_FALSE(report.was_ready);
                // Nothing happens from now on, and it costs nothing.
                primary.every(1h, [] {});
                primary.after(100ms, [&] {
                    primary.after(2s,
                                  [&, at = clock_type::now(), cpu = cpu_time(), so_far = forks] {
                                      idle = clock_type::now() - at;
                                      used = cpu_time() - cpu;
                                      idle_forks = forks - so_far;
                                      refused = primary.workers().size();
                                      primary.stop();
                                  });
                });
            });
            primary.fork();
        },
        [](auto&) { ::_exit(7); });
    CHECK(gave_up == 1);
    CHECK(forks == 6);
    CHECK(idle_forks == 0);
    CHECK(refused == 0);
    MESSAGE(used.count(), " us of CPU time while nothing is left");
    CHECK(used < idle / 20);
}

namespace {

// Kills all `count` workers at once and watches how many of their replacements boot at a time.
void replaces_a_few_at_a_time(const char* name,
                              std::size_t count,
                              unsigned max_booting,
                              std::size_t expected) {
    std::map<std::uint32_t, clock_type::time_point> booting;
    std::size_t most = 0, up = 0;
    run_case<replacing>(
        name,
        [&](auto& primary) {
            primary.supervise({.max_booting = max_booting});
            primary.on(cluster::event::fork, [&](auto& worker) {
                if (worker.id() > count) {
                    booting[worker.id()] = clock_type::now();
                    // One that has not come up for five seconds holds nobody up.
                    auto quick = std::count_if(booting.begin(), booting.end(), [](auto& each) {
                        return clock_type::now() - each.second < 5s;
                    });
                    most = std::max(most, static_cast<std::size_t>(quick));
                }
            });
            primary.on(cluster::event::ready, [&](auto& worker) {
                if (booting.erase(worker.id()) != 0 && ++up == count) {
                    primary.shutdown();
                }
            });
            primary.fork(count);
            primary.when_ready([&] {
                for (auto& each : primary.workers()) {
                    each.kill(SIGKILL);
                }
                CHECK(scenario::eventually([&] { // before the loop sees the first of them
                    auto all = primary.workers();
                    return std::all_of(all.begin(), all.end(), [](auto& each) {
                        return scenario::is_gone(each.pid());
                    });
                }));
            });
        },
        [](auto& self) {
            self.defer_ready();
            self.after(60ms, [&self] { self.ready(); });
        });
    CHECK(up == count);
    CHECK(most == expected);
}

struct work {
    std::uint64_t requests = 0;
};

} // namespace

TEST_CASE("fault_12_a_quarter_of_the_workers_boots_at_a_time_when_all_have_died") {
    replaces_a_few_at_a_time(
        "fault_12_a_quarter_of_the_workers_boots_at_a_time_when_all_have_died", 8, 0, 2);
}
TEST_CASE("fault_12_as_many_workers_boot_at_a_time_as_the_program_says") {
    replaces_a_few_at_a_time(
        "fault_12_as_many_workers_boot_at_a_time_as_the_program_says", 6, 1, 1);
}

// Each of the workers has done the same; the chance that all limits are in one third is 6 in a
// million. One more worker is over its limit in each round, after all the others have counted: when
// it has been replaced, so has everybody who was over.
TEST_CASE("fault_12_equal_workers_are_not_recycled_at_the_same_time") {
    static constexpr unsigned count = 12;
    std::vector<std::size_t> recycled; // so far, after each third
    std::function<void()> next;
    run_case<cluster::process_cluster>(
        "fault_12_equal_workers_are_not_recycled_at_the_same_time",
        [&](auto& primary) {
            primary.supervise({.stalled_after = 0ms, .max_recycling = count + 1});
            auto for_each_old = [&primary](auto f) {
                for (auto& each : primary.workers()) {
                    if (each.id() <= count && each.is_connected()) {
                        f(each);
                    }
                }
            };
            auto is_settled = [&primary] { // no replacement is on its way
                auto all = primary.workers();
                return all.size() == count + 1 &&
                       std::all_of(all.begin(), all.end(), [](auto& each) {
                           return each.is_ready() && each.is_connected();
                       });
            };
            auto mark_the_end = [&, for_each_old, is_settled] {
                auto all = primary.workers();
                auto marker = std::find_if(
                    all.begin(), all.end(), [](auto& each) { return each.name() == "marker"; });
                marker->send(work{1});
                marker->on(cluster::event::exit, [&, for_each_old, is_settled] {
                    scenario::when(primary, is_settled, [&, for_each_old] {
                        std::size_t left = 0;
                        for_each_old([&left](auto&) { ++left; });
                        recycled.push_back(count - left);
                        recycled.size() == 3 ? primary.shutdown() : next();
                    });
                });
            };
            next = [&, for_each_old, mark_the_end] {
                auto waiting = std::make_shared<std::size_t>(1);
                auto counted = [mark_the_end, waiting](const auto&...) {
                    if (--*waiting == 0) {
                        mark_the_end();
                    }
                };
                for_each_old([waiting, counted](auto& each) {
                    ++*waiting;
                    each.template request<int>(work{400}, counted);
                });
                counted();
            };
            primary.fork(count, {.recycle = {{.max_requests = 1200, .jitter = 1.0}}});
            primary.fork({.name = "marker", .recycle = {{.max_requests = 1, .jitter = 0}}});
            primary.when_ready([&] { next(); });
        },
        [](auto& self) {
            self.on_request([&self](const work& done) {
                self.count_request(done.requests);
                return 0;
            });
            self.on_message([&self](const work& done) { self.count_request(done.requests); });
            self.ready();
        });
    REQUIRE(recycled.size() == 3);
    CAPTURE(recycled[0]);
    CAPTURE(recycled[1]);
    CHECK(recycled[2] == count);
    CHECK(recycled[0] < count);
    CHECK(recycled[1] > 0);
    CHECK_FALSE((recycled[0] == 0 && recycled[1] == count));
}

namespace {

// A healthy worker on a busy machine may be late, too; it is not to be killed for it.
constexpr cluster::supervision_options watchful{.stalled_after = 600ms, .replaced_after = 4s};

struct spinning {};
struct are_you_through {};

template <typename Self>
void serve_or_spin(Self& self) {
    self.on_request([](const are_you_through&) { return 1; });
    self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
        auto& stream = self.attach(std::move(client));
        stream.on_data([&self, &stream](cluster::stream::bytes bytes) {
            if (text_of(bytes) == "spin") {
                self.send(spinning{});
                self.flush();
                for (volatile bool spins = true; spins;) {
                }
            }
            stream.end(std::to_string(self.id()));
        });
    });
}

template <typename Primary>
std::uint64_t on_their_way_to(Primary& primary, std::uint32_t id) {
    for (const auto& each : primary.stats().workers) {
        if (each.id == id) {
            return each.handing_over;
        }
    }
    return 0;
}

struct unresponsive {
    std::uint32_t victim = 0;
    std::vector<std::string> before; // answers to clients that came before it was told,
    std::vector<std::string> later;  // and after that
    std::size_t later_lost = 0;
    std::uint64_t handed = 0;
    std::size_t events = 0;
    cluster::exit_report report;
    std::uint32_t fresh = 0;

    [[nodiscard]] bool served(const std::vector<std::string>& answers) const {
        return std::all_of(answers.begin(), answers.end(), [&](const auto& each) {
            return !each.empty() && each != "refused" && each != std::to_string(victim);
        });
    }
};

constexpr std::size_t clients_each = 8;

template <typename Primary>
void watch_victim(Primary& primary, unresponsive& seen, const cluster::address& at) {
    for (std::size_t i = 0; i != clients_each; ++i) {
        scenario::ask(
            primary, at, "?", [&](const std::string& text) { seen.before.push_back(text); });
    }
    auto looking = std::make_shared<cluster::timer>();
    *looking = primary.every(1ms, [&primary, &seen, looking] {
        seen.handed = std::max(seen.handed, on_their_way_to(primary, seen.victim));
    });
    looking->unref();
    scenario::when(
        primary,
        [&seen] {
            return seen.before.size() == clients_each && seen.later.size() == clients_each &&
                   seen.report.worker_id != 0 && seen.fresh != 0;
        },
        [&primary, looking] {
            looking->cancel();
            primary.stop();
        });
}

// Worker 1 is stopped from outside, or a handler of either worker does not return.
template <typename Cluster>
unresponsive lose_an_answer(const char* name, bool spins) {
    unresponsive seen;
    cluster::address at;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            primary.supervise(watchful);
            primary.on(cluster::event::listening,
                       [&](auto&, const cluster::address& where) { at = where; });
            primary.on(cluster::event::stalled, [&](auto& worker) {
                if (worker.id() != seen.victim) {
                    return; // is late, and will recover
                }
                CHECK(worker.is_stalled());
                ++seen.events;
                for (std::size_t i = 0; i != clients_each; ++i) {
                    scenario::ask(primary, at, "?", [&](const std::string& text) {
                        seen.later.push_back(text);
                    });
                }
            });
            primary.on(cluster::event::exit, [&](auto& worker) {
                if (worker.id() == seen.victim) {
                    seen.report = worker.report();
                }
            });
            primary.on(cluster::event::ready,
                       [&](auto& worker) { seen.fresh = worker.id() > 2 ? worker.id() : 0; });
            primary.on_message([&](auto& from, const spinning&) {
                seen.victim = from.id();
                watch_victim(primary, seen, at);
            });
            primary.fork(2);
            primary.when_ready([&, spins] {
                if (spins) {
                    scenario::ask(primary, at, "spin", [](const std::string& text) {
                        CHECK(text.empty()); // its handler had begun: nobody else gets it
                    });
                    return;
                }
                auto& victim = *primary.workers().find(1);
                seen.victim = 1;
                victim.template request<int>(are_you_through{}, [&](const auto&) { // its loop turns
                    victim.kill(SIGSTOP);
                    CHECK(scenario::eventually(
                        [&] { return scenario::process_state(victim.pid()) == 'T'; }));
                    watch_victim(primary, seen, at);
                });
            });
        },
        [](auto& self) { serve_or_spin(self); });
    CHECK(seen.events >= 1);
    CHECK(seen.before.size() == clients_each);
    CHECK(seen.later.size() == clients_each);
    CHECK(seen.served(seen.before));
    CHECK(seen.served(seen.later));
    CHECK(seen.report.status.reason() == cluster::exit_reason::unresponsive);
    CHECK(seen.report.status.signal() == SIGKILL);
    CHECK(seen.report.status.to_string() == "unresponsive: killed by SIGKILL");
    CHECK(seen.report.was_ready);
    CHECK(seen.fresh > 2);
    return seen;
}

template <typename Scheduling>
using supervised = cluster::compose<Scheduling, cluster::restart::always>;

} // namespace

TEST_CASE("fault_13_a_stopped_worker_is_isolated_and_replaced_under_round_robin") {
    auto seen = lose_an_answer<supervised<cluster::scheduling::round_robin>>(
        "fault_13_a_stopped_worker_is_isolated_and_replaced_under_round_robin", false);
    CHECK(seen.handed > 0); // and yet they were served
    CHECK(seen.report.diagnosis.find("stopped") != std::string::npos);
}
TEST_CASE("fault_13_a_stopped_worker_is_isolated_and_replaced_with_a_shared_socket") {
    auto seen = lose_an_answer<supervised<cluster::scheduling::shared_socket>>(
        "fault_13_a_stopped_worker_is_isolated_and_replaced_with_a_shared_socket", false);
    CHECK(seen.report.diagnosis.find("stopped") != std::string::npos);
}
TEST_CASE("fault_13_a_stopped_worker_is_isolated_and_replaced_with_reuse_port") {
    auto seen = lose_an_answer<supervised<cluster::scheduling::reuse_port>>(
        "fault_13_a_stopped_worker_is_isolated_and_replaced_with_reuse_port", false);
    CHECK(seen.report.diagnosis.find("stopped") != std::string::npos);
}

// It has said that it is ready, and its loop has never turned.
TEST_CASE("fault_13_a_worker_that_listens_and_then_hangs_is_isolated_and_replaced") {
    std::vector<std::string> answers;
    std::string end;
    std::size_t stalled = 0;
    bool replaced = false;
    run_case<replacing>(
        "fault_13_a_worker_that_listens_and_then_hangs_is_isolated_and_replaced",
        [&](auto& primary) {
            primary.supervise({.stalled_after = 600ms, .replaced_after = 4s, .boot_timeout = 5s});
            primary.once(cluster::event::listening, [&](auto&, const cluster::address& where) {
                primary.when_ready([&, where] {
                    for (std::size_t i = 0; i != clients_each; ++i) {
                        scenario::ask(primary, where, "?", [&](const std::string& text) {
                            answers.push_back(text);
                        });
                    }
                });
            });
            primary.on(cluster::event::stalled,
                       [&](auto& worker) { stalled += worker.id() == 1 ? 1U : 0U; });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                end = worker.id() == 1 ? status.to_string() : end;
            });
            primary.on(cluster::event::ready, [&](auto& worker) { replaced |= worker.id() > 2; });
            primary.fork(2);
            scenario::when(
                primary,
                [&] { return answers.size() == clients_each && !end.empty() && replaced; },
                [&primary] { primary.stop(); });
        },
        [](auto& self) {
            serve_or_spin(self);
            while (self.id() == 1) {
                ::pause();
            }
        });
    CHECK(stalled == 1);
    CHECK(answers.size() == clients_each);
    CHECK(std::count(answers.begin(), answers.end(), "") == 0);
    CHECK(end == "boot failed: killed by SIGTERM");
}

TEST_CASE("fault_15_a_worker_whose_handler_does_not_return_is_isolated_and_replaced") {
    auto seen = lose_an_answer<supervised<cluster::scheduling::round_robin>>(
        "fault_15_a_worker_whose_handler_does_not_return_is_isolated_and_replaced", true);
    CHECK(seen.handed > 0);
    CHECK(seen.report.diagnosis.find("running") != std::string::npos);
}

namespace {

struct has_client {
    std::uint16_t port = 0; // of the client
};

// Stops worker 1 again and again under clients and lets it go on, when it was told as stalled
// (`pauses` empty) or after each of the pauses.
template <typename Cluster>
struct interruptions {
    std::size_t rounds = 0;
    std::size_t stalled = 0, recovered = 0, exits = 0, lost = 0, wrong = 0;
    bool serves_again = false;
    std::map<std::uint16_t, std::size_t> served; // in this round
    std::size_t answers = 0;
    cluster::address at;
    std::set<std::uint32_t> answered;
    std::function<void()> next, again;

    static constexpr std::size_t clients = 6;
    static constexpr auto limit = 240ms;

    void run(const char* name, std::size_t count, std::vector<std::chrono::milliseconds> pauses) {
        run_case<Cluster>(
            name,
            [&](auto& primary) {
                primary.supervise({.stalled_after = limit, .replaced_after = 60s});
                primary.on(cluster::event::listening,
                           [&](auto&, const cluster::address& where) { at = where; });
                primary.on(cluster::event::exit, [&] { ++exits; });
                primary.on(cluster::event::recovered, [&](auto& worker) {
                    recovered += worker.id() == 1 ? 1U : 0U;
                    CHECK_FALSE(worker.is_stalled());
                });
                primary.on(cluster::event::stalled, [&, pauses](auto& worker) {
                    if (worker.id() == 1) {
                        ++stalled;
                        if (pauses.empty()) {
                            worker.kill(SIGCONT);
                        }
                    }
                });
                primary.on_message([&](const has_client& one) { ++served[one.port]; });
                next = [&, count, pauses] { stop(primary, count, pauses); };
                again = [&] { until_it_serves(primary); };
                primary.fork(2);
                primary.when_ready([&] { // and, by their answers, in their loops
                    for (auto& each : primary.workers()) {
                        each.template request<int>(are_you_through{},
                                                   [&, id = each.id()](const auto&) {
                                                       answered.insert(id);
                                                       if (answered.size() == 2) {
                                                           next();
                                                       }
                                                   });
                    }
                });
            },
            [](auto& self) {
                self.on_request([](const are_you_through&) { return 1; });
                self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                    self.send(has_client{client.remote().port()});
                    self.attach(std::move(client)).end(std::to_string(self.id()));
                });
            });
    }

    template <typename Primary>
    void stop(Primary& primary,
              std::size_t count,
              const std::vector<std::chrono::milliseconds>& pauses) {
        if (rounds == count) {
            again();
            return;
        }
        auto& one = *primary.workers().find(1);
        one.kill(SIGSTOP);
        CHECK(scenario::eventually([&] { return scenario::process_state(one.pid()) == 'T'; }));
        served.clear();
        answers = 0;
        for (std::size_t i = 0; i != clients; ++i) {
            scenario::ask(primary, at, "?", [&](const std::string& text) {
                ++answers;
                lost += text == "1" || text == "2" ? 0U : 1U;
            });
        }
        if (!pauses.empty()) {
            primary.after(pauses.at(rounds), [&one] { one.kill(SIGCONT); });
        }
        ++rounds;
        scenario::when(
            primary,
            [&, pauses] {
                return answers == clients && recovered == stalled &&
                       (!pauses.empty() || recovered >= rounds) && is_continued(one);
            },
            [&] { ask_whether_through(primary); });
    }

    template <typename Worker>
    static bool is_continued(const Worker& one) {
        return scenario::process_state(one.pid()) != 'T';
    }

    // What both have said before has arrived when they have answered.
    template <typename Primary>
    void ask_whether_through(Primary& primary) {
        auto left = std::make_shared<int>(2);
        for (auto& each : primary.workers()) {
            each.template request<int>(are_you_through{}, [&, left](const auto&) {
                if (--*left == 0) {
                    wrong += served.size() != clients ? 1U : 0U;
                    for (const auto& [port, times] : served) {
                        wrong += times != 1 ? 1U : 0U;
                    }
                    next();
                }
            });
        }
    }

    template <typename Primary>
    void until_it_serves(Primary& primary) {
        scenario::ask(primary, at, "?", [&](const std::string& text) {
            serves_again = text == "1";
            serves_again ? primary.shutdown() : again();
        });
    }
};

} // namespace

TEST_CASE("fault_14_a_worker_that_goes_on_is_not_killed_and_serves_nobody_twice") {
    interruptions<replacing> seen;
    seen.run("fault_14_a_worker_that_goes_on_is_not_killed_and_serves_nobody_twice", 5, {});
    CHECK(seen.rounds == 5);
    CHECK(seen.stalled >= 5);
    CHECK(seen.recovered == seen.stalled);
    CHECK(seen.lost == 0);
    CHECK(seen.wrong == 0);
    CHECK(seen.serves_again);
    CHECK(seen.exits == 2); // at the end
}
// It goes on at about the moment at which its connections are taken back.
TEST_CASE("fault_14_a_worker_that_goes_on_at_any_moment_serves_nobody_twice") {
    interruptions<replacing> seen;
    std::vector<std::chrono::milliseconds> pauses;
    for (auto pause = 160ms; pause <= 256ms; pause += 8ms) { // of a limit of 240 ms
        pauses.push_back(pause);
    }
    seen.run(
        "fault_14_a_worker_that_goes_on_at_any_moment_serves_nobody_twice", pauses.size(), pauses);
    CHECK(seen.rounds == pauses.size());
    CHECK(seen.recovered == seen.stalled);
    CHECK(seen.lost == 0);
    CHECK(seen.wrong == 0);
    CHECK(seen.serves_again);
    CHECK(seen.exits == 2);
}

namespace {

// Its group is that of its workers, and of nobody else.
void primary_to_pause(const char* name) {
    ::setpgid(0, 0);
    int code = run_case<replacing>(
        name,
        [](auto& primary) {
            primary.supervise({.stalled_after = 600ms, .replaced_after = 2s});
            primary.on_signal(SIGTERM, [&primary] { primary.shutdown(); });
            primary.on(cluster::event::listening,
                       [listening = 0](auto&, const cluster::address& at) mutable {
                           if (++listening == 2) {
                               scenario::say(std::to_string(at.port()));
                           }
                       });
            primary.on(cluster::event::exit, [](auto& worker, const cluster::exit_status& status) {
                scenario::say("worker " + std::to_string(worker.id()) + ": " + status.to_string());
            });
            primary.fork(2);
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    scenario::say("run " + std::to_string(code));
    std::exit(code);
}

std::string answer_of(const cluster::unique_fd& client) {
    char bytes[16] = "";
    pollfd arrives{client.get(), POLLIN, 0};
    auto limit = static_cast<int>(std::chrono::milliseconds{patience()}.count());
    auto got = ::poll(&arrives, 1, limit) == 1 ? ::read(client.get(), bytes, sizeof bytes) : -1;
    return got > 0 ? std::string(bytes, static_cast<std::size_t>(got)) : std::string{};
}

} // namespace

// A virtual machine that is suspended, or everything under a debugger.
TEST_CASE("fault_16_nobody_is_killed_when_the_whole_machine_has_paused") {
    const char* name = "fault_16_nobody_is_killed_when_the_whole_machine_has_paused";
    if (scenario::part() != nullptr) {
        primary_to_pause(name);
    }
    scenario::another_primary other{name, "paused"};
    auto at = scenario::loopback(static_cast<std::uint16_t>(std::atoi(other.line().c_str())));
    REQUIRE(at.port() != 0);
    REQUIRE(other.pid() > 1);
    REQUIRE(::getpgid(other.pid()) == other.pid());
    for (int round = 0; round != 2; ++round) {
        ::kill(-other.pid(), SIGSTOP);
        REQUIRE(scenario::eventually([&] { return scenario::process_state(other.pid()) == 'T'; }));
        ::usleep(2'100'000); // longer than any limit
        ::kill(-other.pid(), SIGCONT);
        for (int i = 0; i != 4; ++i) {
            auto answer = answer_of(scenario::connect_to(at));
            CHECK((answer == "1" || answer == "2"));
        }
    }
    other.kill(SIGTERM);
    std::set<std::string> said{other.line(), other.line()};
    CHECK(said == std::set<std::string>{"worker 1: exit code 0", "worker 2: exit code 0"});
    CHECK(other.line() == "run 0");
    CHECK(other.wait() == 0);
}
