// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CAPABILITIES_HPP
#define CLUSTER_CAPABILITIES_HPP

#include "detail/os.hpp"
#include "detail/ring_page.hpp"

#include <system_error>

namespace cluster {
inline namespace v0 {

/// What this process may ask of this system.
struct system_capabilities {
    /// Whether the kernel models of scheduling choose in the kernel; else why not: EPERM without
    /// CAP_BPF and CAP_NET_ADMIN, EINVAL from a kernel that is too old (5.14). What they do then is
    /// in listener_stats::steering.
    std::error_code kernel_steering{};
    /// Whether exits are watched by pidfd (Linux 5.3); else by asking now and then.
    std::error_code pidfd{};
    /// Whether transport::shared_memory gets its memory; else why not, and the socket carries
    /// everything.
    std::error_code shared_memory{};
    /// The longest queue of connections that a listening socket may have; 0 when the system does
    /// not tell.
    int most_backlog = 0;
};

/// Finds out by trying. Makes a few system calls, does not block; from any thread.
[[nodiscard]] inline system_capabilities capabilities() {
    return {detail::os::steering{}.open(detail::os::steer_by::turns),
            detail::os::try_pidfd(),
            detail::try_rings(),
            detail::os::most_backlog()};
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CAPABILITIES_HPP
