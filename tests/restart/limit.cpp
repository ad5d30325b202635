// SPDX-License-Identifier: MIT
#include <cluster/restart/limit.hpp> // first and alone: proves the header is self-contained

#include <cluster/restart/backoff.hpp>
#include <cluster/restart/never.hpp>
#include <cluster/restart/on_failure.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using namespace cluster::literals;
using namespace std::chrono_literals;
using cluster::exit_report;
using cluster::restart::limit;
using time_point = std::chrono::steady_clock::time_point;

exit_report death(std::chrono::milliseconds when, std::uint32_t slot = 0) {
    exit_report report;
    report.status = cluster::exit_status::exited(3);
    report.was_online = true;
    report.when = time_point{} + when;
    report.slot = slot;
    return report;
}

} // namespace

TEST_SUITE("restart/limit") {
    TEST_CASE("one restart more than allowed is given up") {
        limit<3, 10_s> policy;
        CHECK(policy.decide(death(0s)) == cluster::restart_now);
        CHECK(policy.decide(death(1s)) == cluster::restart_now);
        CHECK(policy.decide(death(2s)) == cluster::restart_now);
        CHECK(policy.decide(death(3s)) == cluster::give_up);
        CHECK(policy.decide(death(4s)) == cluster::give_up);
    }

    TEST_CASE("the places of a cluster share the limit") {
        limit<3, 10_s> policy;
        for (std::uint32_t slot = 0; slot != 3; ++slot) {
            CHECK(policy.decide(death(0s, slot)) == cluster::restart_now);
        }
        CHECK(policy.decide(death(0s, 3)) == cluster::give_up);
    }

    TEST_CASE("the period slides: a restart counts until it is that long ago") {
        limit<2, 10_s> policy;
        CHECK(policy.decide(death(0s)) == cluster::restart_now);
        CHECK(policy.decide(death(9s)) == cluster::restart_now);
        CHECK(policy.decide(death(9999ms)) == cluster::give_up);
        CHECK(policy.decide(death(10s)) == cluster::restart_now); // 9 s and 10 s
        CHECK(policy.decide(death(18999ms)) == cluster::give_up);
        CHECK(policy.decide(death(19s)) == cluster::restart_now);
        CHECK(policy.decide(death(1h)) == cluster::restart_now);
        CHECK(policy.decide(death(1h)) == cluster::restart_now);
        CHECK(policy.decide(death(1h)) == cluster::give_up);
    }

    TEST_CASE("it agrees with counting all restarts, whatever the deaths") {
        limit<7, 1_s> policy;
        std::vector<std::chrono::milliseconds> restarts;
        std::uint64_t random = 1;
        std::chrono::milliseconds now{0};
        for (int i = 0; i != 20'000; ++i) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            now += std::chrono::milliseconds{(random >> 33) % 250};
            std::size_t recent = 0;
            for (std::size_t back = restarts.size(); back != 0; --back) {
                if (now - restarts[back - 1] >= 1s) {
                    break;
                }
                ++recent;
            }
            bool comes_back = policy.decide(death(now)) == cluster::restart_now;
            REQUIRE(comes_back == (recent < 7));
            if (comes_back) {
                restarts.push_back(now);
            }
        }
        CHECK(restarts.size() > 10'000);
    }

    TEST_CASE("a death that nobody wants to repair does not count") {
        limit<1, 10_s, cluster::restart::on_failure> policy;
        auto fine = death(0s);
        fine.status = cluster::exit_status::exited(0);
        for (int i = 0; i != 10; ++i) {
            CHECK(policy.decide(fine) == cluster::leave_dead);
        }
        CHECK(policy.decide(death(1s)) == cluster::restart_now);
        CHECK(policy.decide(fine) == cluster::leave_dead);
        CHECK(policy.decide(death(2s)) == cluster::give_up);
    }

    TEST_CASE("the decision of the inner strategy is kept") {
        limit<1, 10_s, cluster::restart::backoff<40_ms, 40_ms>> policy;
        auto decision = policy.decide(death(0s));
        CHECK(decision.what == cluster::restart_decision::action::restart);
        CHECK(decision.delay >= 20ms);
        CHECK(decision.delay <= 40ms);
        CHECK(policy.decide(death(0s)) == cluster::give_up);

        limit<1, 10_s, cluster::restart::never> never;
        CHECK(never.decide(death(0s)) == cluster::leave_dead);
    }
}
