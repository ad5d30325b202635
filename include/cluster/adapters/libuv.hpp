// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_LIBUV_HPP
#define CLUSTER_ADAPTERS_LIBUV_HPP

#include "../detail/os.hpp"
#include "../net/address.hpp"
#include "../net/connection.hpp"
#include "../net/listener.hpp"
#include "../unique_fd.hpp"
#include "detail/driven_loop.hpp"

#include <system_error>
#include <type_traits>
#include <utility>

#include <uv.h>

namespace cluster {
inline namespace v0 {
namespace adapters {
namespace detail {

inline std::error_code uv_error(int result) noexcept {
    return result < 0 ? std::error_code{-result, std::generic_category()} : std::error_code{};
}

// libuv takes the descriptor when it has succeeded.
template <typename Handle>
std::error_code open_in_uv(Handle& handle,
                           int (*open)(Handle*, int),
                           address_family family,
                           unique_fd fd) noexcept {
    bool local = family == address_family::local || family == address_family::none; // of a pair
    if (!fd || local != std::is_same_v<Handle, uv_pipe_t>) {
        return std::make_error_code(fd ? std::errc::address_family_not_supported
                                       : std::errc::bad_file_descriptor);
    }
    auto error = uv_error(open(&handle, fd.get()));
    if (!error) {
        static_cast<void>(fd.release());
    }
    return error;
}
inline std::error_code open_in_uv(uv_tcp_t& handle, unique_fd fd) noexcept {
    auto family = cluster::detail::os::local_address(fd.get()).family();
    return open_in_uv<uv_tcp_t>(handle, uv_tcp_open, family, std::move(fd));
}
inline std::error_code open_in_uv(uv_pipe_t& handle, unique_fd fd) noexcept {
    auto family = cluster::detail::os::local_address(fd.get()).family();
    return open_in_uv<uv_pipe_t>(handle, uv_pipe_open, family, std::move(fd));
}

} // namespace detail

/// Gives a connection to libuv: a TCP one to a handle that uv_tcp_init() has made, a UNIX one to one
/// of uv_pipe_init(). From here on the server does not count it: max_connections and a drain do not
/// see it, but uv_run() does not return before it is closed.
/// \returns `address_family_not_supported` for the other kind of connection, `bad_file_descriptor`
/// for an empty one, or what libuv says; the connection is then closed, the handle is still to close.
template <typename Handle>
[[nodiscard]] std::error_code to_libuv(Handle& handle, connection&& client) noexcept {
    return detail::open_in_uv(handle, client.release(io::nonblocking));
}

/// Gives a listening socket (self.open_listener()) to libuv, for uv_listen(). Close the handle when
/// event::disconnect says that the worker finishes: the primary keeps the socket for the worker's
/// successor. \returns as above
template <typename Handle>
[[nodiscard]] std::error_code to_libuv(Handle& handle, listener&& socket) noexcept {
    return detail::open_in_uv(handle, socket.release(io::nonblocking));
}

/// Runs a role inside a libuv loop: its messages, connections, timers and signals arrive while
/// uv_run() runs. That returns when neither libuv nor the role has anything left to wait for, and at
/// once (uv_stop) after a stop() of the role, of which the role's run() then returns the code. What a
/// handler of the role throws also makes uv_run() return, and leaves from the role's run() instead.
///
/// The loop outlives the driver and is run by the role's thread; as with every libuv handle, it runs
/// once more after the driver's end before uv_loop_close(). Blocks nowhere.
class libuv_driver {
public:
    /// `role` is a primary, a self, a cluster, or an event_loop; it outlives the driver.
    /// \throws std::system_error when the system is out of descriptors
    template <typename Role>
    libuv_driver(uv_loop_t* loop, Role& role) : state_{new state{detail::loop_of(role)}} {
        if (auto error =
                detail::uv_error(uv_poll_init(loop, &state_->handle, state_->descriptor()))) {
            delete state_;
            throw std::system_error(error, "uv_poll_init");
        }
        state_->begin();
    }
    libuv_driver(libuv_driver&&) = delete;
    libuv_driver& operator=(libuv_driver&&) = delete;
    ~libuv_driver() { state_->end(); }

private:
    // libuv has the handle until it has called back that it is closed.
    struct state final : detail::driven_loop {
        explicit state(event_loop& loop) : driven_loop{loop} {}
        using driven_loop::descriptor;

        void begin() {
            handle.data = this;
            uv_poll_start(&handle, UV_READABLE, [](uv_poll_t* ready, int, int) {
                if (static_cast<state*>(ready->data)->turn_without_throwing()) {
                    uv_stop(ready->loop);
                }
            });
            start();
        }
        void end() noexcept {
            stop();
            uv_close(reinterpret_cast<uv_handle_t*>(&handle),
                     [](uv_handle_t* closed) { delete static_cast<state*>(closed->data); });
        }
        inline void on_liveness(bool alive) noexcept override {
            auto* ours = reinterpret_cast<uv_handle_t*>(&handle);
            alive ? uv_ref(ours) : uv_unref(ours);
        }

        uv_poll_t handle{};
    };

    state* state_; // deletes itself
};

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_LIBUV_HPP
