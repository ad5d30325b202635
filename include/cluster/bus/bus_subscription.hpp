// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_BUS_SUBSCRIPTION_HPP
#define CLUSTER_BUS_BUS_SUBSCRIPTION_HPP

#include "../subscription.hpp"

#include <utility>

namespace cluster {
inline namespace v0 {

/// A subscription to a subject of a bus, which ends with this object, also from inside its handler
/// and after the bus is gone. Move-only. The bus's thread.
class [[nodiscard("the subscription ends with it")]] bus_subscription {
public:
    bus_subscription() noexcept = default;
    explicit bus_subscription(subscription one) noexcept : one_{std::move(one)} {}
    bus_subscription(bus_subscription&& other) noexcept : one_{std::exchange(other.one_, {})} {}
    bus_subscription& operator=(bus_subscription&& other) noexcept {
        if (this != &other) {
            one_.cancel();
            one_ = std::exchange(other.one_, {});
        }
        return *this;
    }
    ~bus_subscription() { one_.cancel(); }

    /// Ends it. Idempotent.
    void cancel() noexcept { one_.cancel(); }
    /// Whether messages may still come.
    [[nodiscard]] bool active() const noexcept { return one_.active(); }

private:
    subscription one_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_BUS_SUBSCRIPTION_HPP
