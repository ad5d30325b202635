// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_CONCEPT_HPP
#define CLUSTER_BUS_CONCEPT_HPP

/// \file
/// The message bus: how clusters, each a node of the bus, reach each other.
///
/// `B` is the bus, `b` an lvalue of it, `c` a const one, `subject` and `node` are text that
/// valid_bus_name() accepts, `payload` is bytes.
///
/// | expression                          | type              | must                             |
/// |-------------------------------------|-------------------|----------------------------------|
/// | `B::traits`                         | `bus_traits`      | be a constant, and true          |
/// | `B::subscription`                   | type              | end the subscription when it goes|
/// | `b.publish(subject, payload)`       | `std::error_code` | reach every *other* node that    |
/// |                                     |                   | subscribes; never block          |
/// | `b.publish_to(node, subject, pay…)` | `std::error_code` | reach that node only             |
/// | `b.subscribe(subject, handler)`     | `B::subscription` | call `handler` from dispatch()   |
/// | `b.on_event(handler)`               | ignored           | tell what becomes of the bus     |
/// | `c.node()`                          | to `string_view`  | be this node's name on the bus   |
/// | `c.native_handle()`                 | `int`             | be readable when dispatch() has  |
/// |                                     |                   | something to do; never change    |
/// | `b.dispatch()`                      | `std::size_t`     | run what is ready, never block;  |
/// |                                     |                   | \returns messages delivered      |
///
/// An error of publish() is about this call: `errc::message_too_large`, `errc::would_block` (the
/// queue of what cannot be sent now is full), `std::errc::invalid_argument` (no name). Without one
/// the message is on its way, as far as `traits` promises. Whatever bytes come from the bus, they
/// cost one message and a `bus_change::bad_message`. Handlers run in the thread that calls
/// dispatch(), one after the other, and may subscribe, publish and end subscriptions; what they
/// throw leaves dispatch(), and the next one goes on behind it. Everything else from one thread.
///
/// Models shipped: `local_bus`, `unix_bus`; cluster/adapters/redis_bus.hpp, cluster/adapters/nats_bus.hpp.

#include "../detail/move_only_function.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>

namespace cluster {
inline namespace v0 {

/// How often what is published reaches who was there all the time.
enum class bus_delivery : std::uint8_t {
    at_most_once,  ///< what is under way when a connection breaks is lost
    at_least_once, ///< it is sent again
};

/// What a bus promises of publish(). publish_to() is at most once on every bus.
struct bus_traits {
    /// Of publish().
    bus_delivery delivery = bus_delivery::at_most_once;
    /// What one node publishes arrives in its order.
    bool ordered_per_publisher = false;
    /// A node that was cut off gets what was published meanwhile.
    bool replay = false;
    std::size_t max_payload = 0; ///< bytes
};

/// What a handler gets; good until it returns.
struct bus_message {
    std::string_view from; ///< the node
    /// What it was published under.
    std::string_view subject;
    /// Its bytes.
    std::span<const std::byte> payload;
};
/// Called with each message of a subscription.
using bus_handler = detail::move_only_function<void(const bus_message&)>;

/// What may become of a bus.
enum class bus_change : std::uint8_t {
    connected,    ///< what is subscribed arrives from now on; also after a reconnect
    disconnected, ///< `why`; the bus goes on trying
    lost,         ///< `count` messages, of `node` or, with none, of our own
    bad_message,  ///< something came that no bus of this library has sent, or `node` broke a rule
};

/// What becomes of a bus; good until the handler returns.
struct bus_event {
    /// Which of the fields below say something, too.
    bus_change what = bus_change::connected;
    /// The reason, if there is one.
    std::error_code why{};
    std::string_view node{};
    std::uint64_t count = 0;
    std::string_view text{}; ///< what the other side said, if anything
};
/// Called with what becomes of the bus.
using bus_event_handler = detail::move_only_function<void(const bus_event&)>;

/// Satisfied by every type that meets the table at the top of this file.
template <typename B>
concept message_bus = std::movable<B> && requires(B& b,
                                                  const B& c,
                                                  std::string_view name,
                                                  std::span<const std::byte> payload,
                                                  bus_handler handler,
                                                  bus_event_handler on_event) {
    typename B::subscription;
    { B::traits } -> std::convertible_to<bus_traits>;
    { b.publish(name, payload) } -> std::same_as<std::error_code>;
    { b.publish_to(name, name, payload) } -> std::same_as<std::error_code>;
    {
        b.subscribe(name, static_cast<bus_handler&&>(handler))
    } -> std::same_as<typename B::subscription>;
    b.on_event(static_cast<bus_event_handler&&>(on_event));
    { c.node() } -> std::convertible_to<std::string_view>;
    { c.native_handle() } -> std::same_as<int>;
    { b.dispatch() } -> std::same_as<std::size_t>;
};

/// Whether every bus can take this as a subject or the name of a node: 1 to 128 characters that are
/// printed, none of them blank, `*` or `>`, and no dot at an end or beside another.
[[nodiscard]] constexpr bool valid_bus_name(std::string_view name) noexcept {
    constexpr std::size_t longest = 128;
    if (name.empty() || name.size() > longest) {
        return false;
    }
    char before = '.';
    for (const char each : name) {
        if (each <= ' ' || each > '~' || each == '*' || each == '>' ||
            (each == '.' && before == '.')) {
            return false;
        }
        before = each;
    }
    return before != '.';
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_CONCEPT_HPP
