// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_ADAPTERS_SUPPORT_FOREIGN_SERVER_HPP
#define CLUSTER_TESTS_ADAPTERS_SUPPORT_FOREIGN_SERVER_HPP

/// \file
/// A real server as a child of the test, which dies with it; and ones that only pretend.

#include "../../fixtures/scenario.hpp"
#include "../../support/temporary_directory.hpp"

#include <cluster/unique_fd.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cluster_test {

/// The first of these programs that is there; empty if none is.
inline std::string find_program(const std::vector<std::string>& candidates) {
    for (const auto& each : candidates) {
        if (::access(each.c_str(), X_OK) == 0) {
            return each;
        }
    }
    return {};
}

class foreign_server {
public:
    explicit foreign_server(std::vector<std::string> command) : command_{std::move(command)} {}
    foreign_server(foreign_server&&) = delete;
    ~foreign_server() { kill(); }

    /// `name_space`, if any: of `ip netns`.
    void start(const std::string& name_space = {}) {
        std::vector<char*> arguments;
        for (auto& each : command_) {
            arguments.push_back(each.data());
        }
        arguments.push_back(nullptr);
        auto net = name_space.empty() ? std::string{} : "/run/netns/" + name_space;
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (int null = ::open("/dev/null", O_RDWR); null != -1) {
                ::dup2(null, 0);
                ::dup2(null, 1);
                ::dup2(null, 2);
            }
            if (!net.empty() &&
                ::setns(::open(net.c_str(), O_RDONLY | O_CLOEXEC), CLONE_NEWNET) != 0) {
                ::_exit(126);
            }
            ::execv(arguments[0], arguments.data());
            ::_exit(127);
        }
        REQUIRE(pid_ > 0);
    }
    /// As kill -9 does; waits until it is gone.
    void kill() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
            pid_ = -1;
        }
    }
    void stop_running() const { ::kill(pid_, SIGSTOP); }
    void go_on() const { ::kill(pid_, SIGCONT); }

private:
    std::vector<std::string> command_;
    pid_t pid_ = -1;
};

/// Whether somebody accepts connections there.
inline bool accepts(const cluster::address& at) {
    return static_cast<bool>(scenario::connect_to(at));
}

/// A port of 127.0.0.1 that nobody listens on now.
inline std::uint16_t unused_port() {
    return scenario::port_of(scenario::bind_to(loopback(0), false).get());
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_ADAPTERS_SUPPORT_FOREIGN_SERVER_HPP
