// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_STABLE_HEAP_HPP
#define CLUSTER_DETAIL_STABLE_HEAP_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A queue with priorities: the highest first, those of one priority in the order in which they
/// came. O(log n) to push and to pop. What a burst of more than 16 KiB took is given back when the
/// queue is empty.
template <typename T>
class stable_heap {
public:
    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

    /// Without effect when it throws std::bad_alloc, as push_front().
    void push(T&& value, int priority) {
        keep_room();
        add({std::move(value), ++last_, priority});
    }
    /// Before the others of its priority.
    void push_front(T&& value, int priority) {
        keep_room();
        add({std::move(value), --first_, priority});
    }

    /// The next one. \pre not empty, as for all that follow
    [[nodiscard]] T& top() noexcept { return entries_.front().value; }
    [[nodiscard]] int top_priority() const noexcept { return entries_.front().priority; }
    void pop() noexcept {
        entry last = std::move(entries_.back());
        entries_.pop_back();
        if (!entries_.empty()) {
            sift_down(std::move(last));
        } else if (entries_.capacity() * sizeof(entry) > kept_bytes) {
            entries_ = std::vector<entry>{};
        }
    }

private:
    static constexpr std::size_t kept_bytes = 16 * 1024;

    struct entry {
        T value;
        std::int64_t order;
        int priority;

        [[nodiscard]] bool before(const entry& other) const noexcept {
            return priority != other.priority ? priority > other.priority : order < other.order;
        }
    };

    void keep_room() {
        static_assert(std::is_nothrow_move_constructible_v<T> &&
                      std::is_nothrow_move_assignable_v<T>);
        if (entries_.size() == entries_.capacity()) {
            entries_.reserve(entries_.empty() ? 8 : 2 * entries_.size());
        }
    }

    void add(entry&& added) noexcept {
        entries_.push_back(std::move(added));
        entry moved = std::move(entries_.back());
        auto hole = entries_.size() - 1;
        for (; hole != 0 && moved.before(entries_[(hole - 1) / 2]); hole = (hole - 1) / 2) {
            entries_[hole] = std::move(entries_[(hole - 1) / 2]);
        }
        entries_[hole] = std::move(moved);
    }

    // Puts it in the place of the first one, or where it belongs below.
    void sift_down(entry moved) noexcept {
        std::size_t hole = 0;
        for (;;) {
            auto child = 2 * hole + 1;
            if (child + 1 < entries_.size() && entries_[child + 1].before(entries_[child])) {
                ++child;
            }
            if (child >= entries_.size() || !entries_[child].before(moved)) {
                break;
            }
            entries_[hole] = std::move(entries_[child]);
            hole = child;
        }
        entries_[hole] = std::move(moved);
    }

    std::vector<entry> entries_;
    std::int64_t first_ = 0;
    std::int64_t last_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_STABLE_HEAP_HPP
