// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_TIMER_HEAP_HPP
#define CLUSTER_DETAIL_TIMER_HEAP_HPP

#include "chrono.hpp"
#include "move_only_function.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

using time_point = std::chrono::steady_clock::time_point;
using nanoseconds = std::chrono::nanoseconds;

/// Timers in a binary heap over reused slots: O(log n) to add, cancel and run, no allocation once
/// the tables have grown. Keeps no clock: the caller says what time it is, so tests can invent it.
class timer_heap {
public:
    struct key {
        std::uint32_t index = 0;
        std::uint32_t generation = 0; // odd while the timer lives
    };

    /// `period` zero: once. Equal deadlines run in the order in which they were added.
    key add(time_point deadline, nanoseconds period, move_only_function<void()> run) {
        std::uint32_t index = take_slot();
        slot& entry = slots_[index];
        entry.deadline = deadline;
        entry.period = period;
        entry.order = next_order_++;
        entry.run = std::move(run);
        entry.keeps_alive = true;
        ++alive_;
        entry.position = heap_.size();
        heap_.push_back(index);
        sift_up(entry.position);
        return {index, entry.generation};
    }

    [[nodiscard]] bool active(key which) const noexcept {
        return which.index < slots_.size() && slots_[which.index].generation == which.generation &&
               (which.generation & 1U) != 0;
    }

    void cancel(key which) noexcept {
        if (active(which)) {
            release(which.index);
        }
    }

    /// Gives a live timer a new deadline.
    void move(key which, time_point deadline) noexcept {
        if (active(which)) {
            reschedule(which.index, deadline);
        }
    }

    void keep_alive(key which, bool on) noexcept {
        if (active(which) && slots_[which.index].keeps_alive != on) {
            slots_[which.index].keeps_alive = on;
            alive_ += on ? 1 : static_cast<std::size_t>(-1);
        }
    }

    /// How many timers keep their loop alive.
    [[nodiscard]] std::size_t alive() const noexcept { return alive_; }

    [[nodiscard]] time_point next() const noexcept {
        return heap_.empty() ? time_point::max() : slots_[heap_.front()].deadline;
    }

    /// Runs what is due at `now`. A timer that a handler adds waits for the next call even when its
    /// delay is zero. What a handler throws leaves from here; the others stay due.
    void run_due(time_point now) {
        run_due(now, [] { return false; });
    }
    /// The same, but no further once `stopped()` holds.
    template <typename Stopped>
    void run_due(time_point now, Stopped stopped) {
        std::uint64_t limit = next_order_;
        while (!heap_.empty() && !stopped()) {
            std::uint32_t index = heap_.front();
            slot& entry = slots_[index];
            if (entry.deadline > now || entry.order >= limit) {
                return;
            }
            run_one(index, now);
        }
    }

private:
    static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

    struct slot {
        time_point deadline{};
        nanoseconds period{};
        std::uint64_t order = 0;
        move_only_function<void()> run;
        std::size_t position = nowhere;
        std::uint32_t generation = 0;
        bool keeps_alive = false;
    };

    void run_one(std::uint32_t index, time_point now) {
        slot& entry = slots_[index];
        auto run = std::move(entry.run); // slots_ may grow while the handler runs
        key me{index, entry.generation};
        if (entry.period == nanoseconds::zero()) {
            release(index);
            run();
            return;
        }
        entry.order = next_order_++;
        auto missed = (now - entry.deadline) / entry.period; // the beat stays
        reschedule(index, entry.deadline + (missed + 1) * entry.period);
        struct give_back { // also when the handler throws: a period goes on
            timer_heap& heap;
            key which;
            move_only_function<void()>& run;
            ~give_back() {
                if (heap.active(which)) {
                    heap.slots_[which.index].run = std::move(run);
                }
            }
        } guard{*this, me, run};
        run();
    }

    std::uint32_t take_slot() {
        if (free_.empty()) {
            slots_.emplace_back();
            free_.reserve(slots_.capacity()); // release() must not fail
            free_.push_back(static_cast<std::uint32_t>(slots_.size() - 1));
        }
        std::uint32_t index = free_.back();
        free_.pop_back();
        ++slots_[index].generation;
        return index;
    }

    void release(std::uint32_t index) noexcept {
        slot& entry = slots_[index];
        auto last = std::move(entry.run); // dies at the end: what it owns may add and cancel timers
        remove_from_heap(entry.position);
        entry.position = nowhere;
        ++entry.generation;
        alive_ -= entry.keeps_alive ? 1 : 0;
        free_.push_back(index);
    }

    void reschedule(std::uint32_t index, time_point deadline) noexcept {
        slots_[index].deadline = deadline;
        sift_up(slots_[index].position);
        sift_down(slots_[index].position);
    }

    [[nodiscard]] bool before(std::uint32_t a, std::uint32_t b) const noexcept {
        const slot& left = slots_[a];
        const slot& right = slots_[b];
        return left.deadline != right.deadline ? left.deadline < right.deadline
                                               : left.order < right.order;
    }

    void place(std::size_t position, std::uint32_t index) noexcept {
        heap_[position] = index;
        slots_[index].position = position;
    }

    void sift_up(std::size_t position) noexcept {
        std::uint32_t index = heap_[position];
        while (position != 0 && before(index, heap_[(position - 1) / 2])) {
            place(position, heap_[(position - 1) / 2]);
            position = (position - 1) / 2;
        }
        place(position, index);
    }

    void sift_down(std::size_t position) noexcept {
        std::uint32_t index = heap_[position];
        for (;;) {
            std::size_t child = 2 * position + 1;
            if (child >= heap_.size()) {
                break;
            }
            if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) {
                ++child;
            }
            if (!before(heap_[child], index)) {
                break;
            }
            place(position, heap_[child]);
            position = child;
        }
        place(position, index);
    }

    void remove_from_heap(std::size_t position) noexcept {
        std::uint32_t last = heap_.back();
        heap_.pop_back();
        if (position != heap_.size()) {
            place(position, last);
            sift_up(position);
            sift_down(slots_[last].position);
        }
    }

    std::vector<slot> slots_;
    std::vector<std::uint32_t> free_;
    std::vector<std::uint32_t> heap_;
    std::uint64_t next_order_ = 0;
    std::size_t alive_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_TIMER_HEAP_HPP
