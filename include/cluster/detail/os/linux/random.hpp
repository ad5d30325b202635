// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_RANDOM_HPP
#define CLUSTER_DETAIL_OS_LINUX_RANDOM_HPP

#include "../../chrono.hpp"

#include <cstdint>

#include <sys/random.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// A number that differs from start to start and from machine to machine. Does not block: soon
/// after the machine has started, the clock has to do.
inline std::uint64_t random_seed() noexcept {
    std::uint64_t seed = 0;
    if (::getrandom(&seed, sizeof seed, GRND_NONBLOCK) != static_cast<ssize_t>(sizeof seed)) {
        auto since_1970 = std::chrono::system_clock::now().time_since_epoch().count();
        auto since_boot = std::chrono::steady_clock::now().time_since_epoch().count();
        seed = static_cast<std::uint64_t>(since_1970) * 0x9e3779b97f4a7c15U ^
               static_cast<std::uint64_t>(since_boot);
    }
    return seed;
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_RANDOM_HPP
