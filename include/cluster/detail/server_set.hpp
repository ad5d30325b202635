// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SERVER_SET_HPP
#define CLUSTER_DETAIL_SERVER_SET_HPP

#include "../event.hpp"
#include "../event_loop.hpp"
#include "../net/listener.hpp"
#include "../net/server.hpp"
#include "listen_addresses.hpp"
#include "memory.hpp"
#include "remembered.hpp"

#include <cstdint>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The servers of one role: owns them and lets them go when they are over.
class server_set : public server_owner {
public:
    explicit server_set(event_loop& loop) noexcept : loop_{loop} {}

    /// One that does not listen on anything yet.
    server& add(const listen_options& options, server::connection_handler handler) {
        return servers_.add(std::make_unique<server>(*this, loop_, options, std::move(handler)));
    }

    /// A server on a socket of this process alone.
    server& add(listener socket, server::connection_handler handler) {
        auto& made = add(listen_options{}, std::move(handler));
        add_socket(made, std::move(socket));
        return made;
    }

    /// Listens for this process alone; with an error the server is closed and soon gone.
    server& listen_alone(const listen_options& options,
                         server::connection_handler handler,
                         std::error_code& error) {
        auto& made = add(options, std::move(handler));
        for (const auto& each : each_address(options, error)) {
            listener socket = bind(each, error);
            if (error) {
                break;
            }
            auto& at = add_socket(made, std::move(socket));
            if (!each.path.empty() && !each.abstract) {
                at.own_file(os::absolute_path(each.path));
            }
        }
        if (error) {
            give_up(made);
        }
        return made;
    }

    /// Nothing of it is left but a server that is closed: the caller of the error_code form has it.
    static void give_up(server& made) noexcept {
        made.unref();
        server_access::fail(made);
    }

    /// Binds what the options ask for, for this process alone.
    static listener bind(const listen_options& options, std::error_code& error) {
        if (options.fd != -1) {
            unique_fd fd{os::duplicate(options.fd)};
            error = !fd ? os::last_error() : std::error_code{};
            if (fd && !os::is_listening(fd.get()) && !os::listen_on(fd.get(), options.backlog)) {
                error = os::last_error();
            }
            return listener{error ? unique_fd{} : std::move(fd)};
        }
        auto wanted = addresses_of(options, error);
        if (error) {
            return {};
        }
        cluster::address at;
        return listener{bind_first(wanted, binding_of(options), at, error)};
    }

    [[nodiscard]] server* find(std::uint32_t key) noexcept {
        for (auto& each : servers_.active()) {
            if (each->is_listening() && server_access::find(*each, key) != nullptr) {
                return each.get();
            }
        }
        return nullptr;
    }

    void hold_back_all(bool on) {
        for (auto& each : servers_.active()) {
            server_access::hold_back(*each, on);
        }
    }

    void close_all() noexcept {
        for (auto& each : servers_.active()) {
            each->close();
        }
    }

    [[nodiscard]] bool empty() const noexcept { return servers_.empty(); }

protected:
    ~server_set() = default;

    void on_server_closed(server&) noexcept override {}
    void on_server_ready(server&) noexcept override {}
    void on_server_pressure(server&, const std::error_code&) override {}
    std::shared_ptr<load_counters> load() noexcept override { return {}; }
    void on_server_finished(server& which) noexcept override { servers_.finished(loop_, which); }

    event_loop& loop_;

private:
    static endpoint& add_socket(server& to, listener socket) {
        auto& at = server_access::add_endpoint(to, 0, socket.address(), accept_mode::own_socket);
        server_access::add_socket(to, at, 0, socket.release(io::nonblocking));
        return at;
    }

    remembered<server> servers_;
};

/// The servers of a role that asks nobody.
class local_server_set final : public server_set {
public:
    using server_set::server_set;

    emitter<const fd_pressure_info&> fd_pressure_;

private:
    void on_server_pressure(server& which, const std::error_code& cause) override {
        fd_pressure_.emit({which.address(), cause});
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SERVER_SET_HPP
