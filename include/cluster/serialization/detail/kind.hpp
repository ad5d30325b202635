// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_DETAIL_KIND_HPP
#define CLUSTER_SERIALIZATION_DETAIL_KIND_HPP

/// \file
/// What a type is to `serialization::binary`: recognised by its members.

#include "../../byte_buffer.hpp"
#include "../../detail/fields.hpp"
#include "../../detail/memory.hpp"
#include "../../error.hpp"
#include "../concept.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail::wire {

class writer;
class reader;

enum class kind : unsigned char {
    none,
    custom,
    boolean,
    scalar,
    enumeration,
    duration,
    time_point,
    array,
    tuple,
    optional,
    pointer,
    variant,
    sequence,
    set,
    map,
    aggregate
};

template <typename T, typename Archive>
concept has_serialize = requires(T& value, Archive& archive) { value.serialize(archive); };

template <typename T, typename Archive>
concept has_static_serialize =
    requires(T& value, Archive& archive) { std::remove_cv_t<T>::serialize(archive, value); };

template <typename T, typename Archive>
concept serializes_itself = has_serialize<T, Archive> || has_static_serialize<T, Archive>;

template <typename T>
concept scalar_like =
    std::is_integral_v<T> ||
    (std::is_floating_point_v<T> && std::numeric_limits<T>::is_iec559 && sizeof(T) <= 8);

template <typename T>
concept duration_like = requires(const T& v) {
    typename T::period;
    { v.count() } -> std::same_as<typename T::rep>;
};

template <typename T>
concept time_point_like = requires(const T& v) {
    typename T::clock;
    { v.time_since_epoch() } -> std::same_as<typename T::duration>;
};

template <typename T>
concept array_like = requires(const T& v) {
    std::tuple_size<T>::value;
    typename T::value_type;
    v.begin() != v.end();
};

template <typename T>
concept optional_like = requires(T& v) {
    typename T::value_type;
    { v.has_value() } -> std::same_as<bool>;
    *v;
    v.reset();
};

template <typename T>
concept range_like = requires(const T& v) {
    typename T::value_type;
    v.begin() != v.end();
    { v.size() } -> std::convertible_to<std::size_t>;
};

template <typename T>
inline constexpr bool is_tuple = false;
template <typename... Types>
inline constexpr bool is_tuple<std::tuple<Types...>> = true;
template <typename First, typename Second>
inline constexpr bool is_tuple<std::pair<First, Second>> = true;

template <typename T>
inline constexpr bool is_variant = false;
template <template <typename...> typename Template, typename... Types>
inline constexpr bool is_variant<Template<Types...>> = requires(const Template<Types...>& v) {
    { v.index() } -> std::same_as<std::size_t>;
    { v.valueless_by_exception() } -> std::same_as<bool>;
};

template <typename T>
inline constexpr bool is_unique_ptr = false;
template <typename T>
inline constexpr bool is_unique_ptr<std::unique_ptr<T>> = !std::is_array_v<T>;

template <typename T>
consteval kind find_range_kind() {
    if constexpr (requires { typename T::mapped_type; }) {
        return kind::map;
    } else if constexpr (requires { typename T::key_type; }) {
        return kind::set;
    } else {
        return kind::sequence;
    }
}

template <typename T>
consteval kind find_class_kind() {
    if constexpr (serializes_itself<T, writer> || serializes_itself<T, reader>) {
        return kind::custom;
    } else if constexpr (duration_like<T>) {
        return kind::duration;
    } else if constexpr (time_point_like<T>) {
        return kind::time_point;
    } else if constexpr (array_like<T>) {
        return kind::array;
    } else if constexpr (is_tuple<T>) {
        return kind::tuple;
    } else if constexpr (is_variant<T>) {
        return kind::variant;
    } else if constexpr (is_unique_ptr<T>) {
        return kind::pointer;
    } else if constexpr (range_like<T>) {
        return find_range_kind<T>();
    } else if constexpr (optional_like<T>) {
        return kind::optional;
    } else {
        return has_fields<T> ? kind::aggregate : kind::none;
    }
}

template <typename T>
consteval kind find_kind() {
    if constexpr (std::is_same_v<T, bool>) {
        return kind::boolean;
    } else if constexpr (scalar_like<T>) {
        return kind::scalar;
    } else if constexpr (std::is_enum_v<T>) {
        return kind::enumeration;
    } else if constexpr (std::is_class_v<T>) {
        return find_class_kind<T>();
    } else {
        return kind::none;
    }
}

template <typename T>
inline constexpr kind kind_of = find_kind<std::remove_cv_t<T>>();

template <typename T, kind... Kinds>
inline constexpr bool is = ((kind_of<T> == Kinds) || ...);

template <template <typename...> typename Template, typename... Types>
type_list<std::remove_reference_t<Types>...> arguments_of(const Template<Types...>&);

// The types whose encodings make up that of `T`, as a type_list.
template <typename T>
consteval auto find_parts() {
    if constexpr (is<T, kind::enumeration>) {
        return type_list<std::underlying_type_t<T>>{};
    } else if constexpr (is<T, kind::duration>) {
        return type_list<typename T::rep>{};
    } else if constexpr (is<T, kind::time_point>) {
        return type_list<typename T::duration>{};
    } else if constexpr (is<T, kind::tuple, kind::variant>) {
        return decltype(arguments_of(std::declval<const T&>())){};
    } else if constexpr (is<T, kind::pointer>) {
        return type_list<typename T::element_type>{};
    } else if constexpr (is<T, kind::map>) {
        return type_list<typename T::key_type, typename T::mapped_type>{};
    } else if constexpr (is<T, kind::array, kind::sequence, kind::set, kind::optional>) {
        return type_list<typename T::value_type>{};
    } else if constexpr (is<T, kind::aggregate>) {
        return field_types<T>{};
    } else {
        return type_list<>{};
    }
}

template <typename T>
using parts_t = decltype(find_parts<std::remove_cv_t<T>>());

template <typename... Types>
std::index_sequence_for<Types...> places_in(type_list<Types...>);

// The numbers of its parts, as a std::index_sequence.
template <typename T>
using part_places = decltype(places_in(parts_t<T>{}));

template <std::size_t Size>
using unsigned_of_size = std::conditional_t<
    Size == 1,
    std::uint8_t,
    std::conditional_t<Size == 2,
                       std::uint16_t,
                       std::conditional_t<Size == 4, std::uint32_t, std::uint64_t>>>;

} // namespace detail::wire
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_DETAIL_KIND_HPP
