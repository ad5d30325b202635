// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_LIMIT_HPP
#define CLUSTER_RESTART_LIMIT_HPP

#include "../detail/chrono.hpp"
#include "../literals.hpp"
#include "always.hpp"
#include "concept.hpp"
#include "detail/nesting.hpp"

#include <cstddef>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

template <unsigned Count, time_span Period, typename Inner>
constexpr bool check_limit() {
    static_assert(Count != 0,
                  "restart::limit: at most 0 restarts; use restart::never or allow at least one.");
    static_assert(usable_time(Period),
                  "restart::limit: the period must be longer than 0 and no more than 100 years.");
    static_assert(!nests<limits_restarts, Inner>(),
                  "restart::limit: a limit inside a limit; keep the stricter one.");
    return check_restart<Inner>();
}

} // namespace detail

namespace restart {

/// A `restart_strategy` around another one that gives up (event::give_up) when that one wants more
/// than `Count` restarts within any `Period`, counted over all places of the cluster by the time of
/// the deaths. A death that affects other workers, too, counts once.
///
/// The worker that was one too many stays dead. The others go on, and a later death is answered
/// again when the oldest restart is `Period` ago: a program that would rather end says so in its
/// handler.
template <unsigned Count, time_span Period, typename Inner = always>
class limit : detail::limits_restarts {
    static_assert(detail::check_limit<Count, Period, Inner>());

public:
    /// The strategy that this one is wrapped around.
    using inner_type = detail::inner_restart<Inner>;

    restart_decision decide(const exit_report& report) {
        restart_decision decision = inner_.decide(report);
        if (decision.what != restart_decision::action::restart || admit(report.when)) {
            return decision;
        }
        return give_up;
    }

    /// The object of that one.
    [[nodiscard]] inner_type& inner() noexcept { return inner_; }

private:
    using time_point = std::chrono::steady_clock::time_point;

    bool admit(time_point now) {
        if (times_.size() < Count) {
            times_.push_back(now);
            return true;
        }
        if (now - times_[oldest_] < std::chrono::milliseconds{Period}) {
            return false;
        }
        times_[oldest_] = now;
        oldest_ = (oldest_ + 1) % times_.size();
        return true;
    }

    [[no_unique_address]] inner_type inner_;
    std::vector<time_point> times_; // of the last restarts; a ring as soon as there are Count
    std::size_t oldest_ = 0;
};

static_assert(restart_strategy<limit<5, time_span{10'000}>>);

} // namespace restart
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_LIMIT_HPP
