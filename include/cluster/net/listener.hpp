// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_LISTENER_HPP
#define CLUSTER_NET_LISTENER_HPP

#include "../detail/os.hpp"
#include "../unique_fd.hpp"
#include "address.hpp"
#include "connection.hpp"
#include "listen_options.hpp"

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// A listening socket that nobody accepts from yet: owned, close-on-exec, non-blocking. What
/// open_listener() gives to another library, and what a handle may hold.
class listener {
public:
    listener() noexcept = default;
    /// Takes ownership of a listening stream socket.
    explicit listener(unique_fd fd) noexcept : fd_{std::move(fd)} {}

    [[nodiscard]] cluster::address address() const noexcept {
        return detail::os::local_address(fd_.get());
    }
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
    /// Borrows the descriptor.
    [[nodiscard]] int native_handle() const noexcept { return fd_.get(); }
    /// Gives the descriptor away. Blocking mode is a property of the open file: a library that sets
    /// it here sets it for everyone who shares this socket.
    [[nodiscard]] unique_fd release(io mode) noexcept {
        if (fd_) {
            detail::os::set_nonblocking(fd_.get(), mode == io::nonblocking);
        }
        return std::move(fd_);
    }
    /// A second owner of the same socket.
    [[nodiscard]] unique_fd duplicate() const noexcept { return fd_.duplicate(); }

private:
    unique_fd fd_;
};

namespace detail {

/// What has to hold of a socket before and after bind(2).
struct bind_options {
    int backlog = 511;
    bool ipv6_only = false;
    bool reuse_port = false;
    bool no_delay = true;
    unsigned mode = 0;
};

/// A bound socket that listens. `at` is the address as bound, with the port that the system chose.
inline unique_fd
bind_once(const address& wanted, const bind_options& options, address& at, std::error_code& error) {
    unique_fd fd = os::open_stream_socket(wanted.family());
    auto fail = [&error] {
        error = os::last_error();
        return unique_fd{};
    };
    if (!fd) {
        return fail();
    }
    bool local = wanted.family() == address_family::local;
    bool six = wanted.family() == address_family::ipv6;
    if ((!local && !os::set_reuse_address(fd.get())) ||
        (options.reuse_port && !os::set_reuse_port(fd.get())) ||
        (six && !os::set_ipv6_only(fd.get(), options.ipv6_only))) {
        return fail();
    }
    if (!local && options.no_delay) {
        os::set_no_delay(fd.get());
    }
    if (!os::bind_to(fd.get(), wanted)) {
        int cause = local && errno == EEXIST ? EADDRINUSE : errno;
        bool stale = local && cause == EADDRINUSE && os::reclaim_stale_socket(wanted.path());
        if (!stale) {
            errno = cause;
            return fail();
        }
        if (!os::bind_to(fd.get(), wanted)) {
            return fail();
        }
    }
    if (local && options.mode != 0 && !os::set_mode(wanted.path(), options.mode)) {
        return fail();
    }
    at = os::local_address(fd.get());
    if (!os::listen_on(fd.get(), options.backlog)) {
        return fail();
    }
    error.clear();
    return fd;
}

/// The same for the first address of a list that works; the error is the last one's.
inline unique_fd bind_first(const std::vector<address>& candidates,
                            const bind_options& options,
                            address& at,
                            std::error_code& error) {
    error = std::make_error_code(std::errc::address_not_available);
    for (const auto& each : candidates) {
        if (unique_fd fd = bind_once(each, options, at, error)) {
            return fd;
        }
        bool no_ipv6 = error == std::errc::address_family_not_supported ||
                       error == std::errc::address_not_available;
        if (!no_ipv6) {
            break;
        }
    }
    return {};
}

/// The addresses that options ask for; several when the host is empty or a name.
inline std::vector<address> addresses_of(const listen_options& options, std::error_code& error) {
    error.clear();
    if (!options.path.empty()) {
        auto at = address::local(os::shortest_path(os::absolute_path(options.path)));
        if (at.family() == address_family::none) {
            error = std::make_error_code(std::errc::filename_too_long);
        }
        return {at};
    }
    if (options.host.empty()) {
        return {address::ipv6({}, options.port), address::ipv4({}, options.port)};
    }
    return os::resolve(options.host, options.port, error);
}

/// "listen on 127.0.0.1:80", for the text of an error.
inline std::string describe(const listen_options& options) {
    if (options.fd != -1) {
        return "listen on descriptor " + std::to_string(options.fd);
    }
    if (!options.path.empty()) {
        return "listen on " + options.path;
    }
    bool six = options.host.find(':') != std::string::npos;
    return "listen on " +
           (six                    ? '[' + options.host + ']'
            : options.host.empty() ? "*"
                                   : options.host) +
           ':' + std::to_string(options.port);
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_NET_LISTENER_HPP
