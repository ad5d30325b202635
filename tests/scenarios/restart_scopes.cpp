// SPDX-License-Identifier: MIT
// What a restart strategy's scope does to the workers that did not die.
#include "../support/cluster_test.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

using namespace cluster_test;

namespace {

struct crash {};
struct here {
    unsigned slot = 0;
};

// Starts three workers, lets the second one crash and waits until the cluster is complete again.
// \returns the ids of the workers that run then, by their places.
template <typename Strategy>
std::vector<unsigned> ids_after_crash_of_second(const char* name, int& restarts) {
    std::vector<unsigned> ids(3);
    std::vector<unsigned> found;
    bool crashed = false;
    int code = run_case<cluster::compose<Strategy>>(
        name,
        [&](auto& primary) {
            primary.on(cluster::event::restart, [&] { ++restarts; });
            primary.on_message([&](auto& from, const here& message) {
                ids[message.slot] = from.id();
                bool complete =
                    std::all_of(ids.begin(), ids.end(), [](unsigned id) { return id != 0; });
                if (complete && !crashed) {
                    crashed = true;
                    primary.workers().find(2)->send(crash{});
                    primary.on(cluster::event::exit, [&ids](auto& dead) {
                        for (auto& id : ids) {
                            id = id == dead.id() ? 0 : id;
                        }
                    });
                } else if (complete) {
                    found = ids;
                    primary.shutdown();
                }
            });
            primary.fork(3);
        },
        [](auto& self) {
            self.on_message([](const crash&) { std::exit(3); });
            self.send(here{self.slot()});
        });
    CHECK(code == 0);
    return found;
}

} // namespace

TEST_SUITE("scenarios/restart_scopes") {
    TEST_CASE("one for one replaces only the worker that died") {
        int restarts = 0;
        using strategy = cluster::restart::one_for_one<cluster::restart::always>;
        auto ids = ids_after_crash_of_second<strategy>(
            "one for one replaces only the worker that died", restarts);
        CHECK(ids == std::vector<unsigned>{1, 4, 3});
        CHECK(restarts == 1);
    }

    TEST_CASE("one for all replaces every worker in the order of their places") {
        int restarts = 0;
        using strategy = cluster::restart::one_for_all<cluster::restart::always>;
        auto ids = ids_after_crash_of_second<strategy>(
            "one for all replaces every worker in the order of their places", restarts);
        CHECK(ids == std::vector<unsigned>{4, 5, 6});
        CHECK(restarts == 1); // one decision
    }

    TEST_CASE("rest for one replaces the dead worker and those of later places") {
        int restarts = 0;
        using strategy = cluster::restart::rest_for_one<cluster::restart::always>;
        auto ids = ids_after_crash_of_second<strategy>(
            "rest for one replaces the dead worker and those of later places", restarts);
        CHECK(ids == std::vector<unsigned>{1, 4, 5});
        CHECK(restarts == 1);
    }
}
