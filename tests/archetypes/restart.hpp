// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_ARCHETYPES_RESTART_HPP
#define CLUSTER_TESTS_ARCHETYPES_RESTART_HPP

#include <cluster/restart/concept.hpp>

namespace archetypes {

/// The least a restart policy may be: neither copied nor moved, one function.
struct restart {
    restart() = default;
    restart(restart&&) = delete;
    restart& operator=(restart&&) = delete;

    cluster::restart_decision decide(const cluster::exit_report&) { return cluster::leave_dead; }

    void operator&() const = delete; // nobody may take its address
    template <typename T>
    void operator,(T&&) const = delete;
};

} // namespace archetypes

#endif // CLUSTER_TESTS_ARCHETYPES_RESTART_HPP
