// SPDX-License-Identifier: MIT
#ifndef CLUSTER_IPC_SOCKET_CARRIER_HPP
#define CLUSTER_IPC_SOCKET_CARRIER_HPP

#include "carrier.hpp"

#include <cerrno>
#include <cstddef>
#include <span>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What a system call that sends has come to.
inline carrier::result result_of(const os::transfer& sent) noexcept {
    if (sent.error == 0) {
        return carrier::result::done;
    }
    if (sent.would_block()) {
        return carrier::result::blocked;
    }
    return sent.error == ETOOMANYREFS || sent.error == ENOBUFS || sent.error == ENOMEM
               ? carrier::result::pressed
               : carrier::result::broken;
}

/// Frames through a UNIX stream socket, many in one system call. At most one frame with descriptors
/// is in a call, as its first: so each batch that arrives belongs to the next such frame.
class socket_carrier final : public carrier {
public:
    explicit socket_carrier(unique_fd socket) noexcept : socket_{std::move(socket)} {}

    [[nodiscard]] inline int descriptor() const noexcept override { return socket_.get(); }
    [[nodiscard]] inline os::io room_signal() const noexcept override { return os::io::writable; }
    inline result push(outbox& from) override;
    inline os::transfer pull(inbox& into) override;
    inline void wait_for_room(std::chrono::milliseconds limit) override {
        os::wait_for(socket_.get(), true, static_cast<int>(limit.count()));
    }
    [[nodiscard]] inline unique_fd release_socket() noexcept override { return std::move(socket_); }

    /// Sends the first of the bytes and what belongs to them, by one system call.
    static os::transfer send_some(int socket, outbox& from) {
        bool passes = !from.passed.empty() && from.passed.front().offset == from.sent;
        std::size_t most = from.bytes.size();
        std::size_t next_passing = passes ? 1 : 0;
        if (from.passed.size() > next_passing) {
            most = static_cast<std::size_t>(from.passed[next_passing].offset - from.sent);
        }
        auto bytes = from.bytes.span().first(most);
        auto sent = passes
                        ? os::send_with_descriptors(socket, bytes, from.passed.front().list.numbers)
                        : os::send(socket, bytes);
        if (sent.error == 0) {
            if (passes) {
                from.pop_passed();
            }
            from.sent += sent.bytes;
            from.bytes.consume_front(sent.bytes);
        }
        return sent;
    }

private:
    // What is read at once: much from a peer that had much to say the last time, a message of 64 KiB
    // as a whole, little from the others, whose buffers stay.
    static constexpr std::size_t small_step = 1024;
    static constexpr std::size_t big_step = 68 * 1024;

    os::transfer pull_step(inbox& into, std::size_t most);

    unique_fd socket_;
    std::size_t step_ = small_step;
};

inline carrier::result socket_carrier::push(outbox& from) {
    auto state = result::done;
    while (state == result::done && !from.bytes.empty()) {
        state = result_of(send_some(socket_.get(), from));
    }
    return state;
}

inline os::transfer socket_carrier::pull(inbox& into) {
    auto got = pull_step(into, step_);
    if (step_ == small_step &&
        got.bytes == small_step) { // a longer message, or many: no turn between
        auto more = pull_step(into, big_step);
        got.bytes += more.error == 0 ? more.bytes : 0; // what else it says comes again
    }
    step_ = got.bytes >= small_step ? big_step : small_step;
    return got;
}

inline os::transfer socket_carrier::pull_step(inbox& into, std::size_t most) {
    std::size_t size = into.bytes.size();
    std::span<std::byte> room{into.bytes.extend(most), most};
    os::received_descriptors descriptors;
    auto got = os::receive_with_descriptors(socket_.get(), room, descriptors);
    into.bytes.truncate(size + got.bytes);
    if (got.error == 0 && (descriptors.count() != 0 || descriptors.truncated)) {
        into.add(descriptors);
    }
    return got;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_IPC_SOCKET_CARRIER_HPP
