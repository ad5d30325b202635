// SPDX-License-Identifier: MIT
#include <cluster/detail/pulse.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <chrono>

using namespace std::chrono_literals;
using cluster::detail::beat_period;
using cluster::detail::pulse;
using cluster::detail::pulse_limits;
using change = pulse::change;

namespace {

struct invented_time {
    pulse::time_point now{1h};
    std::uint32_t beats = 0;
    pulse watched;
    pulse_limits limits{3s, 10s};

    invented_time() { watched.start(now, 250ms); }

    // Lets time pass, with beats or without, and looks once a period as the primary does.
    // Returns the first thing that is new, and when it was.
    std::pair<change, std::chrono::nanoseconds> pass(std::chrono::nanoseconds span, bool beating) {
        auto start = now;
        while (now - start < span) {
            now += 250ms;
            beats += beating ? 1 : 0;
            if (auto what = watched.look(beats, now, limits); what != change::none) {
                return {what, now - start};
            }
        }
        return {change::none, span};
    }
};

} // namespace

TEST_SUITE("detail/pulse") {
    TEST_CASE("a beating worker is never reported") {
        invented_time passing;
        CHECK(passing.pass(1h, true).first == change::none);
        CHECK(passing.watched.age(passing.now) == 0ns);
    }

    TEST_CASE("a silent one is stalled within three seconds and lost within ten") {
        invented_time passing;
        auto [stalled, after] = passing.pass(20s, false);
        CHECK(stalled == change::stalled);
        CHECK(after <= 3s);
        CHECK(after >= 2500ms);
        auto [lost, later] = passing.pass(20s, false);
        CHECK(lost == change::lost);
        CHECK(after + later <= 10s);
        CHECK(after + later >= 9s);
        CHECK(passing.pass(1h, false).first == change::none); // told once
    }

    TEST_CASE("one that comes back has recovered and may stall again") {
        invented_time passing;
        CHECK(passing.pass(5s, false).first == change::stalled);
        CHECK(passing.pass(5s, true).first == change::recovered);
        CHECK(passing.pass(5s, true).first == change::none);
        CHECK(passing.pass(5s, false).first == change::stalled);
    }

    TEST_CASE("time in which nobody could look does not count") {
        invented_time passing;
        passing.pass(1s, true);
        passing.now += 60s; // the whole machine was stopped
        passing.watched.excuse(60s);
        CHECK(passing.pass(2s, false).first == change::none);
        CHECK(passing.pass(2s, false).first == change::stalled);
    }

    TEST_CASE("a debugger that holds the worker starts the count anew") {
        invented_time passing;
        CHECK(passing.pass(2s, false).first == change::none);
        passing.watched.excuse_until(passing.now);
        CHECK(passing.pass(2s, false).first == change::none);
        CHECK(passing.watched.is_late(passing.now + 3s, passing.limits));
        CHECK_FALSE(passing.watched.is_late(passing.now, passing.limits));
    }

    TEST_CASE("a limit of zero is none") {
        invented_time passing;
        passing.limits = {0s, 0s};
        CHECK(passing.pass(1h, false).first == change::none);
        passing.limits = {3s, 0s};
        CHECK(passing.pass(1h, false).first == change::stalled);
        CHECK(passing.pass(1h, false).first == change::none);
    }

    TEST_CASE("what has not started has no age") {
        pulse none;
        CHECK_FALSE(none.started());
        CHECK(none.age(pulse::time_point{1h}) == 0ns);
    }

    TEST_CASE("beats come often enough for the limit, and not more often than sensible") {
        CHECK(beat_period(3s) == 250ms);
        CHECK(beat_period(1h) == 250ms);
        CHECK(beat_period(1200ms) == 100ms);
        CHECK(beat_period(1ns) == 5ms);
    }
}
