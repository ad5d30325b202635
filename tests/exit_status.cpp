// SPDX-License-Identifier: MIT
#include <cluster/exit_status.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <ostream>
#include <system_error>

#include <signal.h>

using cluster::exit_reason;
using cluster::exit_status;

namespace {
const std::error_code no_entry{ENOENT, std::system_category()};
}

TEST_SUITE("exit_status") {
    TEST_CASE("an exit has a code") {
        const auto status = exit_status::exited(3);
        CHECK(status.reason() == exit_reason::exited);
        CHECK(status.code() == 3);
        CHECK(status.signal() == 0);
        CHECK_FALSE(status.success());
        CHECK_FALSE(status.error());
        CHECK(status.to_string() == "exit code 3");
    }

    TEST_CASE("an exit with 0 is a success") {
        CHECK(exit_status::exited(0).success());
        CHECK(exit_status::exited(0).to_string() == "exit code 0");
    }

    TEST_CASE("a signal has no exit code") {
        const auto status = exit_status::signaled(SIGKILL);
        CHECK(status.reason() == exit_reason::signaled);
        CHECK(status.signal() == SIGKILL);
        CHECK(status.code() == 0);
        CHECK_FALSE(status.success());
        CHECK_FALSE(status.core_dumped());
        CHECK(status.to_string() == "killed by SIGKILL");
    }

    TEST_CASE("a core dump is told") {
        const auto status = exit_status::signaled(SIGABRT, true);
        CHECK(status.core_dumped());
        CHECK(status.to_string() == "killed by SIGABRT (core dumped)");
    }

    TEST_CASE("a signal without a name is a number") {
        CHECK(exit_status::signaled(40).to_string() == "killed by signal 40");
    }

    TEST_CASE("a failed spawn carries the error") {
        const auto status = exit_status::spawn_failed(no_entry);
        CHECK(status.reason() == exit_reason::spawn_failed);
        CHECK(status.error() == no_entry);
        CHECK(status.error() == std::errc::no_such_file_or_directory);
        CHECK_FALSE(status.success());
        CHECK(status.code() == 0);
        CHECK(status.to_string() == "spawn failed: No such file or directory");
    }

    TEST_CASE("an unknown end is neither a success nor a failure code") {
        CHECK(exit_status{} == exit_status::unknown());
        CHECK(exit_status{}.reason() == exit_reason::unknown);
        CHECK_FALSE(exit_status{}.success());
        CHECK(exit_status{}.to_string() == "unknown");
    }

    TEST_CASE("the cluster's reason leaves what the system told") {
        const auto late = exit_status::signaled(SIGKILL).because(exit_reason::unresponsive);
        CHECK(late.reason() == exit_reason::unresponsive);
        CHECK(late.signal() == SIGKILL);
        CHECK(late.to_string() == "unresponsive: killed by SIGKILL");

        const auto early = exit_status::exited(0).because(exit_reason::boot_failed);
        CHECK_FALSE(early.success());
        CHECK(early.to_string() == "boot failed: exit code 0");

        const auto planned = exit_status::exited(0).because(exit_reason::recycled);
        CHECK(planned.success());
        CHECK(planned.to_string() == "recycled: exit code 0");
        CHECK_FALSE(exit_status::unknown().because(exit_reason::recycled).success());
        CHECK(exit_status::unknown().because(exit_reason::recycled).to_string() == "recycled");
    }

    TEST_CASE("equal ends compare equal") {
        CHECK(exit_status::exited(1) == exit_status::exited(1));
        CHECK(exit_status::exited(1) != exit_status::exited(2));
        CHECK(exit_status::exited(9) != exit_status::signaled(9));
        CHECK(exit_status::signaled(9) != exit_status::signaled(9, true));
        CHECK(exit_status::exited(0) != exit_status::unknown());
    }

    TEST_CASE("what the system tells becomes a status") {
        using cluster::detail::to_exit_status;
        using info = cluster::detail::os::exit_info;
        CHECK(to_exit_status({info::kind::exited, 4, false}) == exit_status::exited(4));
        CHECK(to_exit_status({info::kind::signaled, SIGSEGV, true}) ==
              exit_status::signaled(SIGSEGV, true));
        CHECK(to_exit_status({}) == exit_status::unknown());
    }

    TEST_CASE("every standard signal has its name") {
        using cluster::detail::os::signal_name;
        static_assert(signal_name(SIGTERM) == "SIGTERM");
        CHECK(signal_name(0).empty());
        CHECK(signal_name(-1).empty());
        CHECK(signal_name(64).empty());
        for (int number = 1; number < 32; ++number) {
            CHECK(signal_name(number).starts_with("SIG"));
        }
    }
}
