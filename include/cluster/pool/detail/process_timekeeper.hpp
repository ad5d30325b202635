// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PROCESS_TIMEKEEPER_HPP
#define CLUSTER_POOL_DETAIL_PROCESS_TIMEKEEPER_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/os.hpp"
#include "pool_worker.hpp"
#include "process_crew.hpp"

namespace cluster {
inline namespace v0 {
namespace detail {

/// What is done to workers and tasks because of the time, and of numbers: deadlines, recycling,
/// shrinking, a fair share for who has nothing to do. All with the crew's mutex, by the engine's
/// thread; what is due later is noted as the time to look again.
class process_timekeeper {
public:
    using clock = process_crew::clock;
    using stage = process_crew::stage;
    using reason = process_crew::reason;

    explicit process_timekeeper(process_crew& crew) noexcept : crew_{crew} {}

    /// Tasks whose stop token has been used: dropped where they wait, killed where they run.
    void kill_cancelled() noexcept {
        for (const auto& each : crew_.workers) {
            bool waits = false;
            for (std::size_t i = 0; i != each->in_flight.size(); ++i) {
                waits = waits || each->in_flight[i].task->is_settled();
            }
            if (!waits) {
                continue;
            }
            crew_.take_back(*each);
            if (!each->in_flight.empty() && each->in_flight.front().task->is_settled() &&
                each->has_begun()) {
                crew_.kill(*each, reason::cancelled);
            }
        }
    }

    void check_times(pool_worker& worker, clock::time_point now) noexcept {
        if (worker.state == stage::booting) {
            const auto end = worker.born + crew_.options.boot_timeout;
            end <= now ? crew_.kill(worker, reason::boot) : crew_.look_again_at(end);
        }
        if ((worker.state == stage::ready || worker.state == stage::retiring) &&
            !worker.in_flight.empty() && worker.in_flight.front().task->timeout.count() != 0) {
            check_deadline(worker, now);
        }
        if (worker.state == stage::ready) {
            check_retirement(worker, now);
        }
        if (worker.state == stage::retiring && worker.in_flight.empty()) {
            crew_.tell_to_quit(worker, now);
        }
        if (worker.state == stage::quitting) {
            const auto end = worker.quit_since + process_crew::quit_patience;
            end <= now ? crew_.kill(worker, reason::none) : crew_.look_again_at(end);
        }
    }

    /// A worker with nothing to do gets what another one has been keeping in advance.
    void rebalance(clock::time_point now) noexcept {
        bool idle = false;
        for (const auto& each : crew_.workers) {
            idle = idle || (each->can_take() && each->in_flight.empty());
        }
        if (!idle) {
            return;
        }
        for (const auto& each : crew_.workers) {
            if (crew_.pending.empty() && each->in_flight.size() > 1) {
                const auto end = each->head_since.load(std::memory_order_relaxed) + patience;
                end <= now ? crew_.take_back(*each) : crew_.look_again_at(end);
            }
        }
        for (const auto& each : crew_.workers) {
            if (each->in_flight.empty()) {
                crew_.feed(*each);
            }
        }
        for (const auto& each : crew_.workers) {
            crew_.feed(*each);
        }
    }

private:
    static constexpr std::chrono::milliseconds patience{1}; // of an idle worker beside a busy one

    void check_deadline(pool_worker& worker, clock::time_point now) noexcept {
        const auto end = worker.head_since.load(std::memory_order_relaxed) +
                         worker.in_flight.front().task->timeout;
        if (end > now) {
            crew_.look_again_at(end);
        } else if (worker.has_begun()) {
            crew_.kill(worker, reason::late);
        } else {
            worker.head_since.store(
                now, std::memory_order_relaxed); // it does not run, for whatever reason
            crew_.look_again_at(now + worker.in_flight.front().task->timeout);
        }
    }

    void check_retirement(pool_worker& worker, clock::time_point now) noexcept {
        const auto& limits = crew_.options.recycle;
        const double factor = 1.0 - worker.jitter;
        bool retire =
            limits.max_requests != 0 &&
            static_cast<double>(worker.tasks) >= static_cast<double>(limits.max_requests) * factor;
        if (limits.max_lifetime.count() != 0) {
            const auto end = worker.born + std::chrono::duration_cast<clock::duration>(
                                               limits.max_lifetime * factor);
            retire = retire || end <= now;
            crew_.look_again_at(end > now ? end : now + std::chrono::milliseconds{1});
        }
        if (limits.max_memory != 0) {
            if (now >= worker.memory_looked_at + std::chrono::seconds{1} ||
                worker.tasks != worker.tasks_at_look) {
                worker.memory_looked_at = now;
                worker.tasks_at_look = worker.tasks;
                retire = retire ||
                         static_cast<double>(os::usage_of(worker.child.pid()).resident_bytes) >=
                             static_cast<double>(limits.max_memory) * factor;
            }
            crew_.look_again_at(now + std::chrono::seconds{1});
        }
        retire = retire && worker.tasks != 0; // limits that no start can meet still let tasks pass
        if (retire) {
            ++crew_.stats.recycled;
        } else if (worker.in_flight.empty() && crew_.live > crew_.least) {
            const auto end = worker.idle_since + crew_.options.idle_timeout;
            retire = end <= now;
            if (!retire) {
                crew_.look_again_at(end);
            }
        }
        if (retire) {
            crew_.retire(worker);
        }
    }

    process_crew& crew_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PROCESS_TIMEKEEPER_HPP
