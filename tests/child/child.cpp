// SPDX-License-Identifier: MIT
#include <cluster/child/child.hpp> // first and alone: proves the header is self-contained

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"
#include "../support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace {

using cluster::child;
using cluster::exit_reason;
using cluster::exit_status;
using cluster::spawn;
using cluster::spawn_options;
using cluster::stdio;
using cluster_test::journal;
using cluster_test::no_child_is_left;
using cluster_test::outcome_of;
using cluster_test::patient_loop;
using cluster_test::shell;
using cluster_test::temporary_directory;
using cluster_test::write_down;
namespace event = cluster::event;

std::string contents(const std::string& path) {
    std::ostringstream all;
    all << std::ifstream{path}.rdbuf();
    return all.str();
}

} // namespace

TEST_SUITE("child/child") {
    TEST_CASE("a child is told to run and to have ended and to be closed in this order") {
        patient_loop loop;
        journal seen;
        auto one = spawn(loop, {.file = "/bin/sh", .arguments = shell("exit 3")});
        CHECK(one.is_running());
        CHECK(one.pid() > 0);
        write_down(one, seen);
        loop.run();
        CHECK(seen == journal{"spawn", "exit exit code 3", "close exit code 3"});
        CHECK_FALSE(one.is_running());
        CHECK(one.status() == exit_status::exited(3));
        CHECK_FALSE(one.was_killed());
        CHECK(no_child_is_left());
    }

    TEST_CASE("text goes to a child and comes back") {
        patient_loop loop;
        std::string got;
        auto one = spawn(
            loop, {.file = "cat", .standard_input = stdio::pipe, .standard_output = stdio::pipe});
        one.on_output([&](std::string_view text) { got += text; });
        one.standard_input().write("there and ");
        one.standard_input().end("back");
        loop.run();
        CHECK(got == "there and back");
        CHECK(one.status().success());
    }

    TEST_CASE("the input of the options is written and ended") {
        auto seen = outcome_of({.file = "cat", .input = "all of it"});
        CHECK(seen.output == "all of it");
        CHECK(outcome_of({.file = "cat", .input = ""}).status.success());
    }

    TEST_CASE("megabytes both ways at once do not lock up") {
        constexpr std::size_t size = 8 * 1024 * 1024;
        auto seen = outcome_of({.file = "cat", .input = std::string(size, 'x')});
        CHECK(seen.output.size() == size);
        CHECK(seen.status.success());
    }

    TEST_CASE("output and errors and further descriptors are streams of their own") {
        patient_loop loop;
        std::string output;
        std::string errors;
        std::string third;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("echo out; echo err >&2; cat <&3 >&3"),
                          .standard_output = stdio::pipe,
                          .standard_error = stdio::pipe,
                          .extra = {stdio::pipe}});
        one.on_output([&](std::string_view text) { output += text; });
        one.on_error_output([&](std::string_view text) { errors += text; });
        one.pipe(3).on_data([&](cluster::stream::bytes data) {
            third.append(reinterpret_cast<const char*>(data.data()), data.size());
        });
        one.pipe(3).write("both ways");
        one.pipe(3).end();
        loop.run();
        CHECK(output == "out\n");
        CHECK(errors == "err\n");
        CHECK(third == "both ways");
    }

    TEST_CASE("standard descriptors may be files") {
        temporary_directory directory;
        std::ofstream{directory / "in"} << "from a file\n";
        std::ofstream{directory / "log"} << "before\n";
        patient_loop loop;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("cat; echo more >&2"),
                          .directory = "/",
                          .standard_input = stdio::read_from(directory / "in"),
                          .standard_output = stdio::write_to(directory / "out"),
                          .standard_error = stdio::append_to(directory / "log")});
        loop.run();
        CHECK(contents(directory / "out") == "from a file\n");
        CHECK(contents(directory / "log") == "before\nmore\n");
    }

    TEST_CASE("standard descriptors may be descriptors of ours or nothing or our own") {
        auto pair = raw::unix_pair();
        patient_loop loop;
        auto one = spawn(loop,
                         {.file = "/bin/sh",
                          .arguments = shell("cat; readlink /proc/$$/fd/2"),
                          .standard_input = stdio::ignore,
                          .standard_output = stdio::descriptor(pair.theirs.get()),
                          .standard_error = stdio::ignore,
                          .extra = {stdio::descriptor(pair.theirs.get())}});
        loop.run();
        CHECK(raw::read_some(pair.ours.get()) == "/dev/null\n");
        CHECK_THROWS_AS(static_cast<void>(one.standard_output()), std::system_error);
    }

    TEST_CASE("the environment is ours with changes or only what is said") {
        ::setenv("CLUSTER_TEST_OURS", "ours", 1);
        auto line = shell("echo $CLUSTER_TEST_OURS $CLUSTER_TEST_MORE");
        CHECK(outcome_of({.file = "/bin/sh",
                          .arguments = line,
                          .environment = {{"CLUSTER_TEST_MORE", "more"}}})
                  .output == "ours more\n");
        CHECK(outcome_of({.file = "/bin/sh",
                          .arguments = line,
                          .environment = {{"CLUSTER_TEST_OURS", std::nullopt}}})
                  .output == "\n");
        CHECK(outcome_of({.file = "env",
                          .environment = {{"PATH", "/usr/bin:/bin"}, {"A", "1"}},
                          .clear_environment = true})
                  .output == "PATH=/usr/bin:/bin\nA=1\n");
        ::unsetenv("CLUSTER_TEST_OURS");
    }

    TEST_CASE("the program is looked for in the PATH of the child") {
        temporary_directory directory;
        auto write_script = [](const std::string& path, const char* text, unsigned mode) {
            std::ofstream{path} << text;
            ::chmod(path.c_str(), mode);
        };
        ::mkdir((directory / "first").c_str(), 0755);
        ::mkdir((directory / "second").c_str(), 0755);
        write_script(directory / "first/tool", "#!/bin/sh\necho wrong", 0644); // not to be run
        write_script(directory / "second/tool", "#!/bin/sh\necho $0 $1", 0755);
        auto path = directory / "none" + ":" + (directory / "first") + ":" + (directory / "second");
        auto seen =
            outcome_of({.file = "tool", .arguments = {"arg"}, .environment = {{"PATH", path}}});
        CHECK(seen.output == directory / "second/tool" + " arg\n");
        seen = outcome_of({.file = "tool", .environment = {{"PATH", directory / "first"}}});
        CHECK(seen.status.error() == std::errc::permission_denied);
        seen = outcome_of({.file = "tool", .environment = {{"PATH", directory / "none"}}});
        CHECK(seen.status.error() == std::errc::no_such_file_or_directory);
        // An empty place is the directory of the child, and so is what a relative path is seen from.
        seen = outcome_of(
            {.file = "tool", .directory = directory / "second", .environment = {{"PATH", ""}}});
        CHECK(seen.status.success());
        CHECK(outcome_of({.file = "./tool", .directory = directory / "second"}).status.success());
    }

    TEST_CASE("a text file without an interpreter is run by the shell") {
        temporary_directory directory;
        std::ofstream{directory / "script"} << "echo $# $1 \"$2\"\n";
        ::chmod((directory / "script").c_str(), 0755);
        CHECK(outcome_of({.file = directory / "script", .arguments = {"a", "b c"}}).output ==
              "2 a b c\n");
        CHECK(outcome_of({.file = "script",
                          .arguments = {"a", "b c"},
                          .environment = {{"PATH", directory.path()}}})
                  .output == "2 a b c\n");
    }

    TEST_CASE("the program may see another name") {
        CHECK(outcome_of({.file = "/bin/sh",
                          .arguments = shell("cat /proc/$$/cmdline | tr '\\0' ' '"),
                          .argument_zero = "called"})
                  .output.starts_with("called -c "));
    }

    TEST_CASE("limits and umask and niceness and directory reach the program") {
        auto seen = outcome_of({.file = "/bin/sh",
                                .arguments = shell("ulimit -n; umask; nice; pwd"),
                                .directory = "/",
                                .limits = {{RLIMIT_NOFILE, 77, 88}},
                                .nice = 5,
                                .umask = 0027U});
        CHECK(seen.output == "77\n0027\n5\n/\n");
    }

    TEST_CASE("what cannot be started is told by the events and has a reason") {
        patient_loop loop;
        journal seen;
        auto one = spawn(loop,
                         {.file = "/nonexistent/program",
                          .standard_input = stdio::pipe,
                          .standard_output = stdio::pipe});
        write_down(one, seen);
        CHECK_FALSE(one.is_running());
        CHECK(one.pid() == -1);
        CHECK(one.kill() == std::errc::no_such_process);
        CHECK_FALSE(one.standard_input().write("for nobody")); // and nothing throws
        one.on_output([](std::string_view) { FAIL("output of nobody"); });
        CHECK(seen.empty()); // not before the loop runs
        loop.run();
        CHECK(seen == journal{"error No such file or directory",
                              "exit spawn failed: No such file or directory",
                              "close spawn failed: No such file or directory"});
        CHECK(one.status().reason() == exit_reason::spawn_failed);
    }

    TEST_CASE("a directory that does not exist is an error of the start") {
        auto seen = outcome_of({.file = "true", .directory = "/nonexistent"});
        CHECK(seen.status.error() == std::errc::no_such_file_or_directory);
    }

    TEST_CASE("a file that cannot be opened is an error of the start") {
        auto seen =
            outcome_of({.file = "true", .standard_input = stdio::read_from("/nonexistent")});
        CHECK(seen.status.error() == std::errc::no_such_file_or_directory);
    }

    TEST_CASE("options that no program can have are errors of the start") {
        using namespace std::string_literals;
        auto refused = [](spawn_options options) {
            return outcome_of(std::move(options)).status.error() == std::errc::invalid_argument;
        };
        CHECK(refused({.file = "tr\0ue"s}));
        CHECK(refused({.file = "true", .arguments = {"a\0b"s}}));
        CHECK(refused({.file = "true", .directory = "/\0"s}));
        CHECK(refused({.file = "true", .environment = {{"A", "1\0"s}}}));
        CHECK(refused({.file = "true", .environment = {{"A=B", "1"}}}));
        CHECK(refused({.file = "true", .environment = {{"", "1"}}}));
        CHECK(refused({.file = "true", .kill_signal = 0}));
        CHECK(refused({.file = "true", .kill_signal = 1000}));
        CHECK(outcome_of({}).status.error() == std::errc::no_such_file_or_directory);
    }

    TEST_CASE("without descriptors the start fails and nothing leaks") {
        patient_loop loop;
        auto warm = spawn(loop, {.file = "true", .standard_output = stdio::pipe});
        loop.run();
        auto before = raw::open_descriptors();
        std::error_code error;
        for (int left : {0, 1, 2, 3}) {
            raw::few_descriptors few{left};
            auto one = spawn(
                loop,
                {.file = "true", .standard_input = stdio::pipe, .standard_output = stdio::pipe});
            one.on(event::error, [&](const std::error_code& why) { error = why; });
            loop.run();
            CHECK(error == std::errc::too_many_files_open);
        }
        CHECK(raw::open_descriptors() == before);
    }
}
