// SPDX-License-Identifier: MIT
// Small questions about the text of a head. Part of http1.hpp, not of the library.
#ifndef EXAMPLES_HTTP1_SYNTAX_HPP
#define EXAMPLES_HTTP1_SYNTAX_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace examples {
namespace detail {

[[nodiscard]] constexpr char to_lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

[[nodiscard]] constexpr bool same_ignoring_case(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) {
        return false;
    }
    for (std::size_t i = 0; i != a.size(); ++i) {
        if (to_lower(a[i]) != to_lower(b[i])) {
            return false;
        }
    }
    return true;
}

[[nodiscard]] constexpr std::string_view trim(std::string_view text) noexcept {
    auto blank = [](char c) { return c == ' ' || c == '\t'; };
    while (!text.empty() && blank(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && blank(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

enum : std::uint8_t { token_char = 1, target_char = 2, value_char = 4, host_char = 8 };

// RFC 9110, 5.5 and 5.6.2. Bytes above 127 are let through in targets, as browsers may send them.
inline constexpr auto char_classes = [] {
    std::array<std::uint8_t, 256> table{};
    for (std::size_t c = 0x21; c != 0x100; ++c) {
        table[c] = c == 0x7f ? 0 : target_char | value_char | host_char;
    }
    for (char c : {',', '/', '?', '#', '@', '\\'}) {
        table[static_cast<unsigned char>(c)] &= static_cast<std::uint8_t>(~host_char);
    }
    table[' '] = table['\t'] = value_char;
    constexpr std::string_view letters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (char c : letters) {
        table[static_cast<unsigned char>(c)] |= token_char;
    }
    return table;
}();

// How many bytes at the front of `text` are of the class.
[[nodiscard]] constexpr std::size_t count_of(std::string_view text, std::uint8_t kind) noexcept {
    std::size_t i = 0;
    while (i != text.size() && (char_classes[static_cast<unsigned char>(text[i])] & kind) != 0) {
        ++i;
    }
    return i;
}

[[nodiscard]] constexpr bool all_of(std::string_view text, std::uint8_t kind) noexcept {
    return count_of(text, kind) == text.size();
}

// The same as all_of(text, value_char), eight bytes at a time.
[[nodiscard]] inline bool is_field_value(std::string_view text) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101U;
    constexpr std::uint64_t tops = ones * 0x80;
    for (; text.size() >= sizeof ones; text.remove_prefix(sizeof ones)) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data(), sizeof word);
        auto control = (word - ones * 0x20) & ~word;
        auto rubout = word ^ ones * 0x7f;
        rubout = (rubout - ones) & ~rubout;
        if (((control | rubout) & tops) != 0 && !all_of(text.substr(0, sizeof word), value_char)) {
            return false; // the quick look also stops at tabs
        }
    }
    return all_of(text, value_char);
}

// Whether a comma-separated list has the token.
[[nodiscard]] constexpr bool list_has(std::string_view list, std::string_view token) noexcept {
    for (;;) {
        auto comma = list.find(',');
        if (same_ignoring_case(trim(list.substr(0, comma)), token)) {
            return true;
        }
        if (comma == list.npos) {
            return false;
        }
        list.remove_prefix(comma + 1);
    }
}

[[nodiscard]] constexpr bool is_known_method(std::string_view method) noexcept {
    for (std::string_view each : {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
        if (method == each) {
            return true;
        }
    }
    return false;
}

} // namespace detail
} // namespace examples

#endif // EXAMPLES_HTTP1_SYNTAX_HPP
