// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_FD_HPP
#define CLUSTER_DETAIL_OS_FD_HPP

/// \file
/// Picks the descriptor primitives of this system; see os.hpp for the rest of the platform layer.

#if defined(__linux__)
#    include "linux/fd.hpp"
#else
#    error                                                                                         \
        "cluster: no platform layer for this system; add include/cluster/detail/os/<system>/ with the files of os/linux and one line in os/fd.hpp and os.hpp."
#endif

#endif // CLUSTER_DETAIL_OS_FD_HPP
