// SPDX-License-Identifier: MIT
#include <cluster/detail/service_reporter.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"
#include "../support/service_manager.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace {

using cluster::service_notifier;
using cluster_test::abstract_name;
using cluster_test::service_manager;
using lines = std::vector<std::string>;

struct fake_primary {
    cluster::detail::worker_census now;

    [[nodiscard]] cluster::detail::worker_census census() const { return now; }
};

/// A reporter, its manager, and the primary of which it tells.
struct fixture {
    std::string address = abstract_name();
    std::optional<service_manager> manager{address};
    cluster::event_loop loop;
    fake_primary primary;
    cluster::detail::service_reporter<fake_primary> reporter{loop, primary};

    void start() { reporter.start(service_notifier{address}); }
    /// `ready` of `places` workers are, for the rest of this turn.
    void become(std::size_t ready, std::size_t places, std::size_t stalled = 0) {
        primary.now = {ready, places, places, stalled};
        reporter.workers_changed();
        loop.poll();
    }
    [[nodiscard]] lines told() const { return manager->all(); }
    /// Tells until there is no room. \returns how many statuses that took
    std::size_t fill() {
        service_notifier other{address};
        std::size_t count = 0;
        while (!other.notify("STATUS=other")) {
            REQUIRE(++count < 1'000'000);
        }
        return count;
    }
};

// Without the time, which is another one each time.
std::string without_time(const std::string& text) {
    auto from = text.find("MONOTONIC_USEC=");
    return from == text.npos ? text : text.substr(0, from) + text.substr(text.find('\n', from) + 1);
}

} // namespace

TEST_SUITE("detail/service_reporter") {
    TEST_CASE("without a manager nothing is told") {
        fixture test;
        test.reporter.start({});
        test.become(1, 1);
        test.reporter.reload_began();
        test.reporter.reload_ended("");
        test.reporter.stopping();
        CHECK(test.told().empty());
        CHECK_FALSE(test.loop.poll()); // nothing to wait for
    }

    TEST_CASE("ready is told once and when every place has a worker that is") {
        fixture test;
        test.start();
        test.loop.poll();
        CHECK(test.told() == lines{"STATUS=0 of 0 workers ready"});
        test.become(0, 2);
        test.become(1, 2);
        test.become(2, 2);
        test.become(1, 2);
        test.become(2, 2);
        CHECK(test.told() == lines{"STATUS=0 of 2 workers ready",
                                   "STATUS=1 of 2 workers ready",
                                   "READY=1\nSTATUS=2 of 2 workers ready",
                                   "STATUS=1 of 2 workers ready",
                                   "STATUS=2 of 2 workers ready"});
        CHECK_FALSE(test.loop.poll());
    }

    TEST_CASE("who does not answer is told beside those that are ready") {
        fixture test;
        test.start();
        test.become(2, 2);
        test.become(2, 2, 1);
        test.become(2, 2);
        CHECK(test.told() == lines{"READY=1\nSTATUS=2 of 2 workers ready",
                                   "STATUS=2 of 2 workers ready, 1 stalled",
                                   "STATUS=2 of 2 workers ready"});
    }

    TEST_CASE("many changes in one turn are one status and none is none") {
        fixture test;
        test.start();
        for (std::size_t i = 0; i != 10; ++i) {
            test.primary.now = {0, i, i};
            test.reporter.workers_changed();
        }
        test.loop.poll();
        test.become(0, 9);
        CHECK(test.told() == lines{"STATUS=0 of 9 workers ready"});
    }

    TEST_CASE("a reload begins with its time and ends with ready and why it failed") {
        fixture test;
        test.start();
        test.reporter.reload_began(); // before the first are ready
        test.reporter.reload_ended("");
        test.become(1, 1);
        CHECK(test.told() == lines{"READY=1\nSTATUS=1 of 1 workers ready"});
        using std::chrono::microseconds;
        auto now = [] {
            auto time = std::chrono::steady_clock::now().time_since_epoch();
            return std::chrono::duration_cast<microseconds>(time).count();
        };
        auto before = now();
        test.reporter.reload_began();
        auto told = test.told();
        REQUIRE(told.size() == 1);
        CHECK(without_time(told[0]) == "RELOADING=1\nSTATUS=1 of 1 workers ready, reloading");
        auto time = std::atoll(told[0].c_str() + told[0].find("USEC=") + 5);
        CHECK(time >= before);
        CHECK(time <= now());
        test.reporter.reload_ended("worker 2 died\nand said why");
        CHECK(test.told() ==
              lines{"READY=1\nSTATUS=1 of 1 workers ready; not reloaded: worker 2 died"});
        test.reporter.reload_began();
        test.reporter.reload_ended("");
        CHECK(test.told().back() == "READY=1\nSTATUS=1 of 1 workers ready");
    }

    TEST_CASE("the end is told once and nothing but how many are left behind it") {
        fixture test;
        test.start();
        test.become(2, 2);
        test.reporter.reload_began();
        static_cast<void>(test.told());
        test.reporter.stopping();
        test.reporter.stopping();
        test.reporter.reload_ended("the cluster shuts down");
        test.become(0, 1);
        test.reporter.reload_began();
        CHECK(test.told() == lines{"STOPPING=1\nSTATUS=stopping, workers left: 2",
                                   "STATUS=stopping, workers left: 1"});
    }

    TEST_CASE("what finds no room waits for it without turning the loop") {
        fixture test;
        test.start();
        auto filled = test.fill();
        test.become(0, 2);
        test.become(1, 2);
        test.become(2, 2);
        test.reporter.reload_began();
        test.reporter.reload_ended("");
        test.become(1, 2);
        test.become(0, 2);
        test.reporter.stopping();
        CHECK(raw::comes_to_rest(test.loop));
        lines told;
        REQUIRE(raw::run_until(test.loop, [&] {
            for (const auto& each : test.told()) {
                if (each != "STATUS=other") {
                    told.push_back(without_time(each));
                } else {
                    --filled;
                }
            }
            return filled == 0 && !told.empty() && told.back().starts_with("STOPPING=1");
        }));
        CHECK(told == lines{"READY=1\nSTATUS=2 of 2 workers ready",
                            "RELOADING=1\nSTATUS=2 of 2 workers ready, reloading",
                            "READY=1\nSTATUS=2 of 2 workers ready",
                            "STATUS=0 of 2 workers ready",
                            "STOPPING=1\nSTATUS=stopping, workers left: 2"});
        CHECK(raw::comes_to_rest(test.loop));
    }

    TEST_CASE("what nobody was there to hear is told with what comes next") {
        fixture test;
        test.manager.reset();
        test.start();
        test.become(1, 1);
        CHECK(raw::comes_to_rest(test.loop));
        test.manager.emplace(test.address);
        CHECK(test.told().empty());
        test.become(0, 1);
        CHECK(test.told() ==
              lines{"READY=1\nSTATUS=1 of 1 workers ready", "STATUS=0 of 1 workers ready"});
    }

    TEST_CASE("a manager that never listens costs no memory without end") {
        fixture test;
        test.manager.reset();
        test.start();
        test.become(1, 1);
        for (int i = 0; i != 1000; ++i) {
            test.reporter.reload_began();
            test.reporter.reload_ended("");
        }
        test.manager.emplace(test.address);
        test.reporter.stopping();
        lines told;
        REQUIRE(raw::run_until(test.loop, [&] { // it has room for fewer
            auto more = test.told();
            told.insert(told.end(), more.begin(), more.end());
            return !told.empty() && told.back().starts_with("STOPPING=1");
        }));
        CHECK(told.size() == 16);
        CHECK(told.back() == "STOPPING=1\nSTATUS=stopping, workers left: 1");
    }

    TEST_CASE("a manager that goes while something waits for room is no busy loop") {
        fixture test;
        test.start();
        test.fill();
        test.become(1, 1);
        test.manager.reset();
        CHECK(raw::comes_to_rest(test.loop));
    }

    TEST_CASE("the watchdog is fed at half of its time and keeps no loop alive") {
        fixture test;
        ::setenv("NOTIFY_SOCKET", test.address.c_str(), 1);
        ::setenv("WATCHDOG_USEC", "20000", 1);
        auto before = std::chrono::steady_clock::now();
        test.reporter.start(service_notifier::from_environment());
        int fed = 0;
        REQUIRE(raw::run_until(test.loop, [&] {
            for (const auto& each : test.told()) {
                fed += each == "WATCHDOG=1" ? 1 : 0;
            }
            return fed == 3;
        }));
        CHECK(std::chrono::steady_clock::now() - before >= std::chrono::milliseconds{30});
        CHECK_FALSE(test.loop.poll());
    }

    TEST_CASE("one meal waits for a watchdog that does not eat") {
        fixture test;
        ::setenv("NOTIFY_SOCKET", test.address.c_str(), 1);
        ::setenv("WATCHDOG_USEC", "2000", 1);
        test.become(1, 1);
        auto filled = test.fill();
        test.reporter.start(service_notifier::from_environment());
        auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{20};
        REQUIRE(
            raw::run_until(test.loop, [&] { return std::chrono::steady_clock::now() > until; }));
        auto told = test.told();
        CHECK(told.size() == filled);
        REQUIRE(raw::run_until(test.loop, [&] {
            auto more = test.told();
            told.insert(told.end(), more.begin(), more.end());
            return told.size() >= filled + 2;
        }));
        CHECK(told[filled] == "READY=1\nSTATUS=1 of 1 workers ready");
        CHECK(told[filled + 1] == "WATCHDOG=1");
    }
}
