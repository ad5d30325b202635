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
    template <typename F>
    timer after(event_loop::duration delay, F&& f) {
        return role_loop_.after(delay, std::forward<F>(f));
    }
    template <typename F>
    timer every(event_loop::duration period, F&& f) {
        return role_loop_.every(period, std::forward<F>(f));
    }
    template <typename F>
    subscription on_signal(int signal, F&& f) {
        return role_loop_.on_signal(signal, std::forward<F>(f));
    }
    /// Thread-safe.
    template <typename F>
    void post(F&& f) {
        role_loop_.post(std::forward<F>(f));
    }
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
