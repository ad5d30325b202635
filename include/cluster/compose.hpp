// SPDX-License-Identifier: MIT
#ifndef CLUSTER_COMPOSE_HPP
#define CLUSTER_COMPOSE_HPP

#include "backend/concept.hpp"
#include "backend/process.hpp"
#include "fwd.hpp"
#include "restart/concept.hpp"
#include "restart/never.hpp"
#include "scheduling/concept.hpp"
#include "scheduling/round_robin.hpp"
#include "serialization/binary.hpp"
#include "serialization/concept.hpp"

#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

// What a type looks like it wants to be: the atoms of the concepts, so that a policy with a fault
// still finds its place and its fault is explained there.
template <typename P>
inline constexpr bool looks_like_scheduling = says_where_it_accepts<P> || requires { &P::pick; };
template <typename P>
inline constexpr bool looks_like_serializer =
    std::is_final_v<P> // has_encode cannot look into a final class
        ? has_serializer_name<P> && !looks_like_scheduling<P>
        : has_encode<P> || has_decode<P>;
template <typename P>
inline constexpr bool looks_like_restart = requires { &P::decide; } || has_decide<P>;
template <typename P>
inline constexpr bool looks_like_backend = says_what_is_shared<P> || requires { &P::launch; };

template <typename P>
inline constexpr int roles_of =
    (looks_like_scheduling<P> ? 1 : 0) + (looks_like_serializer<P> ? 1 : 0) +
    (looks_like_restart<P> ? 1 : 0) + (looks_like_backend<P> ? 1 : 0);

template <typename Default, template <typename> typename Has, typename... Policies>
struct choose {
    using type = Default;
};
template <typename Default, template <typename> typename Has, typename First, typename... Rest>
struct choose<Default, Has, First, Rest...> {
    using type = typename std::conditional_t<Has<First>::value,
                                             std::type_identity<First>,
                                             choose<Default, Has, Rest...>>::type;
};

template <typename P>
struct is_scheduling : std::bool_constant<roles_of<P> == 1 && looks_like_scheduling<P>> {};
template <typename P>
struct is_serializer : std::bool_constant<roles_of<P> == 1 && looks_like_serializer<P>> {};
template <typename P>
struct is_restart : std::bool_constant<roles_of<P> == 1 && looks_like_restart<P>> {};
template <typename P>
struct is_backend : std::bool_constant<roles_of<P> == 1 && looks_like_backend<P>> {};

template <typename... Policies>
struct composition {
    // Before a concept looks at them: what is wrong inside one of them is then told alone.
    static_assert(((sizeof(Policies) != 0) && ...));
    static_assert(
        ((roles_of<Policies> == 1) && ...),
        "compose: every type must be a policy of exactly one role: scheduling (accepts_in), "
        "serializer (encode, decode), restart (decide) or backend (launch); see the "
        "concept.hpp of each role.");
    static_assert((0 + ... + (is_scheduling<Policies>::value ? 1 : 0)) <= 1,
                  "compose: two scheduling policies; leave one out.");
    static_assert((0 + ... + (is_serializer<Policies>::value ? 1 : 0)) <= 1,
                  "compose: two serializers; leave one out.");
    static_assert((0 + ... + (is_restart<Policies>::value ? 1 : 0)) <= 1,
                  "compose: two restart policies; nest them or leave one out.");
    static_assert((0 + ... + (is_backend<Policies>::value ? 1 : 0)) <= 1,
                  "compose: two backends; leave one out.");
    using type =
        basic_cluster<typename choose<scheduling::round_robin, is_scheduling, Policies...>::type,
                      typename choose<serialization::binary, is_serializer, Policies...>::type,
                      typename choose<restart::never, is_restart, Policies...>::type,
                      typename choose<backend::process, is_backend, Policies...>::type>;
};

} // namespace detail

/// The cluster with these policies, named in any order; what is not named is the default:
/// `compose<restart::always, scheduling::reuse_port>`.
template <typename... Policies>
using compose = typename detail::composition<Policies...>::type;

} // namespace v0
} // namespace cluster

#endif // CLUSTER_COMPOSE_HPP
