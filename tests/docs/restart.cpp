// SPDX-License-Identifier: MIT
// What README.md and .github/docs/restart.md show.
#include <cluster.hpp>

#include <doctest/doctest.h>

#include <chrono>

#include <signal.h>

namespace docs_restart {

// [own strategy]
struct only_on_signal {
    cluster::restart_decision decide(const cluster::exit_report& report) {
        return report.status.signal() ? cluster::restart_now : cluster::leave_dead;
    }
};
static_assert(cluster::restart_strategy<only_on_signal>);

using my_cluster = cluster::compose<only_on_signal>;
// [/own strategy]

// [nesting]
using namespace cluster::literals;
using namespace cluster::restart;

// At most 5 restarts within 10 s, each after a pause that doubles, and none after exit code 0.
using patient = limit<5, 10_s, backoff<100_ms, 5_s, on_failure>>;
// Workers that need each other: when one is replaced, all are; three such starts a minute.
using together = limit<3, 1_min, one_for_all<>>;
// [/nesting]

// [around another]
// What Inner decides, but at least a second later for each worker that memory ran out for.
template <typename Inner = cluster::restart::always>
class gentle {
public:
    cluster::restart_decision decide(const cluster::exit_report& report) {
        auto decision = inner_.decide(report);
        if (report.out_of_memory) {
            decision.delay += std::chrono::seconds{++times_};
        }
        return decision;
    }

private:
    Inner inner_;
    int times_ = 0;
};
// [/around another]

cluster::exit_report report_of(cluster::exit_status status) {
    cluster::exit_report report;
    report.status = status;
    report.was_online = true;
    return report;
}

} // namespace docs_restart

TEST_CASE("docs: strategies of one's own decide what their page says") {
    auto killed = docs_restart::report_of(cluster::exit_status::signaled(SIGKILL));
    auto ended = docs_restart::report_of(cluster::exit_status::exited(1));
    CHECK(docs_restart::only_on_signal{}.decide(killed) == cluster::restart_now);
    CHECK(docs_restart::only_on_signal{}.decide(ended) == cluster::leave_dead);

    docs_restart::gentle<> gentle;
    CHECK(gentle.decide(killed).delay == std::chrono::milliseconds{0});
    killed.out_of_memory = true;
    CHECK(gentle.decide(killed).delay == std::chrono::seconds{1});
    CHECK(gentle.decide(killed).delay == std::chrono::seconds{2});
}

TEST_CASE("docs: nested strategies give up after as many restarts as their page says") {
    docs_restart::patient patient;
    auto report = docs_restart::report_of(cluster::exit_status::exited(1));
    for (; report.restarts != 5; ++report.restarts) {
        CHECK(patient.decide(report).what == cluster::restart_decision::action::restart);
    }
    CHECK(patient.decide(report) == cluster::give_up);

    docs_restart::together together;
    CHECK(together.decide(report).affects == cluster::restart_decision::scope::all);
}
