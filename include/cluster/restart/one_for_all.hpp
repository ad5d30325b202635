// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_ONE_FOR_ALL_HPP
#define CLUSTER_RESTART_ONE_FOR_ALL_HPP

#include "../fwd.hpp"
#include "always.hpp"
#include "concept.hpp"
#include "detail/nesting.hpp"

namespace cluster {
inline namespace v0 {
namespace restart {

/// A `restart_strategy` around another one: when that one replaces a worker, all others are ended and
/// replaced with it. For workers that cannot work without each other's state.
template <typename Inner>
class one_for_all : public detail::scoped_restart<restart_decision::scope::all, Inner> {};

static_assert(restart_strategy<one_for_all<>>);

} // namespace restart
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_ONE_FOR_ALL_HPP
