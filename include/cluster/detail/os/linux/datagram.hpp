// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_DATAGRAM_HPP
#define CLUSTER_DETAIL_OS_LINUX_DATAGRAM_HPP

#include "../../../net/address.hpp"
#include "../../../unique_fd.hpp"
#include "../../algorithm.hpp"
#include "../../memory.hpp"
#include "fd.hpp"
#include "socket.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// A non-blocking UDP socket; empty and errno on failure.
inline unique_fd open_datagram_socket(address_family family) noexcept {
    if (family != address_family::ipv4 && family != address_family::ipv6) {
        errno = EAFNOSUPPORT;
        return {};
    }
    return unique_fd{::socket(native_family(family), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
}

/// A non-blocking UNIX datagram socket without an address; empty and errno on failure.
inline unique_fd open_local_datagram_socket() noexcept {
    return unique_fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
}

inline bool is_datagram_socket(int fd) noexcept {
    return option(fd, SOL_SOCKET, SO_TYPE, -1) == SOCK_DGRAM;
}
inline bool set_broadcast(int fd) noexcept {
    return set_option(fd, SOL_SOCKET, SO_BROADCAST, 1);
}
/// The system doubles what it is given, and clips it at net.core.rmem_max or wmem_max.
inline bool set_receive_buffer(int fd, std::uint32_t bytes) noexcept {
    return set_option(fd, SOL_SOCKET, SO_RCVBUF, static_cast<int>(detail::min(bytes, 1U << 30U)));
}
inline bool set_send_buffer(int fd, std::uint32_t bytes) noexcept {
    return set_option(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(detail::min(bytes, 1U << 30U)));
}

/// The memory for datagrams that nobody has read yet, the most of it, and how many datagrams have
/// found no room. All zero where the system does not tell.
struct receive_buffer {
    std::uint32_t used = 0;
    std::uint32_t limit = 0;
    std::uint32_t dropped = 0;
};
inline receive_buffer receive_buffer_of(int fd) noexcept {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof memory;
    if (::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) {
        return {};
    }
    return {memory[SK_MEMINFO_RMEM_ALLOC], memory[SK_MEMINFO_RCVBUF], memory[SK_MEMINFO_DROPS]};
}

// ---- multicast ----

/// Only the groups that the socket itself has joined, not those of every other one on this machine.
inline void receive_own_groups_only(int fd) noexcept {
    set_option(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    if (option(fd, SOL_SOCKET, SO_DOMAIN, -1) == AF_INET6) {
        set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
    }
}

/// The number of a network interface; 0 for an empty name: the system's choice. False and errno
/// for one that does not exist.
inline bool interface_index(const std::string& name, unsigned& index) noexcept {
    index = name.empty() ? 0 : ::if_nametoindex(name.c_str());
    return name.empty() || index != 0;
}

/// Joins or leaves a group. Having joined or left before is no failure.
inline bool
change_membership(int fd, const address& group, unsigned interface_number, bool join) noexcept {
    int result = -1;
    auto bytes = group.bytes();
    if (group.family() == address_family::ipv4) {
        ip_mreqn wanted{};
        std::memcpy(&wanted.imr_multiaddr, bytes.data(), sizeof wanted.imr_multiaddr);
        wanted.imr_ifindex = static_cast<int>(interface_number);
        int name = join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
        result = ::setsockopt(fd, IPPROTO_IP, name, &wanted, sizeof wanted);
    } else if (group.family() == address_family::ipv6) {
        ipv6_mreq wanted{};
        std::memcpy(&wanted.ipv6mr_multiaddr, bytes.data(), sizeof wanted.ipv6mr_multiaddr);
        wanted.ipv6mr_interface = interface_number;
        int name = join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP;
        result = ::setsockopt(fd, IPPROTO_IPV6, name, &wanted, sizeof wanted);
    } else {
        errno = EAFNOSUPPORT;
    }
    return result == 0 || errno == (join ? EADDRINUSE : EADDRNOTAVAIL);
}

// An option that IPv4 and IPv6 each have; an IPv6 socket that also speaks IPv4 has both.
inline bool set_multicast_option(int fd, int v4_name, int v6_name, int value) noexcept {
    bool six = option(fd, SOL_SOCKET, SO_DOMAIN, -1) == AF_INET6;
    bool set = set_option(fd, IPPROTO_IP, v4_name, value);
    return six ? set_option(fd, IPPROTO_IPV6, v6_name, value) : set;
}
inline bool set_multicast_ttl(int fd, int hops) noexcept {
    return set_multicast_option(fd, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, hops);
}
inline bool set_multicast_loopback(int fd, bool on) noexcept {
    return set_multicast_option(fd, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, on ? 1 : 0);
}
inline bool set_multicast_interface(int fd, unsigned interface_number) noexcept {
    ip_mreqn wanted{};
    wanted.imr_ifindex = static_cast<int>(interface_number);
    bool set = ::setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &wanted, sizeof wanted) == 0;
    bool six = option(fd, SOL_SOCKET, SO_DOMAIN, -1) == AF_INET6;
    return six ? set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, static_cast<int>(interface_number))
               : set;
}

// ---- many datagrams in one call ----

/// Room for datagrams that are received together, made once and used again. Pages that no datagram
/// has reached take no memory.
class datagram_batch {
public:
    /// For `count` datagrams of at most `size` bytes.
    datagram_batch(std::size_t count, std::size_t size)
        : size_{size},
          memory_{std::make_unique_for_overwrite<std::byte[]>(count * size)},
          headers_(count),
          parts_(count),
          from_(count) {
        for (std::size_t i = 0; i != count; ++i) {
            parts_[i] = {memory_.get() + i * size, size};
            headers_[i].msg_hdr.msg_iov = &parts_[i];
            headers_[i].msg_hdr.msg_iovlen = 1;
            headers_[i].msg_hdr.msg_name = from_[i].get();
        }
    }

    /// Receives what is there, in one system call. \returns 0, or errno and then there is nothing.
    int receive(int fd) noexcept {
        for (std::size_t i = 0; i != headers_.size(); ++i) {
            headers_[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage);
        }
        int result = retry([&] {
            return ::recvmmsg(fd,
                              headers_.data(),
                              static_cast<unsigned>(headers_.size()),
                              MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
                              nullptr);
        });
        received_ = result < 0 ? 0 : static_cast<std::size_t>(result);
        return result < 0 ? errno : 0;
    }

    /// How many the last receive() brought.
    [[nodiscard]] std::size_t received() const noexcept { return received_; }
    [[nodiscard]] std::span<const std::byte> bytes(std::size_t index) const noexcept {
        return {memory_.get() + index * size_, headers_[index].msg_len};
    }
    /// Longer than the room for it: the rest is lost.
    [[nodiscard]] bool truncated(std::size_t index) const noexcept {
        return (headers_[index].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    }
    [[nodiscard]] address sender(std::size_t index) noexcept {
        from_[index].length = headers_[index].msg_hdr.msg_namelen;
        return from_native(from_[index]);
    }

private:
    std::size_t size_;
    std::size_t received_ = 0;
    std::unique_ptr<std::byte[]> memory_;
    std::vector<mmsghdr> headers_;
    std::vector<iovec> parts_;
    std::vector<socket_address> from_;
};

struct outgoing_datagram {
    std::span<const std::byte> bytes;
    const address* to; // of no family: the socket's peer
};

/// The most datagrams that one send_datagrams() takes.
inline constexpr std::size_t max_outgoing = 64;

/// Sends up to `max_outgoing` datagrams in one system call. \returns how many of them the system
/// has taken, or with none the error of the first, in `transfer`.
inline transfer send_datagrams(int fd, std::span<const outgoing_datagram> datagrams) noexcept {
    mmsghdr headers[max_outgoing];
    iovec parts[max_outgoing];
    socket_address names[max_outgoing];
    std::size_t count = detail::min(datagrams.size(), max_outgoing);
    for (std::size_t i = 0; i != count; ++i) {
        auto bytes = datagrams[i].bytes;
        names[i] = to_native(*datagrams[i].to);
        parts[i] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
        headers[i] = {};
        headers[i].msg_hdr.msg_name = names[i].length == 0 ? nullptr : names[i].get();
        headers[i].msg_hdr.msg_namelen = names[i].length;
        headers[i].msg_hdr.msg_iov = &parts[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    return to_transfer(retry([&] {
        return ::sendmmsg(fd, headers, static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
    }));
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_DATAGRAM_HPP
