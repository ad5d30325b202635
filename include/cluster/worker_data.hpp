// SPDX-License-Identifier: MIT
#ifndef CLUSTER_WORKER_DATA_HPP
#define CLUSTER_WORKER_DATA_HPP

#include "byte_buffer.hpp"
#include "detail/callable.hpp"
#include "detail/memory.hpp"
#include "detail/type_name.hpp"
#include "error.hpp"
#include "serialization/binary.hpp"
#include "serialization/concept.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {
struct worker_data_access;
} // namespace detail

/// A value that a worker starts with: `fork({.data = job{3}})` here, `self.data<job>()` there. A
/// thread reads the very object, which its replacements read, too, so it is const; a process gets a
/// copy by `serialization::binary`, and a value that this cannot encode fails the start with
/// `errc::not_supported`. Cheap to copy.
class worker_data {
public:
    worker_data() noexcept = default;
    /// Holds `value`; text as std::string.
    template <typename T>
        requires(!std::is_same_v<std::decay_t<T>, worker_data>)
    worker_data(T&& value) // implicit, as one designated initializer among others
        : held_{std::make_shared<holder<detail::message_type_of<std::decay_t<T>>>>(
              std::forward<T>(value))} {}

    [[nodiscard]] explicit operator bool() const noexcept { return held_ != nullptr; }

private:
    friend struct detail::worker_data_access;

    struct base {
        base() = default;
        base(base&&) = delete;
        base& operator=(base&&) = delete;
        virtual ~base() = default;
        [[nodiscard]] virtual std::uint32_t type() const noexcept = 0;
        virtual bool encode(byte_buffer& out) const = 0;
    };
    template <typename T>
    struct holder final : base {
        explicit holder(T from) : value{std::move(from)} {}
        [[nodiscard]] inline std::uint32_t type() const noexcept override {
            return detail::message_id<T>();
        }
        inline bool encode(byte_buffer& out) const override {
            if constexpr (encodes<serialization::binary, T>) {
                serialization::binary{}.encode(value, out);
                return true;
            } else {
                return static_cast<void>(out), false;
            }
        }
        T value;
    };

    std::shared_ptr<const base> held_;
};

namespace detail {

/// What stands behind a worker_data.
struct worker_data_access {
    static std::uint32_t type(const worker_data& of) noexcept {
        return of.held_ ? of.held_->type() : 0;
    }
    /// \returns false for a type that cannot be encoded.
    static bool encode(const worker_data& from, byte_buffer& out) {
        return !from.held_ || from.held_->encode(out);
    }
    /// The object itself, in its own process; null when it is of another type.
    template <typename T>
    static const T* get(const worker_data& from) noexcept {
        return type(from) == detail::message_id<T>()
                   ? &static_cast<const worker_data::holder<T>&>(*from.held_).value
                   : nullptr;
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_WORKER_DATA_HPP
