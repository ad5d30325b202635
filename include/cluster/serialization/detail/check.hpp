// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_DETAIL_CHECK_HPP
#define CLUSTER_SERIALIZATION_DETAIL_CHECK_HPP

/// \file
/// Whether a type can be encoded and decoded, and the sentence that names the cure when not.

#include "../../detail/memory.hpp"
#include "size.hpp"

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail::wire {

template <typename T>
consteval bool is_fillable() {
    if constexpr (!requires(T& v) { v.clear(); }) {
        return false;
    } else if constexpr (is<T, kind::map>) {
        return requires(T& v, typename T::key_type k, typename T::mapped_type m) {
            v.emplace(std::move(k), std::move(m));
        };
    } else if constexpr (is<T, kind::set>) {
        return requires(T& v, typename T::value_type e) { v.insert(std::move(e)); };
    } else if constexpr (bulk_range<T>) {
        return requires(T& v, std::size_t n) { v.resize(n); };
    } else {
        return requires(T& v, typename T::value_type e) { v.push_back(std::move(e)); };
    }
}

template <typename T>
inline constexpr bool is_range = is<T, kind::sequence, kind::set, kind::map>;

template <typename T>
concept makes_its_own_elements = requires(T& v) {
    { v.emplace_back() } -> std::same_as<typename T::value_type&>;
};

// Decoding makes the parts itself, so they need a default.
template <typename T>
inline constexpr bool makes_parts =
    is_range<T> || is<T, kind::optional, kind::pointer, kind::variant>;

// A type that cannot be encoded or decoded, void for none. `one | other` is the first that is one.
template <typename T>
struct culprit {
    using type = T;
    template <typename Other>
    consteval auto operator|(culprit<Other>) const noexcept {
        if constexpr (std::is_void_v<T>) {
            return culprit<Other>{};
        } else {
            return *this;
        }
    }
};
using no_culprit = culprit<void>;

template <bool Reading, bool Making, typename... Seen, typename... Parts>
consteval auto find_culprit_among(type_list<Parts...>);

// No parts, and never in the way.
template <typename T>
inline constexpr bool is_plain = is<T, kind::boolean, kind::scalar, kind::enumeration>;

// The first type in `T` that cannot be encoded, or decoded if Reading; void if all can.
// `Seen` ends the search in types that contain themselves.
template <bool Reading, typename T, typename... Seen>
consteval auto find_culprit() {
    using plain = std::remove_cv_t<T>;
    using archive = std::conditional_t<Reading, reader, writer>;
    if constexpr ((Reading && std::is_const_v<T>) || is<T, kind::none>) {
        return culprit<T>{};
    } else if constexpr (is_plain<plain> || (std::is_same_v<plain, Seen> || ...)) {
        return no_culprit{};
    } else if constexpr (is<T, kind::custom> && !serializes_itself<plain, archive>) {
        return culprit<T>{};
    } else if constexpr (Reading && is_range<plain> && !is_fillable<plain>()) {
        return culprit<T>{};
    } else {
        constexpr bool making = Reading && makes_parts<plain>;
        return find_culprit_among<Reading, making, Seen..., plain>(parts_t<T>{});
    }
}

template <bool Reading, bool Making, typename Part, typename... Seen>
consteval auto find_culprit_in_part() {
    using found = decltype(find_culprit<Reading, Part, Seen...>());
    if constexpr (std::is_same_v<found, no_culprit> && Making &&
                  !std::default_initializable<Part>) {
        return culprit<Part>{};
    } else {
        return found{};
    }
}

template <bool Reading, bool Making, typename... Seen, typename... Parts>
consteval auto find_culprit_among(type_list<Parts...>) {
    return (no_culprit{} | ... | find_culprit_in_part<Reading, Making, Parts, Seen...>());
}

template <bool Reading, typename... Types>
using culprit_t =
    typename decltype(find_culprit_among<Reading, false>(type_list<Types...>{}))::type;

template <typename T>
inline constexpr bool never = false;

// Prints exactly one sentence for a culprit. \returns whether there is none.
template <typename Culprit>
consteval bool explain() {
    using plain = std::remove_cv_t<Culprit>;
    if constexpr (std::is_void_v<Culprit>) {
        return true;
    } else if constexpr (std::is_pointer_v<plain>) {
        static_assert(
            never<plain>,
            "binary: a pointer means nothing in another process; use std::string for text, "
            "std::optional or std::unique_ptr for one value, std::vector for many.");
    } else if constexpr (std::is_array_v<plain>) {
        static_assert(never<plain>,
                      "binary: a C array is not a value; use std::array, or std::string for text.");
    } else if constexpr (is<plain, kind::none> && std::is_class_v<plain> &&
                         std::is_aggregate_v<plain>) {
        return check_fields<plain>();
    } else if constexpr (is<plain, kind::none> ||
                         (is<plain, kind::custom> && std::default_initializable<plain>)) {
        static_assert(
            never<plain>,
            "binary: there is no encoding for this type; make it an aggregate of types that have "
            "one, or give it a member `template <class Archive> void serialize(Archive& archive)` "
            "that calls `archive(a, b, c)`.");
    } else if constexpr (std::is_const_v<Culprit>) {
        static_assert(never<plain>,
                      "binary: what is const cannot be decoded into; make the member non-const, or "
                      "give its type a serialize(archive) member that leaves it out.");
    } else if constexpr (is_range<plain> && !is_fillable<plain>()) {
        static_assert(never<plain>,
                      "binary: a view can be encoded, but not decoded, as it owns nothing; use "
                      "std::string or std::vector in the type that is received.");
    } else {
        static_assert(never<plain>,
                      "binary: decoding makes elements and alternatives by their default "
                      "constructor; give this type one.");
    }
    return false;
}

} // namespace detail::wire
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_DETAIL_CHECK_HPP
