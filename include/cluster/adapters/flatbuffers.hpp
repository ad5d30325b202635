// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_FLATBUFFERS_HPP
#define CLUSTER_ADAPTERS_FLATBUFFERS_HPP

/// \file
/// Messages that are FlatBuffers 2.0 or later: `compose<adapters::flatbuffers>`.

#include "../byte_buffer.hpp"
#include "../error.hpp"
#include "../serialization/concept.hpp"

#include <flatbuffers/flatbuffers.h>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename T>
concept flatbuffers_table = requires(const T& table, ::flatbuffers::Verifier& verifier) {
    { table.Verify(verifier) } -> std::same_as<bool>;
};

struct flatbuffer_access;

} // namespace detail

namespace adapters {

/// A message: a finished FlatBuffer whose root is a `Table`, and its memory. Nothing is unpacked.
///
/// Empty by default; one that is received never is, and has passed the library's verifier. Copies
/// copy the bytes. Thread safety: distinct objects, safe; shared objects, safe for reading.
template <typename Table>
class flatbuffer {
    static_assert(detail::flatbuffers_table<Table>,
                  "flatbuffer: the type must be a table that flatc has generated.");

public:
    flatbuffer() = default;

    /// Takes what `builder` has finished. \pre it called `Finish` with a `Table`, without a size.
    explicit flatbuffer(::flatbuffers::FlatBufferBuilder&& builder) : buffer_{builder.Release()} {}

    flatbuffer(flatbuffer&&) noexcept = default;
    flatbuffer& operator=(flatbuffer&&) noexcept = default;
    flatbuffer(const flatbuffer& other) : flatbuffer{other.bytes()} {}
    flatbuffer& operator=(const flatbuffer& other) { return *this = flatbuffer{other}; }
    ~flatbuffer() = default;

    /// Null when empty.
    [[nodiscard]] const Table* get() const noexcept {
        return buffer_.size() == 0 ? nullptr : ::flatbuffers::GetRoot<Table>(buffer_.data());
    }
    /// \pre not empty.
    [[nodiscard]] const Table& operator*() const noexcept { return *get(); }
    [[nodiscard]] const Table* operator->() const noexcept { return get(); }
    [[nodiscard]] explicit operator bool() const noexcept { return buffer_.size() != 0; }

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
        return std::as_bytes(std::span{buffer_.data(), buffer_.size()});
    }

    /// Whether the bytes are the same; the same content may have others.
    friend bool operator==(const flatbuffer& a, const flatbuffer& b) noexcept {
        return std::ranges::equal(a.bytes(), b.bytes());
    }

private:
    friend detail::flatbuffer_access;

    // The copy is aligned as the library's scalars need it; where bytes lie in a frame is chance.
    explicit flatbuffer(std::span<const std::byte> bytes) {
        if (!bytes.empty()) {
            auto* const copy = ::flatbuffers::DefaultAllocator{}.allocate(bytes.size());
            std::memcpy(copy, bytes.data(), bytes.size());
            buffer_ = ::flatbuffers::DetachedBuffer{
                nullptr, false, copy, bytes.size(), copy, bytes.size()};
        }
    }

    ::flatbuffers::DetachedBuffer buffer_;
};

} // namespace adapters
namespace detail {

template <typename T>
inline constexpr bool is_flatbuffer = false;
template <typename Table>
inline constexpr bool is_flatbuffer<adapters::flatbuffer<Table>> = true;

struct flatbuffer_access {
    template <typename Table>
    static std::error_code decode(std::span<const std::byte> bytes,
                                  adapters::flatbuffer<Table>& value) {
        adapters::flatbuffer<Table> copy{bytes};
        // No table is smaller than its offset to its description, and no builder lists one twice.
        const auto tables =
            static_cast<::flatbuffers::uoffset_t>(bytes.size() / sizeof(::flatbuffers::soffset_t));
        ::flatbuffers::Verifier verifier{copy.buffer_.data(), copy.buffer_.size(), deepest, tables};
        if (!verifier.VerifyBuffer<Table>(nullptr)) {
            return errc::bad_payload;
        }
        value = std::move(copy);
        return {};
    }

private:
    static constexpr ::flatbuffers::uoffset_t deepest = 64;
};

} // namespace detail

namespace adapters {

/// The `serializer` for messages of the type `flatbuffer<Table>`, where `flatc` has made `Table`.
///
/// Choose it for large messages of which little is read. The bytes are a count of them, 4 bytes
/// little endian, and the FlatBuffer as it is. What is received is verified: nesting ends at 64
/// levels, and a table may be reached in one way only. Parts that are no tables may be reached in
/// many: from a peer that is not trusted, this can cost the verifier, and above all an `UnPack`, the
/// square of the size, so keep messages small. The verifier lets the elements of a vector of 8-byte
/// scalars lie at a multiple of 4. Stateless and thread-safe.
struct flatbuffers {
    static constexpr std::string_view name = "flatbuffers";

    template <typename T>
    static constexpr bool can_encode = detail::is_flatbuffer<T>;
    template <typename T>
    static constexpr bool can_decode = detail::is_flatbuffer<T>;

    /// Appends the bytes of `value`.
    /// \throws std::bad_alloc, and std::invalid_argument when `value` is empty.
    template <typename T>
    static void encode(const T& value, byte_buffer& out) {
        static_assert(can_encode<T>,
                      "flatbuffers: messages are of the type cluster::adapters::flatbuffer<Table>; "
                      "make one of the builder's buffer, flatbuffer<Table>{std::move(builder)}.");
        if constexpr (can_encode<T>) {
            if (!value) {
                throw std::invalid_argument{"flatbuffers: an empty message"};
            }
            const auto bytes = value.bytes(); // below 2 GiB, as every FlatBuffer
            out.append_le(static_cast<std::uint32_t>(bytes.size()));
            out.append(bytes);
        }
    }

    /// Replaces `value` by what `bytes`, all of them, are. After an error it is as before.
    /// \returns `errc::bad_payload` or `trailing_bytes` for other bytes.
    /// \throws std::bad_alloc.
    template <typename T>
    [[nodiscard]] static std::error_code decode(std::span<const std::byte> bytes, T& value) {
        static_assert(can_decode<T>,
                      "flatbuffers: messages are of the type cluster::adapters::flatbuffer<Table>; "
                      "receive it and read from it with ->.");
        if constexpr (can_decode<T>) {
            if (bytes.size() < count_size || bytes.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) {
                return errc::bad_payload;
            }
            const std::size_t count = detail::load_little_endian<std::uint32_t>(bytes.data());
            const auto rest = bytes.subspan(count_size);
            if (count != rest.size()) {
                return count > rest.size() ? errc::bad_payload : errc::trailing_bytes;
            }
            return detail::flatbuffer_access::decode(rest, value);
        } else {
            return errc::not_supported;
        }
    }

private:
    static constexpr std::size_t count_size = sizeof(std::uint32_t);
};

static_assert(serializer<flatbuffers>);

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_FLATBUFFERS_HPP
