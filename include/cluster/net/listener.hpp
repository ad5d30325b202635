// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_LISTENER_HPP
#define CLUSTER_NET_LISTENER_HPP

#include "../detail/algorithm.hpp"
#include "../detail/chrono.hpp"
#include "../detail/os.hpp"
#include "../unique_fd.hpp"
#include "address.hpp"
#include "connection.hpp"
#include "listen_options.hpp"

#include <cerrno>
#include <cstdint>
#include <optional>
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

    /// What it is bound to.
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

/// What has to hold of a listening socket; travels to the primary as it is.
struct bind_options {
    std::int32_t backlog = 511;
    bool ipv6_only = false;
    bool reuse_port = false;
    bool first_of_group = false; // the address must be free, but joins a group of reuse_port
    bool no_delay = true;
    std::int32_t keep_alive = 0;   // seconds
    std::int32_t defer_accept = 0; // seconds
    std::int32_t fast_open = 0;
    std::uint32_t mode = 0;
    std::optional<std::uint32_t> owner{};
    std::optional<std::uint32_t> group{};

    friend bool operator==(const bind_options&, const bind_options&) = default;
};

inline bind_options binding_of(const listen_options& options) noexcept {
    auto seconds = [](std::chrono::seconds from) {
        constexpr std::chrono::seconds::rep most = 32767; // the kernel's
        return static_cast<std::int32_t>(
            detail::clamp<std::chrono::seconds::rep>(from.count(), 0, most));
    };
    return {options.backlog,
            options.ipv6_only,
            options.reuse_port,
            false,
            options.no_delay,
            seconds(options.keep_alive),
            seconds(options.defer_accept),
            options.fast_open,
            options.mode,
            options.owner,
            options.group};
}

/// Those that hold before bind(2). False and errno.
inline bool prepare(int fd, address_family family, const bind_options& options) noexcept {
    if (family == address_family::local) {
        return true;
    }
    return os::set_reuse_address(fd) && (!options.reuse_port || os::set_reuse_port(fd)) &&
           (family != address_family::ipv6 || os::set_ipv6_only(fd, options.ipv6_only)) &&
           (!options.no_delay || os::set_no_delay(fd)) &&
           (options.keep_alive == 0 || os::set_keep_alive(fd, options.keep_alive)) &&
           (options.defer_accept == 0 || os::set_defer_accept(fd, options.defer_accept)) &&
           (options.fast_open == 0 || os::set_fast_open(fd, options.fast_open));
}

/// Whose a UNIX socket's file is, and who may use it. Abstract names have no file.
inline bool set_access(const address& at, const bind_options& options) noexcept {
    if (at.family() != address_family::local || at.path().starts_with('\0')) {
        return true;
    }
    bool given = options.owner || options.group;
    return (!given || os::set_owner(at.path(), options.owner, options.group)) &&
           (options.mode == 0 || os::set_mode(at.path(), options.mode));
}

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
    if (!prepare(fd.get(), wanted.family(), options)) {
        return fail();
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
    // Bound with SO_REUSEPORT it would not have noticed another group.
    if (!set_access(wanted, options) || (options.first_of_group && !os::set_reuse_port(fd.get()))) {
        return fail();
    }
    at = os::local_address(fd.get());
    if (!os::listen_on(fd.get(), options.backlog)) {
        return fail();
    }
    error.clear();
    return fd;
}

/// `open(address, error)` for the first address of a list that works; the error is the last one's.
template <typename Open>
unique_fd
open_first(const std::vector<address>& candidates, std::error_code& error, const Open& open) {
    error = std::make_error_code(std::errc::address_not_available);
    for (const auto& each : candidates) {
        if (unique_fd fd = open(each, error)) {
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

inline unique_fd bind_first(const std::vector<address>& candidates,
                            const bind_options& options,
                            address& at,
                            std::error_code& error) {
    return open_first(candidates, error, [&](const address& each, std::error_code& failed) {
        return bind_once(each, options, at, failed);
    });
}

/// The name of a UNIX socket, from the root; with a leading NUL when it is no file's.
inline std::string socket_name(const listen_options& options) {
    return options.abstract ? '\0' + options.path : os::absolute_path(options.path);
}
/// As short as it may be: a socket's address is small.
inline std::string shortest_name(const std::string& name) {
    return name.starts_with('\0') ? name : os::shortest_path(name);
}

/// The addresses that a host and a port stand for; several when the host is empty or a name.
inline std::vector<address>
addresses_of(const std::string& host, std::uint16_t port, std::error_code& error) {
    error.clear();
    if (host.empty()) {
        return {address::ipv6({}, port), address::ipv4({}, port)};
    }
    return os::resolve(host, port, error);
}

inline std::vector<address> addresses_of(const listen_options& options, std::error_code& error) {
    if (options.path.empty()) {
        return addresses_of(options.host, options.port, error);
    }
    error.clear();
    auto at = address::local(shortest_name(socket_name(options)));
    if (at.family() == address_family::none) {
        error = std::make_error_code(std::errc::filename_too_long);
    }
    return {at};
}

/// "127.0.0.1:80", "[::1]:80", "*:80" or "descriptor 5", for the text of an error.
inline std::string describe(const std::string& host, std::uint16_t port, int fd) {
    if (fd != -1) {
        return "descriptor " + std::to_string(fd);
    }
    bool six = host.find(':') != std::string::npos;
    return (six ? '[' + host + ']' : host.empty() ? "*" : host) + ':' + std::to_string(port);
}

/// "listen on 127.0.0.1:80".
inline std::string describe(const listen_options& options) {
    if (!options.addresses.empty()) {
        std::string all;
        for (const auto& each : options.addresses) {
            all += (all.empty() ? "listen on " : ", ") + each;
        }
        return all;
    }
    if (options.fd != -1 || options.path.empty()) {
        return "listen on " + (options.activated.empty()
                                   ? describe(options.host, options.port, options.fd)
                                   : "the activated socket " + options.activated);
    }
    return "listen on " + (options.abstract ? '@' + options.path : options.path);
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_NET_LISTENER_HPP
