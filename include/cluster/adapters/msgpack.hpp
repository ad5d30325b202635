// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_MSGPACK_HPP
#define CLUSTER_ADAPTERS_MSGPACK_HPP

/// \file
/// Messages as MessagePack, by msgpack-cxx 3.0 or later: `compose<adapters::msgpack>`.

#include "../byte_buffer.hpp"
#include "../error.hpp"
#include "../serialization/concept.hpp"
#include "../serialization/detail/check.hpp"
#include "detail/guarded_decode.hpp"

#include <msgpack.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace adapters {

/// Whether `msgpack::adaptor` is specialised for `T`. It cannot be found out: say so for your own,
/// `template <> inline constexpr bool cluster::adapters::has_msgpack_adaptor<my::type> = true;`.
/// Not needed for the standard types, for enumerations and where there are members.
template <typename T>
inline constexpr bool has_msgpack_adaptor = false;

} // namespace adapters
namespace detail {

// What the library writes into.
struct msgpack_sink {
    byte_buffer& out;
    void write(const char* bytes, std::size_t count) { out.append(bytes, count); }
};

template <typename T>
concept packs_itself =
    requires(const T& value, ::msgpack::packer<msgpack_sink>& to) { value.msgpack_pack(to); };

template <typename T>
concept unpacks_itself =
    requires(T& value, const ::msgpack::object& from) { value.msgpack_unpack(from.convert()); };

template <typename T>
concept shared_pointer_like = requires(const T& v) {
    typename T::element_type;
    v.use_count();
    *v;
};

template <bool Reading, typename T>
consteval bool msgpack_can();

template <bool Reading, typename... Parts>
consteval bool msgpack_can_all(type_list<Parts...>) {
    return (msgpack_can<Reading, Parts>() && ...);
}

// The standard types that the library knows, of types that it knows.
template <bool Reading, typename T>
consteval bool msgpack_can() {
    using wire::is;
    using wire::kind;
    if constexpr (adapters::has_msgpack_adaptor<T> ||
                  (Reading ? unpacks_itself<T> : packs_itself<T>)) {
        return true;
    } else if constexpr (is<T, kind::boolean, kind::scalar, kind::enumeration, kind::time_point>) {
        return true;
    } else if constexpr (is<T, kind::sequence, kind::set, kind::map>) {
        if constexpr (Reading && !wire::is_fillable<T>()) {
            return false; // a view would look into the bytes that are thrown away
        } else {
            return msgpack_can_all<Reading>(wire::parts_t<T>{});
        }
    } else if constexpr (is<T, kind::array, kind::tuple, kind::optional, kind::pointer>) {
        return msgpack_can_all<Reading>(wire::parts_t<T>{});
    } else if constexpr (shared_pointer_like<T>) {
        return msgpack_can<Reading, typename T::element_type>();
    } else {
        return false;
    }
}

// The library makes room for all the elements that a header promises. No element is without a
// byte, so promises that are honest add up to less than the bytes.
struct msgpack_check : ::msgpack::null_visitor {
    static constexpr std::size_t deepest = 64;

    explicit msgpack_check(std::size_t bytes) noexcept : elements{bytes} {}

    bool start(std::uint64_t count) noexcept {
        too_deep = ++depth > deepest;
        if (too_deep || count > elements) {
            return false;
        }
        elements -= static_cast<std::size_t>(count);
        return true;
    }
    bool start_array(std::uint32_t count) noexcept { return start(count); }
    bool start_map(std::uint32_t pairs) noexcept { return start(std::uint64_t{2} * pairs); }
    bool end_array() noexcept { return --depth, true; }
    bool end_map() noexcept { return --depth, true; }

    std::size_t elements;
    std::size_t depth = 0;
    bool too_deep = false;
};

} // namespace detail

namespace adapters {

/// The `serializer` that sends MessagePack: numbers, strings, standard containers of such, and types
/// with `MSGPACK_DEFINE(members...)` or an adaptor of their own (`has_msgpack_adaptor`).
///
/// Choose it for compact messages that programs in other languages read. What the library does with
/// a mismatch holds: numbers that do not fit are errors, missing and additional members of a
/// `MSGPACK_DEFINE` are not. A vector is made before its elements are looked at, so a message may
/// cost its size times that of such an element. Nesting ends at 64 levels. Stateless and
/// thread-safe.
struct msgpack {
    static constexpr std::string_view name = "msgpack";

    template <typename T>
    static constexpr bool can_encode = detail::msgpack_can<false, T>();
    template <typename T>
    static constexpr bool can_decode = !std::is_const_v<T> && detail::msgpack_can<true, T>();

    /// Appends the encoding of `value`.
    /// \throws std::bad_alloc, `msgpack::container_size_overflow` for more than 2^32 elements, and
    /// what an adaptor throws; `out` then ends in a part of it.
    template <typename T>
    static void encode(const T& value, byte_buffer& out) {
        static_assert(can_encode<T>,
                      "msgpack: the library cannot pack this type; put MSGPACK_DEFINE(members...) "
                      "into it, or, if it has an adaptor, specialise "
                      "cluster::adapters::has_msgpack_adaptor for it.");
        if constexpr (can_encode<T>) {
            detail::msgpack_sink sink{out};
            ::msgpack::pack(sink, value);
        }
    }

    /// Replaces `value` by what `bytes`, all of them, encode. After an error it is unspecified.
    /// \returns `errc::bad_payload`, `trailing_bytes` or `nesting_too_deep` for other bytes, and
    /// `bad_payload` when an adaptor throws a `std::exception`.
    /// \throws std::bad_alloc.
    template <typename T>
    [[nodiscard]] static std::error_code decode(std::span<const std::byte> bytes, T& value) {
        static_assert(can_decode<T>,
                      "msgpack: the library cannot unpack into this type; put "
                      "MSGPACK_DEFINE(members...) into it, or, if it has an adaptor, specialise "
                      "cluster::adapters::has_msgpack_adaptor for it; receive text as "
                      "std::string, as a view owns nothing.");
        if constexpr (can_decode<T>) {
            return detail::guarded_decode([&]() -> std::error_code {
                if (const auto error = check(bytes)) {
                    return error;
                }
                ::msgpack::zone zone;
                std::size_t offset = 0;
                ::msgpack::unpack(zone, data(bytes), bytes.size(), offset, refer_to_bytes)
                    .convert(value);
                return {};
            });
        } else {
            return errc::not_supported;
        }
    }

private:
    static const char* data(std::span<const std::byte> bytes) noexcept {
        return bytes.empty() ? "" : reinterpret_cast<const char*>(bytes.data());
    }

    static bool refer_to_bytes(::msgpack::type::object_type, std::size_t, void*) noexcept {
        return true;
    }

    static std::error_code check(std::span<const std::byte> bytes) {
        detail::msgpack_check visitor{bytes.size()};
        std::size_t offset = 0;
        if (!::msgpack::parse(data(bytes), bytes.size(), offset, visitor)) {
            return visitor.too_deep ? errc::nesting_too_deep : errc::bad_payload;
        }
        return offset == bytes.size() ? std::error_code{} : errc::trailing_bytes;
    }
};

static_assert(serializes<msgpack, int>);

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_MSGPACK_HPP
