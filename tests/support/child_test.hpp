// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_CHILD_TEST_HPP
#define CLUSTER_TESTS_SUPPORT_CHILD_TEST_HPP

#include "raw_socket.hpp"

#include <cluster/event_loop.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <signal.h>

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
