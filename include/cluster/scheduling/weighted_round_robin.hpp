// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_WEIGHTED_ROUND_ROBIN_HPP
#define CLUSTER_SCHEDULING_WEIGHTED_ROUND_ROBIN_HPP

#include "concept.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: the primary accepts and the workers get connections in turn, each as
/// often as its fork_options::weight says, and spread over the round: with 5, 1 and 1 the turns are
/// a a b a c a a. The smooth weighted round robin of nginx. A worker of weight 0 gets nothing while
/// another one can; workers of weight 0 alone take turns.
class weighted_round_robin {
public:
    static constexpr std::string_view name = "weighted_round_robin";
    static constexpr auto accepts_in = accept_site::primary;
    static constexpr bool needs_address = false;

    template <typename Candidates>
    std::size_t pick(const Candidates& ready, const connection_info&) {
        follow(ready);
        std::int64_t total = 0;
        for (std::size_t i = 0; i != ready.size(); ++i) {
            total += ready[i].weight();
        }
        std::int64_t spare = total == 0 ? 1 : 0; // of each, when nobody has any
        total = total == 0 ? static_cast<std::int64_t>(ready.size()) : total;
        std::size_t chosen = ready.size();
        for (std::size_t i = 0; i != ready.size(); ++i) {
            std::int64_t weight = ready[i].weight() + spare;
            credits_[i].value += weight;
            if (weight != 0 &&
                (chosen == ready.size() || credits_[i].value > credits_[chosen].value)) {
                chosen = i;
            }
        }
        credits_[chosen].value -= total;
        return chosen;
    }

private:
    struct credit {
        std::uint32_t id;
        std::int64_t value;
    };

    // One credit for each candidate, in their order, which seldom changes. Who comes has none.
    template <typename Candidates>
    void follow(const Candidates& ready) {
        for (std::size_t i = 0; i != ready.size(); ++i) {
            auto id = ready[i].id();
            std::size_t at = i;
            while (at < credits_.size() && credits_[at].id != id) {
                ++at;
            }
            if (at >= credits_.size()) {
                credits_.insert(credits_.begin() + static_cast<std::ptrdiff_t>(i), {id, 0});
            } else if (at != i) {
                auto moved = credits_[at];
                credits_[at] = credits_[i];
                credits_[i] = moved;
            }
        }
        credits_.resize(ready.size());
    }

    std::vector<credit> credits_;
};

static_assert(scheduling_policy<weighted_round_robin>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_WEIGHTED_ROUND_ROBIN_HPP
