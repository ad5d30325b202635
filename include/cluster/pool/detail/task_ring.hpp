// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_TASK_RING_HPP
#define CLUSTER_POOL_DETAIL_TASK_RING_HPP

#include "../../detail/memory.hpp"
#include "task_slot.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A bounded queue of tasks for any number of threads at both ends (Vyukov's): each slot has a
/// number that says whose turn it is, so that putting and taking are one compare-exchange each, on
/// lines that the two ends do not share. What was never used takes no memory.
class task_ring {
public:
    /// \param capacity a power of two
    explicit task_ring(std::size_t capacity)
        : mask_{capacity - 1}, memory_{std::calloc(capacity + 1, sizeof(cell))} {
        if (!memory_) {
            throw std::bad_alloc{};
        }
        auto first = reinterpret_cast<std::uintptr_t>(memory_.get());
        cells_ = reinterpret_cast<cell*>((first + line - 1) & ~std::uintptr_t{line - 1});
    }
    task_ring(task_ring&&) = delete;
    task_ring& operator=(task_ring&&) = delete;
    ~task_ring() {
        task_slot dropped;
        while (try_take(dropped)) {
            dropped.reset();
        }
    }

    /// What can be put as it is: in its slot, and without an exception, as the slot is taken by then.
    template <typename F>
    static constexpr bool takes =
        inline_target::fits<std::decay_t<F>> && std::is_nothrow_constructible_v<std::decay_t<F>, F>;

    /// Constructs the callable in its slot. \returns false, and leaves `f` alone, when full
    template <typename F>
        requires takes<F>
    bool try_put(F&& f) noexcept {
        return try_fill([&](task_slot& task) { task.put(std::forward<F>(f)); });
    }
    bool try_put(task_slot&& made) noexcept {
        return try_fill([&](task_slot& task) { task = std::move(made); });
    }

    /// Puts at most `most` tasks, which `next(task_slot&)` gives. For one who wakes nobody, and has a sequentially
    /// consistent operation follow. \returns how many
    template <typename Next>
    std::size_t refill(std::size_t most, Next next) noexcept {
        std::size_t at = tail_.load(std::memory_order_relaxed);
        std::size_t count = 0;
        do {
            count = 0;
            while (count != most && cells_[(at + count) & mask_].turn.load(
                                        std::memory_order_acquire) == lap(at + count)) {
                ++count;
            }
        } while (count != 0 &&
                 !tail_.compare_exchange_weak(at, at + count, std::memory_order_relaxed));
        for (std::size_t i = 0; i != count; ++i) {
            cell& place = cells_[(at + i) & mask_];
            next(place.task);
            place.turn.store(lap(at + i) + 1, std::memory_order_release);
        }
        return count;
    }

    /// Runs the oldest task. \returns false when there is none
    template <typename Taken>
    bool try_run(Taken taken, task_end& end) noexcept {
        std::size_t at = 0;
        cell* place = claim_to_take(at);
        if (place == nullptr) {
            return false;
        }
        end = place->task.run([&] {
            place->turn.store(lap(at + mask_ + 1), std::memory_order_release);
            taken();
        });
        return true;
    }

    /// Takes the oldest task out, to drop it.
    bool try_take(task_slot& into) noexcept {
        std::size_t at = 0;
        cell* place = claim_to_take(at);
        if (place == nullptr) {
            return false;
        }
        into = std::move(place->task);
        place->turn.store(lap(at + mask_ + 1), std::memory_order_release);
        return true;
    }

    /// Whether there is no task, nor one on its way in: who puts looks for sleepers next, who goes
    /// to sleep looks for tasks last, and one of the two sees the other, as a task is announced by
    /// a sequentially consistent operation. So the store that ends the put need not be one, which
    /// would have to wait for the line of the cell.
    [[nodiscard]] bool is_empty() const noexcept {
        const std::size_t at = head_.load(std::memory_order_seq_cst);
        return tail_.load(std::memory_order_seq_cst) == at;
    }
    /// Whether there seems to be one to take.
    [[nodiscard]] bool is_ready() const noexcept {
        const std::size_t at = head_.load(std::memory_order_relaxed);
        return cells_[at & mask_].turn.load(std::memory_order_relaxed) == lap(at) + 1;
    }
    [[nodiscard]] bool is_full() const noexcept { return size() > mask_; }
    /// Approximate while others put and take.
    [[nodiscard]] std::size_t size() const noexcept {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        return tail - head <= mask_ + 1 ? tail - head : 0;
    }
    /// How many have been taken since the beginning.
    [[nodiscard]] std::size_t taken() const noexcept {
        return head_.load(std::memory_order_relaxed);
    }
    /// How many have been put since the beginning.
    [[nodiscard]] std::size_t total() const noexcept {
        return tail_.load(std::memory_order_relaxed);
    }

private:
    static constexpr std::size_t line = 64;

    /// `turn` is the lap() of who puts next, and one more while there is a task: zeros are a cell
    /// for the first.
    struct alignas(line) cell {
        std::atomic<std::size_t> turn{0};
        task_slot task;
    };

    struct release {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };

    [[nodiscard]] std::size_t lap(std::size_t at) const noexcept { return at & ~mask_; }

    template <typename Fill>
    bool try_fill(Fill fill) noexcept {
        std::size_t at = 0;
        cell* place = claim_to_put(at);
        if (place == nullptr) {
            return false;
        }
        fill(place->task);
        place->turn.store(lap(at) + 1, std::memory_order_release);
        return true;
    }

    cell* claim_to_put(std::size_t& at) noexcept {
        at = tail_.load(std::memory_order_relaxed);
        for (;;) {
            cell& place = cells_[at & mask_];
            const std::size_t turn = place.turn.load(std::memory_order_acquire);
            if (turn == lap(at)) {
                if (tail_.compare_exchange_weak(at, at + 1, std::memory_order_seq_cst)) {
                    return &place;
                }
            } else if (static_cast<std::ptrdiff_t>(turn - lap(at)) < 0) {
                return nullptr;
            } else {
                at = tail_.load(std::memory_order_relaxed);
            }
        }
    }

    cell* claim_to_take(std::size_t& at) noexcept {
        at = head_.load(std::memory_order_relaxed);
        for (;;) {
            cell& place = cells_[at & mask_];
            const std::size_t turn = place.turn.load(std::memory_order_acquire);
            if (turn == lap(at) + 1) {
                if (head_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
                    return &place;
                }
            } else if (static_cast<std::ptrdiff_t>(turn - (lap(at) + 1)) < 0) {
                return nullptr;
            } else {
                at = head_.load(std::memory_order_relaxed);
            }
        }
    }

    std::size_t mask_;
    std::unique_ptr<void, release> memory_;
    cell* cells_;
    alignas(line) std::atomic<std::size_t> tail_{0};
    alignas(line) std::atomic<std::size_t> head_{0};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_TASK_RING_HPP
