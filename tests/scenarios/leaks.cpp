// SPDX-License-Identifier: MIT
// Acceptance scenario 52: many workers and many connections leave nothing behind.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"
#include "../support/sanitized.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct tell {};
struct held {
    std::uint64_t descriptors = 0;
    std::uint64_t threads = 0;
};

/// Resident memory in KiB; 0 where a sanitizer holds freed memory back.
std::size_t resident_kib() {
#if CLUSTER_TEST_SANITIZED
    return 0;
#else
    unsigned long size = 0;
    unsigned long resident = 0;
    if (std::FILE* file = std::fopen("/proc/self/statm", "re")) {
        if (std::fscanf(file, "%lu %lu", &size, &resident) != 2) {
            resident = 0;
        }
        std::fclose(file);
    }
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
#endif
}

} // namespace

CLUSTER_CASE("scenario 52: a thousand workers leave nothing behind") {
    constexpr std::size_t all = 1000;
    constexpr std::size_t at_a_time = 16;
    std::set<std::uint32_t> ids;
    std::size_t exits = 0;
    std::size_t wrong = 0;
    std::size_t descriptors_before = 0, threads_before = 0, memory_before = 0;
    std::size_t descriptors_after = 1, threads_after = 1, memory_after = 0;
    bool children_after = true;
    std::thread{[] {}}.join(); // a sanitizer starts a thread of its own with the first one
    run_on<Backend>(
        [&](auto& primary) {
            descriptors_before = scenario::open_descriptors();
            threads_before = scenario::threads();
            auto start = [&] {
                // Most processes are a program that ends at once, every tenth one is a real worker.
                if (!Backend::separate_memory || ids.size() % 10 == 0) {
                    ids.insert(primary.fork({.name = "real"}).id());
                } else {
                    ids.insert(
                        primary.fork({.executable = FIXTURE_CHILD, .arguments = {"exit", "3"}})
                            .id());
                }
            };
            auto look = [&] {
                descriptors_after = scenario::open_descriptors();
                threads_after = scenario::threads();
                memory_after = resident_kib();
                children_after = scenario::has_children();
            };
            primary.on(cluster::event::exit,
                       [&, start, look](auto& worker, const cluster::exit_status& status) {
                           ++exits;
                           wrong += status.code() != (worker.name() == "real" ? 0 : 3) ? 1U : 0U;
                           if (exits == all / 2) {
                               memory_before = resident_kib();
                           }
                           if (ids.size() != all) {
                               start();
                           } else if (exits == all) {
                               primary.after(
                                   0ms, look); // the handles of the dead let go behind this event
                           }
                       });
            for (std::size_t i = 0; i != at_a_time; ++i) {
                start();
            }
        },
        [](auto& self) { self.disconnect(); });
    CHECK(ids.size() == all);
    CHECK(*ids.rbegin() == all);
    CHECK(exits == all);
    CHECK(wrong == 0);
    CHECK(descriptors_after == descriptors_before);
    CHECK(threads_after == threads_before);
    CHECK_FALSE(children_after);
    CHECK(memory_after < memory_before + 8 * 1024); // handles of the last 256 dead are kept
}

CLUSTER_CASE("scenario 52: ten thousand connections leave nothing behind") {
    constexpr std::size_t all = 10'000;
    constexpr std::size_t at_a_time = 32;
    std::size_t begun = 0, answered = 0;
    std::size_t descriptors_before = 0, memory_before = 0;
    bool clean = false;
    std::vector<held> workers_before, workers_after;
    cluster::address at;
    run_on<Backend>(
        [&](auto& primary) {
            // Each client's end begins the next one.
            auto next = std::make_shared<std::function<void(cluster::address)>>();
            auto finished = [&primary, &descriptors_before, &clean, next] {
                auto no_leak = [&] { return scenario::open_descriptors() == descriptors_before; };
                scenario::when(primary, no_leak, [&primary, &clean, next] {
                    clean = true;
                    *next = {};
                    primary.broadcast(tell{});
                });
            };
            *next = [&, finished, again = next.get()](cluster::address where) {
                ++begun;
                scenario::ask(
                    primary, where, "?", [&, finished, again, where](const std::string& answer) {
                        answered += !answer.empty() && answer != "refused" ? 1U : 0U;
                        if (answered == all / 10) {
                            memory_before = resident_kib();
                        }
                        if (begun < all) {
                            (*again)(where);
                        } else if (answered == all) {
                            finished();
                        }
                    });
            };
            primary.on_message([&, next](const held& message) {
                if (workers_before.size() != 2) {
                    workers_before.push_back(message);
                    for (std::size_t i = 0; workers_before.size() == 2 && i != at_a_time; ++i) {
                        (*next)(at);
                    }
                    return;
                }
                workers_after.push_back(message);
                if (workers_after.size() == 2) {
                    primary.disconnect();
                }
            });
            primary.on(cluster::event::listening,
                       [&, listening = 0](auto&, const cluster::address& where) mutable {
                           if (++listening == 2) {
                               at = where;
                               descriptors_before = scenario::open_descriptors();
                               primary.broadcast(tell{});
                           }
                       });
            primary.fork(2);
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self));
            self.on_message([&self](const tell&) {
                self.send(held{scenario::open_descriptors(), scenario::threads()});
            });
        });
    CHECK(answered == all);
    CHECK(clean);
    REQUIRE(workers_before.size() == 2);
    REQUIRE(workers_after.size() == 2);
    for (std::size_t i = 0; i != 2; ++i) {
        if (Backend::separate_memory) { // else each may see the other while that looks
            CHECK(workers_after[i].descriptors == workers_before[i].descriptors);
        }
        CHECK(workers_after[i].threads == workers_before[i].threads);
    }
    CHECK(resident_kib() < memory_before + 8 * 1024);
}
