// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHILD_DETAIL_PORT_CORE_HPP
#define CLUSTER_CHILD_DETAIL_PORT_CORE_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/lifetime.hpp"
#include "../../detail/turn_hook.hpp"
#include "../../error.hpp"
#include "../../event.hpp"
#include "../../event_loop.hpp"
#include "../../ipc/channel.hpp"
#include "../../ipc/wire.hpp"
#include "../../subscription.hpp"

#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The handlers of what happens to a port.
struct port_events {
    emitter<> online, disconnect, drain;
    emitter<const std::error_code&> error;
    emitter<const unhandled_message_info&> unhandled_message;

    void clear() noexcept {
        online.clear();
        disconnect.clear();
        drain.clear();
        error.clear();
        unhandled_message.clear();
    }
};
inline auto& emitter_for(port_events& of, event::online_t) {
    return of.online;
}
inline auto& emitter_for(port_events& of, event::disconnect_t) {
    return of.disconnect;
}
inline auto& emitter_for(port_events& of, event::drain_t) {
    return of.drain;
}
inline auto& emitter_for(port_events& of, event::error_t) {
    return of.error;
}
inline auto& emitter_for(port_events& of, event::unhandled_message_t) {
    return of.unhandled_message;
}

/// A port without the types of its messages. First each side says which version and serializer it
/// has: the parent by `welcome`, before the program starts, the child by `online`.
class port_core : private channel_owner {
public:
    port_core(event_loop& loop, direction incoming, std::string_view serializer)
        : loop_{loop},
          channel_{loop, *this, incoming},
          in_parent_{incoming == direction::to_primary},
          serializer_{serializer} {}
    port_core(port_core&&) = delete;
    port_core& operator=(port_core&&) = delete;

    /// In the parent: takes its end, and greets.
    std::error_code open(unique_fd socket) {
        if (auto error = channel_.open(std::move(socket))) {
            return error;
        }
        greet(frame_kind::welcome);
        return {};
    }

    /// In the child: takes its end, reads the greeting, which is there, and answers.
    std::error_code join(unique_fd socket) {
        if (auto error = channel_.open(std::move(socket))) {
            return error;
        }
        auto error = make_error_code(errc::channel_closed);
        channel_.wait([](const frame_header&) { return true; },
                      [&](const frame& first) { error = check_greeting(first); });
        if (!error) {
            greet(frame_kind::online);
        }
        return error;
    }

    [[nodiscard]] bool is_connected() const noexcept { return channel_.is_open() && !leaving_; }

    void disconnect() {
        if (!is_connected()) {
            return;
        }
        leaving_ = true;
        auto close = alive_.guard([this] { on_channel_end(); });
        if (in_parent_) { // the child may be slow: the end waits behind what was sent
            channel_.send(
                {0, frame_kind::disconnect, 0, 0, 0},
                [](byte_buffer&) {},
                {},
                [close = std::move(close)](std::error_code) mutable { close(); },
                true);
            return;
        }
        channel_.flush_blocking(flush_limit);
        loop_.defer(std::move(close));
    }

    void keep_alive(bool on) noexcept { channel_.keep_alive(on); }

    /// For the parent's core: `hook` runs in the turn in which the channel has ended.
    void tell_end(turn_hook& hook) noexcept { end_hook_ = &hook; }
    /// No handler is called any more.
    void silence() noexcept {
        ended_ = true;
        events_.clear();
        channel_.close();
    }
    /// Takes what the dead child has sent, or what somebody else sends who got hold of the channel,
    /// within bounds. \returns whether the channel has ended; ask again in the next turn.
    [[nodiscard]] bool read_to_end() {
        constexpr int most_turns = 64; // more than a socket holds
        if (!ended_ && (!channel_.is_open() || turns_++ == most_turns || !channel_.has_input())) {
            on_channel_end();
        }
        return ended_;
    }

protected:
    ~port_core() = default;
    virtual void on_user_frame(frame& arrived) = 0;
    virtual void on_gone() = 0;

    event_loop& loop_;
    port_events events_;
    channel channel_;

    static constexpr std::chrono::seconds flush_limit{30};

private:
    void greet(frame_kind kind) {
        channel_.send({0, kind, 0, 0, 0}, [&](byte_buffer& out) {
            encode_wire(online_message{protocol_version, serializer_}, out);
        });
        channel_.flush();
    }

    [[nodiscard]] std::error_code check_greeting(const frame& arrived) {
        online_message said;
        auto expected = in_parent_ ? frame_kind::online : frame_kind::welcome;
        if (arrived.header.kind != expected || !decode_wire(arrived.payload, said)) {
            return make_error_code(errc::bad_frame);
        }
        greeted_ = true;
        return said.protocol == protocol_version && said.serializer == serializer_
                   ? std::error_code{}
                   : make_error_code(errc::protocol_mismatch);
    }

    void on_frame(frame& arrived) override {
        if (!greeted_) {
            if (auto error = check_greeting(arrived)) {
                fail(error);
            } else {
                events_.online.emit();
            }
        } else if (arrived.header.kind >= frame_kind::message) {
            on_user_frame(arrived);
        } else if (arrived.header.kind == frame_kind::disconnect) {
            on_channel_end();
        } else {
            fail(make_error_code(errc::bad_frame));
        }
    }
    void on_channel_drained() override { events_.drain.emit(); }
    void on_violation(errc what) override { fail(make_error_code(what)); }

    void fail(std::error_code why) {
        loop_.defer(alive_.guard([this] { on_channel_end(); }));
        channel_.close();
        events_.error.emit(why);
    }

    void on_channel_end() override {
        if (std::exchange(ended_, true)) {
            return;
        }
        leaving_ = true;
        channel_.close();
        if (end_hook_ != nullptr) {
            loop_.at_turn_end(*end_hook_);
        }
        on_gone();
        events_.disconnect.emit();
    }

    bool in_parent_;
    bool greeted_ = false;
    bool leaving_ = false;
    bool ended_ = false;
    int turns_ = 0;
    std::string serializer_;
    turn_hook* end_hook_ = nullptr;
    lifetime alive_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHILD_DETAIL_PORT_CORE_HPP
