// SPDX-License-Identifier: MIT
// Faults 17, 18 and 21: the primary is killed or stopped. It is this program again.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

// The workers have the listening socket, so that the port is free only when they are gone.
using shared_cluster = cluster::compose<cluster::scheduling::shared_socket>;

struct ready {};

// Says its port and the numbers of its workers as soon as each of them does what its name says.
void primary_to_kill(const char* name, const std::vector<std::string>& kinds) {
    run_case<shared_cluster>(
        name,
        [&](auto& primary) {
            auto tell = [&primary] {
                for (auto& each : primary.workers()) {
                    scenario::say(std::to_string(each.pid()));
                }
            };
            primary.on(cluster::event::listening,
                       [&, listening = 0U](auto&, const cluster::address& at) mutable {
                           if (++listening == kinds.size()) {
                               scenario::say(std::to_string(at.port()));
                               primary.broadcast(ready{});
                           }
                       });
            primary.on_message([&, tell, count = 0U](const ready&) mutable {
                if (++count == kinds.size()) {
                    auto settled = [&primary] {
                        auto workers = primary.workers();
                        return std::all_of(workers.begin(), workers.end(), [](auto& each) {
                            return each.name() != "is stopped" ||
                                   scenario::process_state(each.pid()) == 'T';
                        });
                    };
                    scenario::when(primary, settled, tell);
                }
            });
            for (const auto& each : kinds) {
                primary.fork({.name = each});
            }
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            self.on_message([&self](const ready& message) {
                self.send(message);
                self.flush();
                if (self.name() == "is idle") {
                    return;
                }
                sigset_t all;
                ::sigfillset(&all);
                ::sigprocmask(SIG_BLOCK, &all, nullptr);
                if (self.name() == "is stopped") {
                    ::raise(SIGSTOP);
                }
                for (volatile bool spins = self.name() == "spins"; spins;) {
                }
                for (;;) { // "sleeps"
                    ::sleep(1000);
                }
            });
        });
}

void killed_primary_leaves_nothing(const char* name, const std::vector<std::string>& kinds) {
    if (scenario::part() != nullptr) {
        primary_to_kill(name, kinds);
        return;
    }
    scenario::another_primary other{name, "killed"};
    auto port = static_cast<std::uint16_t>(std::atoi(other.line().c_str()));
    REQUIRE(port != 0);
    std::vector<int> workers;
    for (std::size_t i = 0; i != kinds.size(); ++i) {
        workers.push_back(std::atoi(other.line().c_str()));
        REQUIRE(workers.back() > 0);
        CHECK_FALSE(scenario::is_gone(workers.back()));
    }
    CHECK_FALSE(scenario::bind_to(scenario::loopback(port), true));
    auto killed_at = std::chrono::steady_clock::now();
    other.kill(SIGKILL);
    auto gone = [&] { return std::all_of(workers.begin(), workers.end(), scenario::is_gone); };
    CHECK(scenario::eventually(gone, 20s));
    MESSAGE("gone after ",
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                  killed_at)
                .count(),
            " ms");
    CHECK(other.wait() != -1);
    // A dead process has closed its descriptors; but the leak checker of AddressSanitizer, which a worker
    // that ends is in, is a process that shares them and dies a moment later.
    CHECK(scenario::eventually(
        [&] { return static_cast<bool>(scenario::bind_to(scenario::loopback(port), true)); }));
}

} // namespace

// The other ways by which a primary can end: scenario 43.
TEST_CASE("fault_17_idle_workers_end_with_a_killed_primary_and_its_port_is_free") {
    killed_primary_leaves_nothing(
        "fault_17_idle_workers_end_with_a_killed_primary_and_its_port_is_free",
        {"is idle", "is idle", "is idle"});
}

TEST_CASE("fault_18_workers_that_react_to_nothing_end_with_a_killed_primary") {
    killed_primary_leaves_nothing(
        "fault_18_workers_that_react_to_nothing_end_with_a_killed_primary",
        {"spins", "sleeps", "is stopped"});
}

namespace {

// Says its port, then what its workers say.
template <typename Cluster>
void primary_to_stop(const char* name) {
    int code = run_case<Cluster>(
        name,
        [](auto& primary) {
            primary.on_signal(SIGTERM, [&primary] { primary.shutdown(); });
            primary.on(cluster::event::listening,
                       [listening = 0](auto&, const cluster::address& at) mutable {
                           if (++listening == 2) {
                               scenario::say(std::to_string(at.port()));
                           }
                       });
            primary.on_message([](const ready&) { scenario::say("client"); });
            primary.on(cluster::event::exit, [](auto&, const cluster::exit_status& status) {
                scenario::say(status.to_string());
            });
            primary.fork(2);
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                auto& stream = self.attach(std::move(client));
                stream.on_data([&stream](cluster::stream::bytes data) { // an echo, until the end
                    stream.write({reinterpret_cast<const char*>(data.data()), data.size()});
                });
                self.send(ready{});
            });
        });
    scenario::say("run " + std::to_string(code));
    std::exit(code);
}

bool echoes(int client, int milliseconds) {
    char answer = 0;
    pollfd arrives{client, POLLIN, 0};
    return ::write(client, "?", 1) == 1 && ::poll(&arrives, 1, milliseconds) == 1 &&
           ::read(client, &answer, 1) == 1 && answer == '?';
}

// \param accepts whether workers accept by themselves, so that also new clients are served.
template <typename Cluster>
void stopped_primary_is_survived(const char* name, bool accepts) {
    if (scenario::part() != nullptr) {
        primary_to_stop<Cluster>(name);
    }
    const int patient = static_cast<int>(std::chrono::milliseconds{patience()}.count());
    scenario::another_primary other{name, "stopped"};
    auto at = scenario::loopback(static_cast<std::uint16_t>(std::atoi(other.line().c_str())));
    std::vector<cluster::unique_fd> clients;
    for (int i = 0; i != 4; ++i) {
        clients.push_back(scenario::connect_to(at));
        CHECK(other.line() == "client");
    }
    other.kill(SIGSTOP);
    REQUIRE(scenario::eventually([&] { return scenario::process_state(other.pid()) == 'T'; }));
    clients.push_back(scenario::connect_to(at)); // by the kernel's queue at least
    auto until =
        std::chrono::steady_clock::now() + sized(4s, 20s); // longer than any silence that workers
    do {                                                   // could take for a death
        for (int i = 0; i != 4; ++i) {
            REQUIRE(echoes(clients[static_cast<std::size_t>(i)].get(), patient));
        }
        ::usleep(20'000);
    } while (std::chrono::steady_clock::now() < until);
    if (accepts) {
        CHECK(echoes(clients.back().get(), patient));
    }
    other.kill(SIGCONT);
    CHECK(other.line() == "client");
    if (!accepts) {
        CHECK(echoes(clients.back().get(), patient));
    }
    clients.clear();
    other.kill(SIGTERM);
    CHECK(other.line() == "exit code 0"); // nobody had died before
    CHECK(other.line() == "exit code 0");
    CHECK(other.line() == "run 0");
    CHECK(other.wait() == 0);
}

} // namespace

TEST_CASE("fault_21_workers_of_a_stopped_primary_serve_what_they_have_under_round_robin") {
    stopped_primary_is_survived<cluster::process_cluster>(
        "fault_21_workers_of_a_stopped_primary_serve_what_they_have_under_round_robin", false);
}
TEST_CASE("fault_21_workers_of_a_stopped_primary_serve_and_accept_with_a_shared_socket") {
    stopped_primary_is_survived<shared_cluster>(
        "fault_21_workers_of_a_stopped_primary_serve_and_accept_with_a_shared_socket", true);
}
