// SPDX-License-Identifier: MIT
#include <cluster/restart/backoff.hpp> // first and alone: proves the header is self-contained

#include <cluster/restart/never.hpp>
#include <cluster/restart/on_failure.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

namespace {

using namespace cluster::literals;
using namespace std::chrono_literals;
using cluster::exit_report;
using cluster::restart_decision;
using cluster::restart::backoff;
using std::chrono::milliseconds;

using doubling = backoff<100_ms, 5_s>;

exit_report death(unsigned restarts, milliseconds uptime = 10ms, std::uint32_t slot = 0) {
    exit_report report;
    report.status = cluster::exit_status::signaled(6);
    report.was_online = true;
    report.uptime = uptime;
    report.restarts = restarts;
    report.slot = slot;
    return report;
}

template <typename Policy>
milliseconds pause(Policy& policy, const exit_report& report) {
    auto decision = policy.decide(report);
    CHECK(decision.what == restart_decision::action::restart);
    return decision.delay;
}

void check_between(milliseconds low, milliseconds value, milliseconds high) {
    CHECK(low.count() <= value.count());
    CHECK(value.count() <= high.count());
}

struct an_hour {
    restart_decision decide(const exit_report&) { return cluster::restart_after(1h); }
};

} // namespace

TEST_SUITE("restart/backoff") {
    TEST_CASE("the pause doubles with every quick death up to the limit, half of it by chance") {
        for (std::uint64_t seed = 0; seed != 200; ++seed) {
            doubling policy;
            policy.seed(seed);
            milliseconds before{0};
            milliseconds longest{100};
            for (unsigned restarts = 0; restarts != 40; ++restarts) {
                auto now = pause(policy, death(restarts));
                check_between(longest / 2, now, longest);
                if (longest < 5s) {
                    CHECK(now.count() >= before.count());
                }
                before = now;
                longest = longest * 2 < 5s ? longest * 2 : 5s;
            }
        }
    }

    TEST_CASE("any number of restarts and any limit are within range") {
        backoff<1_ms, cluster::time_span{3'153'600'000'000}> century;
        doubling policy;
        for (unsigned restarts :
             {31U, 32U, 41U, 42U, 62U, 63U, 64U, 65U, std::numeric_limits<unsigned>::max()}) {
            check_between(2500ms, pause(policy, death(restarts)), 5s);
            auto long_one = pause(century, death(restarts));
            check_between(1s, long_one, milliseconds{3'153'600'000'000});
        }
    }

    TEST_CASE("a pause is never nothing") {
        backoff<1_ms, 1_ms> shortest;
        for (unsigned restarts = 0; restarts != 100; ++restarts) {
            CHECK(pause(shortest, death(restarts)) == 1ms);
        }
    }

    TEST_CASE("a long life starts the pauses anew, for its place alone") {
        doubling policy;
        for (unsigned restarts = 0; restarts != 9; ++restarts) {
            pause(policy, death(restarts, 10ms, 0));
            pause(policy, death(restarts, 10ms, 1));
        }
        check_between(50ms, pause(policy, death(9, 5s, 0)), 100ms);
        check_between(100ms, pause(policy, death(10, 4999ms, 0)), 200ms);
        check_between(200ms, pause(policy, death(11, 10ms, 0)), 400ms);
        check_between(2500ms, pause(policy, death(9, 10ms, 1)), 5s);
        check_between(50ms, pause(policy, death(12, 1h, 0)), 100ms);
        check_between(50ms, pause(policy, death(13, 1h, 0)), 100ms);
    }

    TEST_CASE("a worker that was just forked into an old place inherits nothing") {
        doubling policy;
        pause(policy, death(30, 1h));
        check_between(50ms, pause(policy, death(0)), 100ms);
        check_between(100ms, pause(policy, death(1)), 200ms);
    }

    TEST_CASE("a long time without being online is no long life") {
        doubling policy;
        auto report = death(4, 1h);
        report.was_online = false;
        check_between(800ms, pause(policy, report), 1600ms);
    }

    TEST_CASE("what a long life is can be chosen") {
        backoff<100_ms, 5_s, cluster::restart::always, 1_min> policy;
        check_between(400ms, pause(policy, death(3, 59s)), 800ms);
        check_between(50ms, pause(policy, death(4, 60s)), 100ms);
    }

    TEST_CASE("the inner strategy says whether, and may ask for more time") {
        backoff<100_ms, 5_s, cluster::restart::never> never;
        CHECK(never.decide(death(3)) == cluster::leave_dead);

        backoff<100_ms, 5_s, cluster::restart::on_failure> on_failure;
        auto report = death(0);
        report.status = cluster::exit_status::exited(0);
        CHECK(on_failure.decide(report) == cluster::leave_dead);
        check_between(50ms, pause(on_failure, death(0)), 100ms);

        backoff<100_ms, 5_s, an_hour> patient;
        check_between(1h, pause(patient, death(0)), 1h + 50ms);
        check_between(1h, pause(patient, death(100)), 1h + 2500ms);
    }

    TEST_CASE("the same seed gives the same pauses, another one others") {
        doubling one;
        doubling same;
        doubling other;
        one.seed(7);
        same.seed(7);
        other.seed(8);
        std::size_t equal = 0;
        for (unsigned restarts = 0; restarts != 100; ++restarts) {
            auto now = pause(one, death(restarts));
            CHECK(now == pause(same, death(restarts)));
            equal += now == pause(other, death(restarts)) ? 1U : 0U;
        }
        CHECK(equal < 20);
    }

    TEST_CASE("after a death for want of memory the pause is twice as long up to the limit") {
        for (unsigned restarts = 0; restarts != 10; ++restarts) {
            CAPTURE(restarts);
            doubling policy;
            auto report = death(restarts);
            report.out_of_memory = true;
            auto longest = std::min(milliseconds{200 << restarts}, milliseconds{5000});
            check_between(longest / 2, pause(policy, report), longest);
        }
        doubling policy; // it had lived long
        auto report = death(3, 1h);
        report.out_of_memory = true;
        check_between(100ms, pause(policy, report), 200ms);
    }

    TEST_CASE("two clusters that start together do not pause together") {
        doubling one;
        doubling other;
        std::size_t equal = 0;
        for (unsigned restarts = 10; restarts != 110; ++restarts) {
            equal += pause(one, death(restarts)) == pause(other, death(restarts)) ? 1U : 0U;
        }
        CHECK(equal < 20);
    }

    TEST_CASE("a thousand places that die at once do not come back at once") {
        for (bool online : {true, false}) { // a crash of all, and a program that cannot start
            CAPTURE(online);
            backoff<1_s, 30_s> policy;
            policy.seed(1);
            std::set<std::int64_t> different;
            std::vector<int> in_10_ms(60);
            for (std::uint32_t slot = 0; slot != 1000; ++slot) {
                auto report = death(0, 10ms, slot);
                report.was_online = online;
                auto now = pause(policy, report);
                check_between(500ms, now, 1s);
                different.insert(now.count());
                ++in_10_ms[static_cast<std::size_t>((now - 500ms) / 10ms)];
            }
            CHECK(different.size() > 350); // of 501; 433 are to be expected
            for (int each : in_10_ms) {
                CHECK(each <= 50); // 20 are to be expected
            }
        }
    }
}
