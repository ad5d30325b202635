// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SELF_DATAGRAMS_HPP
#define CLUSTER_DETAIL_SELF_DATAGRAMS_HPP

#include "self_core.hpp"

#include <cstdint>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// \file
/// The part of self_core that is about datagram sockets.

inline void self_datagrams::on_datagram_closed(datagram_socket& which) noexcept {
    self_.tell_closed(datagram_access::key(which));
}

inline void self_datagrams::on_datagram_finished(datagram_socket& which) noexcept {
    datagram_set::on_datagram_finished(which);
    loop_.defer(self_.alive_.guard([&self = self_] { self.leave_when_drained(); }));
}

inline std::shared_ptr<load_counters> self_datagrams::load() noexcept {
    return self_.load();
}

inline listen_message self_core::question(const datagram_options& options,
                                          std::error_code& error) const {
    listen_message asked;
    asked.fd = options.fd;
    asked.any_host = options.host.empty();
    asked.how.ipv6_only = options.ipv6_only;
    asked.ready = listening_makes_ready();
    asked.datagram = {true,
                      options.reuse_address,
                      options.broadcast,
                      options.receive_buffer,
                      options.send_buffer};
    error.clear();
    if (options.fd == -1) {
        for (const auto& each : addresses_of(options.host, options.port, error)) {
            asked.candidates.push_back(to_wire(each));
        }
    }
    return asked;
}

// Blocks for the primary's answer, unless the socket is this worker's own.
inline datagram_socket& self_core::bind_datagram(const datagram_options& options,
                                                 datagram_socket::message_handler handler,
                                                 std::error_code& error) {
    answer got;
    if (!is_connected()) {
        error = errc::channel_closed; // it is about to end
    } else if (options.exclusive || options.reuse_port) {
        got.socket = detail::bind_datagram(options, error);
    } else if (auto asked = question(options, error); !error) {
        got = ask(asked, error);
        if (!error && !got.socket) {
            error = errc::bad_frame;
        }
    }
    if (error) {
        return datagrams_.add(0, {}, options, {});
    }
    auto& made = datagrams_.add(got.key, std::move(got.socket), options, std::move(handler));
    if (!ready_ && ready_deferred_) {
        datagram_access::hold_back(made, true);
    } else if (got.key == 0) {
        ready(); // the primary, which was not asked, is told
    } else {
        now_ready();
    }
    return made;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SELF_DATAGRAMS_HPP
