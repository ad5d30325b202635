// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_DETAIL_ASIO_HPP
#define CLUSTER_ADAPTERS_DETAIL_ASIO_HPP

#include "../../detail/os.hpp"
#include "../../net/address.hpp"
#include "../../net/connection.hpp"
#include "../../net/listener.hpp"
#include "../../unique_fd.hpp"
#include "driven_loop.hpp"

#include <memory>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace adapters {
namespace detail {

/// The names of the Asio that a context or a protocol is of, standalone or Boost's: `tcp`,
/// `descriptor`, `error_code`, `post`. Each of the two headers specialises it for its own.
template <typename ContextOrProtocol>
struct asio_library;

template <typename T>
concept known_to_asio = requires { typename asio_library<T>::tcp; };

/// What to_asio makes a socket of: TCP, unless the caller names another protocol.
template <typename Protocol, typename Where>
struct asio_protocol {
    static_assert(known_to_asio<Protocol>,
                  "to_asio: the protocol is ip::tcp or local::stream_protocol of Asio (include "
                  "cluster/adapters/asio.hpp) or Boost.Asio (cluster/adapters/boost_asio.hpp).");
    using type = Protocol;
};
template <typename Where>
struct asio_protocol<void, Where> {
    static_assert(known_to_asio<Where>,
                  "to_asio: the first argument is an io_context of Asio (include "
                  "cluster/adapters/asio.hpp) or Boost.Asio (cluster/adapters/boost_asio.hpp). For "
                  "an executor name the protocol: to_asio<asio::ip::tcp>(executor, …).");
    using type = typename asio_library<Where>::tcp;
};
template <typename Protocol, typename Where>
using asio_protocol_t = typename asio_protocol<Protocol, std::remove_cvref_t<Where>>::type;

template <typename Protocol, typename Socket>
std::error_code assign_as(const Protocol& protocol, Socket& socket, unique_fd& fd) {
    typename asio_library<Protocol>::error_code error;
    socket.assign(protocol, fd.get(), error);
    if (!error) {
        static_cast<void>(fd.release()); // it is the socket's
    }
    return error;
}

/// Makes the descriptor one of Asio's; with an error it is closed.
template <typename Protocol, typename Socket>
std::error_code assign_to_asio(Socket& socket, unique_fd fd) {
    if (!fd) {
        return std::make_error_code(std::errc::bad_file_descriptor);
    }
    // Of this end: the other one may be gone already.
    auto family = cluster::detail::os::local_address(fd.get()).family();
    if constexpr (requires { Protocol::v6(); }) {
        if (family == address_family::ipv4 || family == address_family::ipv6) {
            bool four = family == address_family::ipv4;
            return assign_as(four ? Protocol::v4() : Protocol::v6(), socket, fd);
        }
    } else if (family == address_family::local || family == address_family::none) { // of a pair
        return assign_as(Protocol{}, socket, fd);
    }
    return std::make_error_code(std::errc::address_family_not_supported);
}

inline void throw_if(const std::error_code& error) {
    if (error) {
        throw std::system_error(error, "to_asio");
    }
}

} // namespace detail

/// Gives a connection to Asio: `asio::ip::tcp::socket`, or with `to_asio<asio::local::stream_protocol>`
/// the socket of a UNIX one. `where` is an io_context, or an executor if the protocol is named. From
/// here on the server does not count it: max_connections and a drain do not see it, but context.run()
/// does not return before it is done.
/// \throws std::system_error: `address_family_not_supported` for a connection of another protocol,
/// `bad_file_descriptor` for an empty one, and what Asio has; the connection is then closed.
template <typename Protocol = void, typename Where>
auto to_asio(Where&& where, connection&& client) {
    typename detail::asio_protocol_t<Protocol, Where>::socket socket{std::forward<Where>(where)};
    detail::throw_if(detail::assign_to_asio<detail::asio_protocol_t<Protocol, Where>>(
        socket, client.release(io::nonblocking)));
    return socket;
}
/// The same without exceptions; with an error the socket is not open.
template <typename Protocol = void, typename Where>
auto to_asio(Where&& where, connection&& client, std::error_code& error) {
    typename detail::asio_protocol_t<Protocol, Where>::socket socket{std::forward<Where>(where)};
    error = detail::assign_to_asio<detail::asio_protocol_t<Protocol, Where>>(
        socket, client.release(io::nonblocking));
    return socket;
}

/// Gives a listening socket (self.open_listener()) to Asio: `asio::ip::tcp::acceptor`, or with
/// `to_asio<asio::local::stream_protocol>` that of a UNIX one. Close it when event::disconnect says
/// that the worker finishes: the primary keeps the socket for the worker's successor.
/// \throws std::system_error as above
template <typename Protocol = void, typename Where>
auto to_asio(Where&& where, listener&& socket) {
    typename detail::asio_protocol_t<Protocol, Where>::acceptor result{std::forward<Where>(where)};
    detail::throw_if(detail::assign_to_asio<detail::asio_protocol_t<Protocol, Where>>(
        result, socket.release(io::nonblocking)));
    return result;
}
template <typename Protocol = void, typename Where>
auto to_asio(Where&& where, listener&& socket, std::error_code& error) {
    typename detail::asio_protocol_t<Protocol, Where>::acceptor result{std::forward<Where>(where)};
    error = detail::assign_to_asio<detail::asio_protocol_t<Protocol, Where>>(
        result, socket.release(io::nonblocking));
    return result;
}

/// Runs a role inside an io_context: its messages, connections, timers and signals arrive while
/// context.run() runs. That returns when neither Asio nor the role has anything left to wait for, and
/// at once after a stop() of the role, of which the role's run() then returns the code. What a
/// handler of the role throws leaves from context.run(), which may be called again.
///
/// The context outlives the driver, and is run by the role's thread and no other; connections may be
/// given to a context of more threads. Blocks nowhere.
template <typename Context>
class asio_driver {
public:
    /// `role` is a primary, a self, a cluster, or an event_loop; it outlives the driver.
    /// \throws std::system_error when the system is out of descriptors
    template <typename Role>
    asio_driver(Context& context, Role& role)
        : state_{std::make_shared<state>(context, detail::loop_of(role))} {
        state_->begin();
    }
    asio_driver(asio_driver&&) = delete;
    asio_driver& operator=(asio_driver&&) = delete;
    ~asio_driver() { state_->end(); }

private:
    static_assert(detail::known_to_asio<Context>,
                  "asio_driver: the first argument is an io_context of Asio (include "
                  "cluster/adapters/asio.hpp) or Boost.Asio (cluster/adapters/boost_asio.hpp).");
    using library = detail::asio_library<Context>;

    // Outlives the driver for as long as Asio has a handler of it.
    class state final : public detail::driven_loop, public std::enable_shared_from_this<state> {
    public:
        state(Context& context, event_loop& loop)
            : driven_loop{loop}, context_{context}, socket_{context, this->descriptor()} {
            static_cast<void>(this->release()); // it is Asio's
        }

        void begin() {
            wait();
            this->start();
        }

        void end() noexcept {
            this->stop();
            ended_ = true;
            count();
            typename library::error_code ignored;
            socket_.close(ignored);
        }

    private:
        void wait() {
            socket_.async_wait(
                library::descriptor::wait_read,
                [self = this->shared_from_this()](const auto&) { self->on_ready(); });
            waiting_ = true;
        }

        void on_ready() {
            if (ended_) {
                return;
            }
            count();
            waiting_ = false;
            try {
                take_turn();
            } catch (...) {
                go_on();
                throw;
            }
        }

        void take_turn() {
            if (this->turn()) {
                context_.stop();
            }
            go_on();
        }

        void go_on() {
            if (!ended_) {
                wait();
                uncount();
            }
        }

        inline void on_liveness(bool alive) noexcept override {
            alive_ = alive;
            if (alive) {
                count();
            } else if (
                waiting_) { // by a handler: outside of run() the last work would end it for ever
                typename library::post{}(context_,
                                         [self = this->shared_from_this()] { self->uncount(); });
            }
        }

        // The wait of a role that has nothing to wait for is no work; what Asio takes away behind the
        // handler must then be given back.
        void uncount() noexcept {
            if (!alive_ && waiting_ && !ended_ && std::exchange(counted_, false)) {
                context_.get_executor().on_work_finished();
            }
        }
        void count() noexcept {
            if (!std::exchange(counted_, true)) {
                context_.get_executor().on_work_started();
            }
        }

        Context& context_;
        typename library::descriptor socket_;
        bool alive_ = true;
        bool waiting_ = false;
        bool counted_ = true;
        bool ended_ = false;
    };

    std::shared_ptr<state> state_;
};

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_DETAIL_ASIO_HPP
