// SPDX-License-Identifier: MIT
#include <cluster/child/child.hpp> // first and alone: proves the header is self-contained

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"
#include "../support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using cluster::child;
using cluster::exit_reason;
using cluster::exit_status;
using cluster::spawn;
using cluster::spawn_options;
using cluster::stdio;
using cluster_test::is_gone;
using cluster_test::journal;
using cluster_test::patient_loop;
using cluster_test::shell;
using cluster_test::temporary_directory;
namespace event = cluster::event;

std::string contents(const std::string& path) {
    std::ostringstream all;
    all << std::ifstream{path}.rdbuf();
    return all.str();
}

/// What a line of shell writes, and how it ends.
struct outcome {
    std::string output;
    exit_status status;
};
outcome outcome_of(spawn_options options) {
    patient_loop loop;
    outcome result;
    options.standard_output = stdio::pipe;
    auto one = spawn(loop, std::move(options));
    one.on_output([&](std::string_view text) { result.output += text; });
    loop.run();
    result.status = one.status();
    return result;
}

/// Notes the events of a child.
void write_down(child& one, journal& into) {
    one.on(event::spawn, [&] { into.emplace_back("spawn"); });
    one.on(event::error,
           [&](const std::error_code& why) { into.push_back("error " + why.message()); });
    one.on(event::exit, [&](const exit_status& how) { into.push_back("exit " + how.to_string()); });
    one.on(event::close,
           [&](const exit_status& how) { into.push_back("close " + how.to_string()); });
}

/// No child of this process is left, not even a zombie.
bool no_child_is_left() {
    return ::waitpid(-1, nullptr, WNOHANG) == -1;
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
        std::stop_source stop;
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
        std::stop_source stop;
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
        std::stop_source stop;
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
        std::stop_source stop;
        auto one = spawn(loop, {.file = "true", .stop = stop.get_token()});
        loop.run();
        stop.request_stop();
        loop.run();
        CHECK(one.status().success());
    }

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

    TEST_CASE("kill reaches the whole tree if asked") {
        for (int how = 0; how != 4; ++how) {
            CAPTURE(how);
            patient_loop loop;
            std::stop_source stop;
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
