// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_HPP
#define CLUSTER_DETAIL_OS_HPP

/// \file
/// The platform layer: everything that calls the operating system, in `cluster::detail::os`. The
/// headers of os/linux are its contract; another system is another folder and one line here.

#include "os/fd.hpp"

#if defined(__linux__)
#    include "os/linux/activation.hpp"
#    include "os/linux/bpf.hpp"
#    include "os/linux/classic_steering.hpp"
#    include "os/linux/cpu.hpp"
#    include "os/linux/datagram.hpp"
#    include "os/linux/files.hpp"
#    include "os/linux/fork.hpp"
#    include "os/linux/futex.hpp"
#    include "os/linux/memory.hpp"
#    include "os/linux/pipe.hpp"
#    include "os/linux/poller.hpp"
#    include "os/linux/process.hpp"
#    include "os/linux/process_info.hpp"
#    include "os/linux/process_title.hpp"
#    include "os/linux/random.hpp"
#    include "os/linux/resolve.hpp"
#    include "os/linux/sandbox.hpp"
#    include "os/linux/signal_name.hpp"
#    include "os/linux/signals.hpp"
#    include "os/linux/socket.hpp"
#    include "os/linux/steering.hpp"
#endif

#endif // CLUSTER_DETAIL_OS_HPP
