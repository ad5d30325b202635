// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_ON_FAILURE_HPP
#define CLUSTER_RESTART_ON_FAILURE_HPP

#include "always.hpp"
#include "concept.hpp"

namespace cluster {
inline namespace v0 {
namespace restart {

/// A `restart_strategy` that replaces a worker after an abnormal end, as `always` does, and leaves
/// it dead after exit code 0. Abnormal is a signal, another code, a program that cannot be started
/// or is not ready when it ends, and an end of which nothing is known.
struct on_failure {
    restart_decision decide(const exit_report& report) noexcept {
        return report.status.success() ? leave_dead : always{}.decide(report);
    }
};

static_assert(restart_strategy<on_failure>);

} // namespace restart
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_ON_FAILURE_HPP
