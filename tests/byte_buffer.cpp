// SPDX-License-Identifier: MIT
#include <cluster/byte_buffer.hpp> // first and alone: proves the header is self-contained

#include "support/sanitized.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace {

using cluster::byte_buffer;

static_assert(!std::is_copy_constructible_v<byte_buffer>);
static_assert(std::is_nothrow_move_constructible_v<byte_buffer>);
static_assert(std::is_nothrow_move_assignable_v<byte_buffer>);

void append_text(byte_buffer& buffer, std::string_view text) {
    buffer.append(text.data(), text.size());
}

std::string text_of(const byte_buffer& buffer) {
    return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

} // namespace

TEST_SUITE("byte_buffer") {
    TEST_CASE("starts empty and without storage") {
        const byte_buffer buffer;
        CHECK(buffer.empty());
        CHECK(buffer.size() == 0);
        CHECK(buffer.capacity() == 0);
        CHECK(buffer.span().empty());
    }

    TEST_CASE("takes the capacity that it is given") {
        const byte_buffer buffer{1000};
        CHECK(buffer.capacity() >= 1000);
        CHECK(buffer.empty());
    }

    TEST_CASE("appends nothing, from nowhere") {
        byte_buffer buffer;
        buffer.append(nullptr, 0);
        buffer.append({});
        CHECK(buffer.empty());
        CHECK(buffer.capacity() == 0);
    }

    TEST_CASE("keeps its bytes while it grows") {
        byte_buffer buffer;
        std::string expected;
        for (int i = 0; i != 5000; ++i) {
            const char c = static_cast<char>('a' + i % 26);
            buffer.append(&c, 1);
            expected += c;
        }
        CHECK(text_of(buffer) == expected);
    }

    TEST_CASE("extends by bytes for the caller to fill") {
        byte_buffer buffer;
        append_text(buffer, "ab");
        std::byte* const at = buffer.extend(2);
        at[0] = std::byte{'c'};
        at[1] = std::byte{'d'};
        CHECK(text_of(buffer) == "abcd");
    }

    TEST_CASE("writes integers least significant byte first") {
        byte_buffer buffer;
        buffer.append_le(std::uint8_t{0x01});
        buffer.append_le(std::uint16_t{0x0302});
        buffer.append_le(std::uint32_t{0x07060504});
        buffer.append_le(std::uint64_t{0x0f0e0d0c0b0a0908});
        REQUIRE(buffer.size() == 15);
        for (std::size_t i = 0; i != buffer.size(); ++i) {
            CHECK(std::to_integer<std::size_t>(buffer.span()[i]) == i + 1);
        }
        CHECK(cluster::detail::load_little_endian<std::uint32_t>(buffer.data() + 3) == 0x07060504);
    }

    TEST_CASE("drops bytes at the front without moving the rest") {
        byte_buffer buffer;
        append_text(buffer, "hello world");
        const std::byte* const w = buffer.data() + 6;
        buffer.consume_front(6);
        CHECK(buffer.data() == w);
        CHECK(text_of(buffer) == "world");
    }

    TEST_CASE("wins the room at the front back when it is empty") {
        byte_buffer buffer{64};
        const std::size_t capacity = buffer.capacity();
        for (int i = 0; i != 1000; ++i) {
            append_text(buffer, "0123456789");
            buffer.consume_front(10);
        }
        CHECK(buffer.capacity() == capacity);
    }

    TEST_CASE("wins the room at the front back when it is never empty") {
        byte_buffer buffer;
        std::string expected;
        for (int i = 0; i != 20000; ++i) {
            const std::string piece = std::to_string(i) + ' ';
            append_text(buffer, piece);
            expected += piece;
            if (expected.size() > 100) {
                buffer.consume_front(50);
                expected.erase(0, 50);
            }
        }
        CHECK(text_of(buffer) == expected);
        CHECK(buffer.capacity() <= 1024);
    }

    TEST_CASE("truncates what was appended last") {
        byte_buffer buffer;
        append_text(buffer, "keep, drop");
        buffer.consume_front(1);
        buffer.truncate(3);
        CHECK(text_of(buffer) == "eep");
    }

    TEST_CASE("keeps its storage when it is cleared") {
        byte_buffer buffer;
        append_text(buffer, "some text");
        const std::size_t capacity = buffer.capacity();
        buffer.clear();
        CHECK(buffer.empty());
        CHECK(buffer.capacity() == capacity);
    }

    TEST_CASE("gives its storage back only when empty and above the limit") {
        byte_buffer buffer{100'000};
        append_text(buffer, "x");
        buffer.shrink(10);
        CHECK(buffer.capacity() >= 100'000);
        buffer.clear();
        buffer.shrink(1'000'000);
        CHECK(buffer.capacity() >= 100'000);
        buffer.shrink(10);
        CHECK(buffer.capacity() == 0);
        append_text(buffer, "again");
        CHECK(text_of(buffer) == "again");
    }

    TEST_CASE("leaves an empty, usable buffer behind when it is moved") {
        byte_buffer from;
        append_text(from, "moved");
        byte_buffer to{std::move(from)};
        CHECK(text_of(to) == "moved");
        append_text(from, "new"); // NOLINT: a moved-from buffer is empty by contract
        CHECK(text_of(from) == "new");
        from = std::move(to);
        CHECK(text_of(from) == "moved");
        CHECK(to.empty()); // NOLINT
    }

#if !CLUSTER_TEST_SANITIZED // a sanitizer's operator new ends the program instead of throwing
    TEST_CASE("refuses impossible sizes and stays as it was") {
        byte_buffer buffer;
        append_text(buffer, "text");
        CHECK_THROWS_AS(static_cast<void>(buffer.extend(SIZE_MAX)), std::bad_alloc);
        CHECK_THROWS_AS(static_cast<void>(buffer.extend(SIZE_MAX - 2)), std::bad_alloc);
        CHECK(text_of(buffer) == "text");
    }
#endif
}
