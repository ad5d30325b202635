// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_DETAIL_WEIGHT_HPP
#define CLUSTER_SERIALIZATION_DETAIL_WEIGHT_HPP

/// \file
/// What a message weighs that is passed without being encoded.

#include "../../detail/fields.hpp"
#include "size.hpp"

#include <cstddef>
#include <tuple>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail::wire {

template <typename T>
[[nodiscard]] std::size_t weight_of(const T& value);

/// Bytes that `value` owns outside itself, as far as `binary` knows types of its kind; 0 for one
/// that it does not know.
template <typename T>
[[nodiscard]] std::size_t weight_behind(const T& value) {
    const auto sum = [](const auto&... part) {
        return (std::size_t{} + ... + weight_behind(part));
    };
    if constexpr (fixed_size<T>() != varying || is<T, kind::custom, kind::none>) {
        return 0;
    } else if constexpr (is<T, kind::tuple>) {
        return std::apply(sum, value);
    } else if constexpr (is<T, kind::aggregate>) {
        return visit_fields(value, sum);
    } else if constexpr (is<T, kind::variant>) {
        return value.valueless_by_exception() ? 0 : visit(sum, value);
    } else if constexpr (is<T, kind::pointer>) {
        return value ? weight_of(*value) : 0;
    } else if constexpr (is<T, kind::optional>) {
        return value ? weight_behind(*value) : 0;
    } else {
        using element = typename T::value_type;
        const auto count = static_cast<std::size_t>(std::size(value));
        std::size_t weight = is<T, kind::array> ? 0 : count * sizeof(element);
        if constexpr (fixed_size<element>() == varying) {
            for (const element& each : value) {
                weight += weight_behind(each);
            }
        }
        return weight;
    }
}

/// Bytes of the object with what it owns.
template <typename T>
std::size_t weight_of(const T& value) {
    return sizeof(T) + weight_behind(value);
}

} // namespace detail::wire
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_DETAIL_WEIGHT_HPP
