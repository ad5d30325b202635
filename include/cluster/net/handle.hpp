// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_HANDLE_HPP
#define CLUSTER_NET_HANDLE_HPP

#include "../detail/os.hpp"
#include "../error.hpp"
#include "../unique_fd.hpp"
#include "connection.hpp"
#include "listener.hpp"

#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

/// A descriptor that came, or goes, with a message: owned, close-on-exec. Empty when the message
/// had none or when it was lost on the way (error()).
class handle {
public:
    handle() noexcept = default;
    handle(unique_fd fd) noexcept : fd_{std::move(fd)} {}
    /// Sending a connection gives it away; connection::duplicate() keeps it.
    handle(connection from) noexcept : fd_{from.release(io::nonblocking)} {}
    handle(listener from) noexcept : fd_{from.release(io::nonblocking)} {}

    /// An empty handle in place of a descriptor that could not be delivered.
    static handle lost() noexcept {
        handle result;
        result.lost_ = true;
        return result;
    }

    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

    /// `errc::descriptor_truncated` when the sender passed a descriptor and the system dropped it,
    /// as it does when this process is at its limit of open files.
    [[nodiscard]] std::error_code error() const noexcept {
        return lost_ ? make_error_code(errc::descriptor_truncated) : std::error_code{};
    }

    /// What it is, by asking the system.
    [[nodiscard]] bool is_listener() const noexcept {
        return fd_ && detail::os::is_listening(fd_.get());
    }
    /// The same for a stream socket that does not listen.
    [[nodiscard]] bool is_connection() const noexcept {
        return fd_ && detail::os::is_stream_socket(fd_.get()) && !is_listener();
    }

    /// \returns an empty connection when it is none; the handle keeps what it holds then.
    [[nodiscard]] connection to_connection() noexcept {
        return is_connection() ? connection{std::move(fd_)} : connection{};
    }
    /// \returns an empty listener when it is none; the handle keeps what it holds then.
    [[nodiscard]] listener to_listener() noexcept {
        return is_listener() ? listener{std::move(fd_)} : listener{};
    }

    /// Borrows the descriptor.
    [[nodiscard]] int native_handle() const noexcept { return fd_.get(); }
    /// Gives the descriptor away.
    [[nodiscard]] unique_fd release() noexcept { return std::move(fd_); }

private:
    unique_fd fd_;
    bool lost_ = false;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_NET_HANDLE_HPP
