// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RELOAD_HPP
#define CLUSTER_RELOAD_HPP

#include "detail/chrono.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace cluster {
inline namespace v0 {

/// How primary.reload() replaces the workers.
struct reload_options {
    /// How long a new worker may take until it is ready.
    std::chrono::nanoseconds ready_timeout = std::chrono::seconds{60};
    /// How long an old worker may finish what it has begun; then it gets SIGTERM, a second later
    /// SIGKILL.
    std::chrono::nanoseconds drain_deadline = std::chrono::seconds{30};
    /// How many new workers start at a time, beside the old ones.
    unsigned max_surge = 1;
    /// How many old workers may drain before their successors are ready: for machines on which
    /// there is no room for more.
    unsigned max_unavailable = 0;
    /// How many generations may be alive, with the new one (2 at least). While more would be, the
    /// reload waits until the workers of an older one have drained, or their deadline has come.
    unsigned max_generations = 3;
};

/// How a reload ended.
class reload_report {
public:
    reload_report() = default;
    reload_report(std::uint32_t generation, std::size_t replaced, std::string reason)
        : reason_{std::move(reason)}, replaced_{replaced}, generation_{generation} {}

    /// Every worker was replaced.
    [[nodiscard]] bool ok() const noexcept { return reason_.empty(); }
    [[nodiscard]] explicit operator bool() const noexcept { return ok(); }
    /// Why not, for people: what the new worker did, and the last lines of its standard error.
    /// Several lines; control characters are escaped. Empty when ok().
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
    /// How many workers have given their place to a new one. After a failure the others serve on.
    [[nodiscard]] std::size_t replaced() const noexcept { return replaced_; }
    /// The number of the new workers.
    [[nodiscard]] std::uint32_t generation() const noexcept { return generation_; }

private:
    std::string reason_;
    std::size_t replaced_ = 0;
    std::uint32_t generation_ = 0;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_RELOAD_HPP
