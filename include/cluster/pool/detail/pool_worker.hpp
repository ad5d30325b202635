// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_POOL_WORKER_HPP
#define CLUSTER_POOL_DETAIL_POOL_WORKER_HPP

#include "../../byte_buffer.hpp"
#include "../../detail/byte_ring.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/counted.hpp"
#include "../../detail/fence.hpp"
#include "../../detail/os.hpp"
#include "../../unique_fd.hpp"
#include "pool_page.hpp"
#include "process_task.hpp"
#include "sent_tasks.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A worker process as its pool sees it. Nothing that the process writes is believed: at worst it
/// is `is_broken()`, and killed.
///
/// What is sent is used with the engine's mutex, what is received and the child by the engine's
/// thread only; what both use says so.
class pool_worker {
public:
    using clock = std::chrono::steady_clock;

    enum class stage { booting, ready, retiring, quitting, killed };
    enum class reason { none, late, cancelled, broken, boot };

    /// One result that has arrived, and whose it is.
    struct arrival {
        result_header header;
        std::size_t offset = 0; // of its bytes in what has been received
        counted<process_task> task{};
    };

    pool_worker(std::uint32_t sandbox, std::error_code& error) {
        mapping_ = os::shared_mapping::create(sizeof(pool_page), page_fd_, error);
        if (error) {
            return;
        }
        page_ = ::new (mapping_.data()) pool_page;
        page_->sandbox = sandbox;
        requests_ = {page_->requests, page_->request_bytes, pool_ring_bytes};
        results_ = {page_->results, page_->result_bytes, pool_ring_bytes};
    }

    [[nodiscard]] pool_page& page() const noexcept { return *page_; }
    [[nodiscard]] unique_fd& page_fd() noexcept { return page_fd_; }
    [[nodiscard]] int doorbell() const noexcept { return doorbell_.descriptor(); }

    // --- Sending -------------------------------------------------------------------------------

    [[nodiscard]] bool can_take() const noexcept {
        return state == stage::ready && in_flight.size() < window.load(std::memory_order_relaxed) &&
               unsent_.empty();
    }
    /// Whether all of it fits now, so that any thread may send it.
    [[nodiscard]] bool fits(const process_task& task) noexcept {
        return requests_.has_room(task.request_size());
    }

    /// Writes the request, for flush() to show. \pre can_take()
    void send(counted<process_task> task) {
        const std::uint32_t sequence = next_sequence_++;
        const std::size_t whole = task->request_size();
        if (std::byte* const to = requests_.piece(whole)) {
            write(*task, sequence, to);
            requests_.advance(whole);
        } else {
            write(*task, sequence, unsent_.extend(whole));
            put_unsent();
        }
        in_flight.push_back(std::move(task), sequence);
    }
    /// Shows the worker what has been sent, once for any number of tasks.
    void flush() noexcept {
        requests_.publish();
        send_rest();
        page_->wake_worker();
    }

    /// Goes on with a request that did not fit. The worker rings when it has made room.
    void send_rest() noexcept {
        if (unsent_.empty()) {
            return;
        }
        if (put_unsent()) {
            requests_.publish();
        }
        if (!unsent_.empty()) {
            page_->parent_wants_room.store(1);
            full_fence();
            if (put_unsent()) { // it made room just before
                requests_.publish();
            }
        }
    }

    /// Takes back what the worker has not begun.
    void revoke(std::vector<counted<process_task>>& into) {
        if (!unsent_.empty()) {
            return; // the stream must not end in a part of a request
        }
        const std::uint32_t taken = page_->revoke(next_sequence_);
        take_back(taken, into);
    }
    /// Of a dead worker: all that it has not begun. What is left is what it had begun.
    void revoke_dead(std::vector<counted<process_task>>& into) {
        take_back(pool_page::taken_of(page_->claims.load()), into);
    }

    /// Whether it has begun the oldest task that it has.
    [[nodiscard]] bool has_begun() noexcept {
        return !in_flight.empty() &&
               pool_page::is_before(in_flight.front().sequence,
                                    pool_page::taken_of(page_->claims.load()));
    }

    // --- Receiving -----------------------------------------------------------------------------

    /// Collects in arrivals what has come. \returns whether there is a whole result
    bool receive(std::size_t most_bytes) {
        arrivals.clear();
        received_.consume_front(std::exchange(used_, 0));
        received_.shrink(std::size_t{1} << 20U);
        bool moved = false;
        while (arrivals.empty() && take_in()) {
            moved = true;
            read_frames(most_bytes);
        }
        if (moved) {
            page_->wake_worker(); // it may wait for room
        }
        return !arrivals.empty();
    }
    [[nodiscard]] std::span<const std::byte> payload(const arrival& of) const noexcept {
        return received_.span().subspan(of.offset, static_cast<std::size_t>(of.header.size));
    }
    /// Whether receive() would get on.
    [[nodiscard]] bool has_results() noexcept { return !broken_ && results_.available() != 0; }
    /// Looks at all that it has written. With the mutex.
    [[nodiscard]] bool is_broken() noexcept {
        static_cast<void>(requests_.room());
        return broken_ || results_.is_broken() || requests_.is_broken();
    }

    // --- The state -----------------------------------------------------------------------------

    std::uint64_t number = 0;
    os::child_process child;
    stage state = stage::booting;
    reason why = reason::none; // of its being killed
    sent_tasks in_flight;
    std::atomic<std::size_t> window{least_window}; // tasks that it may have
    /// When it can have begun the oldest of them; by who gives it the first, and who takes answers.
    std::atomic<clock::time_point> head_since{clock::time_point{}};
    clock::time_point born{};
    clock::time_point idle_since{};
    clock::time_point quit_since{};
    std::uint64_t tasks = 0;
    clock::time_point memory_looked_at{};
    std::uint64_t tasks_at_look = 0;
    double jitter = 0;
    std::uint64_t cost = 0;          // mean run time in nanoseconds, lately
    std::uint32_t unmeasured = 0;    // answers whose run time is still to come
    std::chrono::nanoseconds ran{0}; // one of those that came last
    std::vector<arrival> arrivals;

    static constexpr std::size_t least_window = 2;

    /// As much in advance as lasts about 100 us: a short wait must not let the worker sleep, a long
    /// one keeps tasks from others.
    void learn(std::uint64_t run_nanoseconds) noexcept {
        constexpr std::uint64_t ahead = 100'000;
        cost = cost == 0 ? run_nanoseconds : (7 * cost + run_nanoseconds) / 8;
        const std::uint64_t fit = ahead / (cost + 1);
        window.store(fit < least_window       ? least_window
                     : fit > sent_tasks::most ? sent_tasks::most
                                              : static_cast<std::size_t>(fit),
                     std::memory_order_relaxed);
    }

private:
    static void write(const process_task& task, std::uint32_t sequence, std::byte* to) noexcept {
        const auto arguments = task.arguments.span();
        write_words(to,
                    task.function,
                    std::uint64_t{arguments.size()},
                    sequence,
                    task.has_options ? 1U : 0U);
        to += sizeof(request_header);
        if (task.has_options) {
            std::memcpy(to, &task.options, sizeof task.options);
            to += sizeof task.options;
        }
        if (!arguments.empty()) {
            std::memcpy(to, arguments.data(), arguments.size());
        }
    }

    /// All that is in the ring, in one piece: what is in this side's memory cannot change while it is
    /// looked at. \returns whether there was something
    bool take_in() {
        const std::size_t there = broken_ ? 0 : results_.available();
        if (there == 0) {
            return false;
        }
        results_.take(received_.extend(there), there);
        results_.release();
        return true;
    }

    void read_frames(std::size_t most_bytes) {
        result_header header;
        for (;;) {
            const auto rest = received_.span().subspan(used_);
            if (rest.size() < sizeof header) {
                return;
            }
            std::memcpy(&header, rest.data(), sizeof header);
            if (header.size > most_bytes || header.kind > result_kind::exception) {
                broken_ = true;
                return;
            }
            if (rest.size() - sizeof header < header.size) {
                return;
            }
            arrivals.push_back({header, used_ + sizeof header});
            used_ += sizeof header + static_cast<std::size_t>(header.size);
        }
    }

    /// \returns whether something was put
    bool put_unsent() noexcept {
        const std::size_t part = requests_.room_of(unsent_.size());
        requests_.put(unsent_.span().first(part));
        unsent_.consume_front(part);
        return part != 0;
    }

    void take_back(std::uint32_t taken, std::vector<counted<process_task>>& into) {
        while (!in_flight.empty() && !pool_page::is_before(in_flight.back().sequence, taken)) {
            into.push_back(in_flight.pop_back()); // the newest first
        }
    }

    os::shared_mapping mapping_;
    unique_fd page_fd_;
    os::wakeup doorbell_;
    pool_page* page_ = nullptr;
    ring_writer requests_;
    ring_reader results_;
    byte_buffer unsent_;
    std::uint32_t next_sequence_ = 0;
    byte_buffer received_;
    std::size_t used_ = 0; // of that, by the arrivals
    bool broken_ = false;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_POOL_WORKER_HPP
