// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_DETAIL_TURN_HPP
#define CLUSTER_SCHEDULING_DETAIL_TURN_HPP

#include <cstdint>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Places in turn, whoever comes and goes: the first one behind the one that was served last.
class turn {
public:
    /// Which of two places comes first on the way round from the last one.
    [[nodiscard]] bool is_before(std::uint32_t one, std::uint32_t other) const noexcept {
        return one - last_ - 1 < other - last_ - 1; // modulo 2^32: behind the last one first
    }
    /// Whether no place can be before this one.
    [[nodiscard]] bool is_next(std::uint32_t slot) const noexcept { return slot == last_ + 1; }
    void take(std::uint32_t slot) noexcept { last_ = slot; }

private:
    std::uint32_t last_ = static_cast<std::uint32_t>(-1);
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_DETAIL_TURN_HPP
