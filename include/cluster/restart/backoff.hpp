// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_BACKOFF_HPP
#define CLUSTER_RESTART_BACKOFF_HPP

#include "../detail/chrono.hpp"
#include "../detail/random_source.hpp"
#include "../literals.hpp"
#include "always.hpp"
#include "concept.hpp"
#include "detail/nesting.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

template <time_span First, time_span Limit, time_span Stable, typename Inner>
constexpr bool check_backoff() {
    constexpr bool usable = usable_time(First) && usable_time(Limit) && usable_time(Stable);
    static_assert(usable,
                  "restart::backoff: the times must be longer than 0 and no more than 100 years.");
    static_assert(!usable || First <= Limit,
                  "restart::backoff: the first pause is longer than the limit; swap them.");
    static_assert(!nests<chooses_pause, Inner>(),
                  "restart::backoff: a backoff inside a backoff; keep one of them.");
    return check_restart<Inner>();
}

} // namespace detail

namespace restart {

/// A `restart_strategy` around another one: what that one replaces comes back after a pause that
/// doubles with every quick death of the place, from `First` to at most `Limit`.
///
/// Half of the pause is certain and the rest chance: the n-th is between p/2 and p, where p is
/// First * 2^(n - 1) or Limit. So no pause is shorter than First / 2, none is shorter than the one
/// before until Limit is reached, and workers that die together do not come back together. Where
/// `Inner` asks for a pause of its own, that is the certain part if it is longer.
///
/// After a death for want of memory p is doubled, to at most Limit: the sooner the worker is back,
/// the sooner somebody is the next.
///
/// A death is not a quick one, and the pauses begin anew, after the worker was online and has lived
/// for `Stable`. Places do not know of each other; for that, see `limit`.
template <time_span First,
          time_span Limit,
          typename Inner = always,
          time_span Stable = time_span{5000}>
class backoff : detail::chooses_pause {
    static_assert(detail::check_backoff<First, Limit, Stable, Inner>());

public:
    /// The strategy that this one is wrapped around.
    using inner_type = detail::inner_restart<Inner>;

    restart_decision decide(const exit_report& report) {
        using std::chrono::milliseconds;
        milliseconds longest = pause_after(quick_deaths(report) + (report.out_of_memory ? 1 : 0));
        restart_decision decision = inner_.decide(report);
        if (decision.what == restart_decision::action::restart) {
            milliseconds chance = longest / 2;
            milliseconds certain = longest - chance;
            decision.delay = (decision.delay < certain ? certain : decision.delay) + up_to(chance);
        }
        return decision;
    }

    /// The same pauses from now on as every other backoff with this seed. Without it chance
    /// chooses.
    void seed(std::uint64_t number) noexcept { random_ = detail::random_source{number}; }

    /// The object of that one.
    [[nodiscard]] inner_type& inner() noexcept { return inner_; }

private:
    static constexpr std::chrono::milliseconds pause_after(unsigned deaths) noexcept {
        auto pause = First.milliseconds;
        for (; deaths != 0 && pause < Limit.milliseconds; --deaths) {
            pause *= 2;
        }
        return std::chrono::milliseconds{pause < Limit.milliseconds ? pause : Limit.milliseconds};
    }

    std::chrono::milliseconds up_to(std::chrono::milliseconds most) noexcept {
        auto choices = static_cast<std::uint64_t>(most.count()) + 1;
        return std::chrono::milliseconds{
            static_cast<std::int64_t>(random_.next() % choices)}; // may be more than 2^32
    }

    // How many of the place's deaths before this one were quick, without a break.
    unsigned quick_deaths(const exit_report& report) {
        bool stable = report.was_online && report.uptime >= std::chrono::milliseconds{Stable};
        if (report.slot >= stable_.size() && stable && report.restarts != 0) {
            stable_.resize(std::size_t{report.slot} + 1);
        }
        if (report.slot >= stable_.size()) {
            return stable ? 0 : report.restarts;
        }
        auto& last = stable_[report.slot];
        if (stable || report.restarts < last) { // or another worker has taken the place
            last = stable ? report.restarts : 0;
        }
        return report.restarts - last;
    }

    [[no_unique_address]] inner_type inner_;
    detail::random_source random_;
    std::vector<unsigned> stable_; // by place: `restarts` of the last death after a long life
};

static_assert(restart_strategy<backoff<time_span{100}, time_span{5000}>>);

} // namespace restart
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_BACKOFF_HPP
