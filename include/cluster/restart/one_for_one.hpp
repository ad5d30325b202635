// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_ONE_FOR_ONE_HPP
#define CLUSTER_RESTART_ONE_FOR_ONE_HPP

#include "../fwd.hpp"
#include "always.hpp"
#include "concept.hpp"
#include "detail/nesting.hpp"

namespace cluster {
inline namespace v0 {
namespace restart {

/// A `restart_strategy` around another one: only the dead worker is replaced, also where `Inner`
/// would replace more. The same as `Inner` alone for those that are shipped.
template <typename Inner>
class one_for_one : public detail::scoped_restart<restart_decision::scope::this_one, Inner> {};

static_assert(restart_strategy<one_for_one<>>);

} // namespace restart
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_ONE_FOR_ONE_HPP
