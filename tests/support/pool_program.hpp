// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_POOL_PROGRAM_HPP
#define CLUSTER_TESTS_SUPPORT_POOL_PROGRAM_HPP

namespace pool_test {

/// The arguments of this program, for the pools that its tests make; set by pool_main.cpp.
inline int argc = 0;
inline char** argv = nullptr;

} // namespace pool_test

#endif // CLUSTER_TESTS_SUPPORT_POOL_PROGRAM_HPP
