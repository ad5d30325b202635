// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_FENCE_HPP
#define CLUSTER_DETAIL_FENCE_HPP

#include <atomic>

namespace cluster {
inline namespace v0 {
namespace detail {

/// std::atomic_thread_fence(std::memory_order_seq_cst). GCC warns that its ThreadSanitizer does not
/// follow it; here it orders atomics only, which are no races for that one in any order.
inline void full_fence() noexcept {
#if defined(__GNUC__) && !defined(__clang__)
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wtsan"
#endif
    std::atomic_thread_fence(std::memory_order_seq_cst);
#if defined(__GNUC__) && !defined(__clang__)
#    pragma GCC diagnostic pop
#endif
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_FENCE_HPP
