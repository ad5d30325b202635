// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_BUS_NODE_HPP
#define CLUSTER_BUS_BUS_NODE_HPP

#include "../byte_buffer.hpp"
#include "../detail/callable.hpp"
#include "../detail/chrono.hpp"
#include "../detail/encode_message.hpp"
#include "../detail/hash_map.hpp"
#include "../detail/lifetime.hpp"
#include "../detail/memory.hpp"
#include "../detail/message_table.hpp"
#include "../detail/reply_path.hpp"
#include "../detail/type_name.hpp"
#include "../error.hpp"
#include "../event_loop.hpp"
#include "../ipc/wire.hpp"
#include "../responder.hpp"
#include "../serialization/binary.hpp"
#include "../serialization/concept.hpp"
#include "../subscription.hpp"
#include "answers.hpp"
#include "concept.hpp"
#include "detail/bus_frame.hpp"
#include "detail/bus_presence.hpp"
#include "detail/bus_requests.hpp"
#include "sticky_registry.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// How a node takes part in a bus.
struct bus_options {
    std::string subject = "cluster"; ///< nodes with the same one belong together
    /// How often it tells the others that it is there.
    std::chrono::nanoseconds heartbeat = std::chrono::seconds{5};
    std::chrono::nanoseconds timeout = std::chrono::seconds{10}; ///< without one a node is gone
};

/// The sender of a message from the bus: what handlers may take as `auto& from`.
class bus_peer {
public:
    explicit bus_peer(std::string_view node) noexcept : node_{node} {}
    [[nodiscard]] std::string_view node() const noexcept { return node_; }

private:
    std::string_view node_;
};

/// Typed messages, requests and a registry over a bus, in an event loop: what bus_bridge is, without
/// a cluster. Messages are types, as between a primary and its workers: a handler is called with
/// those of the type that it takes. All nodes use the same serializer; programs of different
/// compilers agree on types that have a `message_name`.
///
/// It does not keep its loop alive. Everything from the loop's thread; nothing blocks. What a handler
/// throws leaves the loop's run(). Must not be destroyed by a handler of its own.
template <typename Bus, typename Serializer = serialization::binary>
class bus_node {
    static_assert(message_bus<Bus>,
                  "bus_node, bus_bridge: this type is no message bus; see the table in "
                  "cluster/bus/concept.hpp.");

public:
    template <typename Reply>
    using responder = basic_responder<Reply, Serializer>;

    /// Takes part in the bus from now on. \throws std::system_error (`invalid_argument`: the
    /// subject is no name), or what the bus throws
    bus_node(event_loop& loop, Bus bus, bus_options options = {})
        : loop_{loop},
          options_{std::move(options)},
          bus_{std::move(bus)},
          registry_{std::string{bus_.node()},
                    [this](std::string_view to, detail::bus_kind kind, const auto& what) {
                        return this->send_wire(to, kind, what);
                    }},
          requests_{loop},
          subscription_{bus_.subscribe(options_.subject,
                                       [this](const bus_message& arrived) { receive(arrived); })} {
        bus_.on_event([this](const bus_event& happened) { on_bus_event(happened); });
        auto error = watch_.template start<&bus_node::on_ready>(
            loop, bus_.native_handle(), detail::os::io::readable, *this);
        if (error) {
            throw std::system_error(error, "bus_node");
        }
        watch_.keep_alive(false);
        beat_ = loop.every(options_.heartbeat, [this] { on_beat_time(); });
        beat_.unref();
        send_beat(everybody, true);
    }
    bus_node(bus_node&&) = delete;
    bus_node& operator=(bus_node&&) = delete;
    /// Says goodbye if that is possible; requests that wait are dropped.
    ~bus_node() {
        beat_.cancel();
        replies_.reset();
        try {
            send_wire(everybody, detail::bus_kind::beat, detail::bus_beat{0, 0, false, true});
        } catch (...) { // no memory: the others will find out
        }
    }

    [[nodiscard]] std::string_view node() const noexcept { return bus_.node(); }
    /// The others whose heartbeats were heard of late. It is no membership: two nodes may see
    /// different ones.
    [[nodiscard]] std::vector<std::string> nodes() const { return presence_.names(); }
    /// Who owns which session.
    [[nodiscard]] sticky_registry& registry() noexcept { return registry_; }
    /// The bus itself, for what it can besides.
    [[nodiscard]] Bus& bus() noexcept { return bus_; }

    /// Sends to the handlers of all other nodes, or of one; errors as of the bus's publish().
    template <typename Message>
    std::error_code publish(const Message& message) {
        return send(everybody, detail::bus_kind::message, 0, message);
    }
    template <typename Message>
    std::error_code publish_to(std::string_view node, const Message& message) {
        return send(checked(node), detail::bus_kind::message, 0, message);
    }

    /// Calls `handler` with messages of the type that it takes: `[](const job&)`, or with the
    /// sender, a bus_peer, before it. What nobody handles is not for this node.
    template <typename F>
    subscription on_message(F&& handler) {
        return table_.on_message(std::forward<F>(handler));
    }
    /// Answers requests of the type that `handler` takes with what it returns, or later by a
    /// `responder<Reply>` as its last parameter. What it throws is the answer, too. One handler per
    /// type: a later one replaces the earlier.
    template <typename F>
    void on_request(F&& handler) {
        table_.on_request(std::forward<F>(handler));
    }

    /// Asks one node. `done(result<Reply>)` is called exactly once, later.
    template <typename Reply, typename Message, typename F>
        requires std::is_invocable_v<F&, result<Reply>>
    void request(std::string_view node,
                 const Message& message,
                 std::chrono::nanoseconds timeout,
                 F&& done) {
        ask<Reply>(checked(node),
                   message,
                   1,
                   {std::string{node}},
                   timeout,
                   [done = std::forward<F>(done)](bus_answers<Reply> got) mutable {
                       done(got.answers.empty() ? result<Reply>{got.error}
                                                : std::move(got.answers.front().reply));
                   });
    }

    /// Asks all other nodes. `done(bus_answers<Reply>)` is called exactly once, later: when as many
    /// have answered as are expected, or at the deadline with what there is.
    template <typename Reply, typename Message, typename F>
        requires std::is_invocable_v<F&, bus_answers<Reply>>
    void request_all(const Message& message, const request_all_options& options, F&& done) {
        auto known = nodes();
        auto expected = options.expected != 0 ? options.expected : known.size();
        ask<Reply>(
            everybody, message, expected, std::move(known), options.timeout, std::forward<F>(done));
    }
    /// The same with the default options.
    template <typename Reply, typename Message, typename F>
        requires std::is_invocable_v<F&, bus_answers<Reply>>
    void request_all(const Message& message, F&& done) {
        request_all<Reply>(message, request_all_options{}, std::forward<F>(done));
    }

    /// Calls `handler(const bus_event&)`: connections, what was lost, what was no message.
    template <typename F>
    subscription on_event(F&& handler) {
        return events_.add(std::forward<F>(handler));
    }
    /// Calls `handler(std::string_view node, bool here)` when a node is heard of and when it is gone.
    template <typename F>
    subscription on_node(F&& handler) {
        return node_changes_.add(std::forward<F>(handler));
    }

protected:
    /// The receiver that stands for all other nodes.
    static constexpr std::string_view everybody{};
    /// A node that the user has named: none is not everybody, but one that no bus knows.
    static std::string_view checked(std::string_view node) noexcept {
        return node.empty() ? "*" : node;
    }

    /// Encodes a message and gives it to the bus.
    template <typename Message>
    std::error_code
    send(std::string_view to, detail::bus_kind kind, std::uint64_t id, const Message& message) {
        using type = detail::message_type_of<Message>;
        static_assert(encodes<Serializer, type>,
                      "bus: the serializer cannot encode this type; see "
                      "cluster/serialization/concept.hpp for what it can.");
        auto& out = start(kind, detail::message_id<type>(), id);
        detail::encode_message<Serializer>(message, out);
        return finish(to);
    }

    /// Raises a `bus_change::lost` of one message of our own.
    void tell_lost(std::error_code why) {
        events_.emit({.what = bus_change::lost, .why = why, .count = 1});
    }

    /// For the bridge: a message for the workers of this cluster.
    detail::move_only_function<void(std::uint32_t type, std::span<const std::byte> payload)>
        on_broadcast_;

private:
    /// Answers to requests: one object for all, which knows whose request a number is.
    struct replies final : detail::reply_sink {
        struct asker {
            std::string node;
            std::uint64_t id = 0;
        };
        explicit replies(bus_node& of) noexcept : self{of} {}
        void reply(const detail::frame_header& header, const void* value, encoder encode) override {
            auto* found = open.find(header.sequence);
            if (found == nullptr) {
                return; // answered already
            }
            auto to = std::move(*found);
            open.erase(header.sequence);
            bool failed = header.kind == detail::frame_kind::failure;
            self.answer(to.node,
                        failed ? detail::bus_kind::failure : detail::bus_kind::reply,
                        failed ? static_cast<std::uint32_t>(errc::request_failed) : header.type,
                        to.id,
                        value,
                        encode);
        }
        bus_node& self;
        detail::number_map<asker> open;
        std::uint32_t next = 1;
    };

    using table = detail::message_table<bus_peer, Serializer>;

    void on_ready(detail::os::io) { bus_.dispatch(); }

    // What is sent is built in one buffer; a handler that sends while another message is built would
    // be a serializer that sends.
    byte_buffer& start(detail::bus_kind kind, std::uint32_t type, std::uint64_t id) {
        out_.clear();
        detail::encode_bus_header({kind, serializer_id, type, id}, out_);
        return out_;
    }
    std::error_code finish(std::string_view to) {
        return to.empty() ? bus_.publish(options_.subject, out_.span())
                          : bus_.publish_to(to, options_.subject, out_.span());
    }
    template <typename Message>
    std::error_code send_wire(std::string_view to, detail::bus_kind kind, const Message& message) {
        detail::encode_wire(message, start(kind, 0, 0));
        return finish(to);
    }
    void answer(std::string_view to,
                detail::bus_kind kind,
                std::uint32_t type,
                std::uint64_t id,
                const void* value,
                detail::reply_sink::encoder encode) {
        encode(value, start(kind, type, id));
        if (auto error = finish(checked(to)); error == errc::message_too_large) {
            start(detail::bus_kind::failure, static_cast<std::uint32_t>(error.value()), id);
            finish(checked(to));
        }
    }

    template <typename Reply, typename Message, typename F>
    void ask(std::string_view to,
             const Message& message,
             std::size_t expected,
             std::vector<std::string> asked,
             std::chrono::nanoseconds timeout,
             F&& done) {
        static_assert(decodes<Serializer, Reply> && std::is_default_constructible_v<Reply>,
                      "request: the serializer cannot decode the reply's type; see "
                      "cluster/serialization/concept.hpp for what it can.");
        bool only = !to.empty();
        auto id = requests_.template add<Reply>(
            expected, std::move(asked), only, timeout, std::forward<F>(done));
        std::error_code error;
        try {
            error = send(to, detail::bus_kind::request, id, message);
        } catch (...) {
            requests_.give_up(id, errc::request_failed); // and the caller learns why
            throw;
        }
        if (error || expected == 0) {
            requests_.give_up(id, error);
        }
    }

    void receive(const bus_message& arrived) {
        auto payload = arrived.payload;
        detail::bus_header header;
        if (!detail::decode_bus_header(payload, header)) {
            bad(arrived.from, errc::bad_frame);
        } else if (header.serializer != serializer_id && header.kind <= detail::bus_kind::reply) {
            bad(arrived.from, errc::protocol_mismatch);
            if (header.kind == detail::bus_kind::request) {
                fail(arrived.from, header.id, errc::protocol_mismatch);
            }
        } else if (auto error = take(arrived.from, header, payload)) {
            bad(arrived.from, error);
        }
    }

    std::error_code take(std::string_view from,
                         const detail::bus_header& header,
                         std::span<const std::byte> payload) {
        using detail::bus_kind;
        switch (header.kind) {
        case bus_kind::message:
            return deliver(from, header.type, payload);
        case bus_kind::broadcast:
            if (on_broadcast_) {
                on_broadcast_(header.type, payload);
            }
            return deliver(from, header.type, payload);
        case bus_kind::request:
            return on_asked(from, header, payload);
        case bus_kind::reply:
            requests_.on_reply(header.id, from, header.type, payload);
            return {};
        case bus_kind::failure:
            requests_.on_failure(header.id,
                                 from,
                                 failure_of(header.type),
                                 {reinterpret_cast<const char*>(payload.data()), payload.size()});
            return {};
        case bus_kind::beat:
            return on_beat(from, payload);
        default:
            return on_registry(from, header.kind, payload);
        }
    }

    std::error_code
    deliver(std::string_view from, std::uint32_t type, std::span<const std::byte> payload) {
        auto* by = table_.find(type, false);
        if (by == nullptr) {
            return {};
        }
        bus_peer peer{from};
        handle none;
        return by->deliver(peer, {payload, &none});
    }

    std::error_code on_asked(std::string_view from,
                             const detail::bus_header& header,
                             std::span<const std::byte> payload) {
        auto* by = table_.find(header.type, true);
        if (by == nullptr) {
            fail(from, header.id, errc::no_handler);
            return {};
        }
        auto number = replies_->next++;
        replies_->open[number] = {std::string{from}, header.id};
        bus_peer peer{from};
        handle none;
        const detail::reply_path path{replies_, number};
        return by->deliver(peer, {payload, &none, nullptr, &path});
    }

    std::error_code on_beat(std::string_view from, std::span<const std::byte> payload) {
        detail::bus_beat beat;
        if (!detail::decode_wire(payload, beat)) {
            return errc::bad_payload;
        }
        std::string node{from};
        if (beat.bye) {
            if (presence_.gone(node)) {
                forget(node);
            }
            return {};
        }
        bool full = false;
        bool fresh = presence_.seen(node, loop_.now(), full);
        if (full) {
            return std::make_error_code(std::errc::no_space_on_device);
        }
        if (beat.hello || fresh) {
            send_beat(node, false);
        }
        registry_.on_beat(node, beat);
        if (fresh) {
            node_changes_.emit(node, true);
        }
        return {};
    }

    std::error_code
    on_registry(std::string_view from, detail::bus_kind kind, std::span<const std::byte> payload) {
        detail::bus_claims what;
        if (!detail::decode_wire(payload, what)) {
            return errc::bad_payload;
        }
        std::string node{from};
        bool good = true;
        if (kind == detail::bus_kind::registry_claim) {
            good = registry_.on_claims(node, what);
        } else if (kind == detail::bus_kind::registry_drop) {
            registry_.on_drop(node, what);
        } else if (kind == detail::bus_kind::registry_state) {
            good = registry_.on_state(node, std::move(what));
        } else {
            registry_.send_state(node);
        }
        return good ? std::error_code{} : errc::bad_payload;
    }

    void send_beat(std::string_view to, bool hello) {
        auto mine = registry_.summary_of(std::string{bus_.node()});
        send_wire(
            to, detail::bus_kind::beat, detail::bus_beat{mine.claims, mine.digest, hello, false});
    }
    void on_beat_time() {
        send_beat(everybody, false);
        for (const auto& each :
             presence_.expire(loop_.now(), options_.timeout, options_.heartbeat)) {
            forget(each);
        }
    }
    void forget(const std::string& node) {
        registry_.on_gone(node);
        node_changes_.emit(node, false);
    }

    void fail(std::string_view to, std::uint64_t id, errc why) {
        start(detail::bus_kind::failure, static_cast<std::uint32_t>(why), id);
        finish(checked(to));
    }
    static errc failure_of(std::uint32_t said) noexcept {
        for (auto each : {errc::no_handler, errc::protocol_mismatch, errc::message_too_large}) {
            if (static_cast<std::uint32_t>(each) == said) {
                return each;
            }
        }
        return errc::request_failed;
    }

    void bad(std::string_view from, std::error_code why) {
        events_.emit({.what = bus_change::bad_message, .why = why, .node = from, .count = 1});
    }
    void on_bus_event(const bus_event& happened) {
        if (happened.what == bus_change::connected) {
            send_beat(everybody, true);
        }
        events_.emit(happened);
    }

    static constexpr std::uint32_t serializer_id = detail::fnv1a(Serializer::name);

    event_loop& loop_;
    bus_options options_;
    Bus bus_;
    byte_buffer out_;
    sticky_registry registry_;
    table table_;
    detail::bus_requests<Serializer> requests_;
    detail::bus_presence presence_;
    detail::emitter<const bus_event&> events_;
    detail::emitter<std::string_view, bool> node_changes_;
    std::shared_ptr<replies> replies_ = std::make_shared<replies>(*this);
    detail::io_watch watch_;
    timer beat_;
    typename Bus::subscription subscription_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_BUS_NODE_HPP
