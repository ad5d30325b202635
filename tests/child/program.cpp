// SPDX-License-Identifier: MIT
#include <cluster/child/program.hpp> // first and alone: proves the header is self-contained

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/wait.h>

namespace {

using namespace std::chrono_literals;
using cluster::child_program;
using cluster::errc;
using cluster::exit_reason;
using cluster::exit_status;
using cluster::fork_program;
using cluster::send_result;
using cluster::spawn_options;
using cluster::stdio;
using cluster_test::journal;
using cluster_test::patient_loop;
namespace event = cluster::event;

spawn_options talk(std::vector<std::string> arguments) {
    return {.file = FIXTURE_SPAWNED, .arguments = std::move(arguments)};
}

void write_down(child_program& one, journal& into) {
    one.on(event::spawn, [&] { into.emplace_back("spawn"); });
    one.on(event::online, [&] { into.emplace_back("online"); });
    one.on(event::disconnect, [&] { into.emplace_back("disconnect"); });
    one.on(event::error, [&](const std::error_code& why) { into.push_back(why.message()); });
    one.on(event::exit, [&](const exit_status& how) { into.push_back(how.to_string()); });
    one.on(event::close, [&] { into.emplace_back("close"); });
}

} // namespace

TEST_SUITE("child/program") {
    TEST_CASE("messages go both ways and the events have their order") {
        patient_loop loop;
        journal seen;
        auto one = fork_program(loop, talk({"echo"}));
        write_down(one, seen);
        CHECK(one.send("hello") == send_result::ok); // long before it runs
        one.on_message([&](const std::string& text) {
            seen.push_back(text);
            if (text == "hello") {
                one.disconnect();
                CHECK_FALSE(one.is_connected());
            }
        });
        loop.run();
        CHECK(seen ==
              journal{"spawn", "online", "up", "hello", "disconnect", "exit code 0", "close"});
        CHECK(one.send("too late") == send_result::closed);
    }

    TEST_CASE("a request is answered and one to nobody fails") {
        patient_loop loop;
        int square = 0;
        std::error_code gone;
        auto one = fork_program(loop, talk({"echo"}));
        one.request<int>(12, [&](cluster::result<int> answer) {
            square = answer.value();
            one.kill(SIGKILL);
            one.request<int>(13, [&](cluster::result<int> other) { gone = other.error(); });
        });
        loop.run();
        CHECK(square == 144);
        CHECK(gone == errc::channel_closed);
    }

    TEST_CASE("a handler may take the channel that a message came by") {
        patient_loop loop;
        std::string second;
        auto one = fork_program(loop, talk({"echo"}));
        one.on_message([&](auto& from, const std::string& text) {
            if (text == "up") {
                from.send("again");
            } else {
                second = text;
                from.disconnect();
            }
        });
        loop.run();
        CHECK(second == "again");
    }

    TEST_CASE("what a program sent before it ended is there before its exit") {
        for (const char* way : {"return", "exit"}) {
            patient_loop loop;
            int messages = 0;
            bool ended = false;
            auto one = fork_program(loop, talk({"send", "3000", way}));
            one.on_message([&](const std::string&) {
                ++messages;
                CHECK_FALSE(ended);
            });
            one.on(event::exit, [&] { ended = true; });
            loop.run();
            CHECK(messages == 3000);
            CHECK(one.status() == exit_status::exited(5));
        }
    }

    TEST_CASE("a program that disconnects lives on until it has nothing to do") {
        patient_loop loop;
        int messages = 0;
        std::string output;
        auto options = talk({"send", "1000", "disconnect"});
        options.standard_output = stdio::pipe;
        auto one = fork_program(loop, std::move(options));
        one.on_message([&](const std::string&) { ++messages; });
        one.on_output([&](std::string_view text) { output += text; });
        loop.run();
        CHECK(messages == 1000);
        CHECK(output == "disconnected\n");
        CHECK(one.status().success());
    }

    TEST_CASE("the program that runs is the default") {
        patient_loop loop;
        std::string output;
        auto one = fork_program(loop, {.arguments = {"--version"}, .standard_output = stdio::pipe});
        one.on_output([&](std::string_view text) { output += text; });
        loop.run();
        CHECK(output.find("doctest") != std::string::npos);
        CHECK(one.status().success());
    }

    TEST_CASE("a program that takes no channel is a child like any other") {
        patient_loop loop;
        journal seen;
        auto one = fork_program(loop, {.file = "true"});
        write_down(one, seen);
        one.send("for nobody");
        loop.run();
        CHECK(seen == journal{"spawn", "disconnect", "exit code 0", "close"});
    }

    TEST_CASE("a grandchild that has got the channel does not keep the exit back") {
        patient_loop loop;
        journal seen;
        auto held = cluster_test::pair_for_child(); // until it is gone
        auto one = fork_program(loop,
                                {.file = "/bin/sh",
                                 .arguments = cluster_test::shell("cat <&4 & exit 3"),
                                 .extra = {stdio::descriptor(held.theirs.get())}});
        write_down(one, seen);
        loop.run();
        CHECK(seen == journal{"spawn", "disconnect", "exit code 3", "close"});
    }

    TEST_CASE("a program that does not exist is told and has no channel") {
        patient_loop loop;
        journal seen;
        auto one = fork_program(loop, {.file = "/nonexistent"});
        write_down(one, seen);
        loop.run();
        CHECK(seen == journal{"No such file or directory",
                              "disconnect",
                              "spawn failed: No such file or directory",
                              "close"});
        CHECK_FALSE(one.is_connected());
    }

    TEST_CASE("without descriptors the start fails") {
        patient_loop loop;
        auto before = raw::open_descriptors();
        for (int left : {0, 1, 2}) {
            raw::few_descriptors few{left};
            auto one = fork_program(loop, {.file = "true"});
            CHECK(one.send("nothing") != send_result::full);
            loop.run();
            CHECK(one.status().error() == std::errc::too_many_files_open);
        }
        CHECK(raw::open_descriptors() == before);
    }

    TEST_CASE("another serializer on the other side is an error on both") {
        patient_loop loop;
        auto one = fork_program(loop, talk({"other_serializer"}));
        one.send("hello");
        loop.run();
        CHECK(one.status() == exit_status::exited(7));
    }

    TEST_CASE("noise on the channel costs the channel") {
        patient_loop loop;
        journal seen;
        auto one = fork_program(loop, talk({"raw", "noise"}));
        write_down(one, seen);
        loop.run();
        REQUIRE(seen.size() == 5);
        CHECK(seen[1] == cluster::make_error_code(errc::bad_frame).message());
        CHECK(seen[2] == "disconnect");
        CHECK(one.status().success()); // not its life
    }

    TEST_CASE("when the handle goes the program is killed and nobody is called") {
        patient_loop loop;
        {
            auto one = fork_program(loop, talk({"echo"}));
            one.on_message([](const std::string&) { FAIL("called"); });
            one.on(event::disconnect, [] { FAIL("called"); });
            one.on(event::exit, [] { FAIL("called"); });
        }
        loop.run();
        CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
    }

    TEST_CASE("the handle may go in a message handler") {
        patient_loop loop;
        auto one =
            std::make_unique<child_program>(fork_program(loop, talk({"send", "10", "exit"})));
        int messages = 0;
        one->on_message([&](const std::string&) {
            ++messages;
            one.reset();
        });
        loop.run();
        CHECK(messages == 1);
        CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
    }

    TEST_CASE("a program that is not waited for does not keep the loop running") {
        patient_loop loop;
        auto one = fork_program(loop, talk({"echo"}));
        one.unref();
        loop.run();
        CHECK(one.is_running());
        CHECK(one.is_connected());
    }

    TEST_CASE("only the program that was started has a parent") {
        patient_loop loop;
        std::string output;
        auto options = talk({"report", "CLUSTER_TEST_X"});
        options.standard_output = stdio::pipe;
        options.environment = {{"CLUSTER_TEST_X", "y"}};
        auto one = fork_program(loop, options);
        one.on_output([&](std::string_view text) { output += text; });
        auto other = cluster::spawn(loop, options);
        other.on_output([&](std::string_view text) { output += text; });
        loop.run();
        std::string linked = "linked=1 told=0 CLUSTER_TEST_X=y\n";
        std::string alone = "linked=0 told=0 CLUSTER_TEST_X=y\n";
        CHECK((output == linked + alone || output == alone + linked));
    }

    TEST_CASE("a program that ignores its parent's end does not wait for it") {
        patient_loop loop;
        auto one = fork_program(loop, talk({"unlinked"}));
        loop.run();
        CHECK(one.status().success());
    }
}
