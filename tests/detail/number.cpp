// SPDX-License-Identifier: MIT
#include <cluster/detail/number.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

namespace number_test {

using cluster::detail::read_number;
using cluster::detail::write_number;

/// What std::from_chars makes of all of `text`.
template <typename T>
bool read_by_standard(std::string_view text, T& value) {
    T read{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
    const bool all = error == std::errc{} && end == text.data() + text.size();
    value = all ? read : value;
    return all;
}

template <typename T>
std::string written(T value) {
    char text[20];
    return {text, write_number(text, value)};
}

/// Reads numbers around the limits of `T`, and of what is ten times as long.
template <typename T>
void check_reading() {
    constexpr std::string_view texts[] = {"",
                                          "-",
                                          "+1",
                                          "-0",
                                          "0",
                                          "00",
                                          "007",
                                          " 1",
                                          "1 ",
                                          "1a",
                                          "a",
                                          "--1",
                                          "-1",
                                          "12",
                                          "127",
                                          "128",
                                          "129",
                                          "-128",
                                          "-129",
                                          "255",
                                          "256",
                                          "260",
                                          "32767",
                                          "32768",
                                          "-32768",
                                          "-32769",
                                          "65535",
                                          "65536",
                                          "99999",
                                          "655350",
                                          "1:",
                                          "1/",
                                          "\x80",
                                          "1\xff",
                                          "2147483647",
                                          "2147483648",
                                          "-2147483648",
                                          "-2147483649",
                                          "4294967295",
                                          "4294967296",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "-9223372036854775808",
                                          "-9223372036854775809",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "18446744073709551625",
                                          "99999999999999999999",
                                          "184467440737095516150"};
    for (const auto text : texts) {
        CAPTURE(text);
        T ours{42};
        T theirs{42};
        CHECK(read_number(text, ours) == read_by_standard(text, theirs));
        CHECK(ours == theirs);
    }
}

template <typename T>
void check_writing() {
    using limits = std::numeric_limits<T>;
    for (const T value : {limits::min(), limits::max(), T{0}, T{9}, T{10}, T{99}, T{100}}) {
        CHECK(written(value) == std::to_string(value));
        T again{};
        CHECK(read_number(written(value), again));
        CHECK(again == value);
    }
}

static_assert([] {
    int value = 0;
    char text[20];
    return read_number("-17", value) && value == -17 && write_number(text, value) == text + 3;
}());

TEST_SUITE("number") {
    TEST_CASE_TEMPLATE("it reads what std::from_chars reads to the end",
                       T,
                       std::int8_t,
                       std::uint8_t,
                       std::int16_t,
                       std::uint16_t,
                       std::int32_t,
                       std::uint32_t,
                       std::int64_t,
                       std::uint64_t) {
        check_reading<T>();
    }
    TEST_CASE_TEMPLATE("it writes what std::to_string writes",
                       T,
                       std::int8_t,
                       std::uint8_t,
                       std::int16_t,
                       std::uint16_t,
                       std::int32_t,
                       std::uint32_t,
                       std::int64_t,
                       std::uint64_t) {
        check_writing<T>();
    }
}

} // namespace number_test
