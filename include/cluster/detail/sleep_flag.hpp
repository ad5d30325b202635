// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SLEEP_FLAG_HPP
#define CLUSTER_DETAIL_SLEEP_FLAG_HPP

#include "fence.hpp"

#include <atomic>
#include <cstdint>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A flag by which one side says that it waits to be told, so that the other tells it, once. Who
/// sets it looks again before it waits; who has done what is waited for looks at it afterwards. In
/// memory that both sides have.
class sleep_flag {
public:
    /// \returns whether it was not set before
    bool set() noexcept {
        bool fresh = value_.exchange(1, std::memory_order_relaxed) == 0;
        full_fence();
        return fresh;
    }
    /// \returns whether the other side must be told
    [[nodiscard]] bool take() noexcept {
        full_fence();
        return is_set() && value_.exchange(0, std::memory_order_acq_rel) != 0;
    }
    [[nodiscard]] bool is_set() const noexcept {
        return value_.load(std::memory_order_relaxed) != 0;
    }

private:
    std::atomic<std::uint32_t> value_{0};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SLEEP_FLAG_HPP
