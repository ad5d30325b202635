// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_TASK_SLOT_HPP
#define CLUSTER_POOL_DETAIL_TASK_SLOT_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
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
    static constexpr std::size_t room = 6 * sizeof(void*);

    template <typename F>
    static constexpr bool fits = sizeof(F) <= room && alignof(F) <= alignof(void*) &&
                                 std::is_nothrow_move_constructible_v<F>;

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
        if constexpr (fits<target>) {
            ::new (static_cast<void*>(storage_)) target(std::forward<F>(f));
        } else {
            ::new (static_cast<void*>(storage_)) target*(new target(std::forward<F>(f)));
        }
        operations_ = &operations_for<target>;
    }

    /// Runs the callable and destroys it. `emptied()` is called before, when this place can have
    /// the next one.
    template <typename Emptied>
    task_end run(Emptied emptied) noexcept {
        const operations* does = std::exchange(operations_, nullptr);
        alignas(void*) std::byte copy[room];
        relocate(*does, storage_, copy);
        emptied();
        return does->run(copy);
    }

    void reset() noexcept {
        if (operations_ != nullptr) {
            std::exchange(operations_, nullptr)->destroy(storage_);
        }
    }

private:
    struct operations {
        task_end (*run)(void*) noexcept;                 // and destroys
        void (*relocate)(void* from, void* to) noexcept; // null: by copying the bytes
        void (*destroy)(void*) noexcept;
    };

    template <typename F>
    static F& target_of(void* storage) noexcept {
        if constexpr (fits<F>) {
            return *std::launder(static_cast<F*>(storage));
        } else {
            return **std::launder(static_cast<F**>(storage));
        }
    }

    template <typename F>
    static void destroy_in(void* storage) noexcept {
        if constexpr (fits<F>) {
            target_of<F>(storage).~F();
        } else {
            delete &target_of<F>(storage);
        }
    }

    template <typename F>
    static task_end run_in(void* storage) noexcept {
        struct ends {
            void* storage;
            ~ends() { destroy_in<F>(storage); }
        } guard{storage};
        try {
            if constexpr (std::is_same_v<decltype(target_of<F>(storage)()), task_end>) {
                return target_of<F>(storage)();
            } else {
                static_cast<void>(target_of<F>(storage)());
                return task_end::value;
            }
        } catch (...) {
            return task_end::threw;
        }
    }

    template <typename F>
    static void relocate_in(void* from, void* to) noexcept {
        ::new (to) F(std::move(target_of<F>(from)));
        target_of<F>(from).~F();
    }

    template <typename F>
    static constexpr operations operations_for = {
        &run_in<F>,
        fits<F> && !std::is_trivially_copyable_v<F> ? &relocate_in<F> : nullptr,
        &destroy_in<F>};

    static void relocate(const operations& how, std::byte* from, std::byte* to) noexcept {
        if (how.relocate == nullptr) {
            std::memcpy(to, from, room);
        } else {
            how.relocate(from, to);
        }
    }

    void take(task_slot& other) noexcept {
        if (other.operations_ != nullptr) {
            relocate(*other.operations_, other.storage_, storage_);
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
