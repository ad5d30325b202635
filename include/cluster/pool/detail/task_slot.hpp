// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_TASK_SLOT_HPP
#define CLUSTER_POOL_DETAIL_TASK_SLOT_HPP

#include "../../detail/inline_target.hpp"

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// How a task came to its end.
enum class task_end : unsigned char {
    value, ///< it returned
    threw,
    elsewhere ///< somebody else had settled it
};

/// A callable in seven words: with the sequence number of its slot a cache line. What is larger, or
/// may throw when it is moved, is put on the heap. Unlike a move_only_function it is run once, in
/// the same call that takes it out of its place.
class task_slot {
public:
    static constexpr std::size_t room = inline_target::room;

    task_slot() noexcept = default;
    template <typename F>
    explicit task_slot(std::in_place_t, F&& f) {
        put(std::forward<F>(f));
    }
    task_slot(task_slot&& other) noexcept { take(other); }
    task_slot& operator=(task_slot&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ~task_slot() { reset(); }

    [[nodiscard]] explicit operator bool() const noexcept { return operations_ != nullptr; }

    /// \pre empty
    template <typename F>
    void put(F&& f) {
        using target = std::decay_t<F>;
        inline_target::put<target>(storage_, std::forward<F>(f));
        operations_ = &operations_for<target>;
    }

    /// Runs the callable and destroys it. `emptied()` is called before, when this place can have
    /// the next one.
    template <typename Emptied>
    task_end run(Emptied emptied) noexcept {
        const operations* does = std::exchange(operations_, nullptr);
        alignas(void*) std::byte copy[room];
        does->target.move(storage_, copy);
        emptied();
        return does->run(copy);
    }

    void reset() noexcept {
        if (operations_ != nullptr) {
            std::exchange(operations_, nullptr)->target.end(storage_);
        }
    }

private:
    struct operations {
        task_end (*run)(void*) noexcept; // and destroys
        inline_target target;
    };

    template <typename F>
    static task_end run_in(void* storage) noexcept {
        struct ends {
            void* storage;
            ~ends() { inline_target::of<F>().end(storage); }
        } guard{storage};
        try {
            if constexpr (std::is_same_v<decltype(inline_target::get<F>(storage)()), task_end>) {
                return inline_target::get<F>(storage)();
            } else {
                static_cast<void>(inline_target::get<F>(storage)());
                return task_end::value;
            }
        } catch (...) {
            return task_end::threw;
        }
    }

    template <typename F>
    static constexpr operations operations_for = {&run_in<F>, inline_target::of<F>()};

    void take(task_slot& other) noexcept {
        if (other.operations_ != nullptr) {
            other.operations_->target.move(other.storage_, storage_);
            operations_ = std::exchange(other.operations_, nullptr);
        }
    }

    const operations* operations_ = nullptr;
    alignas(void*) std::byte storage_[room];
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_TASK_SLOT_HPP
