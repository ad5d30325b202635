// SPDX-License-Identifier: MIT
// Fault matrix, rows 73 and 75: clients that say nothing and clients that go away at once.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;

namespace {

struct how_many {};
struct open_connections {
    std::uint64_t count = 0;
};

/// Answers the first bytes of a client with the worker's number; a silent client stays.
template <typename Self>
auto answer_when_asked(Self& self) {
    return [&self](cluster::connection one) {
        auto& client = self.attach(std::move(one));
        client.on_data(
            [&self, &client](cluster::stream::bytes) { client.end(std::to_string(self.id())); });
    };
}

/// Of this process and its workers, as far as it may.
void allow_descriptors(rlim_t count) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, count + 200));
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace

// `header_timeout` is the application's here, too (stream::deadline).
TEST_CASE("fault_73_silent_clients_hold_places_in_workers_and_never_the_primary") {
    const std::size_t places = sized(1000U, 5000U); // of each of two workers
    allow_descriptors(3 * places);                  // both ends here for a moment
    std::vector<cluster::unique_fd> silent;
    std::string answer_beside_many, answer_when_full;
    std::size_t held_by_primary = 1;
    bool answered_while_full = true;
    std::vector<std::uint64_t> open;
    run_case<cluster::process_cluster>(
        "fault_73_silent_clients_hold_places_in_workers_and_never_the_primary",
        [&, baseline = std::size_t{0}](auto& primary) mutable {
            // Nothing of an accepted connection is left in the primary, only the clients' own ends.
            auto handed_over = [&] {
                return scenario::open_descriptors() == baseline + silent.size();
            };
            // As many at a time as the kernel's queue takes; we are the one who empties it.
            auto add_silent = [&, handed_over](auto& again,
                                               const cluster::address& at,
                                               std::size_t total,
                                               auto done) -> void {
                for (std::size_t i = 0; i != 200 && silent.size() != total; ++i) {
                    silent.push_back(scenario::connect_to(at));
                    CHECK(silent.back());
                }
                scenario::when(primary, handed_over, [&, again, at, total, done] {
                    silent.size() == total ? done() : again(again, at, total, done);
                });
            };
            auto when_full = [&](const cluster::address& at) {
                held_by_primary = scenario::open_descriptors() - baseline - silent.size();
                scenario::ask(primary, at, "?", [&](const std::string& text) {
                    answer_when_full = text;
                    primary.shutdown();
                    silent.clear();
                });
                primary.broadcast(how_many{}); // the primary is not blocked
            };
            primary.on_message([&](const open_connections& mine) {
                open.push_back(mine.count);
                if (open.size() == 2) {
                    answered_while_full = !answer_when_full.empty();
                    silent.pop_back();
                }
            });
            auto go = [&, add_silent, when_full](const cluster::address& at) {
                baseline = scenario::open_descriptors();
                add_silent(add_silent, at, 2 * places - 1, [&, at, add_silent, when_full] {
                    scenario::ask(primary, at, "?", [&, at, add_silent, when_full](auto text) {
                        answer_beside_many = text;
                        add_silent(add_silent, at, 2 * places, [when_full, at] { when_full(at); });
                    });
                });
            };
            primary.on(cluster::event::listening,
                       [go, listening = 0](const cluster::address& at) mutable {
                           if (++listening == 2) {
                               go(at);
                           }
                       });
            primary.fork(2);
        },
        [&](auto& self) {
            auto& server = self.listen({.host = "127.0.0.1", .max_connections = places},
                                       answer_when_asked(self));
            self.on_message([&self, &server](const how_many&) {
                self.send(open_connections{server.connections()});
            });
        });
    CHECK((answer_beside_many == "1" || answer_beside_many == "2"));
    CHECK(held_by_primary == 0);
    CHECK_FALSE(answered_while_full);
    CHECK(open == std::vector<std::uint64_t>{places, places});
    CHECK((answer_when_full == "1" || answer_when_full == "2"));
}

// The matrix wants the primary to close them; here they may reach the worker, which sees their end.
TEST_CASE("fault_75_clients_that_reset_while_they_are_queued_disturb_nobody") {
    constexpr std::size_t resets = 200; // more than one worker's window
    std::vector<std::string> answers;
    std::vector<std::string> ends;
    int errors = 0;
    run_case<cluster::process_cluster>(
        "fault_75_clients_that_reset_while_they_are_queued_disturb_nobody",
        [&, baseline = std::size_t{0}](auto& primary) mutable {
            auto& worker = primary.fork();
            auto ask = [&](const cluster::address& at) {
                scenario::ask(
                    primary, at, "?", [&](const std::string& text) { answers.push_back(text); });
            };
            auto reset_one = [](const cluster::address& at) {
                auto client = scenario::connect_to(at);
                const linger now{1, 0};
                ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
            };
            auto go = [&, ask, reset_one](const cluster::address& at) {
                for (std::size_t i = 0; i != resets; ++i) {
                    if (i % (resets / 4) == 0) {
                        ask(at);
                    }
                    reset_one(at);
                }
                ask(at);
                // The primary has taken in what it can: more than the clients' own ends.
                auto queued = [&] { return scenario::open_descriptors() > baseline + 5 + 8; };
                scenario::when(primary, queued, [&] {
                    CHECK(answers.empty());
                    worker.kill(SIGCONT);
                });
                auto over = [&] {
                    return answers.size() == 5 && scenario::open_descriptors() == baseline;
                };
                scenario::when(primary, over, [&] { primary.disconnect(); });
            };
            worker.on(cluster::event::listening, [&, go](const cluster::address& at) {
                baseline = scenario::open_descriptors();
                worker.kill(SIGSTOP);
                auto stopped = [&] { return scenario::process_state(worker.pid()) == 'T'; };
                scenario::when(primary, stopped, [go, at] { go(at); });
            });
            worker.on(cluster::event::error, [&] { ++errors; });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ends.push_back(status.to_string());
            });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    CHECK(answers == std::vector<std::string>(5, "1"));
    CHECK(errors == 0);
    CHECK(ends == std::vector<std::string>{"exit code 0"});
}
