// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_DETAIL_NESTING_HPP
#define CLUSTER_RESTART_DETAIL_NESTING_HPP

#include "../../literals.hpp"
#include "../concept.hpp"

#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

// What a strategy does to the one inside it: a base of each that nests, so that two which contradict
// each other are found at any depth.
struct chooses_pause {};
struct limits_restarts {};
struct chooses_scope {};

/// `R`, or one that it is wrapped around, does `What`.
template <typename What, typename R>
constexpr bool nests() {
    if constexpr (std::is_base_of_v<What, R>) {
        return true;
    } else if constexpr (requires { typename R::inner_type; }) {
        return nests<What, typename R::inner_type>();
    } else {
        return false;
    }
}

// A hundred years: what a strategy adds up still fits a steady_clock's nanoseconds.
inline constexpr time_span longest_time{3'153'600'000'000};

constexpr bool usable_time(time_span time) noexcept {
    return time > time_span{0} && time <= longest_time;
}

// `R` that another strategy is wrapped around. Without checked_restart, see check_restart().
template <typename R>
using inner_restart = std::conditional_t<restart_strategy<R>, R, any_restart>;

template <typename Inner>
constexpr bool check_scope() {
    static_assert(!nests<chooses_scope, Inner>(),
                  "restart: two of one_for_one, one_for_all and rest_for_one in one strategy; keep "
                  "the one that says who is restarted.");
    return check_restart<Inner>();
}

/// Whoever `Inner` wants to replace: the others of the scope are replaced, too.
template <restart_decision::scope Scope, typename Inner>
class scoped_restart : chooses_scope {
    static_assert(check_scope<Inner>());

public:
    /// The strategy that this one is wrapped around.
    using inner_type = inner_restart<Inner>;

    restart_decision decide(const exit_report& report) {
        restart_decision decision = inner_.decide(report);
        if (decision.what == restart_decision::action::restart) {
            decision.affects = Scope;
        }
        return decision;
    }

    [[nodiscard]] inner_type& inner() noexcept { return inner_; }

private:
    [[no_unique_address]] inner_type inner_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_DETAIL_NESTING_HPP
