// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_BINARY_HPP
#define CLUSTER_SERIALIZATION_BINARY_HPP

/// \file
/// The default serializer: compact, little endian, no schema, no code for most types.
///
/// | type                                  | bytes                                    |
/// |---------------------------------------|------------------------------------------|
/// | `bool`                                | 0 or 1                                   |
/// | integers, `float`, `double`           | `sizeof` of them, little endian          |
/// | enumerations                          | as the underlying type                   |
/// | `std::chrono` durations, time points  | the count                                |
/// | `std::array`, `pair`, `tuple`         | the elements, nothing else               |
/// | strings, vectors, lists, sets, maps   | count, then the elements                 |
/// | `string_view`, `span`                 | the same; encoded only: they own nothing |
/// | `optional`, `unique_ptr`              | 0, or 1 and the value                    |
/// | `variant`                             | index as a count, then the alternative   |
/// | aggregates of up to 32 members        | the members, nothing else                |
/// | types with `serialize(archive)`       | what they pass to `archive(a, b, c)`     |
///
/// A count is a base-128 varint (LEB128) of the fewest bytes. Containers are recognised by their
/// members, so a user's own work too. Both sides must agree on the types, as there are no tags: the
/// frame's type id tells messages apart.
///
/// Decoding trusts nothing: a count by itself allocates a small multiple of the bytes behind it at
/// most, nesting ends at 64 levels, elements of no bytes at 2^20 in all, and duplicates in a set or
/// map, left-over bytes and other than the shortest counts are errors. An enumeration may come out
/// with any value of its underlying type: check it, and give it one (`enum class`, `enum e : int`),
/// as a value out of range is undefined for an enumeration without.

#include "../byte_buffer.hpp"
#include "concept.hpp"
#include "detail/check.hpp"
#include "detail/reader.hpp"
#include "detail/writer.hpp"

#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace cluster {
inline namespace v0 {

namespace serialization {

/// The default `serializer`: see the table at the top of this file.
///
/// Choose `raw` when a message is one block of plain memory. Cost: no allocation but the buffer's
/// and the value's own; a value of fixed size is one bounds check and plain stores. Stateless and
/// thread-safe.
struct binary {
    static constexpr std::string_view name = "binary";

    template <typename T>
    static constexpr bool can_encode = std::is_void_v<detail::wire::culprit_t<false, T>>;
    template <typename T>
    static constexpr bool can_decode = std::is_void_v<detail::wire::culprit_t<true, T>>;

    /// Appends the encoding of `value`. A type without one is a compile-time sentence.
    /// \throws std::bad_alloc, std::bad_variant_access for a valueless variant, and what a
    /// serialize() member throws; `out` then ends in a part of the encoding.
    template <typename T>
    static void encode(const T& value, byte_buffer& out) {
        detail::wire::writer{out}(value);
    }

    /// Replaces `value` by what `bytes`, all of them, encode. After an error it is unspecified.
    /// \returns `errc::bad_payload`, `trailing_bytes` or `nesting_too_deep` for other bytes.
    /// \throws std::bad_alloc, and what a serialize() member, comparison or hash throws.
    template <typename T>
    [[nodiscard]] static std::error_code decode(std::span<const std::byte> bytes, T& value) {
        detail::wire::reader in{bytes};
        in(value);
        return in.finish();
    }
    /// The text of an encoded string, inside `bytes`. After an error `text` is as before.
    /// \returns as decode()
    [[nodiscard]] static std::error_code decode_text(std::span<const std::byte> bytes,
                                                     std::string_view& text) noexcept {
        detail::wire::reader in{bytes};
        in.look_at(text);
        return in.finish();
    }
};

static_assert(serializes<binary, int>);

} // namespace serialization
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_BINARY_HPP
