// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_PROGRAM_HPP
#define CLUSTER_TESTS_SUPPORT_PROGRAM_HPP

namespace cluster_test {

/// The program's own arguments, as main() got them.
struct program {
    static inline int argc = 0;
    static inline char** argv = nullptr;
};

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_PROGRAM_HPP
