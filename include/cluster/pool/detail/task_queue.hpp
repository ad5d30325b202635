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
public:
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
            auto used = std::move(first_);
            first_ = std::move(used->next);
            read_ = 0;
            if (!first_) {
                last_ = nullptr;
            }
            if (spares_ != most_spares) {
                used->next = std::move(spare_);
                spare_ = std::move(used);
                ++spares_;
            }
        }
    }

private:
    static constexpr std::size_t per_block = 256;
    static constexpr std::size_t most_spares = 64;

    struct block {
        task_slot tasks[per_block];
        std::unique_ptr<block> next;
    };

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
