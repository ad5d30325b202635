// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_STATS_HPP
#define CLUSTER_POOL_STATS_HPP

#include "../detail/chrono.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace cluster {
inline namespace v0 {

/// How often something took how long: a bucket for each power of two of nanoseconds.
class time_histogram {
public:
    /// The last one is for 39 hours and more.
    static constexpr std::size_t bucket_count = 48;

    /// Counts what took this long, several times if it did so.
    void add(std::chrono::nanoseconds time, std::uint64_t times = 1) noexcept {
        const auto count = static_cast<std::uint64_t>(time.count() < 0 ? 0 : time.count());
        const auto bucket = static_cast<std::size_t>(std::bit_width(count));
        buckets_[bucket < bucket_count ? bucket : bucket_count - 1] += times;
        sum_ += count * times;
        count_ += times;
    }
    /// Counts all that the other one has counted.
    void add(const time_histogram& other) noexcept {
        for (std::size_t i = 0; i != bucket_count; ++i) {
            buckets_[i] += other.buckets_[i];
        }
        sum_ += other.sum_;
        count_ += other.count_;
    }

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    /// The average; zero of nothing.
    [[nodiscard]] std::chrono::nanoseconds mean() const noexcept {
        return std::chrono::nanoseconds{count_ == 0 ? 0 : sum_ / count_};
    }
    /// The time that a part of them, such as 0.99, did not exceed; right to a factor of two.
    [[nodiscard]] std::chrono::nanoseconds quantile(double part) const noexcept {
        std::uint64_t left = static_cast<std::uint64_t>(part * static_cast<double>(count_));
        for (std::size_t i = 0; i != bucket_count; ++i) {
            if (left < buckets_[i] || (buckets_[i] != 0 && left == buckets_[i])) {
                return upper_bound(i);
            }
            left -= buckets_[i];
        }
        return std::chrono::nanoseconds{0};
    }
    /// How many took less than upper_bound(bucket), and were not in a bucket before.
    [[nodiscard]] std::uint64_t operator[](std::size_t bucket) const noexcept {
        return buckets_[bucket];
    }
    /// The time that a bucket ends before.
    [[nodiscard]] static constexpr std::chrono::nanoseconds
    upper_bound(std::size_t bucket) noexcept {
        return std::chrono::nanoseconds{std::uint64_t{1} << bucket};
    }

private:
    std::array<std::uint64_t, bucket_count> buckets_{};
    std::uint64_t sum_ = 0;
    std::uint64_t count_ = 0;
};

/// The state of a pool at one moment. Counts are since its start and only grow.
struct pool_stats {
    unsigned workers = 0;        ///< alive now
    unsigned idle = 0;           ///< of those, without a task
    std::uint64_t queued = 0;    ///< tasks that wait now
    std::uint64_t submitted = 0; ///< tasks; a chunk of map() counts as one
    std::uint64_t completed = 0; ///< ended with a value
    std::uint64_t failed = 0;    ///< threw
    std::uint64_t crashed = 0;   ///< failed with worker_crashed
    std::uint64_t timed_out = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t retried = 0;  ///< started again after a crash
    std::uint64_t started = 0;  ///< workers
    std::uint64_t recycled = 0; ///< workers replaced as planned
    std::uint64_t killed = 0;   ///< workers killed for a task that was late or cancelled
    /// From submit() to the start. A process pool looks at one task in eight where many come.
    time_histogram wait{};
    /// From the start to the end. Where tasks take less than a microsecond or so, a process pool
    /// measures up to sixteen together, and their average counts for each.
    time_histogram run{};
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_STATS_HPP
