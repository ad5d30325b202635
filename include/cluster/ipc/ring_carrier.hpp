// SPDX-License-Identifier: MIT
#ifndef CLUSTER_IPC_RING_CARRIER_HPP
#define CLUSTER_IPC_RING_CARRIER_HPP

#include "../detail/byte_ring.hpp"
#include "../detail/ring_bells.hpp"
#include "../detail/ring_page.hpp"
#include "carrier.hpp"
#include "frame.hpp"
#include "socket_carrier.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Frames through memory that both processes have, beside the socket that they have anyway. The
/// socket carries the frame that the primary sends first, with which the memory goes; descriptors,
/// one byte with each batch, always before their frame begins in the ring; and the end of the peer,
/// whose ring outlives it and is read to its end. A bell is rung only for a side that has said that
/// it sleeps.
///
/// The worker trusts the primary and reads frames where they are. The primary copies before it
/// looks: what a worker writes may change at any time.
class ring_carrier final : public carrier {
public:
    ring_carrier(unique_fd socket,
                 ring_mapping memory,
                 ring_bells bells,
                 direction incoming,
                 std::chrono::microseconds spins)
        : socket_{std::move(socket)},
          memory_{std::move(memory)},
          bells_{std::move(bells)},
          lends_{incoming == direction::to_worker},
          first_by_socket_{incoming == direction::to_primary},
          spins_{spins},
          incoming_{lends_ ? memory_.page().to_worker : memory_.page().to_primary},
          outgoing_{lends_ ? memory_.page().to_primary : memory_.page().to_worker},
          reader_{incoming_.positions,
                  lends_ ? memory_.to_worker() : memory_.to_primary(),
                  memory_.ring_size()},
          writer_{outgoing_.positions,
                  lends_ ? memory_.to_primary() : memory_.to_worker(),
                  memory_.ring_size()} {}

    [[nodiscard]] inline int descriptor() const noexcept override { return socket_.get(); }
    [[nodiscard]] inline os::io room_signal() const noexcept override {
        return waits_for_socket_ ? os::io::writable : os::io::none;
    }
    [[nodiscard]] inline int bell() const noexcept override { return bells_.heard.get(); }
    inline void hear() noexcept override { bells_.hear(); }
    inline void clear(inbox& into) override;
    inline result push(outbox& from) override;
    inline os::transfer pull(inbox& into) override;
    inline bool wait_for_news(int milliseconds) override {
        const bool there = os::wait_for_either(socket_.get(), bell(), milliseconds);
        bells_.hear();
        bells_.quiet();
        return there;
    }
    inline void wait_for_room(std::chrono::milliseconds limit) override {
        const int milliseconds = static_cast<int>(limit.count());
        waits_for_socket_ ? os::wait_for(socket_.get(), true, milliseconds)
                          : wait_for_news(milliseconds);
    }
    [[nodiscard]] inline bool arrives_silently() const noexcept override { return true; }
    inline bool arm() override {
        bells_.quiet();
        incoming_.reader_sleeps.set();
        return has_news();
    }
    [[nodiscard]] inline std::chrono::microseconds spins() const noexcept override {
        return spins_;
    }
    [[nodiscard]] inline unique_fd release_socket() noexcept override { return std::move(socket_); }
    [[nodiscard]] inline bool has_news() noexcept override {
        return reader_.available() > seen_ || reader_.is_broken() || broken_;
    }

private:
    result push_bytes(outbox& from);
    result push_by_socket(outbox& from);
    void publish() noexcept {
        writer_.publish();
        if (outgoing_.reader_sleeps.take()) {
            bells_.ring();
        }
    }
    void release(std::size_t count) noexcept {
        reader_.advance(count);
        reader_.release();
        left_ -= count < left_ ? count : left_;
        if (incoming_.writer_waits.take()) {
            bells_.ring();
        }
    }

    unique_fd socket_;
    ring_mapping memory_;
    ring_bells bells_;
    bool lends_;
    bool first_by_socket_;
    bool waits_for_socket_ = false;
    bool ended_ = false;
    bool broken_ = false;
    std::chrono::microseconds spins_;
    ring_page::one_way& incoming_;
    ring_page::one_way& outgoing_;
    ring_reader reader_;
    ring_writer writer_;
    std::uint64_t socket_until_ = 0; // the position in the stream up to which the socket carries it
    std::size_t lent_ = 0;           // of the next bytes: to the inbox, as its view
    std::size_t seen_ = 0;           // of the next bytes: a frame's beginning, nothing without more
    std::size_t left_ = 0;           // bytes to take since the peer is gone
};

// One batch of descriptors at most: those behind it are told of by the next call.
inline void ring_carrier::clear(inbox& into) {
    if (ended_ || broken_) {
        return;
    }
    std::array<std::byte, 64> bytes;
    os::received_descriptors descriptors;
    auto got = os::receive_with_descriptors(socket_.get(), bytes, descriptors);
    if (got.would_block()) {
        return;
    }
    if (got.error != 0 || got.bytes == 0) { // ECONNRESET: it died with our descriptors unread
        ended_ = true;
        left_ = reader_.available();
    } else if (got.bytes == 1 && (descriptors.count() != 0 || descriptors.truncated)) {
        into.add(descriptors);
    } else {
        broken_ = true;
    }
}

inline carrier::result ring_carrier::push(outbox& from) {
    if (ended_) {
        return result::broken;
    }
    writer_.advance(from.encoded);
    from.sent += std::exchange(from.encoded, 0);
    from.window = {};
    waits_for_socket_ = false;
    auto state = push_by_socket(from);
    if (state == result::done) {
        state = push_bytes(from);
    }
    publish();
    if (state == result::done) {
        from.window = writer_.space();
    }
    return writer_.is_broken() ? result::broken : state;
}

// The first frame is the one that is there when we are called first.
inline carrier::result ring_carrier::push_by_socket(outbox& from) {
    if (std::exchange(first_by_socket_, false)) {
        socket_until_ = from.end();
    }
    while (from.sent < socket_until_) {
        auto state = result_of(socket_carrier::send_some(socket_.get(), from));
        if (state != result::done) {
            waits_for_socket_ = true;
            return state;
        }
    }
    return result::done;
}

inline carrier::result ring_carrier::push_bytes(outbox& from) {
    while (!from.bytes.empty()) {
        if (!from.passed.empty() && from.passed.front().offset == from.sent) {
            publish(); // all before it, so that the peer never has more than one batch too early
            constexpr std::byte mark{};
            auto state = result_of(os::send_with_descriptors(
                socket_.get(), {&mark, 1}, from.passed.front().list.numbers));
            if (state != result::done) {
                waits_for_socket_ = true;
                return state;
            }
            from.pop_passed();
        }
        std::size_t most = from.passed.empty()
                               ? from.bytes.size()
                               : static_cast<std::size_t>(from.passed.front().offset - from.sent);
        std::size_t room = writer_.room();
        if (room == 0) {
            bells_.quiet();
            outgoing_.writer_waits.set();
            if (writer_.room() == 0) {
                return result::blocked;
            }
            continue;
        }
        std::size_t count = most < room ? most : room;
        writer_.put(from.bytes.span().first(count));
        from.bytes.consume_front(count);
        from.sent += count;
    }
    return result::done;
}

inline os::transfer ring_carrier::pull(inbox& into) {
    if (lent_ != 0) {
        release(lent_ - into.view.size());
        seen_ = into.view.size();
        lent_ = 0;
        into.view = {};
    }
    std::size_t there = reader_.available();
    if (broken_ || reader_.is_broken() || writer_.is_broken()) {
        return {0, EPROTO};
    }
    if (ended_) { // somebody else may hold the memory, and would go on for ever
        there = there < left_ ? there : left_;
    }
    if (there <= seen_) {
        return {0, ended_ ? 0 : EAGAIN};
    }
    std::size_t most = memory_.ring_size() / 2;
    std::size_t count = there < most ? there : most;
    if (lends_ && into.bytes.empty() && seen_ < most) { // else the frame is longer than that
        into.view = reader_.contents(count);
        lent_ = count;
    } else {
        into.bytes.append(reader_.contents(count));
        release(count);
        seen_ = 0;
    }
    return {count, 0};
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_IPC_RING_CARRIER_HPP
