// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_ARCHETYPES_SCHEDULING_HPP
#define CLUSTER_TESTS_ARCHETYPES_SCHEDULING_HPP

#include <cluster/scheduling/concept.hpp>

#include <cstddef>

namespace archetypes {

/// The least a scheduling policy may be that picks: neither copied nor moved, of one template that
/// looks at nothing but `size()` and `operator[]`.
struct scheduling {
    static constexpr auto accepts_in = cluster::accept_site::primary;

    scheduling() = default;
    scheduling(scheduling&&) = delete;
    scheduling& operator=(scheduling&&) = delete;

    template <typename Candidates>
    std::size_t pick(const Candidates& ready, const cluster::connection_info&) {
        return ready[ready.size() - 1].id();
    }

    void operator&() const = delete; // nobody may take its address
    template <typename T>
    void operator,(T&&) const = delete;
};

/// The least one may be that does not pick.
struct scheduling_by_kernel {
    static constexpr auto accepts_in = cluster::accept_site::own_socket;
    scheduling_by_kernel() = default;
    scheduling_by_kernel(scheduling_by_kernel&&) = delete;
};

} // namespace archetypes

#endif // CLUSTER_TESTS_ARCHETYPES_SCHEDULING_HPP
