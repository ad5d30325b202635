// SPDX-License-Identifier: MIT
#ifndef CLUSTER_AVAILABLE_PARALLELISM_HPP
#define CLUSTER_AVAILABLE_PARALLELISM_HPP

#include "detail/os.hpp"

namespace cluster {
inline namespace v0 {

/// How many workers can run at the same time: the CPUs that this process may use, and no more than
/// its control group's quota pays for. At least 1. Reads files; not for hot paths.
[[nodiscard]] inline unsigned available_parallelism() noexcept {
    return detail::os::available_parallelism();
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_AVAILABLE_PARALLELISM_HPP
