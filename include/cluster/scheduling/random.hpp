// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_RANDOM_HPP
#define CLUSTER_SCHEDULING_RANDOM_HPP

#include "../detail/random_source.hpp"
#include "concept.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: the primary accepts and any worker gets the connection, each as likely as
/// the others. Even only on average; for when clients must not know who is next.
class random {
public:
    static constexpr std::string_view name = "random";
    static constexpr auto accepts_in = accept_site::primary;
    static constexpr bool needs_address = false;

    random() noexcept = default;
    /// The same choices for the same seed.
    explicit random(std::uint64_t seed) noexcept : random_{seed} {}

    template <typename Candidates>
    std::size_t pick(const Candidates& ready, const connection_info&) noexcept {
        return static_cast<std::size_t>(random_.below(ready.size()));
    }

private:
    detail::random_source random_;
};

static_assert(scheduling_policy<random>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_RANDOM_HPP
