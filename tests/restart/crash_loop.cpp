// SPDX-License-Identifier: MIT
// Ten minutes of a program that crashes 10 ms after its start, on a virtual clock.
#include <cluster.hpp>

#include "../support/sanitized.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using namespace cluster::literals;
using namespace cluster::restart;
using namespace std::chrono_literals;
using cluster::exit_report;
using cluster::exit_status;
using std::chrono::milliseconds;
using action = cluster::restart_decision::action;

struct outcome {
    unsigned restarts = 0;
    unsigned most_in_a_second = 0; // of the first start and the restarts
    unsigned gave_up = 0;
    milliseconds first_give_up{0};
    milliseconds alive{0}; // of all places together
};

struct crash {
    exit_status status = exit_status::signaled(6);
    milliseconds uptime = 10ms;
    bool online = true;
    std::uint32_t places = 1;
};

constexpr milliseconds simulated = 10min;
constexpr milliseconds forever = milliseconds::max();

// What an engine does with the answers: the place that dies next is asked about, and starts again
// after the delay.
template <typename Policy>
outcome run(Policy& policy, const crash& each = {}) {
    struct place {
        milliseconds dies;
        unsigned restarts = 0;
    };
    std::vector<place> places(each.places, {each.uptime, 0});
    std::vector<unsigned> starts_in_second(static_cast<std::size_t>(simulated / 1s) + 1);
    starts_in_second[0] = each.places;
    outcome result;
    while (true) {
        std::size_t next = 0;
        for (std::size_t i = 0; i != places.size(); ++i) {
            next = places[i].dies < places[next].dies ? i : next;
        }
        auto& one = places[next];
        if (one.dies >= simulated) {
            break;
        }
        result.alive += each.uptime;
        auto decision = policy.decide({each.status,
                                       1,
                                       each.uptime,
                                       each.online,
                                       one.restarts,
                                       std::chrono::steady_clock::time_point{} + one.dies,
                                       static_cast<std::uint32_t>(next)});
        if (decision.what == action::give_up && result.gave_up++ == 0) {
            result.first_give_up = one.dies;
        }
        if (decision.what != action::restart) {
            one.dies = forever;
            continue;
        }
        auto start = one.dies + decision.delay;
        if (start < simulated) {
            ++result.restarts;
            ++one.restarts;
            ++starts_in_second[static_cast<std::size_t>(start / 1s)];
        }
        one.dies = start + each.uptime;
    }
    for (unsigned count : starts_in_second) {
        result.most_in_a_second = count > result.most_in_a_second ? count : result.most_in_a_second;
    }
    return result;
}

template <typename Policy>
outcome run(const crash& each = {}) {
    Policy policy;
    return run(policy, each);
}

using patient = limit<5, 10_s, backoff<100_ms, 5_s, on_failure>>;

} // namespace

TEST_SUITE("restart/crash_loop") {
    TEST_CASE("never: none") {
        auto result = run<never>();
        CHECK(result.restarts == 0);
        CHECK(result.gave_up == 0);
    }

    TEST_CASE("always: as fast as it crashes, slower when it does not even start") {
        CHECK(run<always>().restarts == 59'999);
        CHECK(run<always>({.online = false}).restarts == 5'454); // every 110 ms
        CHECK(run<one_for_one<always>>().restarts == 59'999);
        CHECK(run<one_for_all<always>>().restarts == 59'999);
    }

    TEST_CASE("on_failure: none after success") {
        CHECK(run<on_failure>({.status = exit_status::exited(0)}).restarts == 0);
        CHECK(run<on_failure>().restarts == 59'999);
    }

    TEST_CASE("backoff: one every few seconds, and less than one percent of a CPU") {
        for (std::uint64_t seed = 0; seed != 50; ++seed) {
            backoff<100_ms, 5_s> policy;
            policy.seed(seed);
            auto result = run(policy);
            CHECK(result.restarts >= 120); // every pause 5 s
            CHECK(result.restarts <= 245); // every pause 2.5 s
            CHECK(result.gave_up == 0);
            CHECK(result.alive < simulated / 100);
        }
    }

    TEST_CASE("limit: as many as allowed, at once, then it gives up") {
        auto result = run<limit<5, 10_s>>();
        CHECK(result.restarts == 5);
        CHECK(result.gave_up == 1);
        CHECK(result.first_give_up == 60ms);
    }

    TEST_CASE("limit around backoff: as many as allowed, with growing pauses") {
        for (std::uint64_t seed = 0; seed != 50; ++seed) {
            patient policy;
            policy.inner().seed(seed);
            auto result = run(policy);
            CHECK(result.restarts == 5);
            CHECK(result.gave_up == 1);
            CHECK(result.first_give_up >= 60ms + 1550ms);
            CHECK(result.first_give_up <= 60ms + 3100ms);
        }
        CHECK(run<patient>({.online = false}).restarts == 5);
        CHECK(run<patient>({.status = exit_status::exited(0)}).restarts == 0);
    }

    TEST_CASE("backoff around limit: the same") {
        auto result = run<backoff<100_ms, 5_s, limit<5, 10_s, on_failure>>>();
        CHECK(result.restarts == 5);
        CHECK(result.gave_up == 1);
    }

    TEST_CASE("limit never gives up where the pauses keep it from being reached") {
        auto result = run<limit<5, 10_s, backoff<4_s, 1_min>>>();
        CHECK(result.gave_up == 0);
        CHECK(result.restarts >= 10);
        CHECK(result.restarts <= 25);
    }

    TEST_CASE("a worker that lives long between two crashes never has to wait long") {
        auto result = run<patient>({.uptime = 6s});
        CHECK(result.gave_up == 0);
        CHECK(result.restarts >= 98); // of 99 without any pause
    }

    TEST_CASE("a storm: a limit for one place is soon reached by a thousand") {
        auto result = run<limit<5, 10_s>>({.places = 1000});
        CHECK(result.restarts == 5);
        CHECK(result.gave_up == 1000);
    }

    TEST_CASE("a storm: a thousand places with backoff spread out") {
        constexpr unsigned places = cluster_test::unless_sanitized(1000U, 200U);
        backoff<1_s, 30_s> policy;
        policy.seed(5);
        auto result = run(policy, {.places = places});
        CHECK(result.most_in_a_second <= 2 * places); // the first start and the first replacement
        CHECK(result.restarts <= places * 46);
        CHECK(result.gave_up == 0);
    }
}
