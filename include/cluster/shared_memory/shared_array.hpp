// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SHARED_MEMORY_SHARED_ARRAY_HPP
#define CLUSTER_SHARED_MEMORY_SHARED_ARRAY_HPP

#include "../detail/memory.hpp"
#include "../detail/shared_region.hpp"

#include <cstddef>
#include <new>
#include <span>
#include <utility>

namespace cluster {
inline namespace v0 {

/// An array in memory that the primary and the workers share: what `primary.shared<T>(name, n)` and
/// `self.shared<T>(name, n)` return. It begins as zero bytes.
///
/// A handle: copies are cheap and mean the same elements, as with std::span; the memory lives as
/// long as the primary or any handle, in any process. Nothing orders access to elements that are no
/// atomics. Thread-safe as far as the elements are; also in a forked child. Nothing throws.
template <typename T>
class shared_array {
public:
    using value_type = T;
    using iterator = T*;

    /// No elements.
    shared_array() noexcept = default;
    /// For the library: roles make it.
    shared_array(std::shared_ptr<detail::shared_region> region, std::size_t size) noexcept
        : region_{std::move(region)},
          first_{std::launder(static_cast<T*>(region_->data()))},
          size_{size} {}

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] T* data() const noexcept { return first_; }
    /// \pre `index < size()`
    [[nodiscard]] T& operator[](std::size_t index) const noexcept { return first_[index]; }
    [[nodiscard]] iterator begin() const noexcept { return first_; }
    [[nodiscard]] iterator end() const noexcept { return first_ + size_; }
    /// Good for as long as a handle lives in this process.
    [[nodiscard]] std::span<T> span() const noexcept { return {first_, size_}; }

private:
    std::shared_ptr<detail::shared_region> region_;
    T* first_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SHARED_MEMORY_SHARED_ARRAY_HPP
