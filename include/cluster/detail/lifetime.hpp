// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_LIFETIME_HPP
#define CLUSTER_DETAIL_LIFETIME_HPP

#include "memory.hpp"

#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Tasks of an object that its loop may outlive: what `guard` returns does nothing once the object
/// is gone. Declare it last, so that it ends first.
class lifetime {
public:
    lifetime() = default;
    lifetime(lifetime&&) = delete;
    lifetime& operator=(lifetime&&) = delete;

    template <typename F>
    [[nodiscard]] auto guard(F task) const {
        return [watched = std::weak_ptr<const char>{alive_}, task = std::move(task)]() mutable {
            if (!watched.expired()) {
                task();
            }
        };
    }

private:
    std::shared_ptr<const char> alive_ = std::make_shared<const char>('\0');
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_LIFETIME_HPP
