// SPDX-License-Identifier: MIT
// What becomes of the workers when their primary dies. The primary that dies is this program again,
// told by a variable of its environment; its workers have that variable, too.
#include "../support/cluster_test.hpp"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace cluster_test;
namespace os = cluster::detail::os;

namespace {

constexpr const char* doomed_variable = "CLUSTER_TEST_DOOMED_PRIMARY";

bool is_doomed() {
    return std::getenv(doomed_variable) != nullptr;
}

/// A primary that holds the write end of a pipe, as its workers do: the pipe's end is the end of
/// the last of them.
struct doomed_primary {
    static constexpr int pipe = 3;        // its own descriptor of it
    static constexpr int worker_pipe = 4; // a worker's

    explicit doomed_primary(const char* name) {
        int ends[2] = {-1, -1};
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        output.reset(ends[0]);
        cluster::unique_fd input{ends[1]};

        const std::string which = std::string{"--test-case="} + name;
        const char* const arguments[] = {program::argv[0], which.c_str(), nullptr};
        const int descriptors[] = {-1, -1, -1, input.get()};
        const os::resource_limit no_core[] = {{RLIMIT_CORE, 0, 0}};
        const auto self = os::open_running_program();
        os::spawn_request request;
        request.executable = self.get();
        request.arguments = arguments;
        request.descriptors = descriptors;
        request.limits = no_core;
        ::setenv(doomed_variable, "1", 1);
        request.environment = os::environment();
        std::error_code error;
        process = os::spawn(request, error);
        ::unsetenv(doomed_variable);
        REQUIRE_MESSAGE(!error, error.message());
    }
    ~doomed_primary() {
        process.signal(SIGKILL);
        process.wait();
    }

    /// Everything that was written into the pipe, once nobody can write any more.
    std::string read_to_end() {
        using clock = std::chrono::steady_clock;
        const auto deadline = clock::now() + patience();
        std::string text;
        char buffer[256];
        for (;;) {
            auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now());
            if (left.count() <= 0 || !os::wait_for(output.get(), false, int(left.count()))) {
                return text + "(somebody lives on)";
            }
            auto count = ::read(output.get(), buffer, sizeof buffer);
            if (count <= 0) {
                return text;
            }
            text.append(buffer, static_cast<std::size_t>(count));
        }
    }

    os::child_process process;
    cluster::unique_fd output;
};

/// A worker that proves that it holds the pipe, and serves.
template <typename Self>
void serve(Self& self) {
    if (::write(doomed_primary::worker_pipe, "worker\n", 7) != 7) {
        std::exit(3);
    }
    self.listen({}, [](cluster::connection) {});
}

/// The primary that dies with `die()` when `count` workers listen.
template <typename Cluster, typename Die>
void be_doomed(const char* name, std::size_t count, Die die) {
    std::size_t listening = 0;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            primary.setup({.extra = {cluster::stdio::descriptor(doomed_primary::pipe)}});
            primary.fork(count);
            primary.on(cluster::event::listening, [&] {
                if (++listening == count) {
                    die();
                }
            });
        },
        [](auto& self) { serve(self); });
}

} // namespace

// Node.js: test/parallel/test-cluster-primary-error.js
// A C++ program that does not catch an exception ends by SIGABRT.
TEST_CASE("test-cluster-primary-error") {
    const char* name = "test-cluster-primary-error";
    if (is_doomed()) {
        [name]() noexcept {
            be_doomed<cluster::process_cluster>(
                name, 2, [] { throw std::runtime_error("nobody catches this"); });
        }();
        return;
    }
    doomed_primary primary{name};
    CHECK(primary.read_to_end() == "worker\nworker\n");
    auto ended = primary.process.wait();
    CHECK(ended.how == os::exit_info::kind::signaled);
    CHECK(ended.value == SIGABRT);
}

// Node.js: test/parallel/test-cluster-primary-kill.js
TEST_CASE("test-cluster-primary-kill") {
    const char* name = "test-cluster-primary-kill";
    if (is_doomed()) {
        be_doomed<cluster::process_cluster>(name, 1, [] { std::exit(0); });
        return;
    }
    doomed_primary primary{name};
    CHECK(primary.read_to_end() == "worker\n");
    auto ended = primary.process.wait();
    CHECK(ended.how == os::exit_info::kind::exited);
    CHECK(ended.value == 0);
}
