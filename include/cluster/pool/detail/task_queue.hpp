// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_TASK_QUEUE_HPP
#define CLUSTER_POOL_DETAIL_TASK_QUEUE_HPP

#include "../../detail/memory.hpp"
#include "task_slot.hpp"

#include <cstddef>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A queue of tasks without an end, in blocks that are used again: std::deque allocates one for
/// every nine tasks. One thread at a time.
class task_queue {
    static constexpr std::size_t per_block = 256;
    struct block {
        task_slot tasks[per_block];
        std::unique_ptr<block> next;
    };

public:
    /// Tasks of one block.
    struct batch {
        std::unique_ptr<block> from;
        std::size_t read = 0;
        std::size_t end = 0;

        [[nodiscard]] std::size_t size() const noexcept { return end - read; }
        task_slot& next() noexcept { return from->tasks[read++]; }
    };

    task_queue() = default;
    task_queue(task_queue&&) = delete;
    task_queue& operator=(task_queue&&) = delete;
    ~task_queue() { // a long chain would recurse
        while (first_) {
            first_ = std::move(first_->next);
        }
        while (spare_) {
            spare_ = std::move(spare_->next);
        }
    }

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] task_slot& front() noexcept { return first_->tasks[read_]; }

    void push_back(task_slot&& task) {
        if (last_ == nullptr || written_ == per_block) {
            append_block();
        }
        last_->tasks[written_] = std::move(task);
        ++written_;
        ++size_;
    }

    void pop_front() noexcept {
        first_->tasks[read_].reset();
        ++read_;
        --size_;
        if (read_ == per_block || size_ == 0) {
            reuse(take_first());
        }
    }

    /// Takes the oldest block out, with the tasks that are left in it. \pre not empty
    [[nodiscard]] batch take_first() noexcept {
        const bool is_last = first_.get() == last_;
        batch result{std::move(first_), read_, is_last ? written_ : per_block};
        first_ = std::move(result.from->next);
        if (!first_) {
            last_ = nullptr;
        }
        read_ = 0;
        size_ -= result.size();
        return result;
    }
    /// The memory of one, without tasks.
    void reuse(batch used) noexcept {
        if (spares_ != most_spares) {
            used.from->next = std::move(spare_);
            spare_ = std::move(used.from);
            ++spares_;
        }
    }

private:
    static constexpr std::size_t most_spares = 64;

    void append_block() {
        std::unique_ptr<block> fresh;
        if (spare_) {
            fresh = std::move(spare_);
            spare_ = std::move(fresh->next);
            --spares_;
        } else {
            fresh = std::make_unique_for_overwrite<block>();
        }
        block* const added = fresh.get();
        (last_ == nullptr ? first_ : last_->next) = std::move(fresh);
        last_ = added;
        written_ = 0;
    }

    std::unique_ptr<block> first_;
    block* last_ = nullptr;
    std::size_t read_ = 0;    // in the first block
    std::size_t written_ = 0; // in the last block
    std::size_t size_ = 0;
    std::unique_ptr<block> spare_;
    std::size_t spares_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_TASK_QUEUE_HPP
