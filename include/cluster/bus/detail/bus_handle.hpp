// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_BUS_HANDLE_HPP
#define CLUSTER_BUS_DETAIL_BUS_HANDLE_HPP

#include "../../detail/memory.hpp"
#include "../../error.hpp"
#include "../bus_subscription.hpp"
#include "../concept.hpp"

#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The public side of each bus of this library: what cluster/bus/concept.hpp asks for, in front of
/// the inbox that does it. `Inbox` is a bus_inbox with a `max_payload` and
/// `send(to, subject, payload)`, to whose `to` null means all others; what it gets is checked here.
template <typename Inbox>
class bus_handle {
public:
    using subscription = bus_subscription;

    /// What cluster/bus/concept.hpp says. subscribe() throws for a subject that is no name.
    std::error_code publish(std::string_view subject, std::span<const std::byte> payload) {
        auto error = refused(subject, payload);
        return error ? error : inbox_->send(nullptr, subject, payload);
    }
    std::error_code publish_to(std::string_view node,
                               std::string_view subject,
                               std::span<const std::byte> payload) {
        if (!valid_bus_name(node)) {
            return std::make_error_code(std::errc::invalid_argument);
        }
        auto error = refused(subject, payload);
        return error || node == inbox_->node() ? error : inbox_->send(&node, subject, payload);
    }
    subscription subscribe(std::string_view subject, bus_handler handler) {
        return inbox_->subscribe(subject, std::move(handler));
    }
    void on_event(bus_event_handler handler) { inbox_->on_event(std::move(handler)); }
    [[nodiscard]] std::string_view node() const noexcept { return inbox_->node(); }
    [[nodiscard]] int native_handle() const noexcept { return inbox_->native_handle(); }
    std::size_t dispatch() { return inbox_->dispatch(); }

protected:
    explicit bus_handle(std::unique_ptr<Inbox> inbox) noexcept : inbox_{std::move(inbox)} {}
    bus_handle(bus_handle&&) noexcept = default;
    bus_handle& operator=(bus_handle&&) noexcept = default;
    ~bus_handle() = default;

    [[nodiscard]] Inbox& inbox() noexcept { return *inbox_; }
    [[nodiscard]] const Inbox& inbox() const noexcept { return *inbox_; }

private:
    static std::error_code refused(std::string_view subject, std::span<const std::byte> payload) {
        if (!valid_bus_name(subject)) {
            return std::make_error_code(std::errc::invalid_argument);
        }
        return payload.size() > Inbox::max_payload ? std::error_code{errc::message_too_large}
                                                   : std::error_code{};
    }

    std::unique_ptr<Inbox> inbox_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_BUS_HANDLE_HPP
