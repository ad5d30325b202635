// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_DETAIL_RENDEZVOUS_HPP
#define CLUSTER_SCHEDULING_DETAIL_RENDEZVOUS_HPP

/// \file
/// Which place a client belongs to: a rendezvous hash. Every place has a score for the client and
/// the highest wins, so that a place that goes takes only its own clients along.
///
/// All of it is 32-bit and without tables, so that a program in the kernel (eBPF
/// or classic BPF) can compute the same:
///
///     client_hash:  h = 0x9e3779b9; for each big-endian word of the address (one, or four):
///                   h = (h ^ word) * 0x85ebca6b; h ^= h >> 13
///     score:        fmix32(h ^ (slot * 0x9e3779b1 + 0x7f4a7c15))      fmix32 is MurmurHash3's
///     the place:    the one with the highest score, of equals the lower

#include "../../detail/client_score.hpp"
#include "../../net/address.hpp"
#include "../concept.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The 4 or 16 bytes of an IP address; those of IPv4 for an IPv4-mapped one; none for others.
[[nodiscard]] constexpr std::span<const std::uint8_t> ip_bytes(const address& of) noexcept {
    auto bytes = of.bytes();
    if (of.family() == address_family::ipv4) {
        return bytes;
    }
    if (of.family() != address_family::ipv6) {
        return {};
    }
    bool mapped = bytes[10] == 0xff && bytes[11] == 0xff;
    for (std::size_t i = 0; i != 10; ++i) {
        mapped = mapped && bytes[i] == 0;
    }
    return mapped ? bytes.subspan(12) : bytes;
}

/// \pre the size is a multiple of 4
[[nodiscard]] constexpr std::uint32_t client_hash(std::span<const std::uint8_t> ip) noexcept {
    std::uint32_t hash = client_seed;
    for (std::size_t i = 0; i != ip.size(); i += 4) {
        std::uint32_t word = std::uint32_t{ip[i]} << 24U | std::uint32_t{ip[i + 1]} << 16U |
                             std::uint32_t{ip[i + 2]} << 8U | std::uint32_t{ip[i + 3]};
        hash = (hash ^ word) * mix_factor_1;
        hash ^= hash >> 13U;
    }
    return hash;
}
[[nodiscard]] constexpr std::uint32_t client_hash(const address& of) noexcept {
    return client_hash(ip_bytes(of));
}

[[nodiscard]] constexpr std::uint32_t rendezvous_score(std::uint32_t hash,
                                                       std::uint32_t slot) noexcept {
    hash ^= slot * place_factor + place_offset;
    hash = (hash ^ hash >> 16U) * mix_factor_1;
    hash = (hash ^ hash >> 13U) * mix_factor_2;
    return hash ^ hash >> 16U;
}

/// The index of the client's worker. Where two are in one place, because one replaces the other, it
/// is the newer one. \pre there is one
template <typename Candidates>
[[nodiscard]] std::size_t rendezvous(const Candidates& ready, std::uint32_t hash) noexcept {
    std::size_t best = 0;
    std::uint32_t highest = rendezvous_score(hash, ready[0].slot());
    for (std::size_t i = 1; i != ready.size(); ++i) {
        auto score = rendezvous_score(hash, ready[i].slot());
        bool same_place = ready[i].slot() == ready[best].slot();
        if (same_place
                ? ready[i].id() > ready[best].id()
                : score > highest || (score == highest && ready[i].slot() < ready[best].slot())) {
            best = i;
            highest = score;
        }
    }
    return best;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_DETAIL_RENDEZVOUS_HPP
