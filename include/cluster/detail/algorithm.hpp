// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ALGORITHM_HPP
#define CLUSTER_DETAIL_ALGORITHM_HPP

/// \file
/// The few algorithms that the library uses: `<algorithm>` would be an eighth of what the umbrella
/// header costs. By value, for numbers and durations; the others over a whole range.

#include <cstddef>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename T>
[[nodiscard]] constexpr T min(T one, std::type_identity_t<T> other) noexcept {
    return other < one ? other : one;
}
template <typename T>
[[nodiscard]] constexpr T max(T one, std::type_identity_t<T> other) noexcept {
    return one < other ? other : one;
}
template <typename T>
[[nodiscard]] constexpr T
clamp(T value, std::type_identity_t<T> least, std::type_identity_t<T> most) noexcept {
    return value < least ? least : most < value ? most : value;
}

/// \returns a pointer to the first that fits, null when none does
template <typename Range, typename Predicate>
[[nodiscard]] constexpr auto* find_if(Range& range, Predicate predicate) {
    for (auto& each : range) {
        if (predicate(each)) {
            return &each;
        }
    }
    return static_cast<decltype(&*range.begin())>(nullptr);
}
template <typename Range, typename Predicate>
[[nodiscard]] constexpr bool any_of(const Range& range, Predicate predicate) {
    return find_if(range, predicate) != nullptr;
}
template <typename Range, typename Predicate>
[[nodiscard]] constexpr std::size_t count_if(const Range& range, Predicate predicate) {
    std::size_t count = 0;
    for (const auto& each : range) {
        count += predicate(each) ? 1U : 0U;
    }
    return count;
}
/// Of a vector. Unlike std::erase_if it is small when it is instantiated. \returns how many have gone
template <typename Vector, typename Predicate>
std::size_t erase_if(Vector& from, Predicate predicate) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i != from.size(); ++i) {
        if (!predicate(from[i])) {
            if (kept != i) {
                from[kept] = std::move(from[i]);
            }
            ++kept;
        }
    }
    const std::size_t gone = from.size() - kept;
    while (from.size() != kept) {
        from.pop_back();
    }
    return gone;
}
template <typename Vector, typename T>
std::size_t erase(Vector& from, const T& value) {
    return detail::erase_if(from, [&value](const auto& each) { return each == value; });
}
template <typename Range, typename T>
[[nodiscard]] constexpr bool contains(const Range& range, const T& value) {
    return any_of(range, [&value](const auto& each) { return each == value; });
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_ALGORITHM_HPP
