// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHILD_PROGRAM_PORT_HPP
#define CLUSTER_CHILD_PROGRAM_PORT_HPP

#include "../event.hpp"
#include "../event_loop.hpp"
#include "../fwd.hpp"
#include "../messaging.hpp"
#include "detail/port_core.hpp"

#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

/// One end of the messages between a program and a child of its that uses this library:
/// fork_program() makes the parent's, parent_channel is the child's. Everything from the loop's
/// thread; nothing blocks, unless it says so, and nothing throws because the other side is gone.
template <typename Serializer>
class basic_program_port
    : public detail::port_core,
      public detail::message_endpoint<basic_program_port<Serializer>, Serializer> {
    using endpoint = detail::message_endpoint<basic_program_port, Serializer>;

public:
    template <typename Reply>
    using responder = basic_responder<Reply, Serializer>;

    basic_program_port(event_loop& loop, detail::direction incoming)
        : detail::port_core{loop, incoming, Serializer::name},
          endpoint{loop, this->channel_, nullptr} {}

    /// Until the channel is closed, or disconnect() was called on this side.
    using detail::port_core::is_connected;
    /// Closes the channel once everything that was sent has been handed to the system, and
    /// event::disconnect follows, on both sides. Idempotent. In a child it may block for that.
    using detail::port_core::disconnect;
    /// Whether the open channel alone keeps its loop running; on by default.
    using detail::port_core::keep_alive;

    /// Calls `handler` for online (in the parent), disconnect, drain, unhandled_message or error;
    /// see cluster/event.hpp.
    template <typename Event, typename F>
    subscription on(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), false);
    }
    template <typename Event, typename F>
    subscription once(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), true);
    }

private:
    friend class detail::message_endpoint<basic_program_port, Serializer>;

    template <typename Event, typename F>
    subscription add(Event which, F&& handler, bool once) {
        return emitter_for(this->events_, which)
            .add([f = std::forward<F>(handler)](
                     const auto&... rest) mutable { detail::call_with_or_without(f, rest...); },
                 once);
    }

    void on_user_frame(detail::frame& arrived) final { this->receive(arrived); }
    void on_gone() final { this->end_messages(); }
    void on_unhandled(const unhandled_message_info& info) {
        this->events_.unhandled_message.emit(info);
    }
    void on_undecodable(const std::error_code& error) { this->events_.error.emit(error); }
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHILD_PROGRAM_PORT_HPP
