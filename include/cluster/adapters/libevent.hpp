// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_LIBEVENT_HPP
#define CLUSTER_ADAPTERS_LIBEVENT_HPP

#include "../net/connection.hpp"
#include "../net/listener.hpp"
#include "../unique_fd.hpp"
#include "detail/driven_loop.hpp"

#include <system_error>
#include <utility>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>

namespace cluster {
inline namespace v0 {
namespace adapters {
namespace detail {

// libevent takes the descriptor when it has succeeded; the only thing that it can be short of is
// memory.
template <typename Make>
auto give_to_libevent(unique_fd fd, std::error_code& error, Make&& make) noexcept
    -> decltype(make(0)) {
    error = std::make_error_code(std::errc::bad_file_descriptor);
    if (!fd) {
        return nullptr;
    }
    auto* made = make(fd.get());
    error =
        made != nullptr ? std::error_code{} : std::make_error_code(std::errc::not_enough_memory);
    if (!error) {
        static_cast<void>(fd.release());
    }
    return made;
}

} // namespace detail

/// Gives a connection, TCP or UNIX, to libevent: a bufferevent of this base, for
/// bufferevent_enable(), which closes the socket when it is freed. From here on the server does not
/// count it: max_connections and a drain do not see it, but event_base_dispatch() does not return
/// while it is enabled. `options` are BEV_OPT_….
/// \throws std::system_error `bad_file_descriptor` for an empty connection, `not_enough_memory`; the
/// connection is then closed.
[[nodiscard]] inline bufferevent* to_libevent(event_base* base,
                                              connection&& client,
                                              std::error_code& error,
                                              int options = 0) noexcept {
    return detail::give_to_libevent(client.release(io::nonblocking), error, [&](int fd) {
        return bufferevent_socket_new(base, fd, options | BEV_OPT_CLOSE_ON_FREE);
    });
}
[[nodiscard]] inline bufferevent*
to_libevent(event_base* base, connection&& client, int options = 0) {
    std::error_code error;
    auto* made = to_libevent(base, std::move(client), error, options);
    if (error) {
        throw std::system_error(error, "to_libevent");
    }
    return made;
}

/// Lets an HTTP server of libevent accept from a listening socket (self.open_listener()), TCP or UNIX.
/// Give the result to evhttp_del_accept_socket() when event::disconnect says that the worker finishes:
/// the primary keeps the socket for the worker's successor. \throws std::system_error as above
inline evhttp_bound_socket*
to_libevent(evhttp* server, listener&& socket, std::error_code& error) noexcept {
    return detail::give_to_libevent(socket.release(io::nonblocking), error, [&](int fd) {
        return evhttp_accept_socket_with_handle(server, fd);
    });
}
inline evhttp_bound_socket* to_libevent(evhttp* server, listener&& socket) {
    std::error_code error;
    auto* made = to_libevent(server, std::move(socket), error);
    if (error) {
        throw std::system_error(error, "to_libevent");
    }
    return made;
}

/// Runs a role inside an event_base: its messages, connections, timers and signals arrive while
/// event_base_dispatch() runs. That returns when neither libevent nor the role has anything left to
/// wait for, and at once (event_base_loopbreak) after a stop() of the role, of which the role's run()
/// then returns the code. What a handler of the role throws also makes it return, and leaves from the
/// role's run() instead.
///
/// The base outlives the driver and is run by the role's thread. Blocks nowhere.
class libevent_driver final : private detail::driven_loop {
public:
    /// `role` is a primary, a self, a cluster, or an event_loop; it outlives the driver.
    /// \throws std::system_error when the system is out of descriptors or memory
    template <typename Role>
    libevent_driver(event_base* base, Role& role) : driven_loop{detail::loop_of(role)} {
        auto on_ready = [](evutil_socket_t, short, void* self) {
            static_cast<libevent_driver*>(self)->on_ready();
        };
        if (event_assign(&watch_, base, descriptor(), EV_READ | EV_PERSIST, on_ready, this) != 0 ||
            event_add(&watch_, nullptr) != 0) {
            throw std::system_error(std::make_error_code(std::errc::not_enough_memory),
                                    "libevent_driver");
        }
        start();
    }
    libevent_driver(libevent_driver&&) = delete;
    libevent_driver& operator=(libevent_driver&&) = delete;
    ~libevent_driver() {
        stop();
        event_del(&watch_);
    }

private:
    void on_ready() noexcept {
        auto* base = event_get_base(&watch_); // a handler may be the end of us
        if (turn_without_throwing()) {
            event_base_loopbreak(base);
        }
    }

    // An internal event, as libevent has for itself, is nothing that dispatch() waits for.
    inline void on_liveness(bool alive) noexcept override {
        event_del(&watch_);
        watch_.ev_evcallback.evcb_flags =
            static_cast<short>(alive ? watch_.ev_evcallback.evcb_flags & ~EVLIST_INTERNAL
                                     : watch_.ev_evcallback.evcb_flags | EVLIST_INTERNAL);
        event_add(&watch_, nullptr);
    }

    struct ::event watch_ {};
};

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_LIBEVENT_HPP
