// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PULSE_HPP
#define CLUSTER_DETAIL_PULSE_HPP

#include "algorithm.hpp"
#include "chrono.hpp"

#include <cstdint>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// When a worker that does not answer is reported, and when it is ended; zero: never.
struct pulse_limits {
    std::chrono::nanoseconds stalled_after{0};
    std::chrono::nanoseconds replaced_after{0};
};

/// How often a worker says that its loop turns, so that silence is noticed in time.
constexpr std::chrono::nanoseconds beat_period(std::chrono::nanoseconds stalled_after) noexcept {
    using namespace std::chrono_literals;
    return detail::clamp<std::chrono::nanoseconds>(stalled_after / 12, 5ms, 250ms);
}

/// One worker's heartbeat as its primary sees it: a number that grows. Keeps no clock, so tests can
/// invent the time.
class pulse {
public:
    using time_point = std::chrono::steady_clock::time_point;
    enum class change { none, stalled, recovered, lost };

    /// The worker says something every `period` from now on.
    void start(time_point now, std::chrono::nanoseconds period) noexcept {
        last_ = now;
        period_ = period;
        started_ = true;
    }
    [[nodiscard]] bool started() const noexcept { return started_; }

    /// Time in which nobody could look (the primary, or the whole machine, did not run) is not the
    /// worker's fault.
    void excuse(std::chrono::nanoseconds time) noexcept { last_ += time; }
    /// It cannot answer, for a reason that is none of its own: a debugger holds it.
    void excuse_until(time_point now) noexcept { last_ = now; }

    /// Looks at the number, which may be a lie. \returns what is new.
    [[nodiscard]] change
    look(std::uint32_t beats, time_point now, const pulse_limits& limits) noexcept {
        if (beats != beats_) {
            beats_ = beats;
            last_ = now;
            lost_ = false;
            return std::exchange(stalled_, false) ? change::recovered : change::none;
        }
        if (!stalled_ && is_over(limits.stalled_after, now)) {
            stalled_ = true;
            return change::stalled;
        }
        if (stalled_ && !lost_ && is_over(limits.replaced_after, now)) {
            lost_ = true;
            return change::lost;
        }
        return change::none;
    }

    /// How long it has been silent.
    [[nodiscard]] std::chrono::nanoseconds age(time_point now) const noexcept {
        return started_ && now > last_ ? now - last_ : std::chrono::nanoseconds{0};
    }
    /// Whether the next look() would report something bad: then it is worth asking why.
    [[nodiscard]] bool is_late(time_point now, const pulse_limits& limits) const noexcept {
        return is_over(stalled_ ? limits.replaced_after : limits.stalled_after, now);
    }

private:
    // Its last beat may have been a period before it stopped, and we look once a period: counted
    // from the moment that it stopped the limit is kept. Never so short that a beat which is a
    // little late counts.
    [[nodiscard]] bool is_over(std::chrono::nanoseconds limit, time_point now) const noexcept {
        return limit.count() > 0 && age(now) >= detail::max(limit - 2 * period_, 4 * period_);
    }

    time_point last_{};
    std::chrono::nanoseconds period_{0};
    std::uint32_t beats_ = 0;
    bool started_ = false;
    bool stalled_ = false;
    bool lost_ = false;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_PULSE_HPP
