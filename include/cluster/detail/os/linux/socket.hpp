// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_SOCKET_HPP
#define CLUSTER_DETAIL_OS_LINUX_SOCKET_HPP

#include "../../../net/address.hpp"
#include "../../../unique_fd.hpp"
#include "fd.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// A `sockaddr` of any family and its length.
struct socket_address {
    sockaddr_storage storage{};
    socklen_t length = sizeof(sockaddr_storage);

    sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
};

inline socket_address to_native(const address& from) noexcept {
    socket_address result;
    auto bytes = from.bytes();
    switch (from.family()) {
    case address_family::ipv4: {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(from.port());
        std::memcpy(&in.sin_addr, bytes.data(), sizeof in.sin_addr);
        std::memcpy(&result.storage, &in, result.length = sizeof in);
        break;
    }
    case address_family::ipv6: {
        sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(from.port());
        in.sin6_scope_id = from.scope();
        std::memcpy(&in.sin6_addr, bytes.data(), sizeof in.sin6_addr);
        std::memcpy(&result.storage, &in, result.length = sizeof in);
        break;
    }
    case address_family::local: {
        sockaddr_un un{};
        un.sun_family = AF_UNIX;
        std::memcpy(un.sun_path, bytes.data(), bytes.size());
        auto used = offsetof(sockaddr_un, sun_path) + bytes.size();
        bool abstract = !bytes.empty() && bytes[0] == 0;
        std::memcpy(&result.storage, &un, sizeof un);
        result.length = static_cast<socklen_t>(abstract ? used : used + 1);
        break;
    }
    case address_family::none:
        result.length = 0;
        break;
    }
    return result;
}

inline address from_native(const socket_address& from) noexcept {
    if (from.storage.ss_family == AF_INET && from.length >= sizeof(sockaddr_in)) {
        sockaddr_in in;
        std::memcpy(&in, &from.storage, sizeof in);
        std::array<std::uint8_t, 4> bytes;
        std::memcpy(bytes.data(), &in.sin_addr, bytes.size());
        return address::ipv4(bytes, ntohs(in.sin_port));
    }
    if (from.storage.ss_family == AF_INET6 && from.length >= sizeof(sockaddr_in6)) {
        sockaddr_in6 in;
        std::memcpy(&in, &from.storage, sizeof in);
        std::array<std::uint8_t, 16> bytes;
        std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
        return address::ipv6(bytes, ntohs(in.sin6_port), in.sin6_scope_id);
    }
    constexpr auto path_at = offsetof(sockaddr_un, sun_path);
    if (from.storage.ss_family == AF_UNIX && from.length > path_at) {
        char path[sizeof(sockaddr_un) - path_at];
        std::memcpy(path, reinterpret_cast<const char*>(&from.storage) + path_at, sizeof path);
        std::size_t size = from.length - path_at;
        size = size < sizeof path ? size : sizeof path; // one more for a path without its NUL
        bool abstract = path[0] == '\0';
        return address::local({path, abstract ? size : ::strnlen(path, size)});
    }
    return {};
}

inline address local_address(int fd) noexcept {
    socket_address name;
    return ::getsockname(fd, name.get(), &name.length) == 0 ? from_native(name) : address{};
}

inline address remote_address(int fd) noexcept {
    socket_address name;
    return ::getpeername(fd, name.get(), &name.length) == 0 ? from_native(name) : address{};
}

/// The user whose process has made the other end of a UNIX connection; nobody, when it is none.
inline std::uint32_t peer_user(int fd) noexcept {
    ucred peer{};
    socklen_t size = sizeof peer;
    bool known = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    return known ? peer.uid : static_cast<std::uint32_t>(-1);
}

inline int native_family(address_family family) noexcept {
    switch (family) {
    case address_family::ipv4:
        return AF_INET;
    case address_family::ipv6:
        return AF_INET6;
    default:
        return AF_UNIX;
    }
}

/// A non-blocking stream socket; empty and errno on failure.
inline unique_fd open_stream_socket(address_family family) noexcept {
    return unique_fd{
        ::socket(native_family(family), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
}

inline bool set_option(int fd, int level, int name, int value) noexcept {
    return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

inline int option(int fd, int level, int name, int otherwise) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : otherwise;
}

inline bool set_reuse_address(int fd) noexcept {
    return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
}
inline bool set_reuse_port(int fd) noexcept {
    return set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}
inline bool set_ipv6_only(int fd, bool on) noexcept {
    return set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, on ? 1 : 0);
}
/// Accepted connections inherit it from the listener, so that it costs nothing per connection.
inline bool set_no_delay(int fd) noexcept {
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/// Inherited in the same way. Seconds of silence before the peer is probed.
inline bool set_keep_alive(int fd, int seconds) noexcept {
    return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
}
inline bool set_defer_accept(int fd, int seconds) noexcept {
    return set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds);
}
inline bool set_fast_open(int fd, int queue) noexcept {
    return set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, queue);
}
/// How many bytes must be there for a TCP socket to be readable.
inline bool set_receive_low_water(int fd, int bytes) noexcept {
    return set_option(fd, SOL_SOCKET, SO_RCVLOWAT, bytes);
}

inline bool is_listening(int fd) noexcept {
    return option(fd, SOL_SOCKET, SO_ACCEPTCONN, 0) == 1;
}
/// Whether a UNIX socket was shut down for reading. One that listens still says that it does, but
/// refuses whoever comes, and nothing makes it listen again.
inline bool is_shut_down(int fd) noexcept {
    pollfd asked{fd, POLLRDHUP, 0};
    return ::poll(&asked, 1, 0) == 1 && (asked.revents & POLLRDHUP) != 0;
}
inline bool is_stream_socket(int fd) noexcept {
    return option(fd, SOL_SOCKET, SO_TYPE, -1) == SOCK_STREAM;
}
inline bool is_local_socket(int fd) noexcept {
    return option(fd, SOL_SOCKET, SO_DOMAIN, -1) == AF_UNIX;
}

inline bool bind_to(int fd, const address& at) noexcept {
    auto native = to_native(at);
    return ::bind(fd, native.get(), native.length) == 0;
}

inline bool listen_on(int fd, int backlog) noexcept {
    return ::listen(fd, backlog) == 0;
}

/// Starts to connect; true when connected or under way (EINPROGRESS).
inline bool connect_to(int fd, const address& to) noexcept {
    auto native = to_native(to);
    return retry([&] { return ::connect(fd, native.get(), native.length); }) == 0 ||
           errno == EINPROGRESS;
}

/// The error that an asynchronous connect, or a reset, has left on the socket.
inline std::error_code pending_error(int fd) noexcept {
    return {option(fd, SOL_SOCKET, SO_ERROR, 0), std::system_category()};
}

/// A connection, non-blocking and close-on-exec, without its peer's address; empty and errno.
inline unique_fd accept_from(int listener) noexcept {
    return unique_fd{
        retry([&] { return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); })};
}

/// The same, with the peer's address.
inline unique_fd accept_from(int listener, address& remote) noexcept {
    socket_address name;
    unique_fd accepted{retry([&] {
        return ::accept4(listener, name.get(), &name.length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    })};
    remote = accepted ? from_native(name) : address{};
    return accepted;
}

/// What an errno of accept(2) asks for (accept(2), "Error handling").
enum class accept_failure { none_waiting, this_connection, out_of_resources, listener_broken };
inline accept_failure classify_accept_error(int error) noexcept {
    switch (error) {
    case EAGAIN:
        return accept_failure::none_waiting;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return accept_failure::out_of_resources;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
        return accept_failure::listener_broken;
    default:
        return accept_failure::this_connection;
    }
}

/// Two connected UNIX stream sockets, non-blocking and close-on-exec.
inline std::error_code make_channel(unique_fd& one, unique_fd& other) noexcept {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return last_error();
    }
    one.reset(ends[0]);
    other.reset(ends[1]);
    return {};
}

inline void shutdown_writes(int fd) noexcept {
    ::shutdown(fd, SHUT_WR);
}

/// Makes close(2) send a reset instead of a FIN.
inline void reset_on_close(int fd) noexcept {
    linger now{};
    now.l_onoff = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/// How far a read or a write got.
struct transfer {
    std::size_t bytes = 0;
    int error = 0; // errno, 0 when `bytes` counts

    [[nodiscard]] bool would_block() const noexcept {
        return error == EAGAIN || error == EWOULDBLOCK;
    }
};

inline transfer to_transfer(ssize_t result) noexcept {
    return result < 0 ? transfer{0, errno} : transfer{static_cast<std::size_t>(result), 0};
}

inline transfer receive(int fd, std::span<std::byte> into) noexcept {
    return to_transfer(retry([&] { return ::recv(fd, into.data(), into.size(), MSG_DONTWAIT); }));
}

/// Looks at bytes that have arrived without taking them.
inline transfer peek(int fd, std::span<std::byte> into) noexcept {
    return to_transfer(
        retry([&] { return ::recv(fd, into.data(), into.size(), MSG_DONTWAIT | MSG_PEEK); }));
}

inline transfer send(int fd, std::span<const std::byte> bytes) noexcept {
    return to_transfer(
        retry([&] { return ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL); }));
}

/// The most descriptors that one message of a channel carries.
inline constexpr std::size_t max_descriptors = 64;

/// Sends bytes (one at least) and descriptors, which the receiver gets with the first byte.
inline transfer send_with_descriptors(int fd,
                                      std::span<const std::byte> bytes,
                                      std::span<const int> passed) noexcept {
    alignas(cmsghdr) std::byte control[CMSG_SPACE(max_descriptors * sizeof(int))] = {};
    iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(passed.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(passed.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), passed.data(), passed.size() * sizeof(int));
    return to_transfer(retry([&] { return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL); }));
}

/// Descriptors that came with one message: its own until they are taken. Costs nothing where none
/// have come.
class received_descriptors {
public:
    received_descriptors() noexcept {} // the numbers stay as they are
    received_descriptors(received_descriptors&&) = delete;
    received_descriptors& operator=(received_descriptors&&) = delete;
    ~received_descriptors() {
        while (count_ != 0) {
            close_descriptor(numbers_[--count_]);
        }
    }

    void add(int number) noexcept { // beyond the table: closed at once
        count_ != max_descriptors ? void(numbers_[count_++] = number) : close_descriptor(number);
    }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    /// \returns them in `result`, whose memory it takes
    [[nodiscard]] std::vector<unique_fd> take(std::vector<unique_fd> result = {}) {
        result.resize(count_);
        while (count_ != 0) {
            --count_;
            result[count_].reset(numbers_[count_]);
        }
        return result;
    }

    /// Some were lost on the way: no free descriptor number, a security module.
    bool truncated = false;

private:
    std::array<int, max_descriptors> numbers_;
    std::size_t count_ = 0;
};

/// Receives bytes and descriptors. Reading stops behind the first message that carries any.
inline transfer receive_with_descriptors(int fd,
                                         std::span<std::byte> into,
                                         received_descriptors& descriptors) noexcept {
    alignas(cmsghdr) std::byte control[CMSG_SPACE(max_descriptors * sizeof(int))];
    iovec data{into.data(), into.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto result = to_transfer(
        retry([&] { return ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); }));
    if (result.error != 0) {
        return result;
    }
    descriptors.truncated = (message.msg_flags & MSG_CTRUNC) != 0;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i != count; ++i) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(header) + i * sizeof number, sizeof number);
            descriptors.add(number);
        }
    }
    return result;
}

/// Whether the peer will send nothing more: it has ended its side, or is gone.
inline bool has_peer_ended(int fd) noexcept {
    pollfd each{fd, POLLRDHUP, 0};
    return retry([&] { return ::poll(&each, 1, 0); }) > 0;
}

/// Blocks until the descriptor can be read (or written), has failed, or `milliseconds` have passed
/// (-1: for ever). False after the time.
inline bool wait_for(int fd, bool writable, int milliseconds) noexcept {
    pollfd each{fd, static_cast<short>(writable ? POLLOUT : POLLIN), 0};
    return retry([&] { return ::poll(&each, 1, milliseconds); }) > 0;
}
/// The same for something to read from one of two.
inline bool wait_for_either(int one, int other, int milliseconds) noexcept {
    pollfd both[] = {{one, POLLIN, 0}, {other, POLLIN, 0}};
    return retry([&] { return ::poll(both, 2, milliseconds); }) > 0;
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_SOCKET_HPP
