// SPDX-License-Identifier: MIT
#ifndef CLUSTER_MESSAGING_HPP
#define CLUSTER_MESSAGING_HPP

#include "byte_buffer.hpp"
#include "detail/callable.hpp"
#include "detail/move_only_function.hpp"
#include "detail/type_name.hpp"
#include "error.hpp"
#include "event.hpp"
#include "event_loop.hpp"
#include "ipc/channel.hpp"
#include "net/handle.hpp"
#include "result.hpp"
#include "serialization/concept.hpp"
#include "subscription.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// How long request() waits for an answer by default.
inline constexpr std::chrono::seconds default_request_timeout{30};

namespace detail {

/// How to answer one request: the channel it came by, if that still exists.
struct reply_path {
    std::weak_ptr<channel*> to;
    std::uint32_t sequence = 0;
};

template <typename Serializer, typename T>
void send_reply(const reply_path& path, const T& value) {
    if (auto to = path.to.lock()) {
        (*to)->send({0, frame_kind::reply, 0, message_id<T>(), path.sequence},
                    [&](byte_buffer& out) { Serializer{}.encode(value, out); });
    }
}

inline void send_failure(const reply_path& path, std::string_view text) {
    constexpr std::size_t longest = 1024;
    if (auto to = path.to.lock()) {
        (*to)->send({0, frame_kind::failure, 0, 0, path.sequence}, [&](byte_buffer& out) {
            out.append(text.data(), text.size() < longest ? text.size() : longest);
        });
    }
}

} // namespace detail

/// Answers a request later: what an on_request handler takes as its last parameter instead of
/// returning the answer. Move-only; dropping it unanswered is answered with a failure.
template <typename Reply, typename Serializer>
class basic_responder {
public:
    explicit basic_responder(detail::reply_path path) noexcept : path_{std::move(path)} {}
    basic_responder(basic_responder&&) noexcept = default;
    basic_responder& operator=(basic_responder&&) = delete;
    ~basic_responder() {
        if (path_.to.lock()) {
            detail::send_failure(path_, "the request was dropped");
        }
    }

    /// Once; later calls, and calls after the asking side has gone, do nothing.
    void operator()(const Reply& value) {
        detail::send_reply<Serializer>(path_, value);
        path_.to.reset();
    }
    void fail(std::string_view why) {
        detail::send_failure(path_, why);
        path_.to.reset();
    }

private:
    detail::reply_path path_;
};

namespace detail {

template <typename T>
struct responder_reply;
template <typename Reply, typename Serializer>
struct responder_reply<basic_responder<Reply, Serializer>> {
    using type = Reply;
};

/// The handlers of one role for messages and requests, by the type of the message.
template <typename Role, typename Serializer>
class message_table {
public:
    struct arrival {
        std::span<const std::byte> payload;
        handle* descriptor;
        reply_path path; // requests
    };

    template <typename F>
    subscription on_message(F&& f) {
        using shape = handler_shape<F, Role>;
        using message = typename shape::message_type;
        check<shape>();
        constexpr bool extra_fits =
            shape::extra == 0 ||
            (shape::extra == 1 && std::is_same_v<typename shape::extra_type, handle>);
        static_assert(!shape::names_message || extra_fits,
                      "on_message: behind the message a handler may only take a cluster::handle.");
        if constexpr (explained<shape> || !extra_fits) {
            return {}; // one sentence, not a page of what follows from it
        } else {
            auto& slot = slot_for<message_slot<message>>(message_id<message>(), false);
            return slot.handlers.add(
                [f = std::forward<F>(f)](Role& role, const message& value, handle& passed) mutable {
                    if constexpr (shape::takes_role && shape::extra == 1) {
                        f(role, value, std::move(passed));
                    } else if constexpr (shape::takes_role) {
                        f(role, value);
                    } else if constexpr (shape::extra == 1) {
                        f(value, std::move(passed));
                    } else {
                        f(value);
                    }
                });
        }
    }

    /// One handler per type: a later one replaces the earlier.
    template <typename F>
    void on_request(F&& f) {
        using shape = handler_shape<F, Role>;
        using message = typename shape::message_type;
        check<shape>();
        if constexpr (!explained<shape>) {
            auto& slot = slot_for<request_slot<message>>(message_id<message>(), true);
            slot.handler = [f = std::forward<F>(f)](
                               Role& role, const message& value, reply_path path) mutable {
                answer<shape>(f, role, value, std::move(path));
            };
        }
    }

    [[nodiscard]] bool handles(std::uint32_t type, bool request) const noexcept {
        for (const auto& each : slots_) {
            if (each->type == type && each->request == request) {
                return each->in_use();
            }
        }
        return false;
    }

    /// Decodes and calls. What a handler throws leaves from here, for requests it is the answer.
    std::error_code deliver(Role& role, std::uint32_t type, bool request, const arrival& what) {
        for (std::size_t i = 0; i != slots_.size(); ++i) {
            if (slots_[i]->type == type && slots_[i]->request == request) {
                return slots_[i]->deliver(role, what);
            }
        }
        return make_error_code(errc::no_handler);
    }

private:
    struct slot_base {
        virtual ~slot_base() = default;
        virtual std::error_code deliver(Role& role, const arrival& what) = 0;
        [[nodiscard]] virtual bool in_use() const noexcept = 0;
        std::uint32_t type = 0;
        bool request = false;
    };

    template <typename Message>
    struct message_slot final : slot_base {
        emitter<Role&, const Message&, handle&> handlers;

        std::error_code deliver(Role& role, const arrival& what) override {
            Message value{};
            if (auto error = Serializer{}.decode(what.payload, value)) {
                return error;
            }
            handlers.emit(role, value, *what.descriptor);
            return {};
        }
        [[nodiscard]] bool in_use() const noexcept override { return !handlers.empty(); }
    };

    template <typename Message>
    struct request_slot final : slot_base {
        move_only_function<void(Role&, const Message&, reply_path)> handler;

        std::error_code deliver(Role& role, const arrival& what) override {
            Message value{};
            if (auto error = Serializer{}.decode(what.payload, value)) {
                send_failure(what.path, error.message());
                return error;
            }
            handler(role, value, what.path);
            return {};
        }
        [[nodiscard]] bool in_use() const noexcept override { return static_cast<bool>(handler); }
    };

    template <typename Shape>
    static constexpr bool explained =
        !Shape::names_message || !std::is_default_constructible_v<typename Shape::message_type>;

    template <typename Shape>
    static constexpr void check() {
        using message = typename Shape::message_type;
        static_assert(
            Shape::names_message,
            "on_message/on_request: the handler must take the message by its type, as in "
            "`[](const job& message) {…}` or `[](auto& from, const job& message) {…}`; only the "
            "role may be `auto&`.");
        static_assert(
            !Shape::names_message || std::is_default_constructible_v<message>,
            "on_message/on_request: a message must be default constructible, to be decoded "
            "into.");
        if constexpr (!explained<Shape>) { // the serializer may have more to say
            static_assert(decodes<Serializer, message>,
                          "on_message/on_request: the serializer cannot decode this type; see "
                          "cluster/serialization/concept.hpp for what it can.");
        }
    }

    template <typename Slot>
    Slot& slot_for(std::uint32_t type, bool request) {
        for (auto& each : slots_) {
            if (each->type == type && each->request == request) {
                return static_cast<Slot&>(*each);
            }
        }
        auto made = std::make_unique<Slot>();
        made->type = type;
        made->request = request;
        slots_.push_back(std::move(made));
        return static_cast<Slot&>(*slots_.back());
    }

    template <typename Shape, typename F, typename Message>
    static void answer(F& f, Role& role, const Message& value, reply_path path) {
        auto call = [&](auto&&... extra) -> decltype(auto) {
            if constexpr (Shape::takes_role) {
                return f(role, value, std::forward<decltype(extra)>(extra)...);
            } else {
                return f(value, std::forward<decltype(extra)>(extra)...);
            }
        };
        try {
            if constexpr (Shape::extra == 1) {
                call(typename Shape::extra_type{path});
            } else {
                using reply = decltype(call());
                static_assert(!std::is_void_v<reply>,
                              "on_request: the handler must return the answer, or take a responder "
                              "as its last parameter to answer later.");
                if constexpr (!std::is_void_v<reply>) {
                    send_reply<Serializer, message_type_of<std::decay_t<reply>>>(path, call());
                }
            }
        } catch (const std::exception& error) {
            send_failure(path, error.what());
        } catch (...) {
            send_failure(path, "unknown exception");
        }
    }

    std::vector<std::unique_ptr<slot_base>> slots_;
};

/// Requests that wait for their answer.
template <typename Serializer>
class request_table {
public:
    explicit request_table(event_loop& loop) noexcept : loop_{loop} {}

    template <typename Reply, typename F>
    std::uint32_t add(std::chrono::nanoseconds timeout, F&& done) {
        auto sequence = next_++;
        auto entry = std::make_unique<waiting<Reply, std::decay_t<F>>>(std::forward<F>(done));
        entry->sequence = sequence;
        entry->deadline =
            loop_.after(timeout, [this, sequence] { fail(sequence, errc::request_timeout, {}); });
        waiting_.push_back(std::move(entry));
        return sequence;
    }

    void on_reply(const frame& arrived) {
        if (auto entry = take(arrived.header.sequence)) { // else late: nobody waits any more
            entry->reply(arrived.header.type, arrived.payload);
        }
    }
    void on_failure(const frame& arrived) {
        auto bytes = arrived.payload;
        fail(arrived.header.sequence,
             errc::request_failed,
             {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    void fail(std::uint32_t sequence, errc why, std::string text) {
        if (auto entry = take(sequence)) {
            entry->fail(make_error_code(why), std::move(text));
        }
    }
    /// Nobody will answer any more: each caller is told, one a turn's task.
    void fail_all(errc why) {
        for (auto& each : std::exchange(waiting_, {})) {
            each->deadline.cancel();
            loop_.defer([entry = std::move(each), why] { entry->fail(make_error_code(why), {}); });
        }
    }

private:
    struct waiting_base {
        virtual ~waiting_base() = default;
        virtual void reply(std::uint32_t type, std::span<const std::byte> payload) = 0;
        virtual void fail(std::error_code why, std::string text) = 0;
        std::uint32_t sequence = 0;
        timer deadline;
    };

    template <typename Reply, typename F>
    struct waiting final : waiting_base {
        explicit waiting(F f) : done{std::move(f)} {}
        void reply(std::uint32_t type, std::span<const std::byte> payload) override {
            Reply value{};
            std::error_code error = make_error_code(errc::bad_payload);
            if (type == message_id<Reply>()) {
                error = Serializer{}.decode(payload, value);
            }
            error ? done(result<Reply>{error}) : done(result<Reply>{std::move(value)});
        }
        void fail(std::error_code why, std::string text) override {
            done(result<Reply>{why, std::move(text)});
        }
        F done;
    };

    std::unique_ptr<waiting_base> take(std::uint32_t sequence) {
        for (std::size_t i = 0; i != waiting_.size(); ++i) {
            if (waiting_[i]->sequence == sequence) {
                auto entry = std::move(waiting_[i]);
                waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
                entry->deadline.cancel();
                return entry;
            }
        }
        return nullptr;
    }

    event_loop& loop_;
    std::vector<std::unique_ptr<waiting_base>> waiting_;
    std::uint32_t next_ = 1;
};

/// Messages for whose type no handler exists yet, in their order, within bounds.
class unclaimed_messages {
public:
    static constexpr std::size_t most = 4096;
    static constexpr std::size_t most_bytes = 64 * 1024 * 1024;
    static constexpr std::size_t most_descriptors = 256; // later ones arrive as lost

    struct entry {
        std::uint32_t type;
        bool request;
        std::uint32_t sequence;
        byte_buffer payload;
        handle descriptor;
    };

    /// \returns whether it is kept; beyond the bounds it is dropped.
    bool keep(const frame& arrived, handle&& descriptor) {
        if (entries_.size() == most || bytes_ + arrived.payload.size() > most_bytes) {
            return false;
        }
        bool request = arrived.header.kind == frame_kind::request;
        if (descriptor && descriptors_ == most_descriptors) {
            descriptor = handle::lost();
        }
        descriptors_ += descriptor ? 1U : 0U;
        entry kept{
            arrived.header.type, request, arrived.header.sequence, {}, std::move(descriptor)};
        kept.payload.append(arrived.payload);
        bytes_ += arrived.payload.size();
        entries_.push_back(std::move(kept));
        return true;
    }
    [[nodiscard]] bool has(std::uint32_t type, bool request) const noexcept {
        for (const auto& each : entries_) {
            if (each.type == type && each.request == request) {
                return true;
            }
        }
        return false;
    }
    /// Takes out the first entry that satisfies the condition, if any.
    template <typename Condition>
    bool take(Condition condition, entry& into) {
        for (auto each = entries_.begin(); each != entries_.end(); ++each) {
            if (condition(*each)) {
                bytes_ -= each->payload.size();
                descriptors_ -= each->descriptor ? 1U : 0U;
                into = std::move(*each);
                entries_.erase(each);
                return true;
            }
        }
        return false;
    }
    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    void clear() noexcept {
        entries_.clear();
        bytes_ = descriptors_ = 0;
    }

private:
    std::deque<entry> entries_;
    std::size_t bytes_ = 0;
    std::size_t descriptors_ = 0;
};

/// Sending and asking: what the primary's handle on a worker and a worker's self have in common.
template <typename Derived, typename Serializer>
class message_sender {
public:
    /// Sends a message, with a descriptor if wanted (a connection, a listener, any unique_fd),
    /// which is closed here once it has been sent. Never blocks, never throws for a closed channel.
    /// `completion(std::error_code)` is called once when the message has been handed to the system.
    /// \throws std::system_error (`errc::message_too_large`) beyond 64 MiB.
    template <typename Message>
    send_result
    send(const Message& message, handle descriptor = {}, send_completion completion = {}) {
        return send_frame(
            frame_kind::message, 0, message, std::move(descriptor), std::move(completion));
    }
    template <typename Message, typename Completion>
        requires std::is_invocable_v<Completion&, std::error_code>
    send_result send(const Message& message, Completion&& completion) {
        return send(message, handle{}, send_completion{std::forward<Completion>(completion)});
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
            derived().messaging_loop().defer(
                [this, sequence, why] { requests_.fail(sequence, why, {}); });
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

protected:
    explicit message_sender(event_loop& loop) noexcept : requests_{loop} {}
    ~message_sender() = default;

    template <typename Message>
    send_result send_frame(frame_kind kind,
                           std::uint32_t sequence,
                           const Message& message,
                           handle descriptor,
                           send_completion completion) {
        using type = message_type_of<Message>;
        static_assert(
            encodes<Serializer, type>,
            "send: the serializer cannot encode this type; see "
            "cluster/serialization/concept.hpp for what it can, and move a descriptor into "
            "the second argument.");
        return derived().messaging_channel().send(
            {0, kind, 0, message_id<type>(), sequence},
            [&](byte_buffer& out) {
                if constexpr (std::is_same_v<type, Message>) {
                    Serializer{}.encode(message, out);
                } else {
                    Serializer{}.encode(type{message}, out);
                }
            },
            descriptor_list{descriptor.release()},
            std::move(completion));
    }

    request_table<Serializer> requests_;

private:
    Derived& derived() noexcept { return static_cast<Derived&>(*this); }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_MESSAGING_HPP
