// SPDX-License-Identifier: MIT
#ifndef CLUSTER_MESSAGING_HPP
#define CLUSTER_MESSAGING_HPP

#include "byte_buffer.hpp"
#include "detail/callable.hpp"
#include "detail/chrono.hpp"
#include "detail/encode_message.hpp"
#include "detail/lifetime.hpp"
#include "detail/memory.hpp"
#include "detail/message_table.hpp"
#include "detail/request_table.hpp"
#include "detail/type_name.hpp"
#include "detail/unclaimed_messages.hpp"
#include "error.hpp"
#include "event.hpp"
#include "event_loop.hpp"
#include "ipc/channel.hpp"
#include "net/handle.hpp"
#include "responder.hpp"
#include "result.hpp"
#include "serialization/concept.hpp"
#include "subscription.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <future>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {

/// How long request() waits for an answer by default.
inline constexpr std::chrono::seconds default_request_timeout{30};

namespace detail {

/// Messages at one end of a channel: what the primary's handle on a worker and a worker's self have
/// in common. `Derived` says what becomes of a message that nobody handles or that cannot be decoded.
///
/// `PassesObjects`: messages between threads of one process travel as the objects that they are.
template <typename Derived, typename Serializer, bool PassesObjects = false>
class message_endpoint {
public:
    /// Sends a message, with a descriptor if wanted (a connection, a listener, any unique_fd),
    /// which is closed here once it has been sent. Never blocks, never throws for a closed channel.
    /// `completion(std::error_code)` is called once when the message has been handed to the system.
    /// \throws std::system_error (`errc::message_too_large`) beyond 64 MiB.
    template <typename Message>
    send_result send(Message&& message, handle descriptor = {}, send_completion completion = {}) {
        if constexpr (PassesObjects) {
            return send_object(
                std::forward<Message>(message), std::move(descriptor), std::move(completion));
        } else {
            return send_frame(
                frame_kind::message, 0, message, std::move(descriptor), std::move(completion));
        }
    }
    template <typename Message, typename Completion>
        requires std::is_invocable_v<Completion&, std::error_code>
    send_result send(Message&& message, Completion&& completion) {
        return send(std::forward<Message>(message),
                    handle{},
                    send_completion{std::forward<Completion>(completion)});
    }

    /// Sends a message that asks for an answer. `done(result<Reply>)` is called exactly once: with
    /// the answer, after the timeout, or when the channel ends.
    template <typename Reply, typename Message, typename F>
        requires std::is_invocable_v<F&, result<Reply>>
    void request(const Message& message, std::chrono::nanoseconds timeout, F&& done) {
        static_assert(decodes<Serializer, Reply> && std::is_default_constructible_v<Reply>,
                      "request: the serializer cannot decode the reply's type; see "
                      "cluster/serialization/concept.hpp for what it can.");
        auto sequence = requests_.template add<Reply>(timeout, std::forward<F>(done));
        auto sent = send_result::closed;
        try {
            sent = send_frame(frame_kind::request, sequence, message, {}, {});
        } catch (...) {
            requests_.fail(sequence, errc::request_failed, {}); // and the caller learns why
            throw;
        }
        if (sent == send_result::closed || sent == send_result::full) {
            auto why = sent == send_result::closed ? errc::channel_closed : errc::would_block;
            loop_of_messages_.defer(
                alive_.guard([this, sequence, why] { requests_.fail(sequence, why, {}); }));
        }
    }
    template <typename Reply, typename Message, typename F>
        requires std::is_invocable_v<F&, result<Reply>>
    void request(const Message& message, F&& done) {
        request<Reply>(message, default_request_timeout, std::forward<F>(done));
    }
    /// The same with a future. It becomes ready while the loop runs: waiting for it in the loop's
    /// own thread would wait for ever.
    template <typename Reply, typename Message>
    [[nodiscard]] std::future<result<Reply>>
    request(const Message& message, std::chrono::nanoseconds timeout = default_request_timeout) {
        std::promise<result<Reply>> promise;
        auto future = promise.get_future();
        request<Reply>(
            message, timeout, [promise = std::move(promise)](result<Reply> answer) mutable {
                promise.set_value(std::move(answer));
            });
        return future;
    }

    /// Calls `handler` with messages of the type that it takes: `[](const job& message)`, the role
    /// before it if wanted, and behind it a cluster::handle for a descriptor that came along. One
    /// that takes `job&&` may keep it: handlers behind it see what it has left. One that takes a
    /// `std::string_view` looks at a text where it has arrived, until it returns.
    /// Messages that came before wait for their first handler. On a worker's handle in the primary:
    /// behind the primary's own handlers of the same type.
    template <typename F>
    subscription on_message(F&& handler) {
        auto added = table_.on_message(std::forward<F>(handler));
        claim();
        return added;
    }

    /// Answers requests of the type that `handler` takes with what it returns, or later by a
    /// `responder<Reply>` as its last parameter. What it throws is the answer, too. One handler per
    /// type: a later one replaces the earlier.
    template <typename F>
    void on_request(F&& handler) {
        table_.on_request(std::forward<F>(handler));
        claim();
    }

protected:
    using message_handlers = message_table<Derived, Serializer, PassesObjects>;

    /// `shared`: handlers that several endpoints have in common, called first; null for none.
    message_endpoint(event_loop& loop, channel& by, message_handlers* shared) noexcept
        : loop_of_messages_{loop}, channel_of_messages_{by}, shared_{shared}, requests_{loop} {}
    ~message_endpoint() = default;

    void receive(frame& arrived) {
        if (arrived.header.kind == frame_kind::reply) {
            requests_.on_reply(arrived);
            return;
        }
        if (arrived.header.kind == frame_kind::failure) {
            requests_.on_failure(arrived);
            return;
        }
        auto type = arrived.header.type;
        bool request = arrived.header.kind == frame_kind::request;
        auto passed = arrived.descriptors.empty() ? (arrived.truncated ? handle::lost() : handle{})
                                                  : handle{std::move(arrived.descriptors.front())};
        auto by = find(type, request);
        if (!by || unclaimed_.has(type, request)) {
            unhandled_message_info info{type, arrived.payload.size()};
            unclaimed_.keep(arrived, std::move(passed));
            derived().on_unhandled(info);
            return;
        }
        deliver(
            by, request, arrived.header.sequence, {arrived.payload, &passed, arrived.value.get()});
    }

    // A handler has come: what waited for it is delivered in order, one a task.
    void claim() {
        if (!unclaimed_.empty()) {
            loop_of_messages_.defer(alive_.guard([this] { deliver_unclaimed(); }));
        }
    }

    // Nothing more arrives: whoever waits for an answer is told.
    void end_messages() {
        path_.reset();
        requests_.fail_all(errc::channel_closed);
    }
    void forget_unclaimed() noexcept { unclaimed_.clear(); }

    template <typename Message>
    send_result send_frame(frame_kind kind,
                           std::uint32_t sequence,
                           const Message& message,
                           handle&& descriptor,
                           send_completion&& completion) {
        using type = message_type_of<Message>;
        static_assert(
            encodes<Serializer, type>,
            "send: the serializer cannot encode this type; see "
            "cluster/serialization/concept.hpp for what it can, and move a descriptor into "
            "the second argument.");
        return send_payload(
            {0, kind, 0, message_id<type>(), sequence},
            [&message](byte_buffer& out) { encode_message<Serializer>(message, out); },
            std::move(descriptor),
            std::move(completion));
    }

private:
    // What is the same for every type of message.
    send_result send_payload(frame_header header,
                             payload_encoder encode,
                             handle&& descriptor,
                             send_completion&& completion) {
        return channel_of_messages_.send(
            header, encode, descriptor_list{descriptor.release()}, std::move(completion));
    }

    template <typename Message>
    send_result send_object(Message&& message, handle descriptor, send_completion completion) {
        using type = message_type_of<std::remove_cvref_t<Message>>;
        if constexpr (std::is_constructible_v<type, Message&&>) {
            return channel_of_messages_.send_value(
                {0, frame_kind::moved, 0, message_id<type>(), 0},
                std::make_unique<moved<type>>(std::forward<Message>(message)),
                descriptor_list{descriptor.release()},
                std::move(completion));
        } else { // as between processes
            constexpr bool can = encodes<Serializer, type>;
            static_assert(can,
                          "send: this message cannot be copied; move it: "
                          "send(std::move(message)).");
            if constexpr (can) {
                return send_frame(
                    frame_kind::message, 0, message, std::move(descriptor), std::move(completion));
            } else {
                return send_result::closed;
            }
        }
    }

    using arrival = typename message_handlers::arrival;

    Derived& derived() noexcept { return static_cast<Derived&>(*this); }

    struct who_handles {
        typename message_handlers::slot* shared;
        typename message_handlers::slot* own;
        [[nodiscard]] explicit operator bool() const noexcept { return shared || own; }
    };
    [[nodiscard]] who_handles find(std::uint32_t type, bool request) const noexcept {
        return {shared_ ? shared_->find(type, request) : nullptr, table_.find(type, request)};
    }

    void deliver_unclaimed() {
        unclaimed_messages::entry next;
        auto wanted = [this](const auto& each) -> bool {
            return static_cast<bool>(find(each.type, each.request));
        };
        if (unclaimed_.take(wanted, next)) {
            claim();
            deliver(find(next.type, next.request),
                    next.request,
                    next.sequence,
                    {next.payload.span(), &next.descriptor, next.value.get()});
        }
    }

    void deliver(who_handles by, bool request, std::uint32_t sequence, arrival what) {
        auto& closer = by.own != nullptr ? *by.own : *by.shared;
        if (request) { // the closer handler answers
            const reply_path path{path_, sequence};
            what.path = &path;
            closer.deliver(derived(), what);
        } else if (by.shared != nullptr && by.own != nullptr) {
            deliver_to_both(by, what);
        } else {
            deliver_to(closer, what);
        }
    }
    void deliver_to_both(who_handles by, const arrival& what) {
        std::exception_ptr first; // a handler that throws does not keep the others from running
        for (auto* each : {by.shared, by.own}) {
            try {
                deliver_to(*each, what);
            } catch (...) {
                first = first ? first : std::current_exception();
            }
        }
        if (first) {
            std::rethrow_exception(first);
        }
    }
    void deliver_to(typename message_handlers::slot& one, const arrival& what) {
        if (auto error = one.deliver(derived(), what)) {
            derived().on_undecodable(error);
        }
    }

    event_loop& loop_of_messages_;
    channel& channel_of_messages_;
    message_handlers table_;
    message_handlers* shared_;
    request_table<Serializer> requests_;
    unclaimed_messages unclaimed_;
    std::shared_ptr<channel_replies> path_ =
        std::make_shared<channel_replies>(channel_of_messages_);
    lifetime alive_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_MESSAGING_HPP
