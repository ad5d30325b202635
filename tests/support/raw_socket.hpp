// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_RAW_SOCKET_HPP
#define CLUSTER_TESTS_SUPPORT_RAW_SOCKET_HPP

/// \file
/// The other side of what a test looks at, by plain system calls; and loops that run until
/// something has happened.

#include <cluster/event_loop.hpp>
#include <cluster/unique_fd.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace raw {

struct ends {
    cluster::unique_fd ours, theirs;
};

/// Two connected UNIX sockets; without them when there are none to be had.
inline ends socket_pair(int type) {
    int fds[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
        return {};
    }
    return {cluster::unique_fd{fds[0]}, cluster::unique_fd{fds[1]}};
}

/// Those of streams; `buffer` bytes (0: as the system has it) for what is on its way.
inline ends unix_pair(int buffer = 0) {
    ends made = socket_pair(SOCK_STREAM);
    for (int fd : {made.ours.get(), made.theirs.get()}) {
        if (buffer != 0) {
            ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
        }
    }
    return made;
}

/// A listening TCP socket of 127.0.0.1 and the port that the system chose.
inline cluster::unique_fd tcp_listener(sockaddr_in& at, int backlog = 128) {
    cluster::unique_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
        ::listen(fd.get(), backlog) != 0 ||
        ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &size) != 0) {
        return {};
    }
    return fd;
}

/// A connected client, non-blocking.
inline cluster::unique_fd tcp_connect(const sockaddr_in& to) {
    cluster::unique_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
        return {};
    }
    cluster::detail::os::set_nonblocking(fd.get(), true);
    return fd;
}

/// Both ends of a TCP connection over 127.0.0.1.
inline ends tcp_pair() {
    sockaddr_in at{};
    auto listener = tcp_listener(at);
    auto client = tcp_connect(at);
    ::pollfd ready{listener.get(), POLLIN, 0};
    ::poll(&ready, 1, -1);
    return {cluster::unique_fd{
                ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)},
            std::move(client)};
}

inline bool readable(int fd, int milliseconds = 0) {
    ::pollfd each{fd, POLLIN, 0};
    return ::poll(&each, 1, milliseconds) == 1;
}

/// What has arrived; `end` when the peer has finished or reset.
inline std::string read_some(int fd, bool* end = nullptr) {
    std::string got;
    char bytes[65536];
    for (;;) {
        auto count = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count > 0) {
            got.append(bytes, static_cast<std::size_t>(count));
            continue;
        }
        if (end != nullptr && (count == 0 || (errno != EAGAIN && errno != EINTR))) {
            *end = true;
        }
        return got;
    }
}

/// Sends what goes without waiting. \returns the number of bytes
inline std::size_t send_some(int fd, std::string_view text) {
    std::size_t sent = 0;
    while (sent != text.size()) {
        auto count =
            ::send(fd, text.data() + sent, text.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count <= 0) {
            break;
        }
        sent += static_cast<std::size_t>(count);
    }
    return sent;
}

/// Runs the loop from the outside until `done()`; false when that takes unreasonably long. Waits at
/// most a moment at a time, for conditions that no descriptor tells.
template <typename Done>
bool run_until(cluster::event_loop& loop, Done done) {
    auto late = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    while (!done()) {
        if (std::chrono::steady_clock::now() > late) {
            return false;
        }
        loop.poll();
        if (!done()) {
            readable(loop.native_handle(), 5);
        }
    }
    return true;
}

/// Runs the loop from the outside until it has nothing to do but to wait. False when it never
/// comes to rest: it would keep a CPU busy.
inline bool comes_to_rest(cluster::event_loop& loop) {
    for (int turn = 0; turn != 1000; ++turn) {
        loop.poll();
        if (!readable(loop.native_handle())) {
            return true;
        }
    }
    return false;
}

inline std::size_t open_descriptors() {
    std::size_t count = 0;
    for (int fd = 0; fd != 1024; ++fd) {
        count += cluster::detail::os::is_open(fd) ? 1U : 0U;
    }
    return count;
}

/// Leaves `left` free descriptor numbers for as long as it lives.
class few_descriptors {
public:
    explicit few_descriptors(int left) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        rlimit now = before_;
        now.rlim_cur = 1024 < now.rlim_cur ? 1024 : now.rlim_cur;
        ::setrlimit(RLIMIT_NOFILE, &now);
        for (int fd = ::dup(2); fd != -1; fd = ::dup(2)) {
            taken_.emplace_back(fd);
        }
        give(left);
    }
    ~few_descriptors() {
        taken_.clear();
        ::setrlimit(RLIMIT_NOFILE, &before_);
    }
    few_descriptors(few_descriptors&&) = delete;
    few_descriptors& operator=(few_descriptors&&) = delete;

    void give(int more) {
        for (; more > 0 && !taken_.empty(); --more) {
            taken_.pop_back();
        }
    }

private:
    rlimit before_{};
    std::vector<cluster::unique_fd> taken_;
};

} // namespace raw

#endif // CLUSTER_TESTS_SUPPORT_RAW_SOCKET_HPP
