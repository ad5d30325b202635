// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_COUNTED_HPP
#define CLUSTER_DETAIL_COUNTED_HPP

#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Holds one reference of an object that counts its references itself: add_reference(), release().
template <typename T>
class counted {
public:
    counted() noexcept = default;
    /// Takes over a reference that is counted already.
    static counted adopt(T* object) noexcept {
        counted result;
        result.object_ = object;
        return result;
    }
    /// Counts one more.
    static counted share(T* object) noexcept {
        object->add_reference();
        return adopt(object);
    }

    counted(const counted& other) noexcept : object_{other.object_} {
        if (object_ != nullptr) {
            object_->add_reference();
        }
    }
    counted(counted&& other) noexcept : object_{std::exchange(other.object_, nullptr)} {}
    counted& operator=(counted other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~counted() {
        if (object_ != nullptr) {
            object_->release();
        }
    }

    [[nodiscard]] T* get() const noexcept { return object_; }
    [[nodiscard]] T* leak() noexcept { return std::exchange(object_, nullptr); }
    void reset() noexcept { counted gone{std::move(*this)}; }
    [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }
    T* operator->() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }

private:
    T* object_ = nullptr;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_COUNTED_HPP
