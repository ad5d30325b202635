// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_NEVER_HPP
#define CLUSTER_RESTART_NEVER_HPP

#include "concept.hpp"

namespace cluster {
inline namespace v0 {
namespace restart {

/// A `restart_strategy` that leaves the dead alone, as Node.js does: the program's exit handler
/// decides. The default.
struct never {
    restart_decision decide(const exit_report&) noexcept { return leave_dead; }
};

static_assert(restart_strategy<never>);

} // namespace restart

namespace detail {

/// Whether a strategy ever replaces anybody: not `never`, however it is wrapped.
template <typename R>
constexpr bool replaces() noexcept {
    if constexpr (requires { typename R::inner_type; }) {
        return replaces<typename R::inner_type>();
    } else {
        return !std::is_same_v<R, restart::never>;
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_NEVER_HPP
