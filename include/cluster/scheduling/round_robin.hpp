// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_ROUND_ROBIN_HPP
#define CLUSTER_SCHEDULING_ROUND_ROBIN_HPP

#include "concept.hpp"
#include "detail/turn.hpp"

#include <cstddef>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: the primary accepts and the workers get connections in turn. The default,
/// as in Node.js. A worker that is behind with taking its connections is left out until it has
/// caught up. Costs more CPU per connection than accepting in the workers, and nothing per request.
class round_robin {
public:
    static constexpr std::string_view name = "round_robin";
    static constexpr auto accepts_in = accept_site::primary;
    static constexpr bool needs_address = false;

    /// The first place behind the one that was served last, so that the order does not depend on
    /// who comes and goes.
    template <typename Candidates>
    std::size_t pick(const Candidates& ready, const connection_info&) noexcept {
        std::size_t chosen = 0;
        for (std::size_t i = 0; i != ready.size(); ++i) {
            std::size_t at =
                (last_index_ + 1 + i) % ready.size(); // usually the first one looked at
            if (turn_.is_before(ready[at].slot(), ready[chosen].slot())) {
                chosen = at;
            }
            if (turn_.is_next(ready[at].slot())) {
                break;
            }
        }
        turn_.take(ready[chosen].slot());
        last_index_ = chosen;
        return chosen;
    }

private:
    detail::turn turn_;
    std::size_t last_index_ = static_cast<std::size_t>(-1);
};

static_assert(scheduling_policy<round_robin>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_ROUND_ROBIN_HPP
