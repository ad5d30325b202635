// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_STANDBY_HPP
#define CLUSTER_DETAIL_STANDBY_HPP

#include "../ipc/frame.hpp"
#include "../unique_fd.hpp"
#include "os.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What a spare does until it is a worker: its side of spare_pool. In place of a channel it has a
/// cord, by which it gets one when it is needed.
class standby {
public:
    /// \pre a frame of the kind `reserve` waits in the cord
    explicit standby(unique_fd cord) : cord_{std::move(cord)} { show_title(); }

    /// Blocks until this process is a worker. When the primary is gone first, the process ends at
    /// once, as nothing of the program has run in it.
    /// \returns the channel, under the number that the cord had
    unique_fd wait() {
        std::array<std::byte, frame_header_size> start{};
        encode_header({0, frame_kind::reserve, 0, 0, 0}, start);
        os::send(cord_.get(), start);
        for (;;) {
            os::wait_for(cord_.get(), false, -1);
            os::received_descriptors came;
            auto got = os::receive_with_descriptors(cord_.get(), start, came);
            if (got.would_block()) {
                continue;
            }
            if (got.bytes != start.size() || came.count() != 1) {
                os::exit_now(got.bytes == 0 ? 0 : 1);
            }
            int number = cord_.get();
            if (!os::replace_descriptor(number, came.take().front().get())) {
                os::exit_now(1);
            }
            os::set_close_on_exec(number);
            return std::move(cord_);
        }
    }

private:
    // For ps and top; what it is called as a worker comes with the welcome.
    void show_title() {
        std::array<std::byte, frame_header_size> start{};
        frame_header header;
        os::receive(cord_.get(), start);
        static_cast<void>(decode_header(start, direction::to_worker, header));
        std::vector<std::byte> title(header.length);
        if (!title.empty() && os::receive(cord_.get(), title).bytes == title.size()) {
            os::set_process_title({reinterpret_cast<const char*>(title.data()), title.size()});
            os::set_thread_name("spare");
        }
    }

    unique_fd cord_;
};

/// Whether this is the first frame that waits in the descriptor, a channel or a cord: the primary
/// writes it before the process starts.
inline bool begins_with(frame_kind kind, int fd) noexcept {
    std::array<std::byte, frame_header_size> start{};
    frame_header header;
    return os::peek(fd, start).bytes == start.size() &&
           decode_header(start, direction::to_worker, header) == errc{} && header.kind == kind;
}

/// The channel of a worker. Blocks for as long as this process is only a spare.
inline unique_fd await_role(unique_fd channel_or_cord) {
    return begins_with(frame_kind::reserve, channel_or_cord.get())
               ? standby{std::move(channel_or_cord)}.wait()
               : std::move(channel_or_cord);
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_STANDBY_HPP
