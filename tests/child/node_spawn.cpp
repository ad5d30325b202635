// SPDX-License-Identifier: MIT
// Node.js's tests of child_process.spawn(), by their names; see README.md.
#include <cluster.hpp>

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"
#include "../support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

using cluster::exit_reason;
using cluster::exit_status;
using cluster::run;
using cluster::run_shell;
using cluster::spawn;
using cluster::stdio;
using cluster_test::journal;
using cluster_test::patient_loop;
using cluster_test::shell;
namespace event = cluster::event;

} // namespace

TEST_SUITE("child/node_spawn") {
    TEST_CASE("test-child-process-emfile") { // told, and later children start again
        patient_loop loop;
        journal seen;
        {
            raw::few_descriptors few{1};
            auto one = spawn(loop, {.file = "true", .standard_output = stdio::pipe});
            one.on(event::error, [&](const std::error_code& why) {
                seen.emplace_back(why == std::errc::too_many_files_open ? "EMFILE" : "other");
            });
            one.on(event::exit, [&] { seen.emplace_back("exit"); });
            loop.run();
        }
        CHECK(seen == journal{"EMFILE", "exit"});
        auto one = spawn(loop, {.file = "true"});
        loop.run();
        CHECK(one.status().success());
    }

    TEST_CASE("test-child-process-exit") { // a child's input is closed when it has ended
        patient_loop loop;
        bool input_closed = false;
        bool exited = false;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("echo up; exit 0"),
                          .standard_input = stdio::pipe,
                          .standard_output = stdio::pipe});
        one.on_output([](std::string_view) {});
        one.standard_input().on_close([&](std::error_code) { input_closed = true; });
        one.on(event::exit, [&] { exited = true; });
        loop.run();
        CHECK(exited);
        CHECK(input_closed);
    }

    TEST_CASE("test-child-process-exit-code") {
        CHECK(run_shell("exit 23").status.code() == 23);
        CHECK(run_shell("exit 0").status.code() == 0);
        CHECK(run_shell("kill -9 $$").status == exit_status::signaled(SIGKILL));
    }

    TEST_CASE("test-child-process-kill") {
        patient_loop loop;
        std::string output;
        journal seen;
        auto one = spawn(loop,
                         {.file = "cat",
                          .standard_input = stdio::pipe,
                          .standard_output = stdio::pipe,
                          .standard_error = stdio::pipe});
        one.on_output([&](std::string_view text) { output += text; });
        one.on_error_output([&](std::string_view text) { output += text; });
        one.standard_output().on_close(
            [&](std::error_code) { seen.emplace_back("output closed"); });
        one.on(event::exit, [&](const exit_status& how) {
            CHECK(how == exit_status::signaled(SIGTERM));
            CHECK(how.code() == 0);
        });
        CHECK_FALSE(one.was_killed());
        CHECK_FALSE(one.kill());
        CHECK(one.was_killed());
        loop.run();
        CHECK(output.empty());
        CHECK(seen == journal{"output closed"});
        // The program of a signal that is none, and the one that is gone.
        auto other = spawn(loop, {.file = "cat", .standard_input = stdio::pipe});
        CHECK(other.kill(12345) == std::errc::invalid_argument);
        CHECK_FALSE(other.kill(0));
        CHECK_FALSE(other.kill(SIGKILL));
        loop.run();
        CHECK(other.kill(0) == std::errc::no_such_process);
    }

    TEST_CASE("test-child-process-uid-gid") {
        unsigned user = ::getuid();
        unsigned group = ::getgid();
        auto ids = [](unsigned u, unsigned g) {
            return run({.file = "/bin/sh",
                        .arguments = shell("id -u; id -g"),
                        .directory = "/",
                        .user = u,
                        .group = g});
        };
        CHECK(ids(user, group).standard_output ==
              std::to_string(user) + "\n" + std::to_string(group) + "\n");
        auto other = ids(65534, 65534);
        if (user == 0) {
            CHECK(other.standard_output == "65534\n65534\n");
        } else {
            CHECK(other.status.error() == std::errc::operation_not_permitted);
        }
    }

    TEST_CASE("test-child-process-cwd") {
        cluster_test::temporary_directory directory;
        auto in = [](const std::string& where) { return run({.file = "pwd", .directory = where}); };
        CHECK(in(directory.path()).standard_output == directory.path() + "\n");
        CHECK(in("/").standard_output == "/\n");
        CHECK(in("").ok()); // ours
        CHECK(in(directory / "none").status.error() == std::errc::no_such_file_or_directory);
        CHECK(in("/dev/null").status.error() == std::errc::not_a_directory);
    }

    TEST_CASE("test-child-process-env") {
        auto seen = run({.file = "/usr/bin/env",
                         .environment = {{"HELLO", "WORLD"},
                                         {"UNDEFINED", std::nullopt},
                                         {"EMPTY", ""},
                                         {"HELLO", "ALL"}}})
                        .standard_output;
        CHECK(seen.find("HELLO=ALL\n") != std::string::npos);
        CHECK(seen.find("WORLD") == std::string::npos);
        CHECK(seen.find("UNDEFINED") == std::string::npos);
        CHECK(seen.find("EMPTY=\n") != std::string::npos);
        CHECK(seen.find("PATH=") != std::string::npos);
    }

    TEST_CASE("test-child-process-stdio-big-write-end") { // until it is full, and all of it arrives
        patient_loop loop;
        std::string counted;
        auto one = spawn(loop,
                         {.file = "wc",
                          .arguments = {"-c"},
                          .standard_input = stdio::pipe,
                          .standard_output = stdio::pipe});
        one.on_output([&](std::string_view text) { counted += text; });
        const std::string chunk(65536, '.');
        std::size_t written = 0;
        bool goes_on = true;
        while (goes_on) {
            goes_on = one.standard_input().write(chunk);
            written += chunk.size();
        }
        for (int i = 0; i != 10; ++i) { // and beyond: nothing is lost
            one.standard_input().write(chunk);
            written += chunk.size();
        }
        one.standard_input().end();
        loop.run();
        CHECK(counted == std::to_string(written) + "\n");
    }

    TEST_CASE("test-child-process-stdout-flush") { // every byte of what a child has written
        auto seen = run_shell("head -c 200000 /dev/zero | tr '\\0' '.'");
        CHECK(seen.standard_output == std::string(200'000, '.'));
    }

    TEST_CASE("test-child-process-stdout-flush-exit") { // also of one that ends at once behind it
        for (int i = 0; i != 20; ++i) {
            auto seen =
                run_shell("printf 'beginning\\n'; head -c 60000 /dev/zero; printf end; exit 0");
            CHECK(seen.standard_output.starts_with("beginning\n"));
            CHECK(seen.standard_output.ends_with("end"));
            CHECK(seen.standard_output.size() == 60'013);
        }
    }

    TEST_CASE("test-child-process-spawn-event") {
        patient_loop loop;
        journal seen;
        auto one =
            spawn(loop, {.file = "echo", .arguments = {"x"}, .standard_output = stdio::pipe});
        one.on(event::spawn, [&] { seen.emplace_back("spawn"); });
        one.on(event::error, [&] { seen.emplace_back("error"); });
        one.on_output([&](std::string_view) { seen.emplace_back("data"); });
        one.on(event::exit, [&] { CHECK(seen.front() == "spawn"); });
        CHECK(seen.empty());
        loop.run();
        CHECK(seen == journal{"spawn", "data"});
        journal other;
        auto none = spawn(loop, {.file = "does-not-exist"});
        none.on(event::spawn, [&] { other.emplace_back("spawn"); });
        none.on(event::error, [&] { other.emplace_back("error"); });
        loop.run();
        CHECK(other == journal{"error"});
    }

    TEST_CASE("test-child-process-spawn-error") {
        patient_loop loop;
        std::error_code error;
        auto one = spawn(loop, {.file = "foo123doesntexist", .arguments = {"bar"}});
        CHECK(one.pid() == -1);
        one.on(event::error, [&](const std::error_code& why) { error = why; });
        loop.run();
        CHECK(error == std::errc::no_such_file_or_directory);
        CHECK(one.status().reason() == exit_reason::spawn_failed);
    }
}
