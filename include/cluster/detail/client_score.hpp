// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_CLIENT_SCORE_HPP
#define CLUSTER_DETAIL_CLIENT_SCORE_HPP

#include <cstdint>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The numbers of the hash by which a client belongs to a place, the same in C++
/// (scheduling/detail/rendezvous.hpp, which has the formula) and in the programs of the kernel.
inline constexpr std::uint32_t client_seed = 0x9e3779b9;
inline constexpr std::uint32_t place_factor = 0x9e3779b1;
inline constexpr std::uint32_t place_offset = 0x7f4a7c15;
inline constexpr std::uint32_t mix_factor_1 = 0x85ebca6b; // MurmurHash3's fmix32
inline constexpr std::uint32_t mix_factor_2 = 0xc2b2ae35;

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_CLIENT_SCORE_HPP
