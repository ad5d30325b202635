// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHILD_PARENT_CHANNEL_HPP
#define CLUSTER_CHILD_PARENT_CHANNEL_HPP

#include "../detail/environment_block.hpp"
#include "../detail/flush_at_exit.hpp"
#include "../detail/os.hpp"
#include "../detail/role.hpp"
#include "../error.hpp"
#include "../event_loop.hpp"
#include "../fwd.hpp"
#include "../serialization/binary.hpp"
#include "../unique_fd.hpp"
#include "program_port.hpp"

#include <string>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The channel that this process was started with, if by fork_program(): looked up once, and taken
/// out of the environment, so that its own children know nothing of it.
struct parent_link {
    unique_fd channel;

    static parent_link& instance() {
        static parent_link only = find();
        return only;
    }

private:
    static parent_link find() {
        parent_link result;
        auto text = os::take_variable(std::string{parent_variable});
        if (text == std::to_string(channel_descriptor) && is_channel(channel_descriptor)) {
            os::set_close_on_exec(channel_descriptor);
            result.channel.reset(channel_descriptor);
        }
        return result;
    }
};

} // namespace detail

/// The end of the messages in a program that fork_program() has started. Make it before other code
/// starts threads or children. It keeps the loop running until the parent disconnects or is gone
/// (event::disconnect). What was sent is handed over before it goes, and at std::exit(), too.
///
/// A program may be a cluster's primary and have a parent as well; a worker has none but its
/// primary.
template <typename Serializer>
class basic_parent_channel final : public basic_program_port<Serializer> {
public:
    /// Whether this process was started by fork_program() and nobody has taken the channel yet.
    [[nodiscard]] static bool exists() {
        return static_cast<bool>(detail::parent_link::instance().channel);
    }

    /// \throws std::system_error: `errc::bad_descriptor` without a channel, `errc::protocol_mismatch`
    /// when the parent is of another version or has another serializer.
    explicit basic_parent_channel(event_loop& loop)
        : basic_program_port<Serializer>{loop, detail::direction::to_worker},
          flusher_{this->channel_, true} {
        auto error = exists() ? this->join(std::move(detail::parent_link::instance().channel))
                              : make_error_code(errc::bad_descriptor);
        if (error) {
            throw std::system_error(error, "parent_channel");
        }
    }

    /// Blocks until everything that was sent has been handed to the system; for code that is about
    /// to leave by other ways than the end of main() and std::exit().
    void flush() noexcept { this->channel_.flush_blocking(detail::port_core::flush_limit); }

private:
    detail::flush_at_exit flusher_;
};

using parent_channel = basic_parent_channel<serialization::binary>;

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHILD_PARENT_CHANNEL_HPP
