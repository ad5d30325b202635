// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_DETAIL_WRITER_HPP
#define CLUSTER_SERIALIZATION_DETAIL_WRITER_HPP

/// \file
/// Encoding; a value of fixed size is one bounds check and plain stores.

#include "check.hpp"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail::wire {

[[nodiscard]] constexpr std::size_t varint_size(std::uint64_t value) noexcept {
    return (static_cast<std::size_t>(std::bit_width(value | 1U)) + 6) / 7;
}

inline std::byte* store_varint(std::byte* at, std::uint64_t value) noexcept {
    for (; value >= 0x80; value >>= 7) {
        *at++ = static_cast<std::byte>((value & 0x7f) | 0x80);
    }
    *at++ = static_cast<std::byte>(value);
    return at;
}

// Writes a value of fixed size, for which there is room. \returns past it.
template <typename T>
inline std::byte* store_fixed(std::byte* at, const T& value) {
    if constexpr (is<T, kind::boolean>) {
        *at = static_cast<std::byte>(value ? 1 : 0);
        return at + 1;
    } else if constexpr (is<T, kind::enumeration>) {
        return store_fixed(at, static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (is_bitwise<T>()) {
        std::memcpy(at, static_cast<const void*>(std::addressof(value)), sizeof value);
        return at + sizeof value;
    } else if constexpr (is<T, kind::scalar>) {
        store_little_endian(at, std::bit_cast<unsigned_of_size<sizeof(T)>>(value));
        return at + sizeof value;
    } else if constexpr (is<T, kind::duration>) {
        return store_fixed(at, value.count());
    } else if constexpr (is<T, kind::time_point>) {
        return store_fixed(at, value.time_since_epoch());
    } else if constexpr (is<T, kind::array>) {
        for (const typename T::value_type& element : value) {
            at = store_fixed(at, element);
        }
        return at;
    } else {
        const auto store_all = [&at](const auto&... part) { ((at = store_fixed(at, part)), ...); };
        if constexpr (is<T, kind::tuple>) {
            std::apply(store_all, value);
        } else {
            visit_fields(value, store_all);
        }
        return at;
    }
}

/// The archive that `serialize(archive)` members see while `binary` encodes.
class writer {
public:
    static constexpr bool reading = false;

    explicit writer(byte_buffer& out) noexcept : out_{out} {}

    /// Appends the encodings of `values`.
    template <typename... Types>
    void operator()(const Types&... values) {
        if constexpr (explain<culprit_t<false, Types...>>()) {
            (put(values), ...);
        }
    }

    /// The reader's counterpart refuses what was read; nothing is refused here.
    void reject() noexcept {}

private:
    template <typename T>
    void put(const T& value) {
        constexpr std::size_t size = fixed_size<T>();
        if constexpr (size == 0) {
            static_cast<void>(value);
        } else if constexpr (size != varying) {
            store_fixed(out_.extend(size), value);
        } else if constexpr (is<T, kind::custom>) {
            put_custom(value);
        } else if constexpr (is_range<T>) {
            put_range(value);
        } else if constexpr (is<T, kind::variant>) {
            put_variant(value, part_places<T>{});
        } else if constexpr (is<T, kind::optional, kind::pointer>) {
            const bool present = static_cast<bool>(value);
            put(present);
            if (present) {
                put(*value);
            }
        } else if constexpr (is<T, kind::array>) {
            for (const typename T::value_type& element : value) {
                put(element);
            }
        } else {
            put_parts(value);
        }
    }

    template <typename T>
    void put_parts(const T& value) {
        const auto put_all = [this](const auto&... part) { (this->put(part), ...); };
        if constexpr (is<T, kind::tuple>) {
            std::apply(put_all, value);
        } else {
            visit_fields(value, put_all);
        }
    }

    // One member for both directions is rarely const: the writer only looks at what it is given.
    template <typename T>
    void put_custom(const T& value) {
        if constexpr (has_serialize<const T, writer>) {
            value.serialize(*this);
        } else if constexpr (has_static_serialize<const T, writer>) {
            T::serialize(*this, value);
        } else if constexpr (has_serialize<T, writer>) {
            const_cast<T&>(value).serialize(*this);
        } else {
            T::serialize(*this, const_cast<T&>(value));
        }
    }

    template <typename T>
    void put_range(const T& range) {
        const auto count = static_cast<std::size_t>(range.size());
        if constexpr (is<T, kind::map>) {
            put_count(count);
            for (const auto& [key, mapped] : range) {
                put(key);
                put(mapped);
            }
        } else if constexpr (bulk_range<T>) {
            const std::size_t size = count * sizeof(typename T::value_type);
            std::byte* const at = store_varint(out_.extend(varint_size(count) + size), count);
            if (size != 0) {
                std::memcpy(at, static_cast<const void*>(range.data()), size);
            }
        } else {
            put_elements(range, count);
        }
    }

    template <typename T>
    void put_elements(const T& range, std::size_t count) {
        using element_type = typename T::value_type;
        constexpr std::size_t each = fixed_size<element_type>();
        if constexpr (each != varying) {
            std::byte* at = store_varint(out_.extend(varint_size(count) + count * each), count);
            for (const element_type& element : range) {
                at = store_fixed(at, element);
            }
        } else {
            put_count(count);
            for (const element_type& element : range) {
                put(element);
            }
        }
    }

    // What it calls is found beside the variant: who has one has included <variant>.
    template <typename T, std::size_t... I>
    void put_variant(const T& value, std::index_sequence<I...>) {
        const auto put_if = [&]<std::size_t Index>(std::integral_constant<std::size_t, Index>) {
            const auto* const alternative = get_if<Index>(&value);
            if (alternative == nullptr) {
                return false;
            }
            put_count(Index);
            put(*alternative);
            return true;
        };
        if (!(put_if(std::integral_constant<std::size_t, I>{}) || ...)) {
            static_cast<void>(get<0>(value)); // valueless: throws std::bad_variant_access
        }
    }

    void put_count(std::size_t count) { store_varint(out_.extend(varint_size(count)), count); }

    byte_buffer& out_;
};

} // namespace detail::wire
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_DETAIL_WRITER_HPP
