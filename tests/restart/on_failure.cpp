// SPDX-License-Identifier: MIT
#include <cluster/restart/on_failure.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <system_error>

#include <signal.h>

namespace {

using cluster::exit_reason;
using cluster::exit_status;

cluster::restart_decision after(exit_status status, bool online = true) {
    cluster::exit_report report;
    report.status = status;
    report.was_online = online;
    return cluster::restart::on_failure{}.decide(report);
}

} // namespace

TEST_SUITE("restart/on_failure") {
    TEST_CASE("a worker that ended with success stays dead") {
        CHECK(after(exit_status::exited(0)) == cluster::leave_dead);
        CHECK(after(exit_status::exited(0), false) == cluster::leave_dead);
        CHECK(after(exit_status::exited(0).because(exit_reason::recycled)) == cluster::leave_dead);
    }

    TEST_CASE("a code, a signal and an end that nobody saw are failures") {
        CHECK(after(exit_status::exited(1)) == cluster::restart_now);
        CHECK(after(exit_status::exited(255)) == cluster::restart_now);
        CHECK(after(exit_status::signaled(SIGKILL)) == cluster::restart_now);
        CHECK(after(exit_status::signaled(SIGTERM)) == cluster::restart_now);
        CHECK(after(exit_status::unknown()) == cluster::restart_now);
        auto stuck = exit_status::signaled(SIGKILL).because(exit_reason::unresponsive);
        CHECK(after(stuck) == cluster::restart_now);
    }

    TEST_CASE("a worker that cannot even start is replaced after a pause") {
        auto pause = cluster::restart_after(cluster::restart::always::boot_failure_pause);
        auto missing = std::make_error_code(std::errc::no_such_file_or_directory);
        CHECK(after(exit_status::spawn_failed(missing), false) == pause);
        CHECK(after(exit_status::exited(7), false) == pause);
        CHECK(after(exit_status::exited(0).because(exit_reason::boot_failed), false) == pause);
    }
}
