// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_CLIENT_HPP
#define CLUSTER_TESTS_SUPPORT_CLIENT_HPP

/// \file
/// Clients of the servers under test, in the process that tests them.

#include <cluster.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <netinet/in.h>

namespace cluster_test {

inline cluster::address loopback(std::uint16_t port) {
    return cluster::address::ipv4({127, 0, 0, 1}, port);
}

inline bool has_ipv6() {
    namespace os = cluster::detail::os;
    std::array<std::uint8_t, 16> one{};
    one.back() = 1;
    auto fd = os::open_stream_socket(cluster::address_family::ipv6);
    return fd && os::bind_to(fd.get(), cluster::address::ipv6(one, 0));
}

inline std::string text_of(cluster::stream::bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Connects a blocking socket; returns when the system has queued the connection, not when somebody
/// accepts it. `from`, if given, is the client's own address.
/// \returns an empty one, and errno, when it is refused.
inline cluster::unique_fd connect_socket(const cluster::address& to,
                                         const cluster::address& from = {}) {
    namespace os = cluster::detail::os;
    auto fd = os::open_stream_socket(to.family());
    os::set_nonblocking(fd.get(), false);
    // The port is chosen by connect(), which may take one that is busy with another peer.
    os::set_option(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, from.port() == 0 ? 1 : 0);
    if (from.family() != cluster::address_family::none && !os::bind_to(fd.get(), from)) {
        return {};
    }
    return os::connect_to(fd.get(), to) ? std::move(fd) : cluster::unique_fd{};
}

/// The same, as what a role attaches and sends.
inline cluster::connection connect_to(const cluster::address& to) {
    auto fd = connect_socket(to);
    return fd ? cluster::connection{std::move(fd)} : cluster::connection{};
}

/// Sends `request` and calls `done(std::string, std::error_code)` once with all that came until the
/// server ended the connection.
template <typename Role, typename F>
void ask(Role& role, cluster::connection server, std::string_view request, F done) {
    auto answer = std::make_shared<std::string>();
    auto& client = role.attach(std::move(server));
    client.on_close([answer, done = std::move(done)](std::error_code error) mutable {
        done(std::move(*answer), error);
    });
    client.on_data([answer](cluster::stream::bytes bytes) { *answer += text_of(bytes); });
    client.write(request);
}
template <typename Role, typename F>
void ask(Role& role, const cluster::address& at, std::string_view request, F done) {
    ask(role, connect_to(at), request, std::move(done));
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_CLIENT_HPP
