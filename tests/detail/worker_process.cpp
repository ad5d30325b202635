// SPDX-License-Identifier: MIT
#include <cluster/detail/worker_process.hpp> // first and alone: proves the header is self-contained

#include <cluster/event_loop.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <ostream>
#include <system_error>
#include <utility>
#include <vector>

namespace {

namespace os = cluster::detail::os;

os::child_process start(const char* shell_command) {
    const char* const arguments[] = {"sh", "-c", shell_command, nullptr};
    os::spawn_request request;
    request.path = "/bin/sh";
    request.arguments = arguments;
    std::error_code error;
    auto child = os::spawn(request, error);
    REQUIRE_FALSE(error);
    return child;
}

// Without a pidfd, as on kernels before 5.3 and in some sandboxes.
struct without_pidfd {
    without_pidfd() { os::pidfd_disabled = true; }
    ~without_pidfd() { os::pidfd_disabled = false; }
};

void reports_once(int wanted_code) {
    cluster::event_loop loop;
    cluster::detail::watched_process process;
    std::vector<os::exit_info> reports;
    process.start(
        loop, start("exit 7"), [&](const os::exit_info& info) { reports.push_back(info); });
    int pid = process.pid();
    CHECK(pid > 0);
    loop.run(); // the child keeps it alive, its end lets it return
    REQUIRE(reports.size() == 1);
    CHECK(reports.front().value == wanted_code);
    CHECK(process.pid() == pid); // for display, also afterwards
    CHECK(process.signal(0) == std::errc::no_such_process);
}

} // namespace

TEST_SUITE("detail/worker_process") {
    TEST_CASE("tells once that the child has ended") {
        reports_once(7);
    }

    TEST_CASE("tells it also without a pidfd") {
        without_pidfd guard;
        reports_once(7);
    }

    TEST_CASE("a signal reaches the child and its end is told") {
        cluster::event_loop loop;
        cluster::detail::watched_process process;
        int signal = 0;
        process.start(
            loop, start("exec sleep 100"), [&](const os::exit_info& info) { signal = info.value; });
        CHECK_FALSE(process.wait_exit(std::chrono::milliseconds{1}));
        CHECK_FALSE(process.signal(SIGKILL));
        loop.run();
        CHECK(signal == SIGKILL);
    }

    TEST_CASE("a child that is let go is watched by whoever gets it") {
        cluster::event_loop loop;
        cluster::detail::watched_process first;
        bool told = false;
        int signal = 0;
        first.start(loop, start("exec sleep 100"), [&](const os::exit_info&) { told = true; });
        auto child = first.release();
        REQUIRE(child);
        CHECK(child->pid() == first.pid());
        CHECK(first.signal(0) == std::errc::no_such_process);
        CHECK_FALSE(first.release());
        CHECK(loop.run() == 0); // nobody waits for it
        cluster::detail::watched_process second;
        second.start(
            loop, std::move(child), [&](const os::exit_info& info) { signal = info.value; });
        CHECK_FALSE(second.signal(SIGKILL));
        loop.run();
        CHECK(signal == SIGKILL);
        CHECK_FALSE(told);
    }

    TEST_CASE("waiting without a loop sees the end, with and without a pidfd") {
        for (bool disabled : {false, true}) {
            os::pidfd_disabled = disabled;
            cluster::event_loop loop;
            cluster::detail::watched_process process;
            process.start(loop, start("exit 0"), [](const os::exit_info&) {});
            CHECK(process.wait_exit(std::chrono::seconds{60}));
            os::pidfd_disabled = false;
        }
    }
}
