// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_PROTOBUF_HPP
#define CLUSTER_ADAPTERS_PROTOBUF_HPP

/// \file
/// Messages of Protocol Buffers 3.4 or later: `compose<adapters::protobuf>`.

#include "../byte_buffer.hpp"
#include "../error.hpp"
#include "../serialization/concept.hpp"
#include "detail/guarded_decode.hpp"

#include <google/protobuf/message_lite.h>

#include <climits>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace adapters {

/// The `serializer` for the messages that `protoc` generates, with or without the full runtime.
///
/// Choose it when they are there, or when programs of different age or in other languages must
/// understand each other. The format has no end of its own and lets fields be absent: of a message
/// that is cut between two fields, the rest is at its default. Unknown fields are kept. Nesting ends
/// at the library's 100 levels, and bytes that are no message may make it write to standard error,
/// as its log handler says. Stateless and thread-safe.
struct protobuf {
    static constexpr std::string_view name = "protobuf";

    template <typename T>
    static constexpr bool can_encode = std::derived_from<T, google::protobuf::MessageLite>;
    template <typename T>
    static constexpr bool can_decode =
        std::derived_from<T, google::protobuf::MessageLite> && !std::is_const_v<T>;

    /// Appends the encoding of `value`.
    /// \throws std::bad_alloc, `std::invalid_argument` when a required field is missing and
    /// `std::length_error` for more than 2 GiB; `out` is then as before.
    template <typename T>
    static void encode(const T& value, byte_buffer& out) {
        static_assert(can_encode<T>,
                      "protobuf: only messages that protoc has generated are sent; describe this "
                      "type in a .proto file, or take one of <google/protobuf/wrappers.pb.h>.");
        if constexpr (can_encode<T>) {
            append(value, out);
        }
    }

    /// Replaces `value` by what `bytes`, all of them, encode. After an error it is unspecified.
    /// \returns `errc::bad_payload` for other bytes and when a required field is missing.
    /// \throws std::bad_alloc.
    template <typename T>
    [[nodiscard]] static std::error_code decode(std::span<const std::byte> bytes, T& value) {
        static_assert(
            can_decode<T>,
            "protobuf: only messages that protoc has generated are received; describe "
            "this type in a .proto file, or take one of <google/protobuf/wrappers.pb.h>.");
        if constexpr (can_decode<T>) {
            return detail::guarded_decode([&] { return parse(bytes, value); });
        } else {
            return errc::not_supported;
        }
    }

private:
    static void append(const google::protobuf::MessageLite& value, byte_buffer& out) {
        if (!value.IsInitialized()) {
            throw std::invalid_argument{"protobuf: missing " + value.InitializationErrorString()};
        }
        const std::size_t size = value.ByteSizeLong();
        if (size > INT_MAX) {
            throw std::length_error{"protobuf: a message of more than 2 GiB"};
        }
        value.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out.extend(size)));
    }

    // "Partial": the other form writes to the log that a field is missing.
    static std::error_code parse(std::span<const std::byte> bytes,
                                 google::protobuf::MessageLite& value) {
        if (bytes.size() > INT_MAX ||
            !value.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
            !value.IsInitialized()) {
            return errc::bad_payload;
        }
        return {};
    }
};

static_assert(serializer<protobuf>);

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_PROTOBUF_HPP
