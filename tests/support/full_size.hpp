// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_FULL_SIZE_HPP
#define CLUSTER_TESTS_SUPPORT_FULL_SIZE_HPP

#include <cstdlib>
#include <string_view>

namespace cluster_test {

/// Whether the tests of faults shall take the numbers of the fault matrix, however long that lasts:
/// CLUSTER_TEST_FULL=1. The same in a test's workers, which inherit it.
inline bool full_size() {
    const char* wanted = std::getenv("CLUSTER_TEST_FULL");
    return wanted != nullptr && std::string_view{wanted} == "1";
}

/// The number for every day, or that of the fault matrix.
template <typename T>
T sized(T normal, T full) {
    return full_size() ? full : normal;
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_FULL_SIZE_HPP
