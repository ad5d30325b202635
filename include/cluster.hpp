// SPDX-License-Identifier: MIT
#ifndef CLUSTER_HPP
#define CLUSTER_HPP

// IWYU pragma: begin_exports
#include "cluster/available_parallelism.hpp"
#include "cluster/backend/process.hpp"
#include "cluster/basic_cluster.hpp"
#include "cluster/compose.hpp"
#include "cluster/error.hpp"
#include "cluster/event.hpp"
#include "cluster/event_loop.hpp"
#include "cluster/exit_status.hpp"
#include "cluster/fork_options.hpp"
#include "cluster/fwd.hpp"
#include "cluster/literals.hpp"
#include "cluster/messaging.hpp"
#include "cluster/net/address.hpp"
#include "cluster/net/connection.hpp"
#include "cluster/net/handle.hpp"
#include "cluster/net/listener.hpp"
#include "cluster/net/server.hpp"
#include "cluster/net/stream.hpp"
#include "cluster/primary.hpp"
#include "cluster/restart/always.hpp"
#include "cluster/restart/never.hpp"
#include "cluster/result.hpp"
#include "cluster/scheduling/reuse_port.hpp"
#include "cluster/scheduling/round_robin.hpp"
#include "cluster/scheduling/shared_socket.hpp"
#include "cluster/self.hpp"
#include "cluster/serialization/binary.hpp"
#include "cluster/serialization/raw.hpp"
#include "cluster/subscription.hpp"
#include "cluster/unique_fd.hpp"
#include "cluster/version.hpp"
#include "cluster/worker.hpp"
// IWYU pragma: end_exports

#endif // CLUSTER_HPP
