// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_DATAGRAM_HPP
#define CLUSTER_TESTS_SUPPORT_DATAGRAM_HPP

/// \file
/// The other side of the datagram sockets under test, by plain system calls.

#include <cluster/detail/os.hpp>
#include <cluster/net/address.hpp>
#include <cluster/unique_fd.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace cluster_test {

inline cluster::address loopback_udp(std::uint16_t port = 0) {
    return cluster::address::ipv4({127, 0, 0, 1}, port);
}

/// A UDP socket of a program that knows nothing of this library; on 127.0.0.1 unless told.
class udp_client {
public:
    explicit udp_client(const cluster::address& at = loopback_udp())
        : fd_{cluster::detail::os::open_datagram_socket(at.family())} {
        if (!cluster::detail::os::bind_to(fd_.get(), at)) {
            fd_.reset();
        }
    }

    [[nodiscard]] explicit operator bool() const { return static_cast<bool>(fd_); }
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] cluster::address address() const {
        return cluster::detail::os::local_address(fd_.get());
    }

    /// False when the system has not taken all of it.
    bool send(const cluster::address& to, std::string_view text) const {
        auto native = cluster::detail::os::to_native(to);
        return ::sendto(fd_.get(), text.data(), text.size(), 0, native.get(), native.length) ==
               static_cast<ssize_t>(text.size());
    }

    /// The next datagram; waits for it. "timeout" when none comes for that long.
    std::string receive(int milliseconds = 30'000) {
        ::pollfd ready{fd_.get(), POLLIN, 0};
        if (::poll(&ready, 1, milliseconds) != 1) {
            return "timeout";
        }
        std::vector<char> bytes(65536);
        auto got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
        return got < 0 ? "error" : std::string{bytes.data(), static_cast<std::size_t>(got)};
    }

private:
    cluster::unique_fd fd_;
};

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_DATAGRAM_HPP
