// SPDX-License-Identifier: MIT
// Memory that workers share: the same in every worker, and what becomes of it when one dies.
#include "../fixtures/scenario.hpp"
#include "../fixtures/table_values.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

using namespace cluster_test;
using namespace std::chrono_literals;
using fixture::consistent;

namespace {

using text = cluster::fixed_string<24>;

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

// Threads get the primary's own mapping, not one more.
void same_address(const char* name) {
    std::uintptr_t seen = 0;
    std::uintptr_t mine = 0;
    run_case<cluster::thread_cluster>(
        name,
        [&](auto& primary) {
            auto memory = primary.template shared<int>("memory", 1);
            mine = reinterpret_cast<std::uintptr_t>(memory.data());
            primary.on_message([&, memory](auto& from, const done& message) {
                seen = std::stoul(message.text);
                from.disconnect();
            });
            primary.fork();
        },
        [](auto& self) {
            auto memory = self.template shared<int>("memory", 1);
            self.send(done{0, std::to_string(reinterpret_cast<std::uintptr_t>(memory.data()))});
        });
    CHECK(seen == mine);
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

// Every worker counts in the map and in the counters; nothing is lost.
template <typename Cluster>
void count_by_name(const char* name) {
    constexpr int workers = 4;
    constexpr int rounds = 5000;
    cluster::shared_map<text, std::uint64_t> words;
    cluster::shared_counters counters;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            words = primary.template shared_map<text, std::uint64_t>("words", 10);
            counters = primary.shared_counters("counters", 10);
            std::error_code error;
            CHECK(primary.template shared_map<text, std::uint64_t>("words", 11, error).size() == 0);
            CHECK(error == cluster::errc::conflicting_type);
            CHECK(primary.template shared_map<text, std::int64_t>("words", 10, error).size() == 0);
            CHECK(error == cluster::errc::conflicting_type);
            primary.fork(workers);
        },
        [](auto& self) {
            auto counted = self.template shared_map<text, std::uint64_t>("words", 10);
            auto requests = self.shared_counters("counters", 10)["requests"];
            for (int i = 0; i != rounds; ++i) {
                counted.upsert(i % 2 == 0 ? "even" : "odd", 1, [](auto& count) { ++count; });
                requests.add();
            }
            self.disconnect();
        });
    CHECK(words.size() == 2);
    CHECK(words.find("even") == workers * rounds / 2U);
    CHECK(words.find("odd") == workers * rounds / 2U);
    CHECK(counters["requests"].value() == workers * rounds);
}

/// Writes into the map until it is killed.
template <typename Map>
[[noreturn]] void write_for_ever(Map& map, std::uint32_t id) {
    for (std::uint64_t i = id;; ++i) {
        auto key = static_cast<std::uint32_t>(i % 40);
        map.insert_or_assign(key, consistent::of(i));
        map.update((key + 7) % 40, [i](consistent& value) { value = consistent::of(i); });
        map.erase((key + 20) % 40);
    }
}

/// What the primary sees of the map while others write, and that it can write itself.
template <typename Map>
bool is_whole(Map& map, std::uint64_t round) {
    bool whole = true;
    map.for_each([&](std::uint32_t, const consistent& each) { whole = whole && each.ok(); });
    auto mine = static_cast<std::uint32_t>(1000 + round % 3);
    whole = map.insert_or_assign(mine, consistent::of(round)) != cluster::map_result::full && whole;
    auto found = map.find(mine);
    return whole && found && found->number() == round && map.erase(mine);
}

// Two write all the time; one of them is killed, and another comes for it, again and again.
void kill_writers(const char* name) {
    const std::uint32_t rounds = sized<std::uint32_t>(60, 2000);
    std::uint32_t killed = 0;
    std::uint32_t whole = 0;
    cluster::shared_map<std::uint32_t, consistent> map;
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            map = primary.template shared_map<std::uint32_t, consistent>("map", 50);
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                CHECK(status.signal() == SIGKILL);
                whole += is_whole(map, ++killed) ? 1U : 0U;
                if (killed <= rounds) {
                    primary.fork();
                }
            });
            primary.on_message([&](auto& from, const done& message) {
                auto moment = std::chrono::microseconds{(message.number * 137) % 3000};
                primary.after(moment, [&from] { from.kill(SIGKILL); });
            });
            primary.fork(2);
        },
        [](auto& self) {
            auto shared = self.template shared_map<std::uint32_t, consistent>("map", 50);
            self.send(done{self.id(), {}});
            self.flush();
            write_for_ever(shared, self.id());
        });
    CHECK(killed == rounds + 2);
    CHECK(whole == killed);
    std::size_t count = 0;
    map.for_each([&](std::uint32_t, const consistent& each) {
        CHECK(each.ok());
        ++count;
    });
    CHECK(map.size() == count);
}

// A worker that asks for all there is gets half of it; the primary can go on.
void ask_for_too_much(const char* name) {
    std::size_t baseline = 0;
    std::size_t descriptors = 0;
    bool asked = false;
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            baseline = scenario::open_descriptors();
            auto& hostile = primary.fork(
                {.executable = FIXTURE_HOSTILE_WORKER, .arguments = {"share-too-much"}});
            hostile.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                CHECK(status.success());
                descriptors = scenario::open_descriptors();
                auto mine = primary.template shared<int>("mine", 1000);
                asked = mine.size() == 1000;
            });
        },
        [](auto&) {});
    CHECK(asked);
    CHECK(descriptors > baseline);
    CHECK(descriptors <= baseline + 128);
}

} // namespace

TEST_CASE("shared memory: a worker that asks for too much leaves the primary its half") {
    ask_for_too_much("shared memory: a worker that asks for too much leaves the primary its half");
}

TEST_CASE("shared memory: workers count in one map and in one set of counters") {
    count_by_name<cluster::process_cluster>(
        "shared memory: workers count in one map and in one set of counters");
}

TEST_CASE("shared memory: workers killed in the middle of writes leave the map whole") {
    kill_writers("shared memory: workers killed in the middle of writes leave the map whole");
}

TEST_CASE("scenario 50: eight workers and 100'000 increments each make 800'000") {
    count_together<cluster::process_cluster>(
        "scenario 50: eight workers and 100'000 increments each make 800'000");
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

TEST_CASE("scenario 50: eight threads and 100'000 increments each make 800'000") {
    count_together<cluster::thread_cluster>(
        "scenario 50: eight threads and 100'000 increments each make 800'000");
}

TEST_CASE("scenario 50: eight copies and 100'000 increments each make 800'000") {
    count_together<cluster::prefork_cluster>(
        "scenario 50: eight copies and 100'000 increments each make 800'000");
}

TEST_CASE("shared memory: a name has one type and one size among threads too") {
    name_conflicts<cluster::thread_cluster>(
        "shared memory: a name has one type and one size among threads too");
}

TEST_CASE("shared memory: threads wait for each other on an atomic") {
    pass_the_turn<cluster::thread_cluster>(
        "shared memory: threads wait for each other on an atomic");
}

TEST_CASE("shared memory: threads count in one map and in one set of counters") {
    count_by_name<cluster::thread_cluster>(
        "shared memory: threads count in one map and in one set of counters");
}

TEST_CASE("shared memory: it outlives the thread that made it") {
    outlives<cluster::thread_cluster>("shared memory: it outlives the thread that made it");
}

TEST_CASE("shared memory: threads and the primary have one mapping") {
    same_address("shared memory: threads and the primary have one mapping");
}
