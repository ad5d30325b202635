// SPDX-License-Identifier: MIT
// The main() of test programs whose workers are the same program; see cluster_test.hpp.
#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS // workers are killed on purpose, and its handlers allocate
#include <doctest/doctest.h>

#include "program.hpp"

#include <cstring>

int main(int argc, char** argv) {
    cluster_test::program::argc = argc;
    cluster_test::program::argv = argv;
    doctest::Context context;
    if (argc > 2 && std::strcmp(argv[1], "--worker-case") == 0) {
        context.setOption("test-case", argv[2]);
        context.setOption("minimal", true);
        context.run();
        return 90; // an expectation of the worker was wrong, or the case ended without run_case()
    }
    context.applyCommandLine(argc, argv);
    return context.run();
}
