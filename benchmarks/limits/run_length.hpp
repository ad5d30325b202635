// SPDX-License-Identifier: MIT
// How many operations a run is made of. The first ones of a process are cold, and a run that is
// sized by them alone is over after a fifth of its time, before both sides work at once.
#ifndef CLUSTER_BENCHMARKS_LIMITS_RUN_LENGTH_HPP
#define CLUSTER_BENCHMARKS_LIMITS_RUN_LENGTH_HPP

#include <algorithm>
#include <cstdint>

class run_length {
public:
    run_length(double wanted_seconds, std::uint32_t first_count)
        : wanted_{wanted_seconds}, count_{first_count} {}

    [[nodiscard]] std::uint32_t count() const { return count_; }

    // Told how long count() operations took, it knows better. \returns whether they were enough for
    // the new count to be trusted; otherwise it is for another trial.
    bool learn(double seconds) {
        const double times = std::min(wanted_ / seconds, 20.0);
        count_ = static_cast<std::uint32_t>(std::clamp(count_ * times, 200.0, 1e8));
        return times < 2 || count_ == 100'000'000;
    }

private:
    double wanted_;
    std::uint32_t count_;
};

// \returns the count for which `seconds_of(count)` is about `wanted_seconds`.
template <typename SecondsOf>
std::uint32_t
count_for(double wanted_seconds, std::uint32_t first_count, const SecondsOf& seconds_of) {
    run_length length{wanted_seconds, first_count};
    while (!length.learn(seconds_of(length.count()))) {
    }
    return length.count();
}

#endif // CLUSTER_BENCHMARKS_LIMITS_RUN_LENGTH_HPP
