// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_INLINE_TARGET_HPP
#define CLUSTER_DETAIL_INLINE_TARGET_HPP

#include <concepts>
#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What std::is_invocable_r says of functions and objects with `operator()`, without a class for
/// each of them.
template <typename Result, typename F, typename... Args>
concept callable_as = requires(F& f, Args&&... args) { f(static_cast<Args&&>(args)...); } &&
                      (std::is_void_v<Result> || requires(F& f, Args&&... args) {
                          { f(static_cast<Args&&>(args)...) } -> std::convertible_to<Result>;
                      });

/// What may be done with a callable of a type that is forgotten: it lives in six words, or on the
/// heap when it is larger or may throw when it is moved. Most of them are a few references, which
/// are moved as bytes and leave nothing to destroy: no function is made for that.
struct inline_target {
    static constexpr std::size_t room = 6 * sizeof(void*);

    // What std::is_nothrow_move_constructible says, for every handler of a program: without the
    // dozen classes that it is made of.
    template <typename F>
    static constexpr bool moves_quietly = requires(F& f) {
        { F(static_cast<F&&>(f)) } noexcept;
    };
    template <typename F>
    static constexpr bool fits =
        sizeof(F) <= room && alignof(F) <= alignof(void*) && moves_quietly<F>;

    void (*relocate)(void* from, void* to) noexcept; // null: by copying the bytes
    void (*destroy)(void* storage) noexcept;         // null: nothing to do

    template <typename Target, typename F>
    static void put(void* storage, F&& f) {
        if constexpr (fits<Target>) {
            ::new (storage) Target(static_cast<F&&>(f));
        } else {
            ::new (storage) Target*(new Target(static_cast<F&&>(f)));
        }
    }

    template <typename F>
    static F& get(void* storage) noexcept {
        if constexpr (fits<F>) {
            return *std::launder(static_cast<F*>(storage));
        } else {
            return **std::launder(static_cast<F**>(storage));
        }
    }

    template <typename F>
    static constexpr inline_target of() noexcept {
        return {fits<F> && !std::is_trivially_copyable_v<F> ? &relocate_as<F> : nullptr,
                fits<F> && std::is_trivially_copyable_v<F> ? nullptr : &destroy_as<F>};
    }

    void move(void* from, void* to) const noexcept {
        if (relocate == nullptr) {
            std::memcpy(to, from, room);
        } else {
            relocate(from, to);
        }
    }
    void end(void* storage) const noexcept {
        if (destroy != nullptr) {
            destroy(storage);
        }
    }

private:
    template <typename F>
    static void relocate_as(void* from, void* to) noexcept {
        F& old = get<F>(from);
        ::new (to) F(static_cast<F&&>(old));
        old.~F();
    }
    template <typename F>
    static void destroy_as(void* storage) noexcept {
        if constexpr (fits<F>) {
            get<F>(storage).~F();
        } else {
            delete &get<F>(storage);
        }
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_INLINE_TARGET_HPP
