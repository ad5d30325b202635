// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_DETAIL_SIZE_HPP
#define CLUSTER_SERIALIZATION_DETAIL_SIZE_HPP

/// \file
/// How many bytes a type's encoding has, and how few at least.

#include "kind.hpp"

#include <bit>
#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail::wire {

inline constexpr std::size_t varying = static_cast<std::size_t>(-1);

template <typename T>
consteval std::size_t fixed_size();
template <typename T>
consteval std::size_t least_size();

template <typename... Parts>
consteval std::size_t sum_of_fixed_sizes(type_list<Parts...>) {
    std::size_t sum = 0;
    ((sum = sum == varying || fixed_size<Parts>() == varying ? varying : sum + fixed_size<Parts>()),
     ...);
    return sum;
}

template <typename... Parts>
consteval std::size_t sum_of_least_sizes(type_list<Parts...>) {
    return (std::size_t{} + ... + least_size<Parts>());
}

// Bytes of every encoding of `T`, or `varying`.
template <typename T>
consteval std::size_t fixed_size() {
    if constexpr (is<T, kind::boolean, kind::scalar>) {
        return sizeof(T);
    } else if constexpr (is<T, kind::array>) {
        constexpr std::size_t count = std::tuple_size_v<T>;
        constexpr std::size_t each = fixed_size<typename T::value_type>();
        return count == 0 ? 0 : (each == varying ? varying : count * each);
    } else if constexpr (
        is<T, kind::enumeration, kind::duration, kind::time_point, kind::tuple, kind::aggregate>) {
        return sum_of_fixed_sizes(parts_t<T>{});
    } else {
        return varying;
    }
}

// Bytes of the shortest encoding of `T`, or less: bounds what a count may claim.
template <typename T>
consteval std::size_t least_size() {
    if constexpr (fixed_size<T>() != varying) {
        return fixed_size<T>();
    } else if constexpr (is<T, kind::array>) {
        return std::tuple_size_v<T> * least_size<typename T::value_type>();
    } else if constexpr (is<T, kind::tuple, kind::aggregate>) {
        return sum_of_least_sizes(parts_t<T>{});
    } else {
        return is<T, kind::custom> ? 0 : 1; // a count or a flag
    }
}

template <typename T>
consteval bool is_bitwise();

template <typename... Parts>
consteval bool are_bitwise(type_list<Parts...>) {
    return (is_bitwise<Parts>() && ...);
}

// Whether the encoding of `T` is its representation in memory, and every one of that size is valid.
template <typename T>
consteval bool is_bitwise() {
    if constexpr (std::endian::native != std::endian::little) {
        return false;
    } else if constexpr (is<T, kind::scalar>) {
        return true;
    } else if constexpr (is<T, kind::enumeration, kind::array, kind::aggregate>) {
        return std::is_trivially_copyable_v<T> && sizeof(T) == fixed_size<T>() &&
               are_bitwise(parts_t<T>{});
    } else {
        return false;
    }
}

// Ranges that go in one piece.
template <typename T>
concept bulk_range = is_bitwise<typename T::value_type>() && requires(const T& v) {
    { v.data() } -> std::convertible_to<const typename T::value_type*>;
};

} // namespace detail::wire
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_DETAIL_SIZE_HPP
