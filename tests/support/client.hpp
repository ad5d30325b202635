// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_CLIENT_HPP
#define CLUSTER_TESTS_SUPPORT_CLIENT_HPP

/// \file
/// Clients of the servers under test, in the process that tests them.

#include <cluster.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster_test {

/// Connects; blocks until the system has queued the connection, not until somebody accepts it.
/// \returns an empty connection, and errno, when it is refused.
inline cluster::connection connect_to(const cluster::address& at) {
    namespace os = cluster::detail::os;
    auto fd = os::open_stream_socket(at.family());
    os::set_nonblocking(fd.get(), false);
    return os::connect_to(fd.get(), at) ? cluster::connection{std::move(fd)}
                                        : cluster::connection{};
}

/// Sends `request` and calls `done(std::string, std::error_code)` once with all that came until the
/// server ended the connection.
template <typename Role, typename F>
void ask(Role& role, const cluster::address& at, std::string_view request, F done) {
    auto answer = std::make_shared<std::string>();
    auto& client = role.attach(connect_to(at));
    client.on_close([answer, done = std::move(done)](std::error_code error) mutable {
        done(std::move(*answer), error);
    });
    client.on_data([answer](cluster::stream::bytes bytes) {
        answer->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    });
    client.write(request);
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_CLIENT_HPP
