// SPDX-License-Identifier: MIT
#include <cluster/serialization/raw.hpp> // first and alone: proves the header is self-contained

#include <cluster/byte_buffer.hpp>
#include <cluster/error.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <ostream> // doctest prints error codes
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace raw_test {

using cluster::byte_buffer;
using cluster::errc;
using cluster::serialization::raw;

struct record {
    std::uint32_t id = 0;
    char tag[4] = {};
    double value = 0;
    friend bool operator==(const record&, const record&) = default;
};
enum class colour : int { red, green };

template <typename T>
void check_round_trip(const T& value, std::size_t size) {
    byte_buffer buffer;
    raw::encode(value, buffer);
    CHECK(buffer.size() == size);
    T back{};
    CHECK(raw::decode(buffer.span(), back) == std::error_code{});
    CHECK(static_cast<bool>(back == value));
}

static_assert(cluster::serializer<raw>);
static_assert(cluster::serializes<raw, record>);
static_assert(cluster::serializes<raw, std::string>);
static_assert(cluster::serializes<raw, std::vector<record>>);
static_assert(cluster::encodes<raw, std::string_view> && !cluster::decodes<raw, std::string_view>);
static_assert(cluster::encodes<raw, std::span<const int>>);
static_assert(!cluster::decodes<raw, std::span<int>>);
static_assert(!cluster::serializes<raw, int*>);
static_assert(!cluster::serializes<raw, std::nullptr_t>);
static_assert(!cluster::serializes<raw, std::vector<std::string>>);
static_assert(!cluster::serializes<raw, std::vector<bool>>);
static_assert(!cluster::serializes<raw, std::map<int, int>>);
static_assert(!cluster::serializes<raw, std::unique_ptr<int>>);

} // namespace raw_test

using namespace raw_test;

TEST_SUITE("serialization/raw") {
    TEST_CASE("brings plain memory back") {
        check_round_trip(42, sizeof(int));
        check_round_trip(true, 1);
        check_round_trip(colour::green, sizeof(int));
        check_round_trip(record{7, {'a', 'b', 'c', 'd'}, 0.5}, sizeof(record));
        check_round_trip(std::array<int, 3>{1, 2, 3}, 3 * sizeof(int));
    }

    TEST_CASE("brings strings and vectors back as their elements") {
        check_round_trip(std::string{}, 0);
        check_round_trip(std::string("with\0zero", 9), 9);
        check_round_trip(std::vector<int>{1, 2, 3}, 3 * sizeof(int));
        check_round_trip(std::vector<record>(2), 2 * sizeof(record));
    }

    TEST_CASE("sends what a view looks at") {
        byte_buffer buffer;
        raw::encode(std::string_view{"abc"}, buffer);
        const std::array<char, 2> more{'d', 'e'};
        raw::encode(std::span<const char>{more}, buffer);
        std::string text;
        CHECK_FALSE(raw::decode(buffer.span(), text));
        CHECK(text == "abcde");
    }

    TEST_CASE("looks at a text where it is") {
        cluster::byte_buffer bytes;
        raw::encode(std::string{"text"}, bytes);
        std::string_view text;
        CHECK_FALSE(raw::decode_text(bytes.span(), text));
        CHECK(text == "text");
        CHECK(static_cast<const void*>(text.data()) == bytes.data());
        CHECK_FALSE(raw::decode_text({}, text));
        CHECK(text.empty());
    }
    TEST_CASE("rejects every other size and leaves the value alone") {
        byte_buffer buffer;
        raw::encode(record{7, {}, 1.0}, buffer);
        record value{1, {}, 2.0};
        for (std::size_t size = 0; size != buffer.size(); ++size) {
            CHECK(raw::decode(buffer.span().first(size), value) == errc::bad_payload);
        }
        buffer.append_le(std::uint8_t{});
        CHECK(raw::decode(buffer.span(), value) == errc::trailing_bytes);
        CHECK(static_cast<bool>(value == record{1, {}, 2.0}));

        std::vector<int> numbers{5};
        CHECK(raw::decode(buffer.span().first(7), numbers) == errc::bad_payload);
        CHECK(numbers == std::vector<int>{5});
    }

    TEST_CASE("rejects a bool that is neither true nor false") {
        byte_buffer buffer;
        buffer.append_le(std::uint8_t{2});
        bool value = false;
        CHECK(raw::decode(buffer.span(), value) == errc::bad_payload);
    }
}
