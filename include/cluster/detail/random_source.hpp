// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_RANDOM_SOURCE_HPP
#define CLUSTER_DETAIL_RANDOM_SOURCE_HPP

#include "os.hpp"

#include <cstdint>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Numbers that nobody needs to be unable to guess: SplitMix64. <random> would cost every program
/// that includes us more to compile than all of our policies.
class random_source {
public:
    random_source() noexcept : state_{os::random_seed()} {}
    /// The same numbers for the same seed.
    explicit random_source(std::uint64_t seed) noexcept : state_{seed} {}

    std::uint64_t next() noexcept {
        state_ += 0x9e3779b97f4a7c15U;
        auto mixed = state_;
        mixed = (mixed ^ mixed >> 30U) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ mixed >> 27U) * 0x94d049bb133111ebU;
        return mixed ^ mixed >> 31U;
    }

    /// From 0 to `end` - 1, each equally likely but for 1 in 2^32. \pre end is 1 to 2^32
    std::uint64_t below(std::uint64_t end) noexcept { return (next() >> 32U) * end >> 32U; }

private:
    std::uint64_t state_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_RANDOM_SOURCE_HPP
