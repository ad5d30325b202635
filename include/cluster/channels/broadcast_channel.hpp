// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHANNELS_BROADCAST_CHANNEL_HPP
#define CLUSTER_CHANNELS_BROADCAST_CHANNEL_HPP

#include "../byte_buffer.hpp"
#include "../detail/broadcast_hub.hpp"
#include "../detail/memory.hpp"
#include "../detail/type_name.hpp"
#include "../send_result.hpp"
#include "../serialization/binary.hpp"
#include "../serialization/concept.hpp"
#include "../subscription.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {

/// Messages of type `T` to all who have a broadcast channel of the same name, in the primary and in
/// every worker, but not to the sender itself: what `primary.broadcast_channel<T>(name)` and
/// `self.broadcast_channel<T>(name)` return. Messages of one sender keep their order. Messages of
/// other types under the same name are not for this one. Takes part for as long as it lives.
///
/// By way of the primary, which does not look into them: they are encoded once. Who has fallen
/// behind by 64 MiB misses messages. Everything from the thread of the role, nothing blocks.
template <typename T, typename Serializer = serialization::binary>
class broadcast_channel {
    static_assert(serializes<Serializer, T> && std::is_default_constructible_v<T>,
                  "broadcast_channel: the serializer cannot encode and decode this type; see "
                  "cluster/serialization/concept.hpp for what it can.");

public:
    /// Takes part in nothing.
    broadcast_channel() noexcept = default;
    /// For the library: roles make it.
    broadcast_channel(const std::shared_ptr<detail::broadcast_hub>& hub,
                      std::string_view name,
                      std::error_code& error)
        : hub_{hub}, member_{std::make_shared<member>()}, topic_{hub->join(name, member_, error)} {}
    broadcast_channel(broadcast_channel&&) noexcept = default;
    broadcast_channel& operator=(broadcast_channel&& other) noexcept {
        close();
        hub_ = std::move(other.hub_);
        member_ = std::move(other.member_);
        topic_ = std::move(other.topic_);
        return *this;
    }
    ~broadcast_channel() { close(); }

    /// Empty when it is closed.
    [[nodiscard]] std::string_view name() const noexcept {
        return topic_ ? std::string_view{topic_->name} : std::string_view{};
    }

    /// Sends to all others. \returns in a worker what became of it on the way to the primary;
    /// `closed` when this channel or its role is closed.
    /// \throws std::system_error (`errc::message_too_large`) beyond 64 MiB.
    send_result post(const T& message) {
        auto hub = hub_.lock();
        if (!topic_ || !hub) {
            return send_result::closed;
        }
        byte_buffer encoded;
        Serializer{}.encode(message, encoded);
        return hub->post(*topic_, detail::message_id<T>(), encoded.span(), member_.get());
    }

    /// Calls `handler` with every message of the others, `[](const T&)`. What came before the first
    /// handler is lost.
    template <typename F>
    subscription on_message(F&& handler) {
        return member_ ? member_->messages.add(std::forward<F>(handler)) : subscription{};
    }

    /// Takes part no longer. Idempotent.
    void close() noexcept {
        auto hub = hub_.lock();
        if (topic_ && hub) {
            hub->leave(topic_, member_.get());
        }
        member_.reset();
        topic_.reset();
    }

private:
    struct member final : detail::broadcast_member {
        std::error_code take(std::uint32_t type, std::span<const std::byte> payload) override {
            if (type != detail::message_id<T>() || messages.empty()) {
                return {};
            }
            T value{};
            auto error = Serializer{}.decode(payload, value);
            if (!error) {
                messages.emit(value);
            }
            return error;
        }
        detail::emitter<const T&> messages;
    };

    std::weak_ptr<detail::broadcast_hub> hub_;
    std::shared_ptr<member> member_;
    std::shared_ptr<detail::broadcast_hub::topic> topic_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHANNELS_BROADCAST_CHANNEL_HPP
