// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SHARED_MEMORY_SHAREABLE_HPP
#define CLUSTER_SHARED_MEMORY_SHAREABLE_HPP

#include <atomic>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename T>
inline constexpr bool is_address =
    std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T>;

template <typename T>
inline constexpr bool can_be_shared =
    std::is_object_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T> &&
    std::is_trivially_copyable_v<T> && !is_address<T>;
template <typename T> // whose own copies a compiler may call trivial, or not
inline constexpr bool can_be_shared<std::atomic<T>> =
    std::atomic<T>::is_always_lock_free && !is_address<T>;

} // namespace detail

/// What may live in memory that processes share, where it begins as zero bytes: a trivially
/// copyable type that is no pointer, or a `std::atomic` that is always lock-free. A pointer inside
/// of a structure is not found: it means nothing in another process either.
template <typename T>
concept shareable = detail::can_be_shared<T>;

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SHARED_MEMORY_SHAREABLE_HPP
