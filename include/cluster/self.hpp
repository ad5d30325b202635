// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SELF_HPP
#define CLUSTER_SELF_HPP

#include "detail/broadcast_functions.hpp"
#include "detail/loop_functions.hpp"
#include "detail/memory.hpp"
#include "detail/self_core.hpp"
#include "detail/shared_memory_functions.hpp"
#include "event.hpp"
#include "fwd.hpp"
#include "messaging.hpp"
#include "net/connection.hpp"
#include "net/datagram_options.hpp"
#include "net/datagram_socket.hpp"
#include "net/listener.hpp"
#include "net/server.hpp"
#include "net/stream.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

/// The role of a worker, inside the worker. Made by basic_cluster. Everything from the thread that
/// runs it; post() and stop() from any. It keeps running while it is connected; after a disconnect
/// for as long as it has connections, streams or timers.
template <typename Cluster>
class basic_self final
    : private detail::self_core,
      public detail::message_endpoint<basic_self<Cluster>,
                                      typename Cluster::serializer_type,
                                      detail::passes_objects<typename Cluster::backend_type>()>,
      public detail::loop_functions,
      public detail::shared_memory_functions<basic_self<Cluster>>,
      public detail::broadcast_functions<basic_self<Cluster>, typename Cluster::serializer_type> {
    using core = detail::self_core;
    using serializer = typename Cluster::serializer_type;
    static constexpr bool passes_objects = detail::passes_objects<typename Cluster::backend_type>();
    using endpoint = detail::message_endpoint<basic_self, serializer, passes_objects>;

public:
    template <typename Reply>
    using responder = basic_responder<Reply, serializer>;

    basic_self(event_loop& loop, unique_fd channel, detail::worker_surroundings where = {})
        : core{loop,
               std::move(channel),
               std::string{serializer::name},
               by_transport(std::move(where))},
          endpoint{loop, this->channel_, nullptr},
          loop_functions{loop} {}

    /// 1, 2, 3, …: the number by which the primary knows this worker.
    using core::id;
    /// The worker's place, which its replacement inherits: 0, 1, 2, …
    using core::slot;
    /// 1, 2, …: which of the cluster's reloads has started this worker.
    using core::generation;
    /// fork_options::name.
    using core::name;
    /// This process's number.
    [[nodiscard]] int pid() const noexcept { return detail::os::process_id(); }
    /// False once a disconnect has begun, from either side, or the channel is closed.
    using core::is_connected;
    /// True once the worker ends because somebody asked for it.
    using core::exited_after_disconnect;

    /// fork_options::data, good for as long as this object. Of a thread: the very object that its
    /// replacements see, too; of a process: a copy.
    /// \throws std::system_error (`errc::bad_payload`) when there is none, or one of another type
    template <typename T>
    [[nodiscard]] const T& data() {
        return core::template data<T, Cluster::backend_type::separate_memory>();
    }
    using core::has_data;
    /// Asked to stop when nothing that the worker does is of use any more: a thread by
    /// worker::kill(), every worker by the loss of its primary. For what computes without
    /// returning to the loop, which ends by itself. Thread-safe.
    using core::stop_token;

    /// Says that the worker can do its work: the primary counts it as up, and a reload goes on. The
    /// first listen() or bind() says it by itself, unless defer_ready() came before. Idempotent.
    void ready() { core::ready(); }
    /// For a worker that has something to prepare: listen() and bind() do not mean ready, and nothing
    /// is accepted or received until ready() is called.
    using core::defer_ready;
    using core::is_ready;

    /// Counts requests for recycle_limits::max_requests and the statistics. Without a call
    /// connections are what is limited. Thread-safe; no system call.
    void count_request(std::uint64_t count = 1) noexcept { core::count_request(count); }

    /// Listens on an address that all workers who ask for it share. Blocks until the primary has
    /// bound it; `handler` then gets this worker's connections, as the scheduling policy has it.
    /// \throws std::system_error with the address in its text (EADDRINUSE, EACCES, …)
    server& listen(const listen_options& options, server::connection_handler handler) {
        std::error_code error;
        auto& made = listen(options, std::move(handler), error);
        if (error) {
            throw std::system_error(error, detail::describe(options));
        }
        return made;
    }
    /// The same without exceptions; with an error the server is closed and soon gone.
    server& listen(const listen_options& options,
                   server::connection_handler handler,
                   std::error_code& error) {
        return core::listen(options, std::move(handler), error);
    }
    /// Listens on a socket that came with a message or was made elsewhere; the primary is not
    /// asked.
    template <std::same_as<listener> Listener> // `{}` means the options
    server& listen(Listener socket, server::connection_handler handler) {
        return core::serve(std::move(socket), std::move(handler));
    }

    /// A listening socket of this worker's slot, for another library to accept from. The primary
    /// keeps a copy, so that nothing is lost when the worker dies; the caller owns what it gets.
    /// \throws std::system_error with the address in its text
    [[nodiscard]] listener open_listener(const listen_options& options) {
        std::error_code error;
        auto socket = open_listener(options, error);
        if (error) {
            throw std::system_error(error, detail::describe(options));
        }
        return socket;
    }
    [[nodiscard]] listener open_listener(const listen_options& options, std::error_code& error) {
        return core::open_listener(options, error);
    }

    /// Binds a datagram socket to an address that all workers who ask for it share (`exclusive` and
    /// `reuse_port`: to one of this worker's own). Blocks until the primary has bound it; `handler`
    /// then gets the datagrams that arrive at this worker. Without a handler nothing is received:
    /// for a socket that only sends. Makes the worker ready, as listen() does.
    /// \throws std::system_error with the address in its text (EADDRINUSE, EACCES, …)
    datagram_socket& bind(const datagram_options& options,
                          datagram_socket::message_handler handler = {}) {
        std::error_code error;
        auto& made = bind(options, std::move(handler), error);
        if (error) {
            throw std::system_error(error, detail::describe(options));
        }
        return made;
    }
    /// The same without exceptions; with an error the socket is closed and soon gone.
    datagram_socket& bind(const datagram_options& options,
                          datagram_socket::message_handler handler,
                          std::error_code& error) {
        error.clear();
        return core::bind_datagram(options, std::move(handler), error);
    }

    /// Reads and writes a connection in this role's loop. The role owns the stream.
    stream& attach(connection client) { return this->streams_.attach(std::move(client)); }

    /// Calls `handler` for what happens to this worker; see cluster/event.hpp for the events.
    template <typename Event, typename F>
    subscription on(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), false);
    }
    template <typename Event, typename F>
    subscription once(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), true);
    }

    /// Sends a message to another worker, by way of the primary, which does not look into it. A
    /// worker that does not exist gets nothing and nobody is told.
    template <typename Message>
    send_result send_to(std::uint32_t id, const Message& message, handle descriptor = {}) {
        return this->send_frame(detail::frame_kind::relay, id, message, std::move(descriptor), {});
    }
    /// Sends a message to all other workers.
    template <typename Message>
    send_result broadcast(const Message& message) {
        return this->send_frame(detail::frame_kind::relay, 0, message, {}, {});
    }

    /// Finishes: no new connections, and when the open ones have ended the channel closes; the
    /// worker then ends when it has nothing left to do. Idempotent.
    void disconnect() { core::disconnect(); }
    /// Ends now, as after a disconnect, but without waiting for connections: run() returns 0 as
    /// soon as the primary knows that it is on purpose.
    void kill() { core::kill(); }
    /// Closes the channel and makes run() return 0 at once; the primary does not take it for a
    /// disconnect.
    void close() { core::close(); }

    /// Makes run() return `code`. What was sent is sent. Thread-safe.
    void stop(int code = 0) noexcept { this->loop_.stop(code); }

    /// Blocks until everything that was sent has been handed to the system; for code that is about
    /// to leave by other ways than run() and std::exit().
    void flush() noexcept { core::flush(); }

    /// Whether the open channel alone keeps the worker running; on by default.
    void keep_alive(bool on) noexcept { this->channel_.keep_alive(on); }

private:
    static detail::worker_surroundings by_transport(detail::worker_surroundings where) {
        where.join = detail::join_of<typename Cluster::backend_type>();
        return where;
    }

    friend class detail::message_endpoint<basic_self, serializer, passes_objects>;
    friend class detail::shared_memory_functions<basic_self>;
    friend class detail::broadcast_functions<basic_self, serializer>;

    template <typename Event, typename F>
    subscription add(Event which, F&& handler, bool once) {
        return emitter_for(this->events_, which)
            .add([this, f = std::forward<F>(handler)](
                     const auto&... rest) mutable { detail::call_flexibly(f, *this, rest...); },
                 once);
    }

    const auto& hub() noexcept { return this->hub_; }
    void on_user_frame(detail::frame& arrived) override { this->receive(arrived); }
    void on_unhandled(const unhandled_message_info& info) {
        this->events_.unhandled_message.emit(info);
    }
    void on_undecodable(const std::error_code& error) { this->events_.error.emit(error); }
    void on_gone() override { this->end_messages(); }
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SELF_HPP
