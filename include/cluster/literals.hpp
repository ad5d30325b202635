// SPDX-License-Identifier: MIT
#ifndef CLUSTER_LITERALS_HPP
#define CLUSTER_LITERALS_HPP

#include "detail/chrono.hpp"

#include <cstdint>

namespace cluster {
inline namespace v0 {

/// A length of time that can be a template argument, which std::chrono::duration cannot. Converts
/// to any duration that holds milliseconds.
struct time_span {
    std::int64_t milliseconds = 0;

    template <typename Rep, typename Period>
    constexpr operator std::chrono::duration<Rep, Period>() const noexcept {
        return std::chrono::milliseconds{milliseconds};
    }
    friend constexpr auto operator<=>(const time_span&, const time_span&) = default;
};

/// `using namespace cluster::literals;` for 100_ms, 10_s, 5_min.
namespace literals {

constexpr time_span operator""_ms(unsigned long long count) noexcept {
    return {static_cast<std::int64_t>(count)};
}
constexpr time_span operator""_s(unsigned long long count) noexcept {
    return {static_cast<std::int64_t>(count) * 1000};
}
constexpr time_span operator""_min(unsigned long long count) noexcept {
    return {static_cast<std::int64_t>(count) * 60'000};
}

} // namespace literals
} // namespace v0
} // namespace cluster

#endif // CLUSTER_LITERALS_HPP
