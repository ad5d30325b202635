// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PROCESS_LIFECYCLE_HPP
#define CLUSTER_POOL_DETAIL_PROCESS_LIFECYCLE_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/memory.hpp"
#include "../../detail/os.hpp"
#include "../../detail/random_source.hpp"
#include "../../exit_status.hpp"
#include "pool_launcher.hpp"
#include "pool_worker.hpp"
#include "process_crew.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Births and deaths of the workers, and what becomes of the tasks of the dead. For the
/// engine's thread, with which the workers end.
class process_lifecycle {
public:
    using clock = process_crew::clock;
    using task_pointer = process_crew::task_pointer;
    using stage = process_crew::stage;
    using reason = process_crew::reason;

    /// \param poller gets each worker's doorbell under its number, doubled, and its end under one more
    process_lifecycle(std::vector<std::string> arguments, process_crew& crew, os::poller& poller)
        : crew_{crew}, poller_{poller}, launcher_{std::move(arguments), crew.options} {}

    /// As many as the options and the queue want. With the mutex.
    void start_workers(clock::time_point now) noexcept {
        if (crew_.closing && crew_.pending.empty()) {
            return;
        }
        std::size_t booting = 0;
        for (const auto& each : crew_.workers) {
            booting += each->state == stage::booting ? 1U : 0U;
        }
        while (crew_.live < crew_.options.workers &&
               (crew_.live < crew_.least || booting < crew_.pending.size())) {
            if (crew_.closing && booting >= crew_.pending.size()) {
                return;
            }
            if (now < next_start_) {
                crew_.look_again_at(next_start_);
                return;
            }
            std::error_code error;
            if (!start_one(now, error)) {
                on_boot_failure(exit_status::spawn_failed(error), now);
                crew_.look_again_at(next_start_);
                return;
            }
            ++booting;
        }
    }

    /// A worker may have ended.
    void on_end() noexcept { has_dead_ = true; }

    /// Removes the dead. Without the mutex. \param collect takes what a worker has left behind
    template <typename Collect>
    void reap(Collect collect) noexcept {
        if (!has_dead_) {
            return;
        }
        has_dead_ = false;
        auto& workers = crew_.workers;
        for (std::size_t i = 0; i != workers.size();) {
            pool_worker& worker = *workers[i];
            if (worker.child.pidfd() == -1) {
                has_dead_ = true;
            }
            const auto end = worker.child.try_wait();
            if (!end) {
                ++i;
                continue;
            }
            collect(worker); // what it had finished is finished
            if (worker.child.pidfd() != -1) {
                poller_.remove(worker.child.pidfd());
            }
            poller_.remove(worker.doorbell());
            std::unique_ptr<pool_worker> gone;
            {
                const std::lock_guard lock{crew_.mutex};
                bury(worker, to_exit_status(*end));
                gone = std::move(workers[i]);
                workers.erase(workers.begin() + static_cast<std::ptrdiff_t>(i));
            }
            crew_.settle_ended();
        }
    }

    /// A worker has answered: they can start.
    void on_answer() noexcept { boot_failures_ = 0; }

private:
    static constexpr unsigned most_losses = 5;
    static constexpr unsigned most_boot_failures = 3;

    void bury(pool_worker& worker, const exit_status& status) noexcept {
        const auto now = clock::now();
        if (worker.state == stage::ready || worker.state == stage::booting) {
            --crew_.live;
        }
        const bool served =
            worker.page().ready.load() != 0 && (worker.tasks != 0 || !worker.in_flight.empty());
        const bool dismissed = worker.state == stage::quitting || worker.state == stage::retiring ||
                               (worker.state == stage::killed && worker.why == reason::none);
        if (!served && !dismissed) {
            on_boot_failure(status, now);
        }
        std::vector<task_pointer> unbegun; // the newest first
        worker.revoke_dead(unbegun);
        if (worker.in_flight.empty() && !unbegun.empty() &&
            ++unbegun.back()->losses > most_losses) {
            // It does not say that it begins it, and dies of it each time.
            crew_.ended.crash(std::move(unbegun.back()), status);
            unbegun.pop_back();
        }
        for (auto& task : unbegun) {
            lose(std::move(task));
        }
        // It runs one at a time: more than one is a lie, and the others are lost with it.
        while (worker.in_flight.size() > 1) {
            lose(worker.in_flight.pop_back());
        }
        if (!worker.in_flight.empty()) {
            judge(worker.in_flight.pop_front(), worker.why, status);
        }
    }

    bool start_one(clock::time_point now, std::error_code& error) noexcept {
        try {
            auto worker = std::make_unique<pool_worker>(
                static_cast<std::uint32_t>(crew_.options.sandbox), error);
            if (error) {
                return false;
            }
            worker->child = launcher_.launch(worker->page_fd().get(), worker->doorbell(), error);
            if (error) {
                return false;
            }
            worker->page_fd().reset();
            worker->number = ++last_number_;
            worker->born = worker->memory_looked_at = now;
            worker->jitter = crew_.options.recycle.jitter *
                             static_cast<double>(random_.below(1'000'000)) / 1'000'000.0;
            poller_.add(worker->doorbell(), worker->number * 2, os::io::readable | os::io::edge);
            if (worker->child.pidfd() != -1) {
                poller_.add(worker->child.pidfd(), worker->number * 2 + 1, os::io::readable);
            } else {
                has_dead_ = true;
            }
            crew_.look_again_at(now + crew_.options.boot_timeout);
            crew_.workers.push_back(std::move(worker));
            ++crew_.live;
            ++crew_.stats.started;
            return true;
        } catch (const std::exception&) {
            error = std::make_error_code(std::errc::not_enough_memory);
            return false;
        }
    }

    /// Workers that cannot even start would be started for ever, and their tasks wait for ever.
    void on_boot_failure(const exit_status& status, clock::time_point now) noexcept {
        ++boot_failures_;
        const auto pause =
            std::chrono::milliseconds{10U << (boot_failures_ < 7 ? boot_failures_ : 7)};
        next_start_ = now + pause;
        bool serves = false;
        for (const auto& each : crew_.workers) {
            serves = serves || each->state == stage::ready;
        }
        if (boot_failures_ >= most_boot_failures && !serves) {
            while (!crew_.pending.empty()) {
                crew_.ended.crash(crew_.pending.pop(),
                                  status.because(status.error() ? exit_reason::spawn_failed
                                                                : exit_reason::boot_failed));
            }
        }
    }

    /// A task that had not begun when its worker died.
    void lose(task_pointer task) noexcept {
        if (crew_.dropping) {
            crew_.ended.cancel(std::move(task));
        } else {
            crew_.pending.push_front(std::move(task));
        }
    }

    /// The task that the dead worker was running.
    void judge(task_pointer task, reason why, const exit_status& status) noexcept {
        if (task->is_settled()) {
            crew_.ended.drop(std::move(task));
        } else if (why == reason::late) {
            crew_.ended.expire(std::move(task));
        } else if (why == reason::cancelled) {
            crew_.ended.cancel(std::move(task));
        } else if (task->retries != 0 && !crew_.dropping) {
            --task->retries;
            ++crew_.stats.retried;
            crew_.pending.push_front(std::move(task));
        } else {
            crew_.ended.crash(std::move(task), status);
        }
    }

    process_crew& crew_;
    os::poller& poller_;
    pool_launcher launcher_;
    unsigned boot_failures_ = 0;
    std::uint64_t last_number_ = 0;
    clock::time_point next_start_{};
    bool has_dead_ = false;
    random_source random_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PROCESS_LIFECYCLE_HPP
