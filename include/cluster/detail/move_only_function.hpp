// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_MOVE_ONLY_FUNCTION_HPP
#define CLUSTER_DETAIL_MOVE_ONLY_FUNCTION_HPP

#include "inline_target.hpp"

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename Signature>
class move_only_function;

/// What std::move_only_function is in C++23, with room for six pointers before it allocates.
/// <functional> costs 10,000 preprocessed lines, this costs none; and a program has hundreds of
/// handlers, so that each is made of as few functions as can be.
template <typename Result, typename... Args>
class move_only_function<Result(Args...)> {
public:
    move_only_function() noexcept = default;
    move_only_function(std::nullptr_t) noexcept {}

    template <typename F>
        requires(!std::same_as<std::decay_t<F>, move_only_function> &&
                 callable_as<Result, std::decay_t<F>, Args...>)
    move_only_function(F&& f) {
        emplace(static_cast<F&&>(f));
    }

    /// Makes it in its place, where an assignment would move it there. \pre empty
    template <typename F>
    void emplace(F&& f) {
        using target = std::decay_t<F>;
        inline_target::put<target>(storage_, static_cast<F&&>(f));
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
    /// Made in its place where there is none.
    template <typename F>
        requires(!std::same_as<std::decay_t<F>, move_only_function> &&
                 callable_as<Result, std::decay_t<F>, Args...>)
    move_only_function& operator=(F&& f) {
        if (operations_ != nullptr) {
            return *this = move_only_function{static_cast<F&&>(f)};
        }
        emplace(static_cast<F&&>(f));
        return *this;
    }
    ~move_only_function() { reset(); }

    explicit operator bool() const noexcept { return operations_ != nullptr; }

    Result operator()(Args... args) {
        return operations_->call(storage_, static_cast<Args&&>(args)...);
    }

private:
    struct operations {
        Result (*call)(void*, Args&&...);
        inline_target target;
    };

    template <typename F>
    static Result call_as(void* storage, Args&&... args) {
        if constexpr (std::is_void_v<Result>) {
            static_cast<void>(inline_target::get<F>(storage)(static_cast<Args&&>(args)...));
        } else {
            return inline_target::get<F>(storage)(static_cast<Args&&>(args)...);
        }
    }

    template <typename F>
    static constexpr operations operations_for = {&call_as<F>, inline_target::of<F>()};

    void take(move_only_function& other) noexcept {
        operations_ = other.operations_;
        if (operations_ != nullptr) {
            other.operations_ = nullptr;
            operations_->target.move(other.storage_, storage_);
        }
    }

    void reset() noexcept {
        if (const operations* does = operations_) {
            operations_ = nullptr;
            does->target.end(storage_);
        }
    }

    alignas(void*) std::byte storage_[inline_target::room];
    const operations* operations_ = nullptr;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_MOVE_ONLY_FUNCTION_HPP
