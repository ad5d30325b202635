// SPDX-License-Identifier: MIT
// The least of a worker: it accepts, answers each connection with its process number and closes it.
#ifndef CLUSTER_BENCHMARKS_LIMITS_ANSWER_PID_HPP
#define CLUSTER_BENCHMARKS_LIMITS_ANSWER_PID_HPP

#include <array>
#include <cstdlib>
#include <string>

#include <sys/socket.h>
#include <unistd.h>

/// Blocks for ever, or until the socket is shut down.
[[noreturn]] inline void answer_pid(int listener) {
    const std::string body = std::to_string(::getpid()) + "\n";
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
                               "\r\nConnection: close\r\n\r\n" + body;
    std::array<char, 4096> request; // comes in one piece from the clients that there are
    for (;;) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) {
            std::_Exit(1);
        }
        if (::recv(fd, request.data(), request.size(), 0) > 0) {
            ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
        }
        ::close(fd);
    }
}

/// Blocks until somebody writes a byte there; ends the process when nobody can any more.
inline void wait_for_byte(int pipe) {
    char byte = 0;
    if (::read(pipe, &byte, 1) != 1) {
        std::_Exit(0);
    }
    ::close(pipe);
}

#endif // CLUSTER_BENCHMARKS_LIMITS_ANSWER_PID_HPP
