// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_NUMBERED_INBOX_HPP
#define CLUSTER_BUS_DETAIL_NUMBERED_INBOX_HPP

#include "../../byte_buffer.hpp"
#include "../../error.hpp"
#include "../concept.hpp"
#include "bus_envelope.hpp"
#include "bus_inbox.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The inbox of a bus over a server: what goes out is numbered on its channel, and what
/// comes in is looked at by these numbers. `kept` says that the server keeps messages, among which
/// may be those of an earlier life of this node.
class numbered_inbox : public bus_inbox {
protected:
    numbered_inbox(std::string node, std::size_t max_payload, bool kept)
        : bus_inbox{std::move(node)}, max_payload_{max_payload}, kept_{kept} {}

    [[nodiscard]] std::uint64_t instance() const noexcept { return numbers_.instance(); }

    /// Appends a payload as it goes to the server; its number counts when it has gone().
    void
    put_numbered(std::string_view channel, std::span<const std::byte> payload, byte_buffer& out) {
        auto number = numbers_.next(channel); // before instance(), which it may renew
        encode_envelope({node(), numbers_.instance(), number, payload}, out);
    }
    void gone(std::string_view channel) { numbers_.taken(channel); }

    enum class gaps : std::uint8_t { told, expected };

    /// What the server has sent for `topic`. Gaps are expected where others get a part of it.
    void receive(std::string_view channel,
                 std::string_view topic,
                 std::span<const std::byte> bytes,
                 gaps missing = gaps::told) {
        bus_envelope envelope;
        if (!decode_envelope(bytes, envelope) || envelope.payload.size() > max_payload_) {
            tell({.what = bus_change::bad_message, .why = errc::bad_frame, .count = 1});
            return;
        }
        if (envelope.node == node()) {
            if (!kept_ && envelope.instance != instance()) { // no echo: somebody took our name
                tell({.what = bus_change::bad_message,
                      .why = std::make_error_code(std::errc::address_in_use),
                      .node = envelope.node,
                      .count = 1});
            }
            return;
        }
        std::uint64_t lost = 0;
        if (missing == gaps::told && !gaps_.fresh(envelope, channel, lost)) {
            return;
        }
        if (lost != 0) {
            tell({.what = bus_change::lost,
                  .why = errc::channel_closed,
                  .node = envelope.node,
                  .count = lost});
        }
        arrive(envelope.node, topic, envelope.payload);
    }

private:
    std::size_t max_payload_;
    bool kept_;
    bus_numbers numbers_;
    bus_gaps gaps_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_NUMBERED_INBOX_HPP
