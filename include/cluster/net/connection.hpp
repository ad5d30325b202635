// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_CONNECTION_HPP
#define CLUSTER_NET_CONNECTION_HPP

#include "../detail/connection_account.hpp"
#include "../detail/memory.hpp"
#include "../detail/os.hpp"
#include "../unique_fd.hpp"
#include "address.hpp"

#include <utility>

namespace cluster {
inline namespace v0 {

/// How a descriptor is left when another library takes it: some want reads to block, some must not
/// have it. The flag lives in the open file, so whoever shares the file sees the change.
enum class io { blocking, nonblocking };

/// A connected stream socket that somebody accepted: owned, close-on-exec, non-blocking. Move-only;
/// closes when destroyed. Hand it to attach() for a stream of this library's loop, or release() it
/// to another library. May be moved to another thread.
class connection {
public:
    connection() noexcept = default;
    /// Takes ownership of a connected stream socket and makes it non-blocking.
    explicit connection(unique_fd fd) noexcept : fd_{std::move(fd)} {
        if (fd_) {
            detail::os::set_nonblocking(fd_.get(), true);
        }
    }

    /// Both ends of the connection, asked of the system at every call. The client of a UNIX socket
    /// usually has no address (`address_family::none`), nor has one that is already gone.
    /// With listen_options::proxy_protocol `remote` is the one that the proxy has said.
    [[nodiscard]] address remote() const noexcept {
        return proxied_ ? *proxied_ : detail::os::remote_address(fd_.get());
    }
    [[nodiscard]] address local() const noexcept { return detail::os::local_address(fd_.get()); }

    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

    /// Borrows the descriptor: the connection still closes it.
    [[nodiscard]] int native_handle() const noexcept {
        ticket_.share();
        return fd_.get();
    }

    /// Gives the descriptor away in the mode asked for. From here on the server does not count it:
    /// a draining worker no longer waits for it.
    [[nodiscard]] unique_fd release(io mode) noexcept {
        ticket_.reset();
        if (fd_ && mode == io::blocking) {
            detail::os::set_nonblocking(fd_.get(), false);
        }
        return std::move(fd_);
    }

    /// A second owner of the same connection, for send() when both sides shall keep it.
    [[nodiscard]] unique_fd duplicate() const noexcept {
        ticket_.share();
        return fd_.duplicate();
    }

private:
    friend struct detail::connection_access;

    connection(unique_fd fd, detail::connection_ticket ticket) noexcept
        : fd_{std::move(fd)}, ticket_{std::move(ticket)} {}

    unique_fd fd_;
    detail::connection_ticket ticket_;
    std::unique_ptr<address> proxied_;
};

namespace detail {

struct connection_access {
    /// A descriptor that is known to be non-blocking, counted by `account`.
    static connection make(unique_fd fd,
                           std::shared_ptr<connection_account> account,
                           handed_over from = {},
                           const load_counter* counted = nullptr) noexcept {
        return connection{std::move(fd), connection_ticket{std::move(account), from, counted}};
    }
    static void set_remote(connection& of, const address& remote) {
        of.proxied_ = std::make_unique<address>(remote);
    }
    static unique_fd take_descriptor(connection& from) noexcept { return std::move(from.fd_); }
    static void give_descriptor(connection& to, unique_fd fd) noexcept { to.fd_ = std::move(fd); }
    static connection_ticket take_ticket(connection& from) noexcept {
        return std::move(from.ticket_);
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_NET_CONNECTION_HPP
