// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_LOOP_FUNCTIONS_HPP
#define CLUSTER_DETAIL_LOOP_FUNCTIONS_HPP

#include "../event_loop.hpp"
#include "../subscription.hpp"

#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The timers, signals and tasks of a role: those of its loop, see event_loop.
class loop_functions {
public:
    timer after(event_loop::duration delay, event_loop::task f) {
        return role_loop_.after(delay, std::move(f));
    }
    timer every(event_loop::duration period, event_loop::task f) {
        return role_loop_.every(period, std::move(f));
    }
    subscription on_signal(int signal, event_loop::task f) {
        return role_loop_.on_signal(signal, std::move(f));
    }
    /// Thread-safe.
    void post(event_loop::task f) { role_loop_.post(std::move(f)); }
    [[nodiscard]] event_loop& loop() noexcept { return role_loop_; }

protected:
    explicit loop_functions(event_loop& loop) noexcept : role_loop_{loop} {}
    ~loop_functions() = default;

private:
    event_loop& role_loop_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_LOOP_FUNCTIONS_HPP
