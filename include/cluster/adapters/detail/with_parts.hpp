// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_DETAIL_WITH_PARTS_HPP
#define CLUSTER_ADAPTERS_DETAIL_WITH_PARTS_HPP

#include "../../serialization/detail/kind.hpp"

#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

template <template <typename> typename Can, typename T>
consteval bool with_parts();

template <template <typename> typename Can, typename... Parts>
consteval bool all_with_parts(type_list<Parts...>) {
    return (with_parts<Can, std::remove_cv_t<Parts>>() && ...);
}

// Whether `Can<T>::value` holds for a type and, in standard containers and their like, for all that
// is in it: other libraries' traits often look at the container alone.
template <template <typename> typename Can, typename T>
consteval bool with_parts() {
    using wire::is;
    using wire::kind;
    if constexpr (!Can<T>::value) {
        return false;
    } else if constexpr (is<T, kind::sequence, kind::set, kind::map, kind::array> ||
                         is<T, kind::tuple, kind::optional, kind::variant, kind::pointer>) {
        return all_with_parts<Can>(wire::parts_t<T>{});
    } else {
        return true;
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_DETAIL_WITH_PARTS_HPP
