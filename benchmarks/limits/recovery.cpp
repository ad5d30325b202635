// SPDX-License-Identifier: MIT
// The limit for replacing a worker that died: one worker, a parent that waits for its end and starts
// the next one on the same listening socket. No policies, no channel, no state.
//
//   recovery [--program FILE [--spares 1]] [--memory MIB]
//
//   with --program     each worker is a fresh start of FILE, which gets "--worker FD"
//   with --spares      the next one has started already: FILE gets "--spare FD" and waits on that
//                      pipe for a byte
//   without            each worker is a fork of this process
//
// `--memory` makes this process touch that much memory first.

#include "answer_pid.hpp"

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

int make_listener() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&at), size) != 0 ||
        ::listen(fd, SOMAXCONN) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
        die("listen");
    }
    std::printf("listening on 127.0.0.1:%u\n", unsigned{ntohs(at.sin_port)});
    std::fflush(stdout);
    return fd;
}

/// The worker begins when `cord`, if there is one, gives it a byte.
pid_t start_program(std::string program, int listener, int cord = -1) {
    std::string worker = "--worker";
    std::string number = std::to_string(listener);
    std::string spare = "--spare";
    std::string waits_for = std::to_string(cord);
    std::array<char*, 6> arguments{program.data(), worker.data(), number.data(), nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, listener, listener); // drops close-on-exec
    if (cord != -1) {
        arguments[3] = spare.data();
        arguments[4] = waits_for.data();
        ::posix_spawn_file_actions_adddup2(&actions, cord, cord);
    }
    pid_t pid = -1;
    if (::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments.data(), environ) != 0) {
        die(program.c_str());
    }
    ::posix_spawn_file_actions_destroy(&actions);
    return pid;
}

pid_t start_fork(int listener) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        answer_pid(listener);
    }
    return pid;
}

volatile std::sig_atomic_t worker = 0;
volatile std::sig_atomic_t spare = 0;

void end(int) {
    for (const auto pid : {worker, spare}) {
        if (pid > 0) {
            ::kill(static_cast<pid_t>(pid), SIGKILL);
        }
    }
    ::_exit(0);
}

void wait_for_worker() {
    if (worker < 0 || ::waitpid(static_cast<pid_t>(worker), nullptr, 0) < 0) {
        die("a worker");
    }
}

/// The next one starts when the one before it has had a moment to answer.
[[noreturn]] void replace_by_spares(const std::string& program, int listener) {
    constexpr useconds_t moment = 5000;
    std::array<int, 2> cord{};
    worker = start_program(program, listener);
    for (;;) {
        ::usleep(moment);
        if (::pipe2(cord.data(), O_CLOEXEC) != 0) {
            die("pipe2");
        }
        spare = start_program(program, listener, cord[0]);
        ::close(cord[0]);
        wait_for_worker();
        if (::write(cord[1], "", 1) != 1) {
            die("write");
        }
        ::close(cord[1]);
        worker = spare;
        spare = 0;
    }
}

} // namespace

int main(int argc, char** argv) {
    std::string program;
    std::size_t mebibytes = 0;
    bool has_spares = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--program") {
            program = argv[i + 1];
        } else if (name == "--spares") {
            has_spares = std::atoi(argv[i + 1]) != 0;
        } else if (name == "--memory") {
            mebibytes = static_cast<std::size_t>(std::atoi(argv[i + 1]));
        }
    }
    const std::vector<char> ballast(mebibytes << 20U, 'x');
    const int listener = make_listener();
    std::signal(SIGTERM, end);
    if (has_spares) {
        replace_by_spares(program, listener);
    }
    for (;;) {
        worker = program.empty() ? start_fork(listener) : start_program(program, listener);
        wait_for_worker();
    }
}
