// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SUPERVISION_HPP
#define CLUSTER_SUPERVISION_HPP

#include "detail/chrono.hpp"

#include <optional>

namespace cluster {
inline namespace v0 {

/// What primary.supervise() sets: how a cluster looks after its workers.
struct supervision_options {
    /// A worker whose loop has not turned for this long gets event::stalled and no connections
    /// until it turns again (event::recovered). Zero: nobody looks. Times in which the primary
    /// itself did not run do not count, nor does a worker that a debugger holds.
    std::chrono::nanoseconds stalled_after = std::chrono::seconds{3};
    /// A stalled worker is killed after this long (`exit_reason::unresponsive`), and the restart
    /// policy decides. Zero: never. Default: 10 s, never with restart::never.
    std::optional<std::chrono::nanoseconds> replaced_after{};
    /// A worker is killed (`exit_reason::boot_failed`) when its loop does not run after this long,
    /// or after defer_ready() when it is not ready. Zero: never. Default: 60 s, never with
    /// restart::never. Not for a fork_options::executable that has never called back.
    std::optional<std::chrono::nanoseconds> boot_timeout{};
    /// How many workers may boot at a time while the dead are replaced; 0: a quarter of them.
    unsigned max_booting = 0;
    /// How many workers may be recycled at a time.
    unsigned max_recycling = 1;
    /// How many processes are kept started ahead of need: each waits in main(), in the constructor
    /// of the cluster, until it becomes a worker whose start it saves: a replacement, or one that
    /// fork() or scale() starts with the options of the settings. Nothing for threads. See
    /// .github/docs/supervision.md for who gets one and what becomes of them.
    unsigned spares = 0;
    /// With no worker left, connections wait for the next one instead of being refused,
    bool hold_when_empty = false;
    /// for this long; then they are.
    std::chrono::nanoseconds hold_timeout = std::chrono::seconds{30};
    /// What ps and top show of the primary and its workers says who they are; before the first fork.
    bool process_titles = true;
    /// Reaps processes that were left to this one by others. Default: if it is number 1 of its
    /// container, whose duty that is. A number 1 that starts children by other means and waits for
    /// them says false.
    std::optional<bool> reap_orphans{};
};

/// Who goes when primary.scale() makes the cluster smaller.
enum class victim { newest, oldest, fewest_connections };

/// How primary.scale() makes the cluster smaller.
struct scale_options {
    /// Who goes.
    victim victims = victim::newest;
    /// How long a worker that goes may finish what it has begun; then it gets SIGTERM, a second
    /// later SIGKILL.
    std::chrono::nanoseconds drain_deadline = std::chrono::seconds{30};
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SUPERVISION_HPP
