// SPDX-License-Identifier: MIT
#ifndef CLUSTER_IPC_CARRIER_HPP
#define CLUSTER_IPC_CARRIER_HPP

#include "../byte_buffer.hpp"
#include "../detail/chrono.hpp"
#include "../detail/memory.hpp"
#include "../detail/moved_value.hpp"
#include "../detail/os.hpp"
#include "../detail/ring_queue.hpp"
#include "../unique_fd.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Descriptors that go with a frame: `owned` ones are closed once they are sent, those that only
/// stand in `numbers` are the caller's, who keeps them open until then.
struct descriptor_list {
    descriptor_list() = default;
    explicit descriptor_list(std::vector<int> borrowed) : numbers{std::move(borrowed)} {}
    explicit descriptor_list(unique_fd one) {
        if (one) {
            add(std::move(one));
        }
    }

    std::vector<int> numbers;
    std::vector<unique_fd> owned;

private:
    void add(unique_fd one) { // few messages have one: the constructor stays small
        numbers.push_back(one.get());
        owned.push_back(std::move(one));
    }
};

/// What a channel has to send, in the order of the stream: the frames that were encoded in the
/// carrier's own memory, and behind them those that wait in `bytes`.
struct outbox {
    struct passed_descriptors {
        std::uint64_t offset; // of the frame's first byte in the stream
        descriptor_list list;
    };

    byte_buffer bytes;
    std::span<std::byte>
        window{};            // memory of the carrier's for the next frames, if `bytes` is empty
    std::size_t encoded = 0; // bytes of frames in front of the window, told by the next push()
    std::uint64_t sent = 0;  // bytes of the stream that the carrier has taken
    ring_queue<passed_descriptors> passed;
    std::vector<int> room; // for the descriptors of a frame, whatever it has in it
    ring_queue<std::unique_ptr<moved_value>> values; // of the frames in `bytes`
    std::size_t weight = 0;                          // of `values`

    /// The first descriptors have left; those that were borrowed leave the room for others.
    void pop_passed() noexcept {
        if (passed.front().list.owned.empty()) {
            room = std::move(passed.front().list.numbers);
        }
        passed.pop_front(); // closes our copies
    }

    [[nodiscard]] std::size_t size() const noexcept { return encoded + bytes.size() + weight; }
    [[nodiscard]] std::uint64_t end() const noexcept { return sent + encoded + bytes.size(); }

    /// Before borrowed descriptors close: copies those that wait to be sent.
    /// \returns false when the system is out of descriptors; then they must stay open.
    [[nodiscard]] bool keep_descriptors() {
        for (auto& each : passed) {
            while (each.list.owned.size() != each.list.numbers.size()) {
                auto& number = each.list.numbers[each.list.owned.size()];
                unique_fd copy{os::duplicate(number)};
                if (!copy) {
                    return false;
                }
                number = copy.get();
                each.list.owned.push_back(std::move(copy));
            }
        }
        return true;
    }

    void clear() noexcept {
        bytes.clear();
        window = {};
        encoded = 0;
        passed.clear();
        values.clear();
        weight = 0;
    }
};

/// What has arrived at a channel and is not delivered yet.
struct inbox {
    struct batch {
        std::vector<unique_fd> owned;
        bool truncated = false;
    };

    byte_buffer bytes;
    std::span<const std::byte>
        view{};                    // instead of them, if there are none: where the carrier has them
    ring_queue<batch> descriptors; // each of the next frame that has any
    std::vector<unique_fd> room;   // for the descriptors of a frame, empty
    ring_queue<std::unique_ptr<moved_value>> values;

    [[nodiscard]] std::span<const std::byte> next() const noexcept {
        return view.empty() ? bytes.span() : view;
    }
    void add(os::received_descriptors& came) {
        descriptors.push_back({came.take(std::exchange(room, {})), came.truncated});
    }
    /// The frame was delivered: the room of its descriptors is there for others.
    void reuse(std::vector<unique_fd>& delivered) noexcept {
        if (delivered.capacity() != 0) {
            delivered.clear();
            room = std::move(delivered);
        }
    }
    void consume(std::size_t count) noexcept {
        view.empty() ? bytes.consume_front(count) : void(view = view.subspan(count));
    }
    void clear() noexcept {
        bytes.clear();
        view = {};
        descriptors.clear();
        values.clear();
    }
};

/// What takes the frames of a channel to its peer and brings the peer's: the bytes in their order,
/// and what belongs to them. One end; never blocks but in wait_for_room(). Same thread as the
/// channel. Programs have only the carriers that they make.
class carrier {
public:
    enum class result {
        done,    // everything has left
        blocked, // until there is room, see room_signal()
        pressed, // by a limit of the system's, not of the peer's: to be tried again soon
        broken,  // the peer takes nothing any more
    };

    carrier() = default;
    carrier(carrier&&) = delete;
    carrier& operator=(carrier&&) = delete;
    virtual ~carrier() = default;

    /// Readable when something has arrived, or the peer is gone.
    [[nodiscard]] virtual int descriptor() const noexcept = 0;
    /// Where the descriptor does not tell what comes silently: tells it by an edge, and that there
    /// is room again. Else -1. hear() is to be called first when it has rung.
    [[nodiscard]] virtual int bell() const noexcept { return -1; }
    virtual void hear() noexcept {}
    /// What the descriptor becomes when there is room again.
    [[nodiscard]] virtual os::io room_signal() const noexcept = 0;
    /// To be called first when the descriptor is ready.
    virtual void clear(inbox&) {}

    /// Sends what it can from the front and counts it as sent. A descriptor leaves before the
    /// second byte of its frame.
    virtual result push(outbox& from) = 0;
    /// Takes some of what has arrived. EAGAIN: nothing, and the descriptor will tell when there is
    /// something. No bytes and no error: the peer is gone and everything of it was taken. EPROTO:
    /// the peer broke the rules.
    virtual os::transfer pull(inbox& into) = 0;
    /// Blocks until something has arrived, the peer is gone, or the time is over (-1: for ever).
    /// \returns false in the last case
    virtual bool wait_for_news(int milliseconds) {
        return os::wait_for(descriptor(), false, milliseconds);
    }
    /// Blocks until push() has a chance, or the time is over.
    virtual void wait_for_room(std::chrono::milliseconds limit) = 0;

    /// Whether more may have arrived without a sign, which is only given after arm().
    /// \returns of arm(): whether something has arrived before
    [[nodiscard]] virtual bool arrives_silently() const noexcept { return false; }
    virtual bool arm() { return false; }
    /// Looks for it while the loop has nothing else to do, for so long; 0: not at all.
    [[nodiscard]] virtual std::chrono::microseconds spins() const noexcept { return {}; }
    [[nodiscard]] virtual bool has_news() noexcept { return false; }

    [[nodiscard]] virtual bool is_between_threads() const noexcept { return false; }
    /// For a carrier that takes its place.
    [[nodiscard]] virtual unique_fd release_socket() noexcept { return {}; }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_IPC_CARRIER_HPP
