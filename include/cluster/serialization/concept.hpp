// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_CONCEPT_HPP
#define CLUSTER_SERIALIZATION_CONCEPT_HPP

/// \file
/// The serializer policy: how a message becomes bytes.
///
/// `S` is the policy, `s` an lvalue of `S`, `value` a message, `out` a `byte_buffer`, `bytes` a
/// `std::span<const std::byte>`.
///
/// | expression               | type              | called              | must               |
/// |--------------------------|-------------------|---------------------|--------------------|
/// | `S{}`                    |                   | once for each side  | be cheap           |
/// | `S::name`                | to `string_view`  | when two sides meet | differ if bytes do |
/// | `s.encode(value, out)`   | ignored           | on each send        | append only        |
/// | `s.decode(bytes, value)` | `std::error_code` | on each receipt     | use all `bytes`    |
///
/// `encode` may throw what the message's own type throws. `decode` meets bytes that nobody checked:
/// whatever they are, it ends in a value or in an error, in time and memory bounded by their
/// number, and throws nothing but `std::bad_alloc`; after an error `value` is valid but
/// unspecified. A policy is never called from two threads at once.
///
/// A policy need not take every type. Optional, for one whose functions are templates that accept
/// any type and explain themselves by `static_assert`: `S::can_encode<T>`, `S::can_decode<T>`,
/// constants that tell in advance. And `s.decode_text(bytes, view)`, which sets a
/// `std::string_view` to the text inside `bytes` of what was a `std::string`, or, as the bytes are
/// the same, a `std::string_view`: with it texts are sent and received without a copy of them.
///
/// Smallest model: `tests/archetypes/serializer.hpp`. Models shipped: `serialization::binary` (the
/// default), `serialization::raw`.

#include "../byte_buffer.hpp"

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename S>
concept decodes_text_view =
    requires(S& s, std::span<const std::byte> bytes, std::string_view& text) {
        { s.decode_text(bytes, text) } -> std::same_as<std::error_code>;
    };

template <typename S>
concept has_serializer_name = requires {
    { S::name } -> std::convertible_to<std::string_view>;
};

struct encode_name {
    void encode();
};
struct decode_name {
    void decode();
};
template <typename S, typename Name>
struct also_has : S, Name {};

// encode and decode may be templates or overloaded, for types nobody knows here: so ask only
// whether the name is taken. It is, if inheriting it a second time makes it ambiguous.
template <typename S>
concept has_encode =
    std::is_class_v<S> && (std::is_final_v<S> || !requires { &also_has<S, encode_name>::encode; });

template <typename S>
concept has_decode =
    std::is_class_v<S> && (std::is_final_v<S> || !requires { &also_has<S, decode_name>::decode; });

template <typename S, typename T>
concept encode_takes = requires(S& s, const T& value, byte_buffer& out) { s.encode(value, out); };

template <typename S, typename T>
concept decode_takes =
    requires(S& s, std::span<const std::byte> bytes, T& value) { s.decode(bytes, value); };

template <typename S, typename T>
concept decode_returns_error_code = requires(S& s, std::span<const std::byte> bytes, T& value) {
    { s.decode(bytes, value) } -> std::same_as<std::error_code>;
};

// The optional constants: absent means yes.
template <typename S, typename T>
consteval bool says_can_encode() {
    if constexpr (requires { S::template can_encode<T>; }) {
        return S::template can_encode<T>;
    } else {
        return true;
    }
}

template <typename S, typename T>
consteval bool says_can_decode() {
    if constexpr (requires { S::template can_decode<T>; }) {
        return S::template can_decode<T>;
    } else {
        return true;
    }
}

} // namespace detail

/// Satisfied by every type that meets the table at the top of this file, for some types of message.
template <typename S>
concept serializer =
    std::default_initializable<S> && std::movable<S> && detail::has_serializer_name<S> &&
    detail::has_encode<S> && detail::has_decode<S>;

/// Satisfied when `S` turns a `T` into bytes.
template <typename S, typename T>
concept encodes = serializer<S> && detail::encode_takes<S, T> && detail::says_can_encode<S, T>();

/// Satisfied when `S` turns bytes into a `T`.
template <typename S, typename T>
concept decodes =
    serializer<S> && detail::decode_returns_error_code<S, T> && detail::says_can_decode<S, T>();

/// Satisfied when `S` does both for `T`.
template <typename S, typename T>
concept serializes = encodes<S, T> && decodes<S, T>;

namespace detail {

// Models the policy for every type: stands in for a faulty policy, so that only our message is
// printed.
struct any_serializer {
    static constexpr std::string_view name = "none";
    template <typename T>
    void encode(const T&, byte_buffer&) noexcept {}
    template <typename T>
    std::error_code decode(std::span<const std::byte>, T&) noexcept {
        return {};
    }
};

// One sentence for each line of the table; `type` is always usable.
template <typename S>
struct checked_serializer {
    static_assert(std::default_initializable<S> && std::movable<S>,
                  "Serializer must be default-constructible and movable: each side makes its own.");
    static_assert(
        has_serializer_name<S>,
        "Serializer needs a `static constexpr std::string_view name`: both sides compare it.");
    static_assert(
        has_encode<S>,
        "Serializer needs a member `void encode(const T& value, cluster::byte_buffer& out)`.");
    static_assert(
        has_decode<S>,
        "Serializer needs a member `std::error_code decode(std::span<const std::byte> bytes, "
        "T& value)`.");
    using type = std::conditional_t<serializer<S>, S, any_serializer>;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_CONCEPT_HPP
