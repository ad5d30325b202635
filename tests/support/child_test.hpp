// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_CHILD_TEST_HPP
#define CLUSTER_TESTS_SUPPORT_CHILD_TEST_HPP

#include "raw_socket.hpp"

#include <cluster/child/child.hpp>
#include <cluster/event.hpp>
#include <cluster/event_loop.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/wait.h>

namespace cluster_test {

/// A loop for children. Its run() gives up after a generous time, with a failed check.
class patient_loop : public cluster::event_loop {
public:
    int run() {
        const char* factor = std::getenv("CLUSTER_TEST_PATIENCE");
        auto patience = std::chrono::seconds{60} * (factor == nullptr ? 1 : std::atoi(factor));
        bool late = false;
        auto watchdog = after(patience, [&] {
            late = true;
            stop(-1);
        });
        watchdog.unref();
        int code = event_loop::run();
        watchdog.cancel();
        CHECK_MESSAGE(!late, "the children did not end in time");
        return code;
    }
};

/// What has happened, in order.
using journal = std::vector<std::string>;

/// `file` by /bin/sh, or one line of it.
inline std::vector<std::string> shell(std::string line) {
    return {"-c", std::move(line)};
}

/// What a line of shell writes, and how it ends.
struct outcome {
    std::string output;
    cluster::exit_status status;
};
inline outcome outcome_of(cluster::spawn_options options) {
    patient_loop loop;
    outcome result;
    options.standard_output = cluster::stdio::pipe;
    auto one = cluster::spawn(loop, std::move(options));
    one.on_output([&](std::string_view text) { result.output += text; });
    loop.run();
    result.status = one.status();
    return result;
}

/// Notes the events of a child.
inline void write_down(cluster::child& one, journal& into) {
    one.on(cluster::event::spawn, [&] { into.emplace_back("spawn"); });
    one.on(cluster::event::error,
           [&](const std::error_code& why) { into.push_back("error " + why.message()); });
    one.on(cluster::event::exit,
           [&](const cluster::exit_status& how) { into.push_back("exit " + how.to_string()); });
    one.on(cluster::event::close,
           [&](const cluster::exit_status& how) { into.push_back("close " + how.to_string()); });
}

/// No child of this process is left, not even a zombie.
inline bool no_child_is_left() {
    return ::waitpid(-1, nullptr, WNOHANG) == -1;
}

/// Two connected sockets, of which a child gets the one that blocks, as programs expect it.
inline raw::ends pair_for_child() {
    auto pair = raw::unix_pair();
    cluster::detail::os::set_nonblocking(pair.theirs.get(), false);
    return pair;
}

/// Whether the process is gone, or a zombie that nobody of ours has to reap.
inline bool is_gone(int pid) {
    return ::kill(pid, 0) != 0;
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_CHILD_TEST_HPP
