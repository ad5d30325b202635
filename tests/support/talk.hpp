// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_TALK_HPP
#define CLUSTER_TESTS_SUPPORT_TALK_HPP

#include <cluster/child/spawn_options.hpp>

#include <string>
#include <utility>
#include <vector>

namespace cluster_test {

/// The fixture that talks to its parent, see fixtures/spawned.cpp.
inline cluster::spawn_options talk(std::vector<std::string> arguments) {
    return {.file = FIXTURE_SPAWNED, .arguments = std::move(arguments)};
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_TALK_HPP
