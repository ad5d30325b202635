// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_LEAST_CONNECTIONS_HPP
#define CLUSTER_SCHEDULING_LEAST_CONNECTIONS_HPP

#include "concept.hpp"
#include "detail/turn.hpp"

#include <cstddef>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: the primary accepts and the worker with the fewest connections gets the
/// next one; of equals, the next in turn. Exact, because the primary counts what it hands over. For
/// connections that live long and differ much, such as web sockets. Looks at every worker for every
/// connection: with hundreds of workers, see `power_of_two`.
class least_connections {
public:
    static constexpr std::string_view name = "least_connections";
    static constexpr auto accepts_in = accept_site::primary;
    static constexpr bool needs_address = false;

    template <typename Candidates>
    std::size_t pick(const Candidates& ready, const connection_info&) noexcept {
        std::size_t chosen = 0;
        std::size_t fewest = ready[0].connections();
        for (std::size_t i = 1; i != ready.size(); ++i) {
            std::size_t has = ready[i].connections();
            bool sooner = turn_.is_before(ready[i].slot(), ready[chosen].slot());
            if (has < fewest || (has == fewest && sooner)) {
                chosen = i;
                fewest = has;
            }
        }
        turn_.take(ready[chosen].slot());
        return chosen;
    }

private:
    detail::turn turn_;
};

static_assert(scheduling_policy<least_connections>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_LEAST_CONNECTIONS_HPP
