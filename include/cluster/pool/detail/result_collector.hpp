// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_RESULT_COLLECTOR_HPP
#define CLUSTER_POOL_DETAIL_RESULT_COLLECTOR_HPP

#include "../../detail/algorithm.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/counted.hpp"
#include "../../error.hpp"
#include "pool_page.hpp"
#include "pool_worker.hpp"
#include "process_crew.hpp"
#include "process_lifecycle.hpp"
#include "process_task.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Takes the workers' results in, settles their tasks, and keeps the workers busy meanwhile. By the
/// engine's thread, without the crew's mutex: callbacks may come back to the pool.
class result_collector {
public:
    using clock = process_crew::clock;
    using task_pointer = process_crew::task_pointer;
    using stage = process_crew::stage;
    using reason = process_crew::reason;
    using outcome = process_task::outcome;

    result_collector(process_crew& crew, process_lifecycle& lifecycle) noexcept
        : crew_{crew}, lifecycle_{lifecycle} {}

    /// Takes results out of a worker's ring, gives it new tasks, settles. \returns whether there
    /// were any
    bool collect(pool_worker& worker) noexcept {
        bool any = false;
        while (worker.receive(crew_.options.max_result)) {
            any = true;
            take_answers(worker);
            if (!crew_.pending.empty()) {
                const auto lock = crew_.lock();
                crew_.feed(worker);
            }
            settle_all(worker);
        }
        if (!crew_.called_back.empty()) {
            const auto lock = crew_.lock();
            crew_.feed(worker);
            crew_.queue_called_back();
        }
        return any;
    }

    /// All but results. With the mutex. \returns whether it got tasks
    bool tend(pool_worker& worker) noexcept {
        if (worker.state == stage::booting && worker.page().ready.load() != 0) {
            worker.state = stage::ready;
            worker.idle_since = clock::now();
        }
        if (worker.is_broken()) {
            crew_.kill(worker, reason::broken);
        }
        worker.send_rest();
        worker.page().wake_worker();
        return crew_.feed(worker);
    }

private:
    /// Matches the results with the tasks, and counts them.
    void take_answers(pool_worker& worker) noexcept {
        const auto now = clock::now();
        crew_.looked_at = worker.idle_since = now;
        worker.head_since.store(now, std::memory_order_relaxed);
        lifecycle_.on_answer();
        bool asked = true;
        {
            const std::lock_guard lock{crew_.answers.mutex};
            for (auto& each : worker.arrivals) {
                asked = !worker.in_flight.empty() &&
                        worker.in_flight.front().sequence == each.header.sequence;
                if (!asked) {
                    break;
                }
                const auto speaks_for = worker.in_flight.front().speaks_for;
                each.task = worker.in_flight.pop_front();
                count(worker, each, speaks_for, now);
            }
        }
        if (!asked) {
            const auto lock = crew_.lock();
            crew_.kill(worker, reason::broken);
        }
    }

    /// The worker's figures are taken as far as they can be true.
    void count(pool_worker& worker,
               const pool_worker::arrival& one,
               std::uint32_t speaks_for,
               clock::time_point now) noexcept {
        auto& counts = crew_.answers;
        ++worker.tasks;
        ++worker.unmeasured;
        ++(one.header.kind == result_kind::exception ? counts.failed : counts.completed);
        if (one.header.measured != 0) {
            const auto alive = static_cast<std::uint64_t>((now - worker.born).count());
            const auto tasks = std::exchange(worker.unmeasured, 0U);
            const std::uint64_t ran = detail::min(one.header.run_nanoseconds, alive) / tasks;
            counts.run.add(std::chrono::nanoseconds{ran}, tasks);
            worker.ran = std::chrono::nanoseconds{ran};
            const auto elements = one.task->options.count;
            worker.learn(elements == 0 ? ran : ran / elements);
        }
        if (speaks_for != 0) {
            counts.wait.add(now - one.task->submitted - worker.ran, speaks_for);
        }
    }

    static void settle_all(pool_worker& worker) noexcept {
        bool waited = false;
        for (auto& each : worker.arrivals) {
            if (!each.task) {
                break; // nobody asked for it
            }
            const auto how = settle(*each.task, each.header.kind, worker.payload(each));
            if (how == outcome::waited) {
                waited = true; // wakes the others first, who would find the next one not ready
            } else if (how == outcome::gone) {
                static_cast<void>(each.task.leak());
            } else {
                each.task.reset();
            }
        }
        for (auto& each : worker.arrivals) {
            if (!waited) {
                break;
            }
            if (each.task) {
                each.task->wake();
                each.task.reset();
            }
        }
    }

    static outcome
    settle(process_task& task, result_kind kind, std::span<const std::byte> payload) noexcept {
        if (kind == result_kind::value) {
            if (!task.link) {
                return task.finish(payload);
            }
            const auto how = task.finish(payload);
            task.link.reset();
            return how;
        }
        if (!task.is_settled()) {
            auto error = decode_exception(payload);
            task.fail(error ? std::move(error) : bad_result(make_error_code(errc::bad_payload)));
        }
        task.link.reset();
        return outcome::done;
    }

    process_crew& crew_;
    process_lifecycle& lifecycle_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_RESULT_COLLECTOR_HPP
