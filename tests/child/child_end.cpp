// SPDX-License-Identifier: MIT
// How a child of spawn() ends, and what ends it.
#include <cluster/child/child.hpp>

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace {

using namespace std::chrono_literals;
using cluster::child;
using cluster::exit_reason;
using cluster::exit_status;
using cluster::spawn;
using cluster::spawn_options;
using cluster::stdio;
using cluster_test::journal;
using cluster_test::outcome_of;
using cluster_test::patient_loop;
using cluster_test::shell;
using cluster_test::write_down;
namespace event = cluster::event;

} // namespace

TEST_SUITE("child/child_end") {
    TEST_CASE("kill sends the signal and says when there is nobody") {
        patient_loop loop;
        auto one = spawn(loop, {.file = "sleep", .arguments = {"1000"}});
        CHECK_FALSE(one.kill(0));
        CHECK_FALSE(one.was_killed());
        CHECK(one.kill(1000) == std::errc::invalid_argument);
        CHECK_FALSE(one.kill());
        CHECK(one.was_killed());
        loop.run();
        CHECK(one.status() == exit_status::signaled(SIGTERM));
        CHECK(one.kill() == std::errc::no_such_process);
        CHECK(one.kill(0) == std::errc::no_such_process);
    }

    TEST_CASE("a child that others kill is reported") {
        patient_loop loop;
        auto one = spawn(loop, {.file = "sleep", .arguments = {"1000"}});
        ::kill(one.pid(), SIGKILL);
        loop.run();
        CHECK(one.status() == exit_status::signaled(SIGKILL));
        CHECK_FALSE(one.was_killed());
    }

    TEST_CASE("writing to a child that is gone is an error of the stream and not a signal") {
        patient_loop loop;
        std::error_code reason;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("exec <&-; echo closed; read line <&3"),
                          .standard_input = stdio::pipe,
                          .standard_output = stdio::pipe,
                          .extra = {stdio::pipe}});
        one.standard_input().on_close([&](std::error_code why) {
            reason = why;
            one.pipe(3).end("go\n");
        });
        one.on_output([&](std::string_view) { one.standard_input().write("too late"); });
        loop.run();
        CHECK(reason == std::errc::broken_pipe);
        CHECK(one.status().success());
    }

    TEST_CASE("what waits for a child that closes its input is an error of the stream") {
        patient_loop loop;
        std::error_code reason;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("exec <&-; read line <&3"),
                          .standard_input = stdio::pipe,
                          .extra = {stdio::pipe}});
        one.standard_input().on_close([&](std::error_code why) {
            reason = why;
            one.pipe(3).end("go\n");
        });
        one.standard_input().write(std::string(4 * 1024 * 1024, 'x'));
        loop.run();
        CHECK(reason);
        CHECK(one.status().success());
    }

    TEST_CASE("a child may close its output early and live on") {
        patient_loop loop;
        bool ended = false;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("echo last; exec >&-; read line; exit 4"),
                          .standard_input = stdio::pipe,
                          .standard_output = stdio::pipe});
        std::string got;
        one.on_output([&](std::string_view text) { got += text; });
        one.standard_output().on_end([&] {
            ended = true;
            CHECK(one.is_running());
            one.standard_output().end();
            one.standard_input().end("go\n");
        });
        loop.run();
        CHECK(ended);
        CHECK(got == "last\n");
        CHECK(one.status() == exit_status::exited(4));
    }

    TEST_CASE("a grandchild that keeps the output keeps close back but not exit") {
        patient_loop loop;
        journal seen;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("{ read line <&3; echo late; } & exit 0"),
                          .standard_output = stdio::pipe,
                          .extra = {stdio::pipe}});
        write_down(one, seen);
        one.on_output([&](std::string_view text) { seen.emplace_back(text); });
        one.on(event::exit, [&] { one.pipe(3).end("go\n"); });
        loop.run();
        CHECK(seen == journal{"spawn", "exit exit code 0", "late\n", "close exit code 0"});
    }

    TEST_CASE("output that nobody reads does not keep close back") {
        patient_loop loop;
        journal seen;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("echo unread"),
                          .standard_input = stdio::pipe,
                          .standard_output = stdio::pipe,
                          .standard_error = stdio::pipe});
        write_down(one, seen);
        loop.run();
        CHECK(seen.back() == "close exit code 0");
    }

    TEST_CASE("a child that takes too long gets its signal and has the reason") {
        patient_loop loop;
        journal seen;
        auto one = spawn(
            loop, {.file = "sleep", .arguments = {"1000"}, .timeout = 10ms, .kill_signal = SIGINT});
        write_down(one, seen);
        loop.run();
        CHECK(one.status().reason() == exit_reason::timed_out);
        CHECK(one.status().signal() == SIGINT);
        CHECK(one.was_killed());
        CHECK(seen.back() == "close timed out: killed by SIGINT");
    }

    TEST_CASE("a child that ignores its signal is killed after all") {
        patient_loop loop;
        cluster::stop_source stop;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("trap '' TERM; echo ready; while :; do sleep 1; done"),
                          .standard_output = stdio::pipe,
                          .kill_tree = true,
                          .force_after = 10ms,
                          .stop = stop.get_token()});
        one.on_output([&](std::string_view) { stop.request_stop(); });
        loop.run();
        CHECK(one.status().reason() == exit_reason::cancelled);
        CHECK(one.status().signal() == SIGKILL);
    }

    TEST_CASE("a child that ends in time has no other reason") {
        auto seen = outcome_of({.file = "true", .timeout = 1h});
        CHECK(seen.status == exit_status::exited(0));
    }

    TEST_CASE("a stop from another thread ends the child") {
        patient_loop loop;
        journal seen;
        cluster::stop_source stop;
        auto one = spawn(loop, {.file = "sleep", .arguments = {"1000"}, .stop = stop.get_token()});
        write_down(one, seen);
        std::thread other{[&] { stop.request_stop(); }};
        loop.run();
        other.join();
        CHECK(seen == journal{"spawn",
                              "error the operation was cancelled",
                              "exit cancelled: killed by SIGTERM",
                              "close cancelled: killed by SIGTERM"});
    }

    TEST_CASE("a stop before the start starts nothing") {
        patient_loop loop;
        journal seen;
        cluster::stop_source stop;
        stop.request_stop();
        auto one = spawn(loop, {.file = "true", .stop = stop.get_token()});
        write_down(one, seen);
        CHECK(one.pid() == -1);
        loop.run();
        CHECK(one.status().reason() == exit_reason::cancelled);
        CHECK(seen.size() == 3);
        CHECK(seen.front() == "error the operation was cancelled");
    }

    TEST_CASE("a stop after the end does nothing") {
        patient_loop loop;
        cluster::stop_source stop;
        auto one = spawn(loop, {.file = "true", .stop = stop.get_token()});
        loop.run();
        stop.request_stop();
        loop.run();
        CHECK(one.status().success());
    }

    TEST_CASE("kill reaches the whole tree if asked") {
        for (int how = 0; how != 4; ++how) {
            CAPTURE(how);
            patient_loop loop;
            cluster::stop_source stop;
            auto held = raw::unix_pair(); // by every process of the tree
            std::optional<child> one;
            one = spawn(
                loop,
                {.file = "/bin/sh",
                 .arguments = shell("trap 'exit 0' TERM;"
                                    "sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' &"
                                    "wait; wait"),
                 .standard_output = stdio::pipe,
                 .extra = {stdio::descriptor(held.theirs.get())},
                 .kill_tree = true,
                 .stop = stop.get_token()});
            held.theirs.reset();
            one->on_output([&](std::string_view) {
                if (how == 0) { // the child itself goes at once, and whoever is left behind it
                    stop.request_stop();
                } else if (how == 1) {
                    one.reset();
                } else if (how == 2) {
                    one->kill(SIGKILL);
                } else {
                    loop.stop();
                }
            });
            loop.run();
            one.reset();
            loop.run();
            bool end = false;
            CHECK(raw::readable(held.ours.get(), 60'000));
            raw::read_some(held.ours.get(), &end);
            CHECK(end); // nobody holds it any more
        }
    }
}
