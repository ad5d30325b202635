// SPDX-License-Identifier: MIT
#include <cluster/child/exec.hpp> // first and alone: proves the header is self-contained

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"
#include "../support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/wait.h>

namespace {

using namespace std::chrono_literals;
using cluster::child;
using cluster::exec;
using cluster::exec_file;
using cluster::exec_result;
using cluster::exit_reason;
using cluster::exit_status;
using cluster::run;
using cluster::run_shell;
using cluster::spawn_options;
using cluster::stdio;
using cluster_test::journal;
using cluster_test::patient_loop;
namespace event = cluster::event;

/// What became of a command, which is told once.
exec_result result_of(std::string command, spawn_options options = {}) {
    patient_loop loop;
    exec_result result;
    int calls = 0;
    auto one = exec(loop, std::move(command), std::move(options), [&](const exec_result& told) {
        ++calls;
        result = told;
    });
    loop.run();
    CHECK(calls == 1);
    return result;
}

} // namespace

TEST_SUITE("child/exec") {
    TEST_CASE("a command's output and errors and status are told when all is there") {
        auto seen = result_of("echo out; echo err >&2; exit 3");
        CHECK(seen.standard_output == "out\n");
        CHECK(seen.standard_error == "err\n");
        CHECK(seen.status == exit_status::exited(3));
        CHECK_FALSE(seen.ok());
        CHECK(result_of("true").ok());
    }

    TEST_CASE("a command has no input unless it is given some") {
        CHECK(result_of("cat").standard_output.empty());
        CHECK(result_of("cat", {.input = "some"}).standard_output == "some");
    }

    TEST_CASE("a program is run without a shell") {
        patient_loop loop;
        std::string output;
        auto one = exec_file(loop, "echo", {"$HOME", "a  b"}, [&](const exec_result& told) {
            output = told.standard_output;
        });
        loop.run();
        CHECK(output == "$HOME a  b\n");
    }

    TEST_CASE("the result comes behind exit and close") {
        patient_loop loop;
        journal seen;
        auto one = exec(loop, "true", [&](const exec_result&) { seen.emplace_back("result"); });
        one.on(event::exit, [&] { seen.emplace_back("exit"); });
        one.on(event::close, [&] { seen.emplace_back("close"); });
        loop.run();
        CHECK(seen == journal{"exit", "close", "result"});
    }

    TEST_CASE("a program that does not exist is in the result") {
        patient_loop loop;
        exec_result result;
        auto one =
            exec_file(loop, "/nonexistent", {}, [&](const exec_result& told) { result = told; });
        loop.run();
        CHECK(result.status.error() == std::errc::no_such_file_or_directory);
        CHECK(result.status.reason() == exit_reason::spawn_failed);
    }

    TEST_CASE("a command that takes too long is ended") {
        auto seen = result_of("exec sleep 1000", {.timeout = 10ms});
        CHECK(seen.timed_out());
        CHECK_FALSE(seen.ok());
        CHECK(seen.status.signal() == SIGTERM);
    }

    TEST_CASE("a timeout does not wait for what the command has left in the background") {
        // It writes for ever, until nobody listens; or it waits for the end of this test.
        for (const char* rest : {"while :; do echo more; done", "cat <&3"}) {
            auto ends = cluster_test::pair_for_child();
            spawn_options options;
            options.extra = {stdio::descriptor(ends.theirs.get())};
            options.timeout = 100ms;
            auto seen = result_of(std::string{"{ "} + rest + "; } & exec sleep 1000", options);
            CHECK((seen.timed_out() || seen.exceeded_output()));
        }
    }

    TEST_CASE("a stop ends a command, from the start and later") {
        cluster::stop_source stop;
        patient_loop loop;
        exec_result result;
        auto one =
            exec(loop, "sleep 1000", {.stop = stop.get_token()}, [&](const exec_result& told) {
                result = told;
            });
        one.on(event::spawn, [&] { stop.request_stop(); });
        loop.run();
        CHECK(result.cancelled());
        CHECK(result.status.signal() == SIGTERM);
        auto early = result_of("true", {.stop = stop.get_token()});
        CHECK(early.cancelled());
        CHECK(early.status.signal() == 0);
    }

    TEST_CASE("too much output ends a command and what fits is kept") {
        auto seen = result_of("yes", {.max_output = 100'000});
        CHECK(seen.exceeded_output());
        CHECK(seen.standard_output.size() == 100'000);
        seen = result_of("yes >&2", {.max_output = 100'000});
        CHECK(seen.exceeded_output());
        CHECK(seen.standard_error.size() == 100'000);
    }

    TEST_CASE("output may be as long as the limit and not a byte longer") {
        auto head = [](int bytes) { return "head -c " + std::to_string(bytes) + " /dev/zero"; };
        auto fits = result_of(head(1000), {.max_output = 1000});
        CHECK(fits.ok());
        CHECK(fits.standard_output.size() == 1000);
        auto more = result_of(head(1001), {.max_output = 1000});
        CHECK(more.exceeded_output()); // though it has ended by itself
        CHECK(more.standard_output.size() == 1000);
        CHECK(result_of(head(5'000'000), {.max_output = 5'000'000}).standard_output.size() ==
              5'000'000);
    }

    TEST_CASE("output that goes elsewhere is not kept") {
        auto seen = result_of("echo out; echo err >&2", {.standard_output = stdio::ignore});
        CHECK(seen.standard_output.empty());
        CHECK(seen.standard_error == "err\n");
    }

    TEST_CASE("input of megabytes comes back as output of megabytes") {
        constexpr std::size_t size = 8 * 1024 * 1024;
        auto seen = result_of("cat", {.input = std::string(size, 'x'), .max_output = size});
        CHECK(seen.ok());
        CHECK(seen.standard_output.size() == size);
    }

    TEST_CASE("input for a command that does not read it is no error") {
        CHECK(result_of("exit 0", {.input = std::string(4 * 1024 * 1024, 'x')}).ok());
    }

    TEST_CASE("a dropped handle kills the command and there is no result") {
        patient_loop loop;
        {
            auto one = exec(loop, "sleep 1000", [](const exec_result&) { FAIL("called"); });
        }
        loop.run();
        CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
    }

    TEST_CASE("a command that was let go tells its result without a handle") {
        patient_loop loop;
        std::string output;
        exec(loop, "echo done", [&](const exec_result& told) {
            output = told.standard_output;
        }).detach();
        loop.run();
        CHECK(output == "done\n");
    }

    TEST_CASE("the handle may go in the callback, and the callback may throw") {
        patient_loop loop;
        std::unique_ptr<child> one;
        int calls = 0;
        one = std::make_unique<child>(exec(loop, "true", [&](const exec_result&) {
            ++calls;
            one.reset();
            throw std::runtime_error{"oops"};
        }));
        CHECK_THROWS_AS(loop.run(), std::runtime_error);
        loop.run();
        CHECK(calls == 1);
    }

    TEST_CASE("the blocking form returns the result") {
        auto seen = run({.file = "cat", .input = "text"});
        CHECK(seen.ok());
        CHECK(seen.standard_output == "text");
        CHECK(run({.file = "/nonexistent"}).status.error() == std::errc::no_such_file_or_directory);
        CHECK(run_shell("exit 7").status == exit_status::exited(7));
        CHECK(run_shell("exec sleep 1000", {.timeout = 10ms}).timed_out());
    }

    TEST_CASE("the blocking form works in a thread and can be stopped from another") {
        cluster::stop_source stop;
        exec_result result;
        std::thread other{[&] {
            result = run({.file = "sleep", .arguments = {"1000"}, .stop = stop.get_token()});
        }};
        stop.request_stop();
        other.join();
        CHECK(result.cancelled());
    }

    TEST_CASE("the blocking form without descriptors has the error in its result") {
        static_cast<void>(run({.file = "true"}));
        for (int left : {0, 2, 4}) {
            raw::few_descriptors few{left};
            CHECK(run({.file = "true"}).status.error() == std::errc::too_many_files_open);
        }
    }

    TEST_CASE("commands leave no descriptors") {
        static_cast<void>(run_shell("true"));
        auto before = raw::open_descriptors();
        for (int i = 0; i != 50; ++i) {
            CHECK(run_shell("echo x; echo y >&2", {.input = "z"}).ok());
        }
        CHECK(raw::open_descriptors() == before);
    }
}
