// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_POWER_OF_TWO_HPP
#define CLUSTER_SCHEDULING_POWER_OF_TWO_HPP

#include "../detail/random_source.hpp"
#include "concept.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: the primary accepts, looks at two workers by chance, and the one with
/// fewer connections gets the next one. Nearly as even as `least_connections` and costs the same
/// for two workers as for a thousand.
class power_of_two {
public:
    static constexpr std::string_view name = "power_of_two";
    static constexpr auto accepts_in = accept_site::primary;
    static constexpr bool needs_address = false;

    power_of_two() noexcept = default;
    /// The same choices for the same seed.
    explicit power_of_two(std::uint64_t seed) noexcept : random_{seed} {}

    template <typename Candidates>
    std::size_t pick(const Candidates& ready, const connection_info&) noexcept {
        std::size_t size = ready.size();
        if (size == 1) {
            return 0;
        }
        auto one = static_cast<std::size_t>(random_.below(size));
        auto other = static_cast<std::size_t>(random_.below(size - 1));
        other += other >= one ? 1 : 0; // two different ones
        return ready[other].connections() < ready[one].connections() ? other : one;
    }

private:
    detail::random_source random_;
};

static_assert(scheduling_policy<power_of_two>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_POWER_OF_TWO_HPP
