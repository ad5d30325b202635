// SPDX-License-Identifier: MIT
// Memory that workers share: the same in every worker, and what becomes of it when one dies.
#include "../fixtures/scenario.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct done {
    std::uint32_t number = 0;
    std::string text;
};

template <typename Cluster>
void count_together(const char* name) {
    constexpr int workers = 8;
    constexpr int increments = 100'000;
    int total = 0;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            auto hits = primary.template shared<std::atomic<int>>("hits", 4);
            primary.on(cluster::event::exit, [&, hits](auto&, const cluster::exit_status& status) {
                CHECK(status.success());
                total = hits[0].load();
            });
            primary.fork(workers);
        },
        [](auto& self) {
            auto hits = self.template shared<std::atomic<int>>("hits", 4);
            for (int i = 0; i != increments; ++i) {
                hits[0].fetch_add(1);
            }
            self.disconnect();
        });
    CHECK(total == workers * increments);
}

template <typename Cluster>
void name_conflicts(const char* name) {
    done said;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            auto mine = primary.template shared<int>("a", 10);
            mine[9] = 99;
            primary.on_message([&, mine](auto& from, const done& message) {
                said = message;
                CHECK(primary.template shared<int>("made by a worker", 2)[1] == 7);
                CHECK(mine[0] == 1);
                std::error_code error;
                CHECK(primary.template shared<long>("a", 10, error).empty());
                CHECK(error == cluster::errc::conflicting_type);
                from.disconnect();
            });
            primary.fork();
        },
        [](auto& self) {
            std::uint32_t conflicts = 0;
            std::error_code error;
            conflicts += self.template shared<unsigned>("a", 10, error).empty() &&
                                 error == cluster::errc::conflicting_type
                             ? 1U
                             : 0U;
            conflicts += self.template shared<int>("a", 11, error).empty() &&
                                 error == cluster::errc::conflicting_type
                             ? 1U
                             : 0U;
            conflicts += self.template shared<int>("", 11, error).empty() &&
                                 error == std::errc::invalid_argument
                             ? 1U
                             : 0U;
            std::string what;
            try {
                static_cast<void>(self.template shared<int>("b", std::size_t{1} << 62U));
            } catch (const std::system_error& failure) {
                what = failure.what();
            }
            auto same = self.template shared<int>("a", 10, error);
            auto again = self.template shared<int>("a", 10);
            same[0] = error || same[9] != 99 || same.data() != again.data() ? -1 : 1;
            self.template shared<int>("made by a worker", 2)[1] = 7;
            self.send(done{conflicts, what});
        });
    CHECK(said.number == 3);
    CHECK(said.text == "shared memory \"b\": Cannot allocate memory");
}

// A turn is passed on from worker to worker and to the primary, who all sleep in between.
template <typename Cluster>
void pass_the_turn(const char* name) {
    constexpr int workers = 3;
    constexpr int rounds = 200;
    int turns = 0;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            auto turn = primary.template shared<std::atomic<int>>("turn", 1);
            primary.on(cluster::event::exit, [&, turn] { turns = turn[0].load(); });
            primary.fork(workers);
        },
        [](auto& self) {
            auto turn = self.template shared<std::atomic<int>>("turn", 1);
            auto place = static_cast<int>(self.slot());
            for (int i = 0; i != rounds; ++i) {
                for (int now = turn[0]; now != i * workers + place; now = turn[0]) {
                    cluster::wait(turn[0], now);
                }
                turn[0].fetch_add(1);
                cluster::notify_all(turn[0]);
            }
            self.disconnect();
        });
    CHECK(turns == workers * rounds);
}

// The memory outlives the worker that made it, and a handle outlives the cluster.
template <typename Cluster>
void outlives(const char* name) {
    cluster::shared_array<int> kept;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            primary.on(cluster::event::exit, [&](auto& worker) {
                if (worker.id() == 1) {
                    primary.fork();
                } else {
                    kept = primary.template shared<int>("log", 3);
                }
            });
            primary.fork();
        },
        [](auto& self) {
            auto log = self.template shared<int>("log", 3);
            log[self.id()] = log[self.id() - 1] + 10;
            self.disconnect();
        });
    REQUIRE(kept.size() == 3);
    CHECK(kept[2] == 20);
}

} // namespace

TEST_CASE("shared memory: eight workers and 100'000 increments each make 800'000") {
    count_together<cluster::process_cluster>(
        "shared memory: eight workers and 100'000 increments each make 800'000");
}

TEST_CASE("shared memory: a name has one type and one size and the first to ask makes it") {
    name_conflicts<cluster::process_cluster>(
        "shared memory: a name has one type and one size and the first to ask makes it");
}

TEST_CASE("shared memory: workers wait for each other on an atomic") {
    pass_the_turn<cluster::process_cluster>(
        "shared memory: workers wait for each other on an atomic");
}

TEST_CASE("shared memory: it outlives its worker and with a handle its cluster") {
    outlives<cluster::process_cluster>(
        "shared memory: it outlives its worker and with a handle its cluster");
}
