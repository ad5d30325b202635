// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_MOVE_ONLY_FUNCTION_HPP
#define CLUSTER_DETAIL_MOVE_ONLY_FUNCTION_HPP

#include <concepts>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename Signature>
class move_only_function;

/// What std::move_only_function is in C++23, with room for six pointers before it allocates.
/// <functional> costs 10,000 preprocessed lines, this costs none.
template <typename Result, typename... Args>
class move_only_function<Result(Args...)> {
    static constexpr std::size_t room = 6 * sizeof(void*);

    template <typename F>
    static constexpr bool fits = sizeof(F) <= room && alignof(F) <= alignof(void*) &&
                                 std::is_nothrow_move_constructible_v<F>;

public:
    move_only_function() noexcept = default;
    move_only_function(std::nullptr_t) noexcept {}

    template <typename F>
        requires(!std::same_as<std::decay_t<F>, move_only_function> &&
                 std::is_invocable_r_v<Result, std::decay_t<F>&, Args...>)
    move_only_function(F&& f) {
        using target = std::decay_t<F>;
        if constexpr (fits<target>) {
            ::new (static_cast<void*>(storage_)) target(std::forward<F>(f));
        } else {
            ::new (static_cast<void*>(storage_)) target*(new target(std::forward<F>(f)));
        }
        operations_ = &operations_for<target>;
    }

    move_only_function(move_only_function&& other) noexcept { take(other); }
    move_only_function& operator=(move_only_function&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ~move_only_function() { reset(); }

    explicit operator bool() const noexcept { return operations_ != nullptr; }

    Result operator()(Args... args) {
        return operations_->call(storage_, std::forward<Args>(args)...);
    }

private:
    struct operations {
        Result (*call)(void*, Args&&...);
        void (*relocate)(void* from, void* to) noexcept;
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
    static constexpr operations operations_for = {
        [](void* storage, Args&&... args) -> Result {
            if constexpr (std::is_void_v<Result>) {
                static_cast<void>(target_of<F>(storage)(std::forward<Args>(args)...));
            } else {
                return target_of<F>(storage)(std::forward<Args>(args)...);
            }
        },
        [](void* from, void* to) noexcept {
            if constexpr (fits<F>) {
                ::new (to) F(std::move(target_of<F>(from)));
                target_of<F>(from).~F();
            } else {
                ::new (to) F*(&target_of<F>(from));
            }
        },
        [](void* storage) noexcept {
            if constexpr (fits<F>) {
                target_of<F>(storage).~F();
            } else {
                delete &target_of<F>(storage);
            }
        }};

    void take(move_only_function& other) noexcept {
        if (other.operations_ != nullptr) {
            other.operations_->relocate(other.storage_, storage_);
            operations_ = std::exchange(other.operations_, nullptr);
        }
    }

    void reset() noexcept {
        if (operations_ != nullptr) {
            std::exchange(operations_, nullptr)->destroy(storage_);
        }
    }

    alignas(void*) std::byte storage_[room];
    const operations* operations_ = nullptr;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_MOVE_ONLY_FUNCTION_HPP
