// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_REST_FOR_ONE_HPP
#define CLUSTER_RESTART_REST_FOR_ONE_HPP

#include "../fwd.hpp"
#include "always.hpp"
#include "concept.hpp"
#include "detail/nesting.hpp"

namespace cluster {
inline namespace v0 {
namespace restart {

/// A `restart_strategy` around another one: when that one replaces a worker, those of the places
/// behind it are ended and replaced with it. Places are numbered in the order of fork(). For workers
/// that build on those before them.
template <typename Inner>
class rest_for_one : public detail::scoped_restart<restart_decision::scope::later_ones, Inner> {};

static_assert(restart_strategy<rest_for_one<>>);

} // namespace restart
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_REST_FOR_ONE_HPP
