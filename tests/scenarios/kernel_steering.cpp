// SPDX-License-Identifier: MIT
// The models that choose in the kernel; and the same without the right to.
#include "../fixtures/crowd.hpp"
#include "../fixtures/scenario.hpp"
#include "../support/no_capabilities.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using cluster_test::run_case;
using scenario::crowd;
using scenario::stay_with_clients;
using scenario::when_listening;

namespace {

namespace scheduling = cluster::scheduling;
using turns_cluster = cluster::compose<scheduling::round_robin_kernel>;
using load_cluster = cluster::compose<scheduling::least_loaded_kernel>;
using client_cluster = cluster::compose<scheduling::sticky_kernel>;
using hash_cluster = cluster::compose<scheduling::reuse_port>;

std::size_t most(const crowd::tally& of) {
    std::size_t result = 0;
    for (const auto& [worker, count] : of) {
        result = std::max(result, count);
    }
    return result;
}
std::size_t fewest(const crowd::tally& of) {
    std::size_t result = of.empty() ? 0 : of.begin()->second;
    for (const auto& [worker, count] : of) {
        result = std::min(result, count);
    }
    return result;
}

std::string steering_of(const cluster::cluster_stats& stats) {
    return stats.listeners.empty() ? "" : stats.listeners.front().steering;
}

/// 1,000 clients that stay, with 4 workers.
template <typename Cluster>
crowd::tally spread(const char* name, std::string& steering) {
    crowd clients;
    scenario::raise_descriptor_limit();
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            when_listening(primary, 4, [&](const cluster::address& at) {
                steering = steering_of(primary.stats());
                clients.come(primary, at, 1000, 1);
                scenario::when(
                    primary,
                    [&] { return clients.answered == 1000; },
                    [&] {
                        clients.leave();
                        primary.disconnect();
                    });
            });
            primary.fork(4);
        },
        [](auto& self) { stay_with_clients(self); });
    return clients.by_worker();
}

} // namespace

TEST_CASE("kernel steering: round robin is exact") {
    std::string steering;
    auto served = spread<turns_cluster>("kernel steering: round robin is exact", steering);
    MESSAGE("steered by the " << steering);
    CHECK(served.size() == 4);
    CHECK(most(served) - fewest(served) <= 1);
}

TEST_CASE("kernel steering: round robin is exact without the right to it") {
    cluster_test::no_capabilities without;
    REQUIRE(without);
    std::string steering;
    auto served = spread<turns_cluster>(
        "kernel steering: round robin is exact without the right to it", steering);
    CHECK(steering.starts_with("primary: "));
    CHECK(served.size() == 4);
    CHECK(most(served) - fewest(served) <= 1);
}

TEST_CASE("kernel steering: the least loaded worker gets the client") {
    std::string steering;
    auto served =
        spread<load_cluster>("kernel steering: the least loaded worker gets the client", steering);
    CHECK(served.size() == 4);
    CHECK(most(served) <= 262); // max/mean <= 1.05
}

TEST_CASE("kernel steering: the least loaded worker gets the client without the right to it") {
    cluster_test::no_capabilities without;
    REQUIRE(without);
    std::string steering;
    auto served = spread<load_cluster>(
        "kernel steering: the least loaded worker gets the client without the right to it",
        steering);
    CHECK(steering.starts_with("primary: "));
    CHECK(served.size() == 4);
    CHECK(most(served) - fewest(served) <= 1);
}

namespace {

/// 200 clients from five addresses; a worker dies and they come again.
template <typename Cluster>
void clients_and_their_workers(const char* name, std::string& steering) {
    constexpr std::size_t all = 200;
    crowd clients;
    std::map<std::uint8_t, std::string> home;
    std::map<std::uint8_t, std::string> after;
    std::string dead;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            auto end = [&] {
                for (auto& [from, told] : clients.answers) {
                    CHECK(told.size() == 1);
                    after[from] = told.begin()->first;
                }
                clients.leave();
                primary.disconnect();
            };
            auto again = [&, end](const cluster::address& at) {
                clients.leave();
                clients.forget();
                clients.come(primary, at, all, 1, 5);
                scenario::when(
                    primary, [&] { return clients.answered == all; }, end);
            };
            auto one_dies = [&, again](const cluster::address& at) {
                for (auto& [from, told] : clients.answers) {
                    CHECK(told.size() == 1);
                    home[from] = told.begin()->first;
                }
                dead = home.begin()->second;
                primary.once(cluster::event::exit, [again, at] { again(at); });
                primary.workers().find(static_cast<std::uint32_t>(std::stoul(dead)))->kill(SIGKILL);
            };
            when_listening(primary, 4, [&, one_dies](const cluster::address& at) {
                steering = steering_of(primary.stats());
                clients.come(primary, at, all, 1, 5);
                scenario::when(
                    primary,
                    [&] { return clients.answered == all; },
                    [one_dies, at] { one_dies(at); });
            });
            primary.fork(4);
        },
        [](auto& self) { stay_with_clients(self); });
    CHECK(home.size() == 5);
    CHECK(after.size() == 5);
    for (const auto& [from, worker] : home) {
        CHECK((after[from] == worker) == (worker != dead));
    }
}

} // namespace

TEST_CASE("kernel steering: a client keeps its worker and only those of a dead one move") {
    std::string steering;
    clients_and_their_workers<client_cluster>(
        "kernel steering: a client keeps its worker and only those of a dead one move", steering);
    MESSAGE("steered by the " << steering);
}

TEST_CASE("kernel steering: a client keeps its worker without any right") {
    cluster_test::no_capabilities without;
    REQUIRE(without);
    std::string steering;
    clients_and_their_workers<client_cluster>(
        "kernel steering: a client keeps its worker without any right", steering);
    CHECK(steering.starts_with("classic filter: "));
}

TEST_CASE("kernel steering: a client keeps its worker when the primary picks") {
    std::string steering;
    clients_and_their_workers<cluster::compose<scheduling::sticky<>>>(
        "kernel steering: a client keeps its worker when the primary picks", steering);
    CHECK(steering.empty());
}

namespace {

/// A worker is stopped, clients wait in its queue, and it is killed, or its place is given up.
template <typename Cluster>
void queue_of_the_dead(const char* name, bool gives_up_place) {
    constexpr std::size_t all = 400;
    crowd clients;
    std::uint32_t waiting = 0;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            primary.supervise({.stalled_after = 0ms}); // it keeps getting clients
            auto end = [&] {
                waiting = primary.stats().listeners.front().queue;
                auto* stopped = primary.workers().find(2);
                if (gives_up_place) {
                    stopped->disconnect();
                    stopped->kill(SIGCONT);
                } else {
                    stopped->kill(SIGKILL);
                }
                scenario::when(
                    primary,
                    [&] { return clients.answered == all; },
                    [&] {
                        clients.leave();
                        primary.disconnect();
                    });
            };
            auto come = [&, end](const cluster::address& at) {
                clients.come(primary, at, all, 1, 1, crowd::everyone);
                // Some wait, and all the others are served.
                scenario::when(
                    primary,
                    [&, last = std::size_t{0}, same = 0]() mutable {
                        same = clients.answered == last ? same + 1 : 0;
                        last = clients.answered;
                        return last != 0 && same == 20 &&
                               last + primary.stats().listeners.front().queue == all;
                    },
                    end);
            };
            when_listening(primary, 3, [&, come](const cluster::address& at) {
                primary.workers().find(2)->kill(SIGSTOP);
                scenario::when(
                    primary,
                    [&] {
                        return scenario::process_state(primary.workers().find(2)->pid()) == 'T';
                    },
                    [come, at] { come(at); });
            });
            primary.fork(3);
        },
        [](auto& self) { stay_with_clients(self); });
    CHECK(waiting > 50);
    CHECK(clients.answered == all);
    MESSAGE("waited in the queue of the dead: " << waiting);
}

} // namespace

TEST_CASE("kernel steering: the queue of a dead worker is served by reuse_port") {
    queue_of_the_dead<hash_cluster>(
        "kernel steering: the queue of a dead worker is served by reuse_port", false);
}

TEST_CASE("kernel steering: the queue of a dead worker is served by round_robin_kernel") {
    queue_of_the_dead<turns_cluster>(
        "kernel steering: the queue of a dead worker is served by round_robin_kernel", false);
}

TEST_CASE("kernel steering: the queue of a place that is given up is served by reuse_port") {
    queue_of_the_dead<hash_cluster>(
        "kernel steering: the queue of a place that is given up is served by reuse_port", true);
}

TEST_CASE(
    "kernel steering: the queue of a place that is given up is served by round_robin_kernel") {
    queue_of_the_dead<turns_cluster>(
        "kernel steering: the queue of a place that is given up is served by round_robin_kernel",
        true);
}

TEST_CASE("kernel steering: the queue of a dead worker is served by least_loaded_kernel") {
    queue_of_the_dead<load_cluster>(
        "kernel steering: the queue of a dead worker is served by least_loaded_kernel", false);
}

TEST_CASE("kernel steering: the queue of a given up place is served by least_loaded_kernel") {
    queue_of_the_dead<load_cluster>(
        "kernel steering: the queue of a given up place is served by least_loaded_kernel", true);
}
