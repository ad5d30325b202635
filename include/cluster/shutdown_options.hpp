// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SHUTDOWN_OPTIONS_HPP
#define CLUSTER_SHUTDOWN_OPTIONS_HPP

#include "detail/chrono.hpp"

namespace cluster {
inline namespace v0 {

/// How primary.shutdown() ends the workers.
struct shutdown_options {
    /// How long they may finish what they have begun; then they get SIGTERM.
    std::chrono::nanoseconds deadline = std::chrono::seconds{30};
    /// How long after SIGTERM they get SIGKILL.
    std::chrono::nanoseconds kill_after = std::chrono::seconds{1};
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SHUTDOWN_OPTIONS_HPP
