// SPDX-License-Identifier: MIT
// What becomes of a child of spawn() when its handle, its loop or its parent goes.
#include <cluster/child/child.hpp>

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using cluster::child;
using cluster::exit_status;
using cluster::spawn;
using cluster::stdio;
using cluster_test::is_gone;
using cluster_test::journal;
using cluster_test::no_child_is_left;
using cluster_test::patient_loop;
using cluster_test::shell;
using cluster_test::write_down;
namespace event = cluster::event;

} // namespace

TEST_SUITE("child/child_handle") {
    TEST_CASE("when the handle goes the child is killed and nobody is called") {
        patient_loop loop;
        int pid = 0;
        {
            auto one = spawn(loop,
                             {.file = "/bin/sh",
                              .arguments = shell("echo hello; exec sleep 1000"),
                              .standard_input = stdio::pipe,
                              .standard_output = stdio::pipe});
            pid = one.pid();
            one.on(event::spawn, [] { FAIL("called"); });
            one.on(event::exit, [] { FAIL("called"); });
            one.on(event::close, [] { FAIL("called"); });
            one.on_output([](std::string_view) { FAIL("called"); });
            one.standard_input().on_close([](std::error_code) { FAIL("called"); });
        }
        loop.run();
        CHECK(is_gone(pid));
        CHECK(no_child_is_left());
    }

    TEST_CASE("the handle may go in any of its handlers") {
        for (int where = 0; where != 5; ++where) {
            CAPTURE(where);
            patient_loop loop;
            auto one = std::make_unique<child>(
                spawn(loop,
                      {.file = "/bin/sh",
                       .arguments = shell("echo hello; read line || exit 1; exec sleep 1000"),
                       .standard_input = stdio::pipe,
                       .standard_output = stdio::pipe}));
            int later = 0;
            auto drop = [&one] { one.reset(); };
            auto count = [&later] { ++later; };
            if (where == 0) {
                one->on(event::spawn, drop);
                one->on(event::spawn, count);
            } else if (where == 1) {
                one->on_output([&](std::string_view) { drop(); });
                one->standard_output().on_close([&](std::error_code) { count(); });
            } else if (where == 2) {
                one->standard_input().end();
                one->on(event::exit, drop);
                one->on(event::exit, count);
                one->on(event::close, count);
            } else if (where == 3) {
                one->standard_input().end();
                one->on(event::close, drop);
                one->on(event::close, count);
            } else {
                one->standard_input().end();
                one->standard_output().on_close([&](std::error_code) { drop(); });
                one->on_output([](std::string_view) {});
            }
            loop.run();
            CHECK(one == nullptr);
            CHECK(later == 0);
            CHECK(no_child_is_left());
        }
    }

    TEST_CASE("a child that was let go lives on without its handle and its handlers are called") {
        patient_loop loop;
        journal seen;
        {
            auto one = spawn(loop,
                             {.file = "/bin/sh",
                              .arguments = shell("echo hello; exit 5"),
                              .standard_output = stdio::pipe});
            write_down(one, seen);
            one.on_output([&](std::string_view text) { seen.emplace_back(text); });
            one.detach();
        }
        loop.run();
        CHECK(seen.front() == "spawn");
        CHECK(seen.back() == "close exit code 5");
        CHECK(seen.size() == 4);
    }

    TEST_CASE("a handle moves and the child with it") {
        patient_loop loop;
        std::vector<child> all;
        int exits = 0;
        for (int i = 0; i != 20; ++i) {
            all.push_back(spawn(loop, {.file = "true"}));
            all.back().on(event::exit, [&] { ++exits; });
        }
        child none;
        CHECK_FALSE(none);
        CHECK(none.kill() == std::errc::no_such_process);
        none = std::move(all.front());
        CHECK(none);
        loop.run();
        CHECK(exits == 20);
    }

    TEST_CASE("a handle may outlive its loop, the child does not") {
        child one;
        int pid = 0;
        {
            patient_loop loop;
            one = spawn(loop,
                        {.file = "sleep", .arguments = {"1000"}, .standard_input = stdio::pipe});
            pid = one.pid();
        }
        CHECK_FALSE(one);
        CHECK(one.kill() == std::errc::no_such_process);
        CHECK(is_gone(pid));
        CHECK(no_child_is_left());
    }

    TEST_CASE("handlers that throw lose no event") {
        patient_loop loop;
        journal seen;
        auto one = spawn(loop, {.file = "true"});
        one.on(event::spawn, [] { throw std::runtime_error{"spawn"}; });
        one.on(event::exit, [] { throw std::runtime_error{"exit"}; });
        one.on(event::close, [] { throw std::runtime_error{"close"}; });
        write_down(one, seen);
        for (const char* what : {"spawn", "exit", "close"}) {
            CHECK_THROWS_WITH_AS(loop.run(), what, std::runtime_error);
        }
        loop.run();
        CHECK(seen == journal{"spawn", "exit exit code 0", "close exit code 0"});
    }

    TEST_CASE("a child that is not waited for does not keep the loop running") {
        patient_loop loop;
        auto one = spawn(loop, {.file = "sleep", .arguments = {"1000"}});
        one.unref();
        loop.run();
        CHECK(one.is_running());
        one.ref();
        one.kill();
        loop.run();
        CHECK_FALSE(one.is_running());
    }

    TEST_CASE("a detached child has a session of its own and outlives handle and loop") {
        int pid = 0;
        auto ends = cluster_test::pair_for_child();
        {
            patient_loop loop;
            auto one = spawn(loop,
                             {.file = "/bin/sh",
                              .arguments = shell("ps -o sid= -p $$; read line; exit 0"),
                              .standard_input = stdio::descriptor(ends.theirs.get()),
                              .standard_output = stdio::descriptor(ends.theirs.get()),
                              .detached = true});
            pid = one.pid();
            one.unref();
            loop.run();
        }
        ends.theirs.reset();
        REQUIRE(raw::readable(ends.ours.get(), 60'000));
        CHECK(std::atoi(raw::read_some(ends.ours.get()).c_str()) == pid);
        CHECK_FALSE(is_gone(pid));
        raw::send_some(ends.ours.get(), "go\n");
        int status = -1;
        CHECK(::waitpid(pid, &status, 0) == pid); // nobody of the library is left to do it
        CHECK(status == 0);
    }

    TEST_CASE("a child ends with the process that started it") {
        auto ends = raw::unix_pair();
        int parent = ::fork();
        REQUIRE(parent != -1);
        if (parent == 0) {
            {
                cluster::event_loop loop;
                auto one = spawn(loop,
                                 {.file = "/bin/sh",
                                  .arguments = shell("echo $$; exec sleep 1000"),
                                  .standard_output = stdio::descriptor(ends.theirs.get())});
                one.detach(); // of the handle, not of the process
                raw::readable(ends.ours.get(), 60'000);
                ::kill(::getpid(), SIGKILL);
            }
            ::_exit(1);
        }
        ::waitpid(parent, nullptr, 0);
        ends.theirs.reset();
        bool end = false;
        std::string said;
        while (!end && raw::readable(ends.ours.get(), 60'000)) {
            said += raw::read_some(ends.ours.get(), &end);
        }
        CHECK(end); // its output is closed, so it is gone
        CHECK(std::atoi(said.c_str()) > 1);
    }

    TEST_CASE("a hundred children at once are all reported and leave nothing") {
        patient_loop loop;
        auto before = raw::open_descriptors();
        {
            std::vector<child> all;
            int right = 0;
            for (int i = 0; i != 100; ++i) {
                all.push_back(spawn(loop,
                                    {.file = "/bin/sh",
                                     .arguments = shell("exit " + std::to_string(i)),
                                     .standard_output = stdio::pipe}));
                all.back().on(event::close,
                              [&, i](const exit_status& how) { right += how.code() == i ? 1 : 0; });
            }
            loop.run();
            CHECK(right == 100);
        }
        loop.run();
        CHECK(raw::open_descriptors() == before);
        CHECK(no_child_is_left());
    }
}
