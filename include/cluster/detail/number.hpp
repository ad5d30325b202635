// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_NUMBER_HPP
#define CLUSTER_DETAIL_NUMBER_HPP

/// \file
/// Decimal integers, all that the library would want of `<charconv>`.

#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Reads `text`, all of it: digits, after a minus if `T` has negative numbers; no blanks, no plus.
/// \returns false, and leaves `value` alone, when it is something else or out of range
template <std::integral T>
[[nodiscard]] constexpr bool read_number(std::string_view text, T& value) noexcept {
    const bool negative = std::is_signed_v<T> && text.starts_with('-');
    text.remove_prefix(negative ? 1 : 0);
    const std::uint64_t most =
        static_cast<std::uint64_t>(std::numeric_limits<T>::max()) + (negative ? 1 : 0);
    std::uint64_t read = 0;
    for (const char c : text) {
        const auto digit = static_cast<unsigned char>(c - '0');
        if (digit > 9 || read > most / 10 || read * 10 > most - digit) {
            return false;
        }
        read = read * 10 + digit;
    }
    if (text.empty()) {
        return false;
    }
    value = static_cast<T>(negative ? 0 - read : read);
    return true;
}

/// Writes `value` to `at`, where there is room for 20 characters. \returns past it
template <std::integral T>
constexpr char* write_number(char* at, T value) noexcept {
    auto left = static_cast<std::uint64_t>(value);
    if (value < 0) {
        *at++ = '-';
        left = 0 - left;
    }
    char* end = at + 1;
    for (auto rest = left / 10; rest != 0; rest /= 10) {
        ++end;
    }
    for (char* place = end; place != at; left /= 10) {
        *--place = static_cast<char>('0' + left % 10);
    }
    return end;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_NUMBER_HPP
