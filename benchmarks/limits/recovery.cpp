// SPDX-License-Identifier: MIT
// The limit for replacing a worker that died: one worker, a parent that waits for its end and starts
// the next one on the same listening socket. No policies, no channel, no state.
//
//   recovery [--program FILE] [--memory MIB]
//
//   with --program     each worker is a fresh start of FILE, which gets "--worker FD"
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

pid_t start_program(std::string program, int listener) {
    std::string flag = "--worker";
    std::string number = std::to_string(listener);
    std::array<char*, 4> arguments{program.data(), flag.data(), number.data(), nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, listener, listener); // drops close-on-exec
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

void end(int) {
    if (worker > 0) {
        ::kill(static_cast<pid_t>(worker), SIGKILL);
    }
    ::_exit(0);
}

} // namespace

int main(int argc, char** argv) {
    std::string program;
    std::size_t mebibytes = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--program") {
            program = argv[i + 1];
        } else if (name == "--memory") {
            mebibytes = static_cast<std::size_t>(std::atoi(argv[i + 1]));
        }
    }
    const std::vector<char> ballast(mebibytes << 20U, 'x');
    const int listener = make_listener();
    std::signal(SIGTERM, end);
    for (;;) {
        worker = program.empty() ? start_fork(listener) : start_program(program, listener);
        if (worker < 0 || ::waitpid(static_cast<pid_t>(worker), nullptr, 0) < 0) {
            die("a worker");
        }
    }
}
