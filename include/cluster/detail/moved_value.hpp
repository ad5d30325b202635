// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_MOVED_VALUE_HPP
#define CLUSTER_DETAIL_MOVED_VALUE_HPP

#include "../serialization/detail/weight.hpp"

#include <cstddef>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Stands for a type within one program; its address counts.
template <typename T>
inline constexpr char type_mark = '\0';

/// A message on its way from one thread to another: the object itself.
class moved_value {
public:
    moved_value(moved_value&&) = delete;
    moved_value& operator=(moved_value&&) = delete;
    virtual ~moved_value() = default;

    /// Null when it is of another type.
    template <typename T>
    [[nodiscard]] T* get() noexcept;

    /// Bytes, for the marks at which a sender is held up: what an encoded message has in its
    /// payload.
    [[nodiscard]] std::size_t weight() const noexcept { return weight_; }

protected:
    explicit moved_value(const char* type) noexcept : type_{type} {}

    std::size_t weight_ = 0;

private:
    const char* type_;
};

template <typename T>
class moved final : public moved_value {
public:
    template <typename U>
    explicit moved(U&& from) : moved_value{&type_mark<T>}, value{std::forward<U>(from)} {
        weight_ = wire::weight_of(value);
    }

    T value;
};

template <typename T>
T* moved_value::get() noexcept {
    return type_ == &type_mark<T> ? &static_cast<moved<T>&>(*this).value : nullptr;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_MOVED_VALUE_HPP
