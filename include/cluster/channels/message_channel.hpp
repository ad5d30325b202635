// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHANNELS_MESSAGE_CHANNEL_HPP
#define CLUSTER_CHANNELS_MESSAGE_CHANNEL_HPP

#include "../detail/os.hpp"
#include "../net/handle.hpp"
#include "../unique_fd.hpp"

#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

/// Two ends that are connected with each other, for messages of type `T` both ways. Each is moved to
/// where it is needed: into a message_port in an event loop of this process, or with a message to
/// another worker, which makes the port of the handle that it gets, or passes it on.
///
///     auto [mine, theirs] = cluster::message_channel<job>::create();
///     worker.send(take_this{}, std::move(theirs));
///     cluster::message_port<job> port{primary.loop(), std::move(mine)};
template <typename T>
class message_channel {
public:
    /// One end at rest: nothing has been read of what the other one has sent. Closes when it goes.
    class end {
    public:
        end() noexcept = default;

        [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(socket_); }
        /// For send(message, std::move(end)).
        operator handle() && noexcept { return handle{std::move(socket_)}; }

    private:
        friend class message_channel;
        explicit end(unique_fd socket) noexcept : socket_{std::move(socket)} {}

        unique_fd socket_;
    };

    /// \throws std::system_error when the system has no descriptors left.
    [[nodiscard]] static std::pair<end, end> create() {
        std::error_code error;
        auto ends = create(error);
        if (error) {
            throw std::system_error(error, "message_channel");
        }
        return ends;
    }
    /// The same without exceptions; with an error the ends are empty.
    [[nodiscard]] static std::pair<end, end> create(std::error_code& error) noexcept {
        unique_fd one;
        unique_fd other;
        error = detail::os::make_channel(one, other);
        return {end{std::move(one)}, end{std::move(other)}};
    }
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHANNELS_MESSAGE_CHANNEL_HPP
