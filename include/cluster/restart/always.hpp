// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_ALWAYS_HPP
#define CLUSTER_RESTART_ALWAYS_HPP

#include "../detail/chrono.hpp"
#include "concept.hpp"

namespace cluster {
inline namespace v0 {
namespace restart {

/// A `restart_strategy` that replaces every worker that nobody sent away, at once. One that dies
/// before its program has come as far as its role is replaced after a pause, so that a program that
/// cannot start does not keep a CPU busy.
struct always {
    /// Before the replacement of one that never came as far as its role.
    static constexpr std::chrono::milliseconds boot_failure_pause{100};

    restart_decision decide(const exit_report& report) noexcept {
        return report.was_online ? restart_now : restart_after(boot_failure_pause);
    }
};

static_assert(restart_strategy<always>);

} // namespace restart
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_ALWAYS_HPP
