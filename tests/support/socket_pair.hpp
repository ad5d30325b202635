// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_SOCKET_PAIR_HPP
#define CLUSTER_TESTS_SUPPORT_SOCKET_PAIR_HPP

#include <cluster/unique_fd.hpp>

#include <sys/socket.h>

namespace cluster_test {

/// Two ends of a connection, close-on-exec and blocking.
struct socket_pair {
    cluster::unique_fd first;
    cluster::unique_fd second;

    socket_pair() {
        int fds[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0) {
            first.reset(fds[0]);
            second.reset(fds[1]);
        }
    }
};

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_SOCKET_PAIR_HPP
