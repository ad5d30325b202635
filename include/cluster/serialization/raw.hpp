// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_RAW_HPP
#define CLUSTER_SERIALIZATION_RAW_HPP

#include "../byte_buffer.hpp"
#include "../detail/memory.hpp"
#include "../error.hpp"
#include "concept.hpp"

#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename T>
inline constexpr bool is_raw_view = false;
template <typename Char, typename Traits>
inline constexpr bool is_raw_view<std::basic_string_view<Char, Traits>> = true;
template <typename Element, std::size_t Extent>
inline constexpr bool is_raw_view<std::span<Element, Extent>> =
    std::is_trivially_copyable_v<Element>;

// std::string, std::vector<trivial> and their like.
template <typename T>
concept raw_block = !std::is_trivially_copyable_v<T> && requires(T& v, std::size_t n) {
    requires std::is_trivially_copyable_v<typename T::value_type>;
    { v.data() } -> std::same_as<typename T::value_type*>;
    { v.size() } -> std::convertible_to<std::size_t>;
    v.resize(n);
};

template <typename T>
concept raw_object = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> &&
                     !std::is_member_pointer_v<T> && !std::is_null_pointer_v<T> && !is_raw_view<T>;

} // namespace detail

namespace serialization {

/// The `serializer` that copies memory: trivially copyable types as they are, `std::string` and
/// `std::vector` of such types as their elements.
///
/// Choose it for large blocks and fixed records between programs of the same build; `binary` for
/// everything else. The bytes are the machine's own: byte order, padding, sizes. Only the size is
/// checked, nothing in it can be: a `bool` or enumeration inside a struct may come out with a value
/// that it must not have, so trust the peer or use integers; pointers and views inside a struct
/// pass unnoticed and mean nothing on the other side; padding carries what was in memory.
/// Stateless and thread-safe.
struct raw {
    static constexpr std::string_view name = "raw";

    template <typename T>
    static constexpr bool can_encode =
        detail::raw_object<T> || detail::raw_block<T> || detail::is_raw_view<T>;
    template <typename T>
    static constexpr bool can_decode =
        (detail::raw_object<T> || detail::raw_block<T>)&&!std::is_const_v<T>;

    /// Appends the bytes of `value`; of a `string_view` or `span`, those it looks at.
    /// \throws std::bad_alloc.
    template <typename T>
    static void encode(const T& value, byte_buffer& out) {
        static_assert(can_encode<T>,
                      "raw: only trivially copyable types, std::string and std::vector of such are "
                      "copied as they are; use serialization::binary for this type.");
        if constexpr (detail::raw_object<T>) {
            out.append(std::addressof(value), sizeof value);
        } else if constexpr (can_encode<T>) {
            out.append(value.data(), value.size() * sizeof(*value.data()));
        }
    }

    /// Replaces `value` by `bytes`. After an error it is as before.
    /// \returns `errc::bad_payload` or `trailing_bytes` when the size does not fit.
    /// \throws std::bad_alloc.
    template <typename T>
    [[nodiscard]] static std::error_code decode(std::span<const std::byte> bytes, T& value) {
        static_assert(
            can_decode<T>,
            "raw: only trivially copyable types, std::string and std::vector of such are "
            "copied as they are, and views own nothing; use serialization::binary for this "
            "type.");
        if constexpr (std::is_same_v<T, bool>) {
            if (bytes.size() == 1 && bytes[0] > std::byte{1}) {
                return errc::bad_payload;
            }
        }
        if constexpr (detail::raw_object<T>) {
            return decode_object(bytes, value);
        } else if constexpr (can_decode<T>) {
            return decode_block(bytes, value);
        } else {
            return errc::not_supported;
        }
    }
    /// All `bytes` as a text.
    [[nodiscard]] static std::error_code decode_text(std::span<const std::byte> bytes,
                                                     std::string_view& text) noexcept {
        text = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
        return {};
    }

private:
    template <typename T>
    static std::error_code decode_object(std::span<const std::byte> bytes, T& value) noexcept {
        if (bytes.size() != sizeof value) {
            return bytes.size() < sizeof value ? errc::bad_payload : errc::trailing_bytes;
        }
        std::memcpy(static_cast<void*>(std::addressof(value)), bytes.data(), sizeof value);
        return {};
    }

    template <typename T>
    static std::error_code decode_block(std::span<const std::byte> bytes, T& value) {
        constexpr std::size_t each = sizeof(typename T::value_type);
        if (bytes.size() % each != 0) {
            return errc::bad_payload;
        }
        if constexpr (requires { value.max_size(); }) {
            if (bytes.size() / each > value.max_size()) {
                return errc::bad_payload;
            }
        }
        value.resize(bytes.size() / each);
        if (!bytes.empty()) {
            std::memcpy(static_cast<void*>(value.data()), bytes.data(), bytes.size());
        }
        return {};
    }
};

static_assert(serializes<raw, int>);

} // namespace serialization
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_RAW_HPP
