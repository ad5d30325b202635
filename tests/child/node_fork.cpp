// SPDX-License-Identifier: MIT
// Node.js's tests of child_process.fork(), by their names; see README.md.
#include <cluster.hpp>

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"
#include "../support/talk.hpp"
#include "../support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sys/wait.h>

namespace {

using namespace std::chrono_literals;
using cluster::exit_reason;
using cluster::exit_status;
using cluster::fork_program;
using cluster::send_result;
using cluster::spawn;
using cluster::stdio;
using cluster_test::journal;
using cluster_test::patient_loop;
using cluster_test::shell;
using cluster_test::talk;
namespace event = cluster::event;

} // namespace

TEST_SUITE("child/node_fork") {
    TEST_CASE("test-child-process-fork") {
        patient_loop loop;
        auto options = talk({"echo"});
        auto one = fork_program(loop, options);
        CHECK(options.arguments == std::vector<std::string>{"echo"}); // ours stay as they are
        int echoed = 0;
        one.on_message([&](const std::string& text) {
            if (text == "hello") {
                ++echoed;
                one.disconnect();
            }
        });
        one.send("hello");
        loop.run();
        CHECK(echoed == 1);
        CHECK(one.status().success());
    }

    TEST_CASE("test-child-process-fork3") { // an empty child does not hang
        patient_loop loop;
        auto one = fork_program(loop, talk({}));
        loop.run();
        CHECK(one.status() == exit_status::exited(0));
    }

    TEST_CASE("test-child-process-fork-args") { // what no program can be given is told, not thrown
        using namespace std::string_literals;
        patient_loop loop;
        for (const auto& bad : {""s, "a\0b"s}) {
            auto options = talk({"echo"});
            (bad.empty() ? options.environment.emplace_back("A=B", "1").name
                         : options.arguments.emplace_back(bad));
            auto one = fork_program(loop, options);
            loop.run();
            CHECK(one.status().error() == std::errc::invalid_argument);
        }
        auto one = fork_program(loop, talk({"print", "several words", ""}));
        loop.run();
        CHECK(one.status().success());
    }

    TEST_CASE("test-child-process-fork-close") { // message before exit before close, each once
        patient_loop loop;
        journal seen;
        auto options = talk({"send", "1"});
        options.standard_output = options.standard_error = stdio::pipe;
        auto one = fork_program(loop, options);
        one.on_message([&](const std::string&) { seen.emplace_back("message"); });
        one.on(event::exit, [&] { seen.emplace_back("exit"); });
        one.on(event::close, [&] { seen.emplace_back("close"); });
        loop.run();
        CHECK(seen == journal{"message", "exit", "close"});
    }

    TEST_CASE("test-child-process-fork-detached") {
        patient_loop loop;
        std::string said;
        auto one = fork_program(loop,
                                {.file = "/bin/sh",
                                 .arguments = shell("[ $(ps -o sid= -p $$) = $$ ] && echo leads"),
                                 .standard_output = stdio::pipe,
                                 .detached = true});
        one.on_output([&](std::string_view text) { said += text; });
        loop.run();
        CHECK(said == "leads\n");
    }

    TEST_CASE("test-child-process-fork-and-spawn") { // a forked child forks: both channels work
        patient_loop loop;
        journal seen;
        auto one = fork_program(loop, talk({"parent"}));
        one.on_message([&](const std::string& text) {
            seen.push_back(text);
            if (text == "grandchild: hello") {
                one.disconnect();
            }
        });
        one.send("hello");
        loop.run();
        CHECK(seen == journal{"grandchild: up", "grandchild: hello"});
        CHECK(one.status().success());
    }

    TEST_CASE("test-child-process-fork-exec-path") { // a copy of the program, told by its own path
        cluster_test::temporary_directory directory;
        std::filesystem::copy_file(FIXTURE_SPAWNED, directory / "copy");
        patient_loop loop;
        bool up = false;
        auto one = fork_program(loop, {.file = directory / "copy", .arguments = {"echo"}});
        one.on_message([&](const std::string&) {
            up = std::filesystem::read_symlink("/proc/" + std::to_string(one.pid()) + "/exe") ==
                 directory / "copy";
            one.disconnect();
        });
        loop.run();
        CHECK(up);
    }

    TEST_CASE("test-child-process-fork-no-shell") {
        patient_loop loop;
        std::string said;
        auto options = talk({"print", "$HOME; echo shell"});
        options.standard_output = stdio::pipe;
        auto one = fork_program(loop, options);
        one.on_output([&](std::string_view text) { said += text; });
        loop.run();
        CHECK(said == "$HOME; echo shell");
    }

    TEST_CASE("test-child-process-fork-stdio") { // further descriptors begin behind the channel
        patient_loop loop;
        std::string said;
        auto one = fork_program(loop,
                                {.file = "/bin/sh",
                                 .arguments = shell("cat <&4 >&5"),
                                 .extra = {stdio::pipe, stdio::pipe}});
        one.pipe(5).on_data([&](cluster::stream::bytes data) {
            said.append(reinterpret_cast<const char*>(data.data()), data.size());
        });
        one.pipe(4).end("through");
        loop.run();
        CHECK(said == "through");
        CHECK_THROWS_AS(static_cast<void>(one.pipe(3)), std::system_error); // that is the channel
        CHECK_THROWS_AS(static_cast<void>(one.pipe(-1)), std::system_error);
    }

    TEST_CASE("test-child-process-fork-stdio-string-variant") { // all piped, and it still talks
        patient_loop loop;
        bool talked = false;
        auto options = talk({"echo"});
        options.standard_input = options.standard_output = options.standard_error = stdio::pipe;
        auto one = fork_program(loop, options);
        one.on_message([&](const std::string&) {
            talked = true;
            one.disconnect();
        });
        loop.run();
        CHECK(talked);
    }

    TEST_CASE("test-child-process-silent") { // nothing of a piped child is seen unless it is read
        patient_loop loop;
        std::string output;
        std::string errors;
        auto options = talk({"print", "out", "err"});
        options.standard_output = options.standard_error = stdio::pipe;
        auto one = fork_program(loop, options);
        one.on_output([&](std::string_view text) { output += text; });
        one.on_error_output([&](std::string_view text) { errors += text; });
        loop.run();
        CHECK(output == "out");
        CHECK(errors == "err");
    }

    TEST_CASE("test-child-process-fork-ref") { // the child lives while its channel does
        patient_loop loop;
        journal seen;
        auto one = fork_program(loop, talk({"late"}));
        one.on_message([&](const std::string& text) {
            seen.push_back(text);
            text == "up" ? void(one.send("two")) : one.disconnect();
        });
        loop.run();
        CHECK(seen == journal{"up", "two"});
        CHECK(one.status().success());
    }

    TEST_CASE("test-child-process-fork-ref2") { // unless it says otherwise
        patient_loop loop;
        journal seen;
        auto one = fork_program(loop, talk({"unlinked"}));
        one.on(event::disconnect, [&] { seen.emplace_back("disconnect"); });
        one.on(event::exit, [&] { seen.emplace_back("exit"); });
        loop.run();
        CHECK(seen == journal{"disconnect", "exit"});
    }

    TEST_CASE("test-child-process-fork-timeout-kill-signal") {
        patient_loop loop;
        auto options = talk({"echo"});
        options.timeout = 5ms;
        options.kill_signal = SIGKILL;
        auto one = fork_program(loop, options);
        loop.run();
        CHECK(one.status().reason() == exit_reason::timed_out);
        CHECK(one.status().signal() == SIGKILL);
    }

    TEST_CASE("test-child-process-fork-abort-signal") {
        patient_loop loop;
        for (bool before : {false, true}) {
            for (int signal : {SIGTERM, SIGKILL}) {
                cluster::stop_source stop;
                journal errors;
                auto options = talk({"echo"});
                options.stop = stop.get_token();
                options.kill_signal = signal;
                if (before) {
                    stop.request_stop();
                }
                auto one = fork_program(loop, options);
                one.on(event::error,
                       [&](const std::error_code& why) { errors.push_back(why.message()); });
                one.on(event::spawn, [&] { stop.request_stop(); });
                loop.run();
                CHECK(errors == journal{"the operation was cancelled"});
                CHECK(one.status().reason() == exit_reason::cancelled);
                CHECK(one.status().signal() ==
                      (before ? 0 : signal)); // Node starts it all the same
            }
        }
    }

    TEST_CASE("test-child-process-fork-closed-channel-segfault") { // sends into a dying channel
        patient_loop loop;
        int completions = 0;
        int sends = 0;
        auto one = fork_program(loop, talk({"stubborn"}));
        auto send = [&](const std::string& text) {
            auto pair = raw::unix_pair();
            ++sends;
            one.channel().send(text, cluster::handle{std::move(pair.ours)}, [&](std::error_code) {
                ++completions;
            });
        };
        one.on_message([&](const std::string&) {
            one.kill(SIGKILL);
            for (int i = 0; i != 100; ++i) {
                send(std::string(10'000, 'x'));
            }
        });
        one.on(event::disconnect, [&] { send("behind the end"); });
        one.on(event::exit, [&] { send("behind the exit"); });
        loop.run();
        CHECK(sends == 102);
        CHECK(completions == 102); // each is told, whatever became of it
        CHECK(one.status().signal() == SIGKILL);
    }
}
