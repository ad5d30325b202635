// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_SERVICE_MANAGER_HPP
#define CLUSTER_TESTS_SUPPORT_SERVICE_MANAGER_HPP

#include "temporary_directory.hpp"

#include <cluster/detail/os.hpp>
#include <cluster/unique_fd.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

namespace cluster_test {

/// The other side of sd_notify(3): a datagram socket and what has been told.
class service_manager {
public:
    /// At an address as NOTIFY_SOCKET has it.
    explicit service_manager(const std::string& address)
        : socket_{cluster::detail::os::open_local_datagram_socket()} {
        auto name = address;
        name.front() = address.front() == '@' ? '\0' : '/';
        bound_ =
            cluster::detail::os::bind_to(socket_.get(), cluster::address::local(std::move(name)));
    }
    [[nodiscard]] bool is_bound() const noexcept { return bound_; }

    /// The oldest that has not been read; empty: nothing is there.
    [[nodiscard]] std::string next() const {
        std::array<char, 8192> buffer;
        auto size = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        return {buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    }
    /// The next within this time; empty: none has come.
    [[nodiscard]] std::string next(std::chrono::milliseconds patience) const {
        cluster::detail::os::wait_for(socket_.get(), false, static_cast<int>(patience.count()));
        return next();
    }
    [[nodiscard]] std::vector<std::string> all() const {
        std::vector<std::string> result;
        for (auto each = next(); !each.empty(); each = next()) {
            result.push_back(each);
        }
        return result;
    }

private:
    cluster::unique_fd socket_;
    bool bound_ = false;
};

/// A name that nobody else has.
inline std::string abstract_name() {
    static int count = 0;
    return "@cluster-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_SERVICE_MANAGER_HPP
