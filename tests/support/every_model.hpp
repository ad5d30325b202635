// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_EVERY_MODEL_HPP
#define CLUSTER_TESTS_SUPPORT_EVERY_MODEL_HPP

/// \file
/// Cases that hold whatever the scheduling policy is. The policy is chosen while the program runs,
/// so that the library is compiled once for all of them.

#include "every_backend.hpp"

#include <cluster.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace cluster_test {

/// Models of each kind: handed over by the primary in turn, by load and by address, one socket for
/// all, a socket for each, and the choice in the kernel, which where it is not allowed becomes the
/// next best (listener_stats::steering).
using any_model = cluster::scheduling::from_environment<cluster::scheduling::round_robin,
                                                        cluster::scheduling::shared_socket,
                                                        cluster::scheduling::reuse_port,
                                                        cluster::scheduling::least_connections,
                                                        cluster::scheduling::power_of_two,
                                                        cluster::scheduling::least_loaded_kernel,
                                                        cluster::scheduling::sticky<>>;

/// Runs `body`, a case of one cluster with any_model, with this model. In a worker process it does
/// not return.
inline void on_model(std::string_view model, void (*body)()) {
    const std::string name{model};
    INFO("scheduling model: ", name);
    ::setenv(any_model::variable, name.c_str(), 1);
    body();
    ::unsetenv(any_model::variable);
}

/// With each of them, one after the other.
inline void on_every_model(void (*body)()) {
    for (auto model : any_model::names) {
        on_model(model, body);
    }
}

} // namespace cluster_test

/// A CLUSTER_CASE whose body runs one cluster with any_model, by run_on<Backend, any_model>(); it
/// runs once for each model.
#define EVERY_MODEL_CASE(name) EVERY_MODEL_CASE_ON(processes_and_threads, name)
#define EVERY_MODEL_CASE_ON(which, name) CLUSTER_CASES(which, on_every_model, name)

#endif // CLUSTER_TESTS_SUPPORT_EVERY_MODEL_HPP
