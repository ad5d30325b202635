// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_HPP
#define CLUSTER_POOL_HPP

/// \file
/// Worker pools: tasks in threads or in processes.

// IWYU pragma: begin_exports
#include "pool/basic_pool.hpp"
#include "pool/error.hpp"
#include "pool/future.hpp"
#include "pool/options.hpp"
#include "pool/process_pool.hpp"
#include "pool/stats.hpp"
#include "pool/thread_pool.hpp"
// IWYU pragma: end_exports

#endif // CLUSTER_POOL_HPP
