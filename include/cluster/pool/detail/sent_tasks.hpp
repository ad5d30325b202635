// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_SENT_TASKS_HPP
#define CLUSTER_POOL_DETAIL_SENT_TASKS_HPP

#include "../../detail/counted.hpp"
#include "process_task.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The tasks that a worker has been given and has not answered, oldest first. The engine's thread
/// takes them from the front without a lock; with the engine's mutex any thread appends, and the
/// engine's thread takes from the back.
class sent_tasks {
public:
    static constexpr std::size_t most = 256; // a power of two

    struct entry {
        counted<process_task> task;
        std::uint32_t sequence = 0;
        std::uint32_t speaks_for = 0; // as the task's
    };

    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] std::size_t size() const noexcept {
        return end_.load(std::memory_order_acquire) - begin_.load(std::memory_order_acquire);
    }

    /// \pre not full
    void push_back(counted<process_task> task, std::uint32_t sequence) noexcept {
        const std::size_t end = end_.load(std::memory_order_relaxed);
        entry& added = entries_[end % most];
        added.sequence = sequence;
        added.speaks_for = task->speaks_for;
        added.task = std::move(task);
        end_.store(end + 1, std::memory_order_release);
    }

    // --- The engine's thread -------------------------------------------------------------------

    /// \pre the element is there, as for all that follow
    [[nodiscard]] entry& operator[](std::size_t index) noexcept {
        return entries_[(begin_.load(std::memory_order_relaxed) + index) % most];
    }
    [[nodiscard]] entry& front() noexcept { return (*this)[0]; }
    counted<process_task> pop_front() noexcept {
        counted<process_task> task{std::move(front().task)};
        begin_.store(begin_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
        return task;
    }
    [[nodiscard]] entry& back() noexcept { return (*this)[size() - 1]; }
    counted<process_task> pop_back() noexcept {
        auto task = std::move(back().task);
        end_.store(end_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
        return task;
    }

private:
    std::array<entry, most> entries_;
    alignas(64) std::atomic<std::size_t> begin_{0};
    alignas(64) std::atomic<std::size_t> end_{0};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_SENT_TASKS_HPP
