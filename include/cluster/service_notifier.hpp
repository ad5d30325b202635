// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERVICE_NOTIFIER_HPP
#define CLUSTER_SERVICE_NOTIFIER_HPP

#include "detail/chrono.hpp"
#include "detail/environment_block.hpp"
#include "detail/number.hpp"
#include "detail/os.hpp"
#include "error.hpp"
#include "net/address.hpp"
#include "unique_fd.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

/// Tells the service manager that has started this program how it does: the protocol of
/// sd_notify(3), without libsystemd. Without a manager it talks to nobody: every call succeeds and
/// does nothing. A primary has it done by notify_service_manager().
///
/// No call blocks. Thread safety: one thread at a time. Fork safety: a forked child must not use
/// its parent's.
class service_notifier {
public:
    /// The longest state that the manager reads.
    static constexpr std::size_t max_size = 4096;

    /// Talks to nobody.
    service_notifier() noexcept = default;

    /// Talks to `address`, as NOTIFY_SOCKET has it: an absolute path, or '@' and an abstract name.
    /// Whether anybody is there shows when something is told.
    /// \throws std::system_error with the address: one of the two it is not, it is too long, or no
    /// descriptor is left
    explicit service_notifier(const std::string& address) {
        std::error_code error;
        open(address, error);
        if (error) {
            throw std::system_error(error, "notify socket '" + address + "'");
        }
    }
    /// The same without exceptions; with an error it talks to nobody.
    service_notifier(const std::string& address, std::error_code& error) { open(address, error); }

    /// Does as NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say, and takes them out of the
    /// environment: they are for this process, not for its children. Not while other threads read
    /// theirs. \throws std::system_error with the variable that makes no sense
    static service_notifier from_environment() {
        std::error_code error;
        std::string which;
        auto made = from_environment(which, error);
        if (error) {
            throw std::system_error(error, which);
        }
        return made;
    }
    /// The same without exceptions; with an error it talks to nobody.
    static service_notifier from_environment(std::error_code& error) {
        std::string which;
        return from_environment(which, error);
    }

    /// Whether there is somebody to talk to.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(socket_); }

    /// Sends assignments, one a line: "READY=1\nSTATUS=2 workers". See sd_notify(3) for all that a
    /// manager knows. It reads them, but never answers.
    /// \returns `errc::would_block` when the manager has not read what was told before: nothing was
    /// sent, try again when native_handle() can be written; `errc::message_too_large`; else why
    /// nobody got it. The next call may find somebody again.
    std::error_code notify(std::string_view state) noexcept {
        if (!socket_) {
            return {};
        }
        if (state.size() > max_size) {
            return errc::message_too_large;
        }
        auto bytes = std::as_bytes(std::span{state});
        auto sent = detail::os::send(socket_.get(), bytes);
        if (sent.error == ENOTCONN || sent.error == ECONNREFUSED) { // not yet, or not any more
            if (!detail::os::connect_to(socket_.get(), at_)) {
                return detail::os::last_error();
            }
            sent = detail::os::send(socket_.get(), bytes);
        }
        return sent.would_block() ? make_error_code(errc::would_block)
                                  : std::error_code{sent.error, std::system_category()};
    }

    /// How often, at least, the manager wants to hear "WATCHDOG=1", else it restarts the program;
    /// zero: it does not. Half of it is a good period.
    [[nodiscard]] std::chrono::microseconds watchdog_timeout() const noexcept { return watchdog_; }

    /// The socket, for another loop to wait until it can be written; -1: there is none.
    [[nodiscard]] int native_handle() const noexcept { return socket_.get(); }

private:
    void open(const std::string& address, std::error_code& error) {
        bool abstract = address.starts_with('@');
        if (!address.starts_with('/') && !abstract) { // "vsock:…" is for whole machines
            error = std::make_error_code(std::errc::address_family_not_supported);
            return;
        }
        auto name = address;
        name.front() = abstract ? '\0' : '/';
        at_ = address::local(name);
        if (name.size() < 2 || at_.family() == address_family::none) {
            error = std::make_error_code(std::errc::invalid_argument);
            return;
        }
        socket_ = detail::os::open_local_datagram_socket();
        error = socket_ ? std::error_code{} : detail::os::last_error();
    }

    static service_notifier from_environment(std::string& which, std::error_code& error) {
        std::array<std::optional<std::string>, detail::service_variables.size()> values;
        for (std::size_t i = 0; i != values.size(); ++i) {
            values[i] = detail::os::take_variable(detail::service_variables[i]);
        }
        auto& [socket, timeout, pid] = values;
        error.clear();
        if (!socket || socket->empty()) {
            return {};
        }
        which = "NOTIFY_SOCKET=" + *socket;
        service_notifier made{*socket, error};
        bool ours = !pid || number(*pid) == detail::os::process_id();
        if (!error && timeout && ours) {
            which = "WATCHDOG_USEC=" + *timeout;
            made.watchdog_ = std::chrono::microseconds{number(*timeout)};
            if (made.watchdog_.count() <= 0) {
                error = std::make_error_code(std::errc::invalid_argument);
            }
        }
        return error ? service_notifier{} : std::move(made);
    }

    static std::int64_t number(std::string_view digits) noexcept {
        std::int64_t value = 0;
        return detail::read_number(digits, value) ? value : 0;
    }

    address at_;
    unique_fd socket_;
    std::chrono::microseconds watchdog_{0};
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERVICE_NOTIFIER_HPP
