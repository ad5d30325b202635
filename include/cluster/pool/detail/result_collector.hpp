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

    result_collector(process_crew& crew, process_lifecycle& lifecycle) noexcept
        : crew_{crew}, lifecycle_{lifecycle} {}

    /// Takes results out of a worker's ring, gives it new tasks, settles. \returns whether there
    /// were any
    bool collect(pool_worker& worker) noexcept {
        bool any = false;
        while (worker.receive(batch, crew_.options.max_result)) {
            any = true;
            std::vector<task_pointer> done;
            done.reserve(worker.arrivals.size());
            {
                const auto lock = crew_.lock();
                take_answered(worker, done);
                crew_.feed(worker);
            }
            crew_.room.notify_all();
            settle_all(worker, done);
        }
        if (std::exchange(crew_.called_back, false)) {
            const auto lock = crew_.lock();
            crew_.feed(worker);
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
    static constexpr std::size_t batch = 64;

    /// \pre the mutex
    void take_answered(pool_worker& worker, std::vector<task_pointer>& done) {
        const auto now = clock::now();
        for (const auto& each : worker.arrivals) {
            if (worker.in_flight.empty() ||
                worker.in_flight.front()->request.sequence != each.header.sequence) {
                crew_.kill(worker, reason::broken);
                break;
            }
            auto& task = *worker.in_flight.front();
            const auto passed = static_cast<std::uint64_t>((now - task.submitted).count());
            const std::chrono::nanoseconds ran{
                detail::min(each.header.run_nanoseconds, passed)}; // as far as it can be true
            if (each.header.kind == result_kind::exception) {
                ++crew_.stats.failed;
            } else {
                ++crew_.stats.completed;
            }
            crew_.stats.run.add(ran);
            crew_.stats.wait.add(now - task.submitted - ran);
            worker.learn(each.header.run_nanoseconds / (task.request.count + 1));
            ++worker.tasks;
            lifecycle_.on_answer();
            done.push_back(std::move(worker.in_flight.front()));
            worker.in_flight.pop_front();
        }
        worker.head_since = worker.idle_since = now;
    }

    static void settle_all(pool_worker& worker, std::vector<task_pointer>& done) noexcept {
        std::size_t waited = 0; // the front of `done` becomes those whose waiters sleep
        for (std::size_t i = 0; i != done.size(); ++i) {
            const auto& arrival = worker.arrivals[i];
            if (settle(*done[i], arrival.header.kind, worker.payload(arrival))) {
                std::swap(done[waited++], done[i]);
            }
        }
        for (std::size_t i = 0; i != waited; ++i) {
            done[i]->wake();
        }
    }

    /// \returns whether to wake its waiter
    static bool
    settle(process_task& task, result_kind kind, std::span<const std::byte> payload) noexcept {
        bool waited = false;
        if (kind == result_kind::value) {
            waited = task.finish(payload);
        } else if (!task.is_settled()) {
            auto error = decode_exception(payload);
            task.fail(error ? std::move(error) : bad_result(make_error_code(errc::bad_payload)));
        }
        task.link.reset();
        return waited;
    }

    process_crew& crew_;
    process_lifecycle& lifecycle_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_RESULT_COLLECTOR_HPP
