// SPDX-License-Identifier: MIT
// Faults 10, 31 and 32: deaths in a row, and calls at every moment.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;
using namespace std::chrono_literals;
using namespace cluster::literals;

namespace {

struct question {
    std::uint32_t number = 0;
};

std::chrono::microseconds cpu_time() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return std::chrono::seconds{used.ru_utime.tv_sec + used.ru_stime.tv_sec} +
           std::chrono::microseconds{used.ru_utime.tv_usec + used.ru_stime.tv_usec};
}

using flapping = cluster::restart::
    limit<5, 1000_s, cluster::restart::backoff<50_ms, 400_ms, cluster::restart::always, 500_s>>;

} // namespace

// `restart_suspended` is event::give_up; the place is not tried again.
CLUSTER_CASE("fault_10_a_worker_that_dies_soon_after_it_is_ready_waits_longer_each_time") {
    std::vector<std::chrono::milliseconds> pauses, waited;
    std::chrono::steady_clock::time_point died;
    std::size_t ready = 0, exits = 0, gave_up = 0;
    auto began = std::chrono::steady_clock::now();
    auto cpu_before = cpu_time();
    run_on<Backend, flapping>(
        [&](auto& primary) {
            primary.on(cluster::event::listening, [&] { ++ready; });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                CHECK(status.code() == 7);
                died = std::chrono::steady_clock::now();
                ++exits;
            });
            primary.on(cluster::event::restart,
                       [&](auto&, const cluster::restart_decision& decision) {
                           pauses.push_back(decision.delay);
                       });
            primary.on(cluster::event::fork, [&] {
                if (exits != 0) {
                    waited.push_back(std::chrono::ceil<std::chrono::milliseconds>(
                        std::chrono::steady_clock::now() - died));
                }
            });
            primary.on(cluster::event::give_up, [&](auto&, const cluster::exit_report& report) {
                ++gave_up;
                CHECK(report.was_online);
                CHECK(report.restarts == 5);
            });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            self.after(20ms, [&self] { exit_worker(self, 7); });
        });
    auto lasted = std::chrono::steady_clock::now() - began;
    CHECK((cpu_time() - cpu_before) * 4 < lasted); // it sleeps between the deaths
    CHECK(ready == 6);
    CHECK(exits == 6);
    CHECK(gave_up == 1);
    const std::vector<std::chrono::milliseconds> longest{50ms, 100ms, 200ms, 400ms, 400ms};
    REQUIRE(pauses.size() == longest.size());
    REQUIRE(waited.size() == longest.size());
    for (std::size_t i = 0; i != longest.size(); ++i) {
        CAPTURE(i);
        CHECK(pauses[i] >= longest[i] / 2);
        CHECK(pauses[i] <= longest[i]);
        CHECK(waited[i] >= pauses[i]);
    }
}

namespace {

using replacing = cluster::compose<cluster::restart::always>;

/// What may be asked of a cluster at any time, in an order of chance.
template <typename Primary>
class caller {
public:
    explicit caller(Primary& primary, std::uint32_t seed) : primary_{primary}, random_{seed} {
        primary.on(cluster::event::fork, [this](auto& worker) { ++exits[worker.id()].first; });
        primary.on(cluster::event::exit, [this](auto& worker) { ++exits[worker.id()].second; });
    }

    void call() {
        constexpr std::size_t most = 6;
        auto all = primary_.workers();
        if (all.empty() || (random_() % 4 == 0 && all.size() < most)) {
            primary_.fork();
            return;
        }
        auto& one = all.at(random_() % all.size());
        switch (random_() % 8) {
        case 0:
            one.disconnect();
            break;
        case 1:
            one.kill();
            break;
        case 2:
            one.kill(SIGKILL);
            break;
        case 3:
            one.close();
            break;
        case 4:
            primary_.disconnect([this] { ++departed; });
            ++departures;
            break;
        case 5:
            primary_.setup();
            break;
        case 6:
            stopping = 3;
            primary_.stop(2);
            primary_.stop(stopping); // the last one counts
            break;
        default:
            ++asked;
            one.template request<int>(question{}, [this](const auto&) { ++answered; });
            break;
        }
    }

    std::map<std::uint32_t, std::pair<int, int>> exits; // forks and exits by worker
    std::size_t departures = 0, departed = 0, asked = 0, answered = 0;
    int stopping = 0;

private:
    Primary& primary_;
    std::minstd_rand random_;
};

} // namespace

// There is no `stopped` event: run() returns, once for any number of stop(), and goes on when it is
// called again. Each shutdown() but the first takes the next step at once.
TEST_CASE("fault_31_calls_in_any_order_and_number_end_every_worker_once") {
    const int calls = sized(500, 10'000);
    replacing app{program::argc, program::argv};
    if (app.is_worker()) {
        std::exit(app.run([](auto&) {},
                          [](auto& self) {
                              self.on_request([](const question&) { return 1; });
                              std::error_code too_late; // it may have been told to go before
                              self.listen(
                                  {.host = "127.0.0.1"}, [](cluster::connection) {}, too_late);
                          }));
    }
    auto& primary = app.primary();
    primary.setup({.arguments = {"--worker-case",
                                 "fault_31_calls_in_any_order_and_number_end_every_worker_once"}});
    caller caller{primary, 31};
    bool late = false, ending = false;
    int made = 0, stops = 0, codes = 0;
    primary.after(patience(), [&] { late = true, primary.stop(-1); }).unref();
    auto calling = std::make_shared<cluster::timer>();
    *calling = primary.every(2ms, [&, calling] {
        if (++made != calls) {
            caller.call();
            return;
        }
        auto stop = calling;
        stop->cancel();
        primary.on(cluster::event::disconnect, [&] { primary.shutdown(); });
        primary.on(cluster::event::exit, [&] { primary.shutdown(); });
        primary.fork(3);
        ending = true;
        primary.shutdown();
        primary.disconnect([&] { ++caller.departed; });
        ++caller.departures;
    });
    int code = -1;
    while (!late) {
        code = app.run();
        if (ending) {
            break;
        }
        ++stops;
        codes += code == std::exchange(caller.stopping, 0) ? 1 : 0;
    }
    CHECK_FALSE(late);
    CHECK(stops > 0);
    CHECK(codes == stops);
    CHECK((code == 0 || code == 1));
    CHECK(primary.workers().empty());
    CHECK(caller.departed == caller.departures);
    CHECK(caller.answered == caller.asked);
    CHECK(caller.exits.size() > 10);
    for (const auto& [id, counts] : caller.exits) {
        CAPTURE(id);
        CHECK(counts.first == 1);
        CHECK(counts.second == 1);
    }
    CHECK_FALSE(scenario::has_children());
}

namespace {

struct counts_deaths {
    std::size_t asked = 0;
    cluster::restart_decision decide(const cluster::exit_report&) {
        ++asked;
        return cluster::leave_dead;
    }
};

} // namespace

TEST_CASE("fault_32_disconnect_races_with_the_exit_and_no_error_escapes") {
    const std::uint32_t real = sized(100U, 2400U);
    const std::uint32_t killed = sized(300U, 7600U);
    std::map<std::uint32_t, int> exits;
    std::size_t errors = 0, on_its_own = 0, asked = 0, forked = 0, wrong = 0, called = 0;
    run_case<cluster::compose<counts_deaths>>(
        "fault_32_disconnect_races_with_the_exit_and_no_error_escapes",
        [&](auto& primary) {
            auto let_go = [&](auto& worker) {
                ++called;
                worker.disconnect();
                wrong += worker.is_connected() ? 1U : 0U;
                auto sent = worker.send(question{});
                wrong += sent == cluster::send_result::full ? 1U : 0U;
                auto error = worker.kill(0);
                wrong += error && error != std::errc::no_such_process ? 1U : 0U;
            };
            auto start = [&, let_go] {
                if (++forked % 4 == 0 && forked / 4 <= real) { // ends by itself at about that time
                    primary.fork({.name = "real"})
                        .on(cluster::event::online, [&, let_go](auto& worker) {
                            auto pause = std::chrono::microseconds{worker.id() * 37 % 3000};
                            primary.after(pause, [let_go, &worker] { let_go(worker); });
                        });
                    return;
                }
                auto& worker = primary.fork({.executable = FIXTURE_CHILD, .arguments = {"hang"}});
                if (forked % 2 == 0) {
                    let_go(worker);
                    worker.kill(SIGKILL);
                } else {
                    worker.kill(SIGKILL);
                    auto pause = std::chrono::microseconds{worker.id() * 53 % 2000};
                    primary.after(pause, [let_go, &worker] { let_go(worker); });
                }
            };
            primary.on(cluster::event::error, [&] { ++errors; });
            primary.on(cluster::event::exit, [&, start](auto& worker) {
                ++exits[worker.id()];
                on_its_own += worker.exited_after_disconnect() ? 0U : 1U;
                asked = primary.restart().asked;
                if (forked != real + killed) {
                    start();
                }
            });
            for (int i = 0; i != 8; ++i) {
                start();
            }
        },
        [](auto& self) {
            self.after(std::chrono::microseconds{self.id() * 101 % 3000}, [&self] {
                switch (self.id() % 3) {
                case 0:
                    ::_exit(3);
                case 1:
                    ::raise(SIGKILL);
                    break;
                default:
                    self.disconnect();
                    break;
                }
            });
        });
    CHECK(exits.size() == real + killed);
    CHECK(called >= killed);
    CHECK(errors == 0);
    CHECK(wrong == 0);
    CHECK(asked == on_its_own); // the policy is asked of those deaths that nobody asked for
    for (const auto& [id, count] : exits) {
        CAPTURE(id);
        CHECK(count == 1);
    }
}

namespace {

/// A worker dies, and the cluster is told to finish at one moment of its end.
template <typename Moment>
void finish_at(const char* name, Moment moment) {
    std::size_t forks = 0, exits = 0, exits_when_done = 0;
    run_case<replacing>(
        name,
        [&](auto& primary) {
            primary.on(cluster::event::fork, [&] { ++forks; });
            primary.on(cluster::event::exit, [&] { ++exits; });
            primary.once(moment, [&] { primary.disconnect([&] { exits_when_done = exits; }); });
            primary.fork(3);
            primary.workers().find(2)->on(cluster::event::online,
                                          [](auto& worker) { worker.kill(SIGKILL); });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, [](cluster::connection) {}); });
    CHECK(forks == 3);
    CHECK(exits == 3);
    CHECK(exits_when_done == 3);
}

} // namespace

// A replacement that comes afterwards would run on for ever.
TEST_CASE("fault_32_disconnect_before_the_exit_of_a_dead_worker_is_the_end_of_its_place") {
    finish_at("fault_32_disconnect_before_the_exit_of_a_dead_worker_is_the_end_of_its_place",
              cluster::event::disconnect);
}
TEST_CASE("fault_32_disconnect_at_the_exit_of_a_worker_is_the_end_of_its_place") {
    finish_at("fault_32_disconnect_at_the_exit_of_a_worker_is_the_end_of_its_place",
              cluster::event::exit);
}
TEST_CASE("fault_32_disconnect_before_a_replacement_starts_is_the_end_of_its_place") {
    finish_at("fault_32_disconnect_before_a_replacement_starts_is_the_end_of_its_place",
              cluster::event::restart);
}
