// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_BROADCAST_FUNCTIONS_HPP
#define CLUSTER_DETAIL_BROADCAST_FUNCTIONS_HPP

#include "../channels/broadcast_channel.hpp"

#include <string>
#include <string_view>
#include <system_error>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The broadcast channels of a role. `Derived` has `hub()`, a std::shared_ptr.
template <typename Derived, typename Serializer>
class broadcast_functions {
public:
    /// Takes part in what is posted under `name`, as long as the result lives.
    /// \throws std::system_error: `std::errc::invalid_argument` (no name), `filename_too_long` (more
    /// than 255 bytes), `no_space_on_device` (more than 1024 names).
    template <typename T>
    [[nodiscard]] cluster::broadcast_channel<T, Serializer>
    broadcast_channel(std::string_view name) {
        std::error_code error;
        auto made = broadcast_channel<T>(name, error);
        if (error) {
            throw std::system_error(error, "broadcast_channel \"" + std::string{name} + '"');
        }
        return made;
    }
    /// The same without exceptions; with an error the result is closed.
    template <typename T>
    [[nodiscard]] cluster::broadcast_channel<T, Serializer>
    broadcast_channel(std::string_view name, std::error_code& error) {
        return {static_cast<Derived&>(*this).hub(), name, error};
    }

protected:
    ~broadcast_functions() = default;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_BROADCAST_FUNCTIONS_HPP
