// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHANNELS_MESSAGE_PORT_HPP
#define CLUSTER_CHANNELS_MESSAGE_PORT_HPP

#include "../detail/chrono.hpp"
#include "../detail/memory.hpp"
#include "../detail/os.hpp"
#include "../detail/ring_queue.hpp"
#include "../detail/type_name.hpp"
#include "../error.hpp"
#include "../event_loop.hpp"
#include "../ipc/channel.hpp"
#include "../net/handle.hpp"
#include "../send_result.hpp"
#include "../serialization/binary.hpp"
#include "../serialization/concept.hpp"
#include "../subscription.hpp"
#include "message_channel.hpp"

#include <optional>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {

/// One end of a message_channel at work in an event loop, in any role and thread: sends messages of
/// type `T` to the other end and gets those that it sends. Bytes that are no `T` cost this channel
/// and nothing else. As long as there is no handler for messages nothing is read, so that the other
/// end is slowed down and what it sent waits for receive() or the first handler.
///
/// Everything from the loop's thread; the loop outlives the port. An open port with a handler keeps
/// the loop running. Nothing blocks, except receive(patience).
template <typename T, typename Serializer = serialization::binary>
class message_port {
    static_assert(serializes<Serializer, T> && std::is_default_constructible_v<T>,
                  "message_port: the serializer cannot encode and decode this type; see "
                  "cluster/serialization/concept.hpp for what it can.");

public:
    message_port() noexcept = default;
    /// Takes an end of message_channel<T>::create(), or what came with a message.
    /// \throws std::system_error: `errc::bad_descriptor` when it is no such end,
    /// `errc::descriptor_truncated` when it was lost on the way.
    message_port(event_loop& loop, handle socket) {
        std::error_code error;
        open(loop, std::move(socket), error);
        if (error) {
            throw std::system_error(error, "message_port");
        }
    }
    /// The same without exceptions; with an error the port is closed.
    message_port(event_loop& loop, handle socket, std::error_code& error) {
        open(loop, std::move(socket), error);
    }
    message_port(message_port&&) noexcept = default;
    message_port& operator=(message_port&& other) noexcept {
        drop();
        state_ = std::move(other.state_);
        return *this;
    }
    /// Closes it; no handler is called any more.
    ~message_port() { drop(); }

    [[nodiscard]] bool is_open() const noexcept { return state_ && state_->link.is_open(); }

    /// Sends a message, with a descriptor if wanted, which is closed here once it has been sent.
    /// Never throws for a closed channel. `queued` and `full`: on_drain tells when to go on.
    /// \throws std::system_error (`errc::message_too_large`) beyond 64 MiB.
    send_result send(const T& message, handle descriptor = {}) {
        if (!is_open()) {
            return send_result::closed;
        }
        return state_->link.send(
            {0, detail::frame_kind::message, 0, detail::message_id<T>(), 0},
            [&](byte_buffer& out) { Serializer{}.encode(message, out); },
            detail::descriptor_list{descriptor.release()});
    }

    /// Calls `handler` with each message: `[](const T&)` or `[](const T&, cluster::handle)`, with a
    /// descriptor that came along. Handlers go when the channel is closed.
    template <typename F>
    subscription on_message(F&& handler) {
        if (!state_) {
            return {};
        }
        auto added = state_->messages.add(
            [f = std::forward<F>(handler)](const T& message, handle& passed) mutable {
                if constexpr (std::is_invocable_v<F&, const T&, handle>) {
                    f(message, std::move(passed));
                } else {
                    f(message);
                }
            });
        state_->link.keep_alive(true);
        state_->link.read(!state_->left);
        state_->deliver_later();
        return added;
    }
    /// Calls `handler()` or `handler(std::error_code)` once when the channel is closed, by whatever
    /// end, after the last message: with an error when the other one broke the rules. Without a
    /// handler for messages the other end's closing is noticed by receive() only.
    template <typename F>
    subscription on_close(F&& handler) {
        return !state_ ? subscription{}
                       : state_->closed.add(
                             [f = std::forward<F>(handler)](const std::error_code& why) mutable {
                                 if constexpr (std::is_invocable_v<F&, const std::error_code&>) {
                                     f(why);
                                 } else {
                                     f();
                                 }
                             });
    }
    /// Calls `handler()` when everything has been sent after send() answered `queued` or `full`.
    template <typename F>
    subscription on_drain(F&& handler) {
        return state_ ? state_->drained.add(std::forward<F>(handler)) : subscription{};
    }

    /// Takes the next message past the handlers, if one has arrived, else waits at most `patience`
    /// for it: the loop stands still meanwhile. A descriptor that came along is moved to `passed`,
    /// or closed. \returns nothing after the time, and when the channel is closed.
    [[nodiscard]] std::optional<T> receive(std::chrono::nanoseconds patience = {},
                                           handle* passed = nullptr) {
        return state_ ? state_->receive(patience, passed) : std::nullopt;
    }

    /// Closes this end; what was sent before still arrives. Idempotent.
    void close() noexcept {
        if (state_) {
            state_->leave(state_);
        }
    }

    /// Whether the open port keeps the loop running.
    void keep_alive(bool on) noexcept {
        if (state_) {
            state_->link.keep_alive(on);
        }
    }

private:
    struct waiting {
        byte_buffer payload;
        handle descriptor;
    };

    // What the channel calls may close the port, or end it: so it is kept until the next turn.
    struct state final : private detail::channel_owner {
        explicit state(event_loop& in) : loop{in}, link{in, *this, detail::direction::to_primary} {}

        void on_frame(detail::frame& arrived) override {
            if (arrived.header.kind != detail::frame_kind::message ||
                arrived.header.type != detail::message_id<T>()) {
                end(errc::bad_frame);
                return;
            }
            auto passed = handle_of(arrived);
            if (!messages.empty() && unread.empty()) {
                deliver(arrived.payload, passed);
                return;
            }
            waiting kept{{}, std::move(passed)};
            kept.payload.append(arrived.payload);
            unread.push_back(std::move(kept));
            link.read(!messages.empty());
        }
        void on_channel_drained() override {
            if (!told) {
                drained.emit();
            }
        }
        void on_channel_end() override { unread.empty() ? end({}) : void(ended = true); }
        void on_violation(errc what) override { end(what); }

        static handle handle_of(detail::frame& arrived) {
            return arrived.descriptors.empty() ? (arrived.truncated ? handle::lost() : handle{})
                                               : handle{std::move(arrived.descriptors.front())};
        }
        std::optional<T> decode(std::span<const std::byte> payload) {
            T value{};
            if (Serializer{}.decode(payload, value)) {
                end(errc::bad_payload);
                return std::nullopt;
            }
            return value;
        }
        void deliver(std::span<const std::byte> payload, handle& passed) {
            if (auto value = decode(payload)) {
                messages.emit(*value, passed);
            }
        }
        void deliver_later() {
            if (!unread.empty()) {
                loop.defer([weak = self] {
                    if (auto alive = weak.lock()) {
                        alive->deliver_unread();
                    }
                });
            }
        }
        // One a task: a handler that throws loses no other message.
        void deliver_unread() {
            if (messages.empty() || unread.empty() || left) {
                return;
            }
            auto next = std::move(unread.front());
            unread.pop_front();
            unread.empty() && ended ? end_later() : deliver_later();
            deliver(next.payload.span(), next.descriptor);
        }

        std::optional<T> receive(std::chrono::nanoseconds patience, handle* passed) {
            if (!unread.empty()) {
                auto next = std::move(unread.front());
                unread.pop_front();
                if (unread.empty() && ended) {
                    end_later();
                }
                return take(next.payload.span(), std::move(next.descriptor), passed);
            }
            std::optional<T> got;
            auto now = std::chrono::steady_clock::now();
            bool endless = patience > detail::time_point::max() - now;
            link.wait([](const detail::frame_header&) { return true; },
                      [&](detail::frame& arrived) {
                          if (arrived.header.kind == detail::frame_kind::message &&
                              arrived.header.type == detail::message_id<T>()) {
                              got = take(arrived.payload, handle_of(arrived), passed);
                          } else {
                              end(errc::bad_frame);
                          }
                      },
                      endless ? detail::time_point::max() : now + patience);
            return got;
        }
        std::optional<T> take(std::span<const std::byte> payload, handle from, handle* passed) {
            auto value = decode(payload);
            if (value && passed != nullptr) {
                *passed = std::move(from);
            }
            return value;
        }

        void end(std::error_code why) {
            loop.defer([alive = self.lock()] { alive->forget_handlers(); });
            link.close();
            if (!std::exchange(told, true)) {
                closed.emit(why);
            }
        }
        // They may hold the port that they are the handlers of.
        void forget_handlers() noexcept {
            messages.drop();
            closed.drop();
            drained.drop();
        }
        void end_later() {
            loop.defer([alive = self.lock()] { alive->end({}); });
        }
        // The port is gone, or closed: what was sent must still leave.
        void leave(const std::shared_ptr<state>& alive) noexcept {
            if (std::exchange(left, true)) {
                return;
            }
            link.read(false);
            link.flush();
            finish(alive);
        }
        static void finish(const std::shared_ptr<state>& alive) noexcept {
            if (alive->link.can_send() && alive->link.queued() != 0) {
                alive->link.flush();
                alive->loop.after(std::chrono::milliseconds{10}, [alive] { finish(alive); });
                return;
            }
            alive->link.close();
            alive->loop.defer([alive] { alive->end({}); });
        }

        event_loop& loop;
        detail::channel link;
        detail::emitter<const T&, handle&> messages;
        detail::emitter<const std::error_code&> closed;
        detail::emitter<> drained;
        detail::ring_queue<waiting> unread; // no handler was there
        std::weak_ptr<state> self;
        bool ended = false; // by the other end, while some are unread
        bool told = false;
        bool left = false;
    };

    void open(event_loop& loop, handle socket, std::error_code& error) {
        error = socket.error();
        auto fd = socket.release();
        if (!error &&
            (!detail::os::is_stream_socket(fd.get()) || !detail::os::is_local_socket(fd.get()) ||
             !detail::os::set_nonblocking(fd.get(), true))) {
            error = errc::bad_descriptor;
        }
        if (error) {
            return;
        }
        auto made = std::make_shared<state>(loop);
        made->self = made;
        error = made->link.open(std::move(fd));
        if (!error) {
            made->link.read(false);
            made->link.keep_alive(false);
            state_ = std::move(made);
        }
    }

    void drop() noexcept {
        if (state_) {
            state_->told = true;
            state_->leave(state_);
        }
    }

    std::shared_ptr<state> state_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHANNELS_MESSAGE_PORT_HPP
