// SPDX-License-Identifier: MIT
// The single header, then the same headers one by one, in one translation unit.
#include CLUSTER_SINGLE_HEADER_FILE

#include <cluster.hpp>
#include <cluster/version.hpp>
