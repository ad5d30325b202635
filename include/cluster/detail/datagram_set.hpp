// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_DATAGRAM_SET_HPP
#define CLUSTER_DETAIL_DATAGRAM_SET_HPP

#include "../error.hpp"
#include "../event_loop.hpp"
#include "../net/datagram_socket.hpp"
#include "../net/listener.hpp"
#include "memory.hpp"
#include "remembered.hpp"

#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A bound UDP socket.
inline unique_fd
bind_datagram_once(const address& wanted, const datagram_options& options, std::error_code& error) {
    unique_fd fd = os::open_datagram_socket(wanted.family());
    bool six = wanted.family() == address_family::ipv6;
    bool bound =
        fd && (!options.reuse_address || os::set_reuse_address(fd.get())) &&
        (!options.reuse_port || os::set_reuse_port(fd.get())) &&
        (!six || os::set_ipv6_only(fd.get(), options.ipv6_only)) &&
        (!options.broadcast || os::set_broadcast(fd.get())) &&
        (options.receive_buffer == 0 || os::set_receive_buffer(fd.get(), options.receive_buffer)) &&
        (options.send_buffer == 0 || os::set_send_buffer(fd.get(), options.send_buffer)) &&
        os::bind_to(fd.get(), wanted);
    if (!bound) {
        error = os::last_error();
        return {};
    }
    os::receive_own_groups_only(fd.get());
    error.clear();
    return fd;
}

/// A copy of a datagram socket that is there already, of this process.
inline unique_fd copy_datagram_socket(int fd, std::error_code& error) {
    unique_fd copy{os::duplicate(fd)};
    error.clear();
    if (!copy) {
        error = os::last_error();
    } else if (!os::is_datagram_socket(copy.get())) {
        error = errc::bad_descriptor;
        copy.reset();
    }
    return copy;
}

/// What the options ask for, for this process alone.
inline unique_fd bind_datagram(const datagram_options& options, std::error_code& error) {
    if (options.fd != -1) {
        return copy_datagram_socket(options.fd, error);
    }
    auto wanted = addresses_of(options.host, options.port, error);
    return error ? unique_fd{}
                 : open_first(wanted, error, [&](const address& each, std::error_code& failed) {
                       return bind_datagram_once(each, options, failed);
                   });
}

/// "bind 127.0.0.1:53", for the text of an error.
inline std::string describe(const datagram_options& options) {
    return "bind " + describe(options.host, options.port, options.fd);
}

/// The datagram sockets of one role: owns them and lets them go when they are over.
class datagram_set : public datagram_owner {
public:
    explicit datagram_set(event_loop& loop) noexcept : loop_{loop} {}

    /// An empty descriptor makes a socket that is closed and soon gone. `key`: the primary's number
    /// for the socket, 0 for one of this process alone.
    datagram_socket& add(std::uint32_t key,
                         unique_fd fd,
                         const datagram_options& options,
                         datagram_socket::message_handler handler) {
        bool bound = static_cast<bool>(fd);
        auto& made = sockets_.add(std::make_unique<datagram_socket>(
            *this, loop_, key, std::move(fd), options, key != 0, std::move(handler)));
        if (!bound) {
            sockets_.finished(loop_, made);
        }
        return made;
    }

    [[nodiscard]] datagram_socket* find(std::uint32_t key) noexcept {
        for (auto& each : sockets_.active()) {
            if (datagram_access::key(*each) == key && each->is_open()) {
                return each.get();
            }
        }
        return nullptr;
    }

    void hold_back_all(bool on) {
        for (auto& each : sockets_.active()) {
            datagram_access::hold_back(*each, on);
        }
    }

    void close_all() noexcept {
        for (auto& each : sockets_.active()) {
            each->close();
        }
    }

    [[nodiscard]] bool empty() const noexcept { return sockets_.empty(); }

protected:
    ~datagram_set() = default;

    void on_datagram_closed(datagram_socket&) noexcept override {}
    void on_datagram_finished(datagram_socket& which) noexcept override {
        sockets_.finished(loop_, which);
    }

    event_loop& loop_;

private:
    remembered<datagram_socket> sockets_;
};

/// The datagram sockets of a role that asks nobody.
class local_datagram_set final : public datagram_set {
public:
    using datagram_set::datagram_set;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_DATAGRAM_SET_HPP
