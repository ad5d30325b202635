// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SHARED_MEMORY_FIXED_STRING_HPP
#define CLUSTER_SHARED_MEMORY_FIXED_STRING_HPP

#include <compare>
#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <string_view>

namespace cluster {
inline namespace v0 {

/// Text of at most `N` bytes that holds them itself, so that it may live in shared memory; as a key
/// of a shared_map, say. NUL bytes at the end are not part of it.
template <std::size_t N>
class fixed_string {
public:
    constexpr fixed_string() noexcept = default;
    /// \throws std::length_error beyond `N` bytes
    template <std::convertible_to<std::string_view> Text>
    constexpr fixed_string(const Text& from) {
        const std::string_view text = from;
        if (text.size() > N) {
            throw std::length_error("fixed_string: the text is too long");
        }
        text.copy(bytes_, N);
    }

    /// The text, without what fills it up.
    [[nodiscard]] constexpr std::string_view view() const noexcept {
        const std::string_view all{bytes_, N};
        return all.substr(0, all.find_last_not_of('\0') + 1);
    }
    constexpr operator std::string_view() const noexcept { return view(); }

    friend constexpr bool operator==(const fixed_string&, const fixed_string&) = default;
    friend constexpr auto operator<=>(const fixed_string&, const fixed_string&) = default;

private:
    char bytes_[N]{}; // and no std::array: libc++ 16 does not compare it by <=>
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SHARED_MEMORY_FIXED_STRING_HPP
