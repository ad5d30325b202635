// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHILD_PROGRAM_HPP
#define CLUSTER_CHILD_PROGRAM_HPP

#include "../event.hpp"
#include "../event_loop.hpp"
#include "../fwd.hpp"
#include "../net/handle.hpp"
#include "../result.hpp"
#include "../send_result.hpp"
#include "../serialization/binary.hpp"
#include "../serialization/concept.hpp"
#include "child.hpp"
#include "program_port.hpp"
#include "spawn_options.hpp"

#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A child that talks.
template <typename Serializer>
class program_core final : public child_core {
public:
    using port_type = basic_program_port<Serializer>;

    explicit program_core(event_loop& loop)
        : child_core{loop},
          port_{loop, direction::to_primary},
          progress_{this, [](void* self) { static_cast<program_core*>(self)->proceed(); }} {
        port_.tell_end(progress_);
        port_.on(event::error, [this](const std::error_code& why) { events_.error.emit(why); });
    }

    void start(const spawn_options& options) {
        unique_fd ours;
        unique_fd theirs;
        auto error = os::make_channel(ours, theirs);
        if (!error) {
            error = port_.open(std::move(ours));
        }
        child_core::start(options, theirs ? theirs.get() : channel_descriptor, error);
    }

    [[nodiscard]] port_type& port() noexcept { return port_; }

    void keep_alive(bool on) noexcept override {
        child_core::keep_alive(on);
        port_.keep_alive(on);
    }

private:
    bool has_read_all() override { return port_.read_to_end(); }
    void on_silenced() noexcept override { port_.silence(); }

    port_type port_;
    turn_hook progress_;
};

} // namespace detail

/// The handle of a program that fork_program() has started: a child that messages go to and come
/// from. What it sent before it ended arrives before event::exit, between them event::disconnect.
template <typename Serializer>
class basic_child_program : public child {
    using port_type = basic_program_port<Serializer>;

public:
    template <typename Reply>
    using responder = basic_responder<Reply, Serializer>;

    basic_child_program() noexcept = default;

    /// The channel to the child; what handlers take as `auto& from`. It is there as long as the
    /// handle.
    [[nodiscard]] port_type& channel() noexcept {
        return static_cast<detail::program_core<Serializer>&>(core()).port();
    }

    /// The channel's, see messaging.hpp.
    template <typename Message, typename... Rest>
    send_result send(const Message& message, Rest&&... rest) {
        return channel().send(message, std::forward<Rest>(rest)...);
    }
    /// The channel's, see messaging.hpp.
    template <typename Reply, typename Message, typename... Rest>
    auto request(const Message& message, Rest&&... rest) {
        return channel().template request<Reply>(message, std::forward<Rest>(rest)...);
    }
    template <typename F>
    subscription on_message(F&& handler) {
        return channel().on_message(std::forward<F>(handler));
    }
    template <typename F>
    void on_request(F&& handler) {
        channel().on_request(std::forward<F>(handler));
    }
    [[nodiscard]] bool is_connected() { return channel().is_connected(); }
    /// Closes the channel behind what was sent; the child ends when it has nothing else to do.
    void disconnect() { channel().disconnect(); }

    /// Calls `handler` for an event of a child or of a channel; see cluster/event.hpp.
    template <typename Event, typename F>
    subscription on(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), false);
    }
    template <typename Event, typename F>
    subscription once(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), true);
    }

private:
    template <typename S>
    friend basic_child_program<S> fork_program(event_loop& loop, spawn_options options);

    explicit basic_child_program(detail::child_core& core) noexcept : child{core} {}

    template <typename Event, typename F>
    subscription add(Event which, F&& handler, bool once) {
        constexpr bool of_child = requires(detail::child_events& of) { emitter_for(of, which); };
        if constexpr (of_child) {
            return once ? child::once(which, std::forward<F>(handler))
                        : child::on(which, std::forward<F>(handler));
        } else {
            return once ? channel().once(which, std::forward<F>(handler))
                        : channel().on(which, std::forward<F>(handler));
        }
    }
};

using child_program = basic_child_program<serialization::binary>;

/// Starts a program that uses this library, by default the one that runs, and that takes its end of
/// the channel with a parent_channel. It is a fresh start, not fork(2), and no shell. What spawn()
/// says holds for it. A program that takes no channel is a child like any other; its messages wait
/// and are dropped in the end.
template <typename Serializer = serialization::binary>
[[nodiscard("the program is killed when its handle goes")]] basic_child_program<Serializer>
fork_program(event_loop& loop, spawn_options options = {}) {
    detail::give_input_a_pipe(options);
    auto* core = new detail::program_core<Serializer>{loop};
    core->start(options);
    return basic_child_program<Serializer>{*core};
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHILD_PROGRAM_HPP
