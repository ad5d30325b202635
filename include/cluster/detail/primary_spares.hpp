// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PRIMARY_SPARES_HPP
#define CLUSTER_DETAIL_PRIMARY_SPARES_HPP

// The part of primary_core that keeps processes ahead of need.

#include "chrono.hpp"
#include "primary_core.hpp"

#include <system_error>

namespace cluster {
inline namespace v0 {
namespace detail {

// None for a cluster that is about to end, nor while it has something better to do: a spare that is
// missing may wait, a worker may not. A reload would let go of those that start now.
inline void primary_core::look_after_spares() {
    bool lasts = !shutting_down() && (paused_ || expects_workers());
    if (supervision_.spares == 0 && spares_.empty()) {
        return;
    }
    spare_pool::demand wanted;
    if (lasts && policies_.own_processes() && may_start_early(settings_)) {
        wanted.count = supervision_.spares;
        wanted.may_start = booting() == 0 && restarts_.size() == 0 && !reload_.is_running() &&
                           policies_.can_launch_spares();
        wanted.options = settings_;
        wanted.generation = generation_;
        wanted.boot_limit = boot_limit();
        if (supervision_.process_titles) {
            wanted.title = arguments_.front() + ": spare";
        }
    }
    spares_.keep(wanted);
}

inline void primary_core::renew_spares() {
    spares_.keep({});
    spares_soon();
}

inline launched_worker primary_core::launch_spare(const fork_options& options,
                                                  const program_generation& generation,
                                                  int cord,
                                                  std::error_code& error) {
    return policies_.launch(
        {options, arguments_, generation.program.get(), cord, cluster_, nullptr, {}}, error);
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_PRIMARY_SPARES_HPP
