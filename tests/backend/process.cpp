// SPDX-License-Identifier: MIT
#include <cluster/backend/process.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

namespace {

using cluster::environment_variable;
using cluster::fork_options;
using cluster::stdio;
using cluster::backend::process;
using cluster::detail::launch_request;
using cluster::detail::launched_worker;
using cluster::detail::worker_descriptors;
using cluster::detail::worker_environment;

struct no_launch {
    static constexpr bool separate_memory = true;
};
struct silent_about_memory {
    static launched_worker launch(const launch_request&, std::error_code&) { return {}; }
};
static_assert(cluster::backend_policy<process>);
static_assert(process::separate_memory);
static_assert(!cluster::backend_policy<no_launch>);
static_assert(!cluster::backend_policy<silent_about_memory>);
static_assert(cluster::backend_policy<cluster::detail::any_backend>);

/// A variable of this process for as long as it lives.
struct with_variable {
    std::string name;
    with_variable(std::string which, const char* value) : name{std::move(which)} {
        ::setenv(name.c_str(), value, 1);
    }
    ~with_variable() { ::unsetenv(name.c_str()); }
};

/// Starts `/bin/sh -c script` as a worker and reads its output to the end.
std::string output_of(const std::string& script, fork_options options = {}) {
    auto channel = raw::unix_pair();
    options.executable = "/bin/sh";
    options.arguments = {"-c", script};
    if (!options.standard_output) {
        options.standard_output = stdio::pipe;
    }
    std::vector<std::string> arguments{"test"};
    std::error_code error;
    auto started = process::launch({options, arguments, -1, channel.theirs.get(), 3}, error);
    REQUIRE(!error);
    std::string result;
    bool end = !started.pipes[1];
    while (!end && raw::readable(started.pipes[1].get(), 20'000)) {
        result += raw::read_some(started.pipes[1].get(), &end);
    }
    started.child->wait();
    return result;
}

ino_t identity(int fd) {
    struct stat info {};
    REQUIRE(::fstat(fd, &info) == 0);
    return info.st_ino;
}

} // namespace

TEST_SUITE("backend/process") {
    TEST_CASE("the role is the library's own, whatever the environment says") {
        with_variable role{"CLUSTER_WORKER", "99"};
        auto block = worker_environment({.environment = {{"CLUSTER_WORKER", "98"}}}, 2);
        CHECK(block.find("CLUSTER_WORKER") == "2");
        int count = 0;
        for (auto* each = block.get(); *each != nullptr; ++each) {
            count += std::string_view{*each}.starts_with("CLUSTER_WORKER=") ? 1 : 0;
        }
        CHECK(count == 1);
    }

    TEST_CASE("by default the standard descriptors are the parent's and the channel is 3") {
        std::error_code error;
        auto table = worker_descriptors({}, 55, error);
        CHECK_FALSE(error);
        CHECK(table.numbers() == std::vector<int>{0, 1, 2, 55});
        CHECK(table.pipes.size() == 4);
        for (const auto& each : table.pipes) {
            CHECK_FALSE(each);
        }
    }

    TEST_CASE("ignored descriptors are none, borrowed ones stay the caller's") {
        std::error_code error;
        auto pair = raw::unix_pair();
        fork_options options;
        options.standard_input = stdio::ignore;
        options.standard_output = stdio::descriptor(pair.ours.get());
        options.extra = {stdio::ignore, stdio::descriptor(pair.theirs.get()), stdio::inherit};
        {
            auto table = worker_descriptors(options, 55, error);
            CHECK_FALSE(error);
            CHECK(table.numbers() ==
                  std::vector<int>{-1, pair.ours.get(), 2, 55, -1, pair.theirs.get(), -1});
        }
        CHECK(cluster::detail::os::is_open(pair.ours.get()));
        CHECK(cluster::detail::os::is_open(pair.theirs.get()));
    }

    TEST_CASE("a pipe has two ends: ours does not block, the child's does") {
        auto before = raw::open_descriptors();
        {
            std::error_code error;
            fork_options options;
            options.silent = true;
            options.standard_error = stdio::inherit; // said explicitly: wins over silent
            options.extra = {stdio::pipe};
            auto table = worker_descriptors(options, 55, error);
            REQUIRE_FALSE(error);
            REQUIRE(table.pipes.size() == 5);
            CHECK_FALSE(table.pipes[0]);
            REQUIRE(table.pipes[1]);
            CHECK_FALSE(table.pipes[2]);
            CHECK_FALSE(table.pipes[3]);
            REQUIRE(table.pipes[4]);
            CHECK((::fcntl(table.pipes[1].get(), F_GETFL) & O_NONBLOCK) != 0);
            int child = table.numbers()[1];
            CHECK((::fcntl(child, F_GETFL) & O_NONBLOCK) == 0);
            CHECK(::fcntl(child, F_GETFD) == FD_CLOEXEC);
            raw::send_some(child, "out");
            CHECK(raw::read_some(table.pipes[1].get()) == "out");
        }
        CHECK(raw::open_descriptors() == before);
    }

    TEST_CASE("a descriptor that is not open is an error") {
        std::error_code error;
        fork_options options;
        options.extra = {stdio::descriptor(999)};
        auto table = worker_descriptors(options, 55, error);
        CHECK(error == std::errc::bad_file_descriptor);
    }

    TEST_CASE("no pipe can be made without descriptors") {
        std::error_code error;
        fork_options options;
        options.standard_input = stdio::pipe;
        {
            raw::few_descriptors few{1};
            auto table = worker_descriptors(options, 55, error);
        }
        CHECK(error == std::errc::too_many_files_open);
    }

    TEST_CASE("a worker gets arguments, environment, directory and descriptors") {
        fork_options options;
        options.environment = {{"CLUSTER_TEST_SAYS", "hello"}};
        options.directory = "/";
        CHECK(output_of("echo $CLUSTER_TEST_SAYS $CLUSTER_WORKER; pwd", options) == "hello 3\n/\n");
        CHECK(output_of("echo there >&3 && echo channel") == "channel\n");
        options.extra = {stdio::ignore, stdio::pipe};
        CHECK(output_of("ls -l /proc/$$/fd | wc -l >/dev/null; [ -e /proc/$$/fd/4 ] || echo none; "
                        "[ -e /proc/$$/fd/5 ] && echo pipe; [ -e /proc/$$/fd/6 ] || echo none",
                        options) == "none\npipe\nnone\n");
    }

    TEST_CASE("a borrowed descriptor is the same file in the worker") {
        auto pair = raw::unix_pair();
        fork_options options;
        options.extra = {stdio::descriptor(pair.ours.get())};
        auto text = output_of("stat -L -c %i /proc/$$/fd/4", options);
        CHECK(text == std::to_string(identity(pair.ours.get())) + "\n");
    }

    TEST_CASE("limits, niceness, mask and session reach the worker") {
        fork_options options;
        options.limits = {{RLIMIT_NOFILE, 77, 88}};
        options.umask = 0027U;
        options.detached = true;
        CHECK(output_of("ulimit -Sn; ulimit -Hn; umask; [ $(ps -o sid= -p $$) = $$ ] && echo own",
                        options) == "77\n88\n0027\nown\n");
    }

    TEST_CASE("a program that cannot be started is an error, and no descriptor is left") {
        auto channel = raw::unix_pair();
        auto before = raw::open_descriptors();
        fork_options options;
        options.executable = "/nonexistent/program";
        options.silent = true;
        std::vector<std::string> arguments{"test"};
        std::error_code error;
        {
            auto started =
                process::launch({options, arguments, -1, channel.theirs.get(), 0}, error);
            CHECK(error == std::errc::no_such_file_or_directory);
            CHECK_FALSE(started.child);
        }
        options.executable = "/bin/sh";
        options.directory = "/nonexistent";
        error.clear();
        static_cast<void>(
            process::launch({options, arguments, -1, channel.theirs.get(), 0}, error));
        CHECK(error == std::errc::no_such_file_or_directory);
        CHECK(raw::open_descriptors() == before);
    }

    TEST_CASE("arguments default to the primary's") {
        auto channel = raw::unix_pair();
        fork_options options;
        options.executable = "/bin/echo";
        options.standard_output = stdio::pipe;
        std::vector<std::string> arguments{"program", "one", "two"};
        std::error_code error;
        auto started = process::launch({options, arguments, -1, channel.theirs.get(), 0}, error);
        REQUIRE_FALSE(error);
        std::string result;
        bool end = false;
        while (!end && raw::readable(started.pipes[1].get(), 20'000)) {
            result += raw::read_some(started.pipes[1].get(), &end);
        }
        started.child->wait();
        CHECK(result == "one two\n");
    }
}
