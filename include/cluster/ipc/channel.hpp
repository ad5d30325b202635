// SPDX-License-Identifier: MIT
#ifndef CLUSTER_IPC_CHANNEL_HPP
#define CLUSTER_IPC_CHANNEL_HPP

#include "../byte_buffer.hpp"
#include "../detail/chrono.hpp"
#include "../detail/function_ref.hpp"
#include "../detail/memory.hpp"
#include "../detail/move_only_function.hpp"
#include "../detail/os.hpp"
#include "../detail/ring_queue.hpp"
#include "../detail/turn_hook.hpp"
#include "../error.hpp"
#include "../event_loop.hpp"
#include "../send_result.hpp"
#include "../unique_fd.hpp"
#include "carrier.hpp"
#include "frame.hpp"
#include "socket_carrier.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// Called once when a message has been handed to the system, or with the error that it never was.
/// It is no receipt.
using send_completion = detail::move_only_function<void(std::error_code)>;

namespace detail {

/// Appends the payload of a frame.
using payload_encoder = function_ref<void(byte_buffer&)>;

/// Who a channel reports to; every call comes from the loop or, for on_frame, from wait().
class channel_owner {
public:
    virtual void on_frame(frame& arrived) = 0;
    /// Everything that waited has been sent after send() answered `queued` or `full`.
    virtual void on_channel_drained() = 0;
    /// The peer closed or died; everything that it sent has been delivered before.
    virtual void on_channel_end() = 0;
    /// The peer broke the rules. The channel is closed; what it still sends is not read.
    virtual void on_violation(errc what) = 0;

protected:
    ~channel_owner() = default;
};

/// One end of the stream of frames between a primary and a worker. Frames that are sent in one turn
/// of the loop leave together at its end; a descriptor leaves with the first byte of its frame.
///
/// Never blocks, except in the calls that say so. Same thread as the loop.
class channel {
public:
    static constexpr std::size_t high_water_mark = 128 * 1024;
    /// Beyond this nothing more is taken, except one message into an empty queue.
    static constexpr std::size_t hard_limit = 64 * 1024 * 1024;

    channel(event_loop& loop, channel_owner& owner, direction incoming) noexcept
        : loop_{loop}, owner_{owner}, incoming_{incoming} {}
    ~channel() { close(); }

    /// Takes the socket and starts to read.
    std::error_code open(unique_fd socket) {
        return open(std::make_unique<socket_carrier>(std::move(socket)));
    }
    std::error_code open(std::unique_ptr<carrier> by) {
        carrier_ = std::move(by);
        between_threads_ = carrier_->is_between_threads();
        listen_closely();
        std::error_code error;
        if (carrier_->bell() != -1) {
            error = bell_watch_.start<&channel::on_bell>(
                loop_, carrier_->bell(), os::io::readable | os::io::edge, *this);
            bell_watch_.keep_alive(false); // the other one says whether the loop goes on
        }
        return error ? error
                     : watch_.start<&channel::on_ready>(
                           loop_, carrier_->descriptor(), os::io::readable, *this);
    }
    /// The stream goes on by what `make(unique_fd, std::error_code&)` makes of the socket. \pre
    /// nothing waits to be sent, and every frame that the peer has sent by the socket was read
    template <typename Make>
    std::error_code change_carrier(Make make) {
        watch_.stop();
        in_.bytes.clear(); // marks of descriptors, which are there for frames to come
        std::error_code error;
        auto next = make(carrier_->release_socket(), error);
        return error ? error : open(std::move(next));
    }

    [[nodiscard]] bool is_open() const noexcept { return carrier_ != nullptr; }
    [[nodiscard]] bool is_between_threads() const noexcept { return between_threads_; }
    [[nodiscard]] bool can_send() const noexcept { return is_open() && !broken_; }
    /// Bytes that wait, with the weight of objects among them.
    [[nodiscard]] std::size_t queued() const noexcept { return out_.size(); }

    /// Whether something waits to be read, the end included.
    [[nodiscard]] bool has_input() const noexcept {
        return dispatch_hook_.linked() || carrier_->has_news() ||
               os::wait_for(carrier_->descriptor(), false, 0);
    }

    /// The user's messages, requests and replies, with the bytes of their payloads.
    struct counters {
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
        std::uint64_t bytes_sent = 0;
        std::uint64_t bytes_received = 0;
    };
    [[nodiscard]] const counters& counted() const noexcept { return counters_; }

    /// Whether the loop reads: at once so when the channel opens. While it does not, the peer's
    /// frames wait, only wait() takes some, and the channel's end is not noticed.
    void read(bool on) noexcept {
        reading_ = on;
        if (!is_open()) {
            return;
        }
        if (watch_.active()) {
            watch_for(blocked_);
        } else if (on) { // stopped at the peer's end
            watch_.start<&channel::on_ready>(
                loop_, carrier_->descriptor(), os::io::readable, *this);
        }
        if (on) {
            loop_.at_turn_end(dispatch_hook_);
        }
    }

    /// Whether the open channel keeps its loop running.
    void keep_alive(bool on) noexcept { watch_.keep_alive(on); }

    /// Appends a frame whose payload `encode(byte_buffer&)` writes. What `encode` throws leaves
    /// from here and nothing is sent. The library's own frames (`urgent`) ignore the hard limit.
    send_result send(frame_header header,
                     payload_encoder encode,
                     descriptor_list&& descriptors = {},
                     send_completion&& completion = {},
                     bool urgent = false);

    /// Appends a message that is not encoded. \pre is_between_threads()
    send_result send_value(frame_header header,
                           std::unique_ptr<moved_value> value,
                           descriptor_list descriptors,
                           send_completion completion) {
        return send(
            header,
            [&](byte_buffer&) {
                auto weight = value->weight();
                out_.values.push_back(std::move(value));
                out_.weight += weight;
            },
            std::move(descriptors),
            std::move(completion));
    }

    /// A frame without payload that the library itself needs to get through.
    void send_control(frame_header header, descriptor_list descriptors = {}) {
        send(
            header, [](byte_buffer&) {}, std::move(descriptors), {}, true);
    }

    /// Sends what the socket takes now.
    void flush() noexcept;

    /// Memory for the numbers of borrowed descriptors, which send() gets; empty.
    [[nodiscard]] std::vector<int> descriptor_room() noexcept {
        auto room = std::exchange(out_.room, {});
        room.clear();
        return room;
    }

    /// Before borrowed descriptors close: see outbox.
    [[nodiscard]] bool keep_descriptors() { return out_.keep_descriptors(); }

    /// Blocks until everything has been sent, the peer is gone, or the time is over.
    void flush_blocking(std::chrono::milliseconds limit) noexcept;

    /// Blocks until a frame arrives for which `wanted(header)` holds and hands it to `take`; other
    /// frames keep their order and are delivered later by the loop.
    /// \returns false when the channel ended first, or at the deadline.
    bool wait(function_ref<bool(const frame_header&)> wanted,
              function_ref<void(frame&)> take,
              time_point deadline = time_point::max());

    /// Closes at once: what was not sent is dropped, what was not read is lost.
    void close() noexcept;

private:
    // In one turn, of a peer that is never silent.
    static constexpr std::size_t most_in_a_turn = 256 * 1024;
    // Frames in the carrier's memory that the peer has not been told of.
    static constexpr std::size_t most_untold = 4 * 1024;

    struct waiting_completion {
        std::uint64_t offset; // of the first byte behind the frame
        send_completion call;
    };
    struct stored_frame {
        frame_header header;
        byte_buffer payload;
        std::vector<unique_fd> descriptors;
        bool truncated = false;
        std::unique_ptr<moved_value> value;
    };

    void encode_frame(frame_header& header, payload_encoder encode, std::size_t descriptors);
    static void append_frame(frame_header& header, payload_encoder encode, byte_buffer& out);
    send_result queue();

    // An hour at most: it fits everywhere, and who waits looks again.
    static std::chrono::milliseconds time_until(time_point deadline) noexcept {
        using std::chrono::milliseconds;
        auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
        return left < milliseconds{0}
                   ? milliseconds{0}
                   : (left < std::chrono::hours{1} ? left : std::chrono::hours{1});
    }

    void complete(send_completion completion, std::error_code result) {
        if (completion) {
            loop_.defer([call = std::move(completion), result]() mutable { call(result); });
        }
    }

    void watch_for(bool room) noexcept {
        auto reading = reading_ ? os::io::readable : os::io::none;
        watch_.update(room ? reading | carrier_->room_signal() : reading);
    }
    void listen_closely() noexcept {
        if (carrier_->arrives_silently()) {
            loop_.before_sleep(silence_hook_, carrier_->spins());
        }
    }
    // Nothing is to do: from now on the peer has to wake us. Also while we look out for it.
    bool on_silence(bool sleeps) {
        bool news = is_open() && reading_ && (sleeps ? carrier_->arm() : carrier_->has_news());
        if (news) {
            loop_.at_turn_end(dispatch_hook_);
        }
        return news;
    }
    void on_ready(os::io what);
    void on_bell(os::io);
    void flush_now() { blocked_ ? void() : flush(); }
    void drained() { owner_.on_channel_drained(); }
    void complete_sent();
    void settle();
    void write_failed() noexcept;
    void retry_later();
    void finish();
    void violated(errc fault);

    void hand_to(function_ref<void(frame&)> take, frame& arrived);
    void deliver_kept();
    void dispatch();
    enum class parsed { frame, need_more, violation };
    parsed next(frame& into, errc& fault);
    errc take_descriptors(frame& into);

    event_loop& loop_;
    channel_owner& owner_;
    direction incoming_;
    std::unique_ptr<carrier> carrier_;
    std::unique_ptr<carrier> closed_;
    bool between_threads_ = false;
    io_watch watch_;
    io_watch bell_watch_;
    timer retry_;

    counters counters_;
    outbox out_;
    ring_queue<waiting_completion> completions_;
    bool blocked_ = false;
    bool broken_ = false; // writing failed; reading goes on to the end
    bool reading_ = true;
    bool dispatching_ = false;
    bool wants_drain_ = false;

    inbox in_;
    ring_queue<stored_frame> kept_; // by wait(), to be delivered before in_
    turn_hook flush_hook_ = turn_hook::for_member<channel, &channel::flush_now>(*this);
    turn_hook dispatch_hook_ = turn_hook::for_member<channel, &channel::dispatch>(*this);
    turn_hook drain_hook_ = turn_hook::for_member<channel, &channel::drained>(*this);
    silence_hook silence_hook_ = silence_hook::for_member<channel, &channel::on_silence>(*this);
};

inline send_result channel::send(frame_header header,
                                 payload_encoder encode,
                                 descriptor_list&& descriptors,
                                 send_completion&& completion,
                                 bool urgent) {
    if (!can_send()) {
        return complete(std::move(completion), errc::channel_closed), send_result::closed;
    }
    if (!urgent && queued() >= hard_limit) {
        wants_drain_ = true;
        return complete(std::move(completion), errc::would_block), send_result::full;
    }
    std::size_t queued_before = queued();
    std::uint64_t start = out_.end();
    encode_frame(header, encode, descriptors.numbers.size());
    if (header.kind >= frame_kind::message) {
        ++counters_.sent;
        counters_.bytes_sent += queued() - queued_before - frame_header_size;
    }
    if (!descriptors.numbers.empty()) {
        out_.passed.push_back({start, std::move(descriptors)});
    }
    if (completion) {
        completions_.push_back({out_.end(), std::move(completion)});
    }
    return queue();
}

// Encodes in the carrier's memory if it offers any and nothing waits, else behind what waits.
inline void
channel::encode_frame(frame_header& header, payload_encoder encode, std::size_t descriptors) {
    header.descriptors = static_cast<std::uint8_t>(descriptors);
    if (out_.bytes.empty() && descriptors == 0 && out_.window.size() > frame_header_size) {
        auto made = byte_buffer::over(out_.window);
        append_frame(header, encode, made);
        if (made.is_foreign()) {
            out_.window = out_.window.subspan(made.size());
            out_.encoded += made.size();
        } else if (out_.bytes.capacity() < made.size()) {
            out_.bytes = std::move(made);
        } else { // the storage that it has is worth more
            out_.bytes.append(made.span());
        }
        return;
    }
    struct undo { // an encoder that throws must leave no half frame
        byte_buffer& out;
        std::size_t size;
        bool armed = true;
        ~undo() {
            if (armed) {
                out.truncate(size);
            }
        }
    } guard{out_.bytes, out_.bytes.size()};
    append_frame(header, encode, out_.bytes);
    guard.armed = false;
}

inline void channel::append_frame(frame_header& header, payload_encoder encode, byte_buffer& out) {
    std::size_t start = out.size();
    static_cast<void>(out.extend(frame_header_size));
    encode(out);
    std::size_t length = out.size() - start - frame_header_size;
    if (length > rule_for(header.kind).longest) {
        throw std::system_error(make_error_code(errc::message_too_large), "send");
    }
    header.length = static_cast<std::uint32_t>(length);
    encode_header(header,
                  std::span<std::byte, frame_header_size>{out.data() + start, frame_header_size});
}

inline send_result channel::queue() {
    if ((queued() >= high_water_mark && !blocked_) || out_.encoded >= most_untold) {
        flush();
    }
    if (queued() != 0) {
        loop_.at_turn_end(flush_hook_);
    }
    if (!can_send()) {
        return send_result::closed;
    }
    bool behind = queued() >= high_water_mark;
    wants_drain_ = wants_drain_ || behind;
    return behind ? send_result::queued : send_result::ok;
}

inline void channel::on_ready(os::io what) {
    carrier_->clear(in_);
    if (what & carrier_->room_signal()) {
        blocked_ = false;
        flush();
    }
    if (is_open() && !reading_ && (what & os::io::hangup)) {
        watch_.stop(); // else it would be told again and again
    }
    if (!is_open() || !reading_ || !((what & os::io::readable) || (what & os::io::hangup))) {
        return;
    }
    if (!carrier_->arrives_silently()) {
        auto got = carrier_->pull(in_);
        if (got.would_block()) {
            return;
        }
        if (got.error != 0 || got.bytes == 0) { // ECONNRESET: it died with our frames unread
            if (!dispatch_hook_.linked()) {     // else first what a throwing handler has left
                finish();
            }
            return;
        }
    }
    dispatch();
}

inline void channel::on_bell(os::io) {
    carrier_->hear();
    if (blocked_) { // perhaps there is room
        blocked_ = false;
        flush();
    }
    if (is_open() && reading_) {
        dispatch();
    }
}

inline void channel::finish() {
    watch_.stop();
    bell_watch_.stop();
    owner_.on_channel_end();
}

inline void channel::violated(errc fault) {
    close();
    owner_.on_violation(fault == errc{} ? errc::bad_frame : fault);
}

inline channel::parsed channel::next(frame& into, errc& fault) {
    auto bytes = in_.next();
    if (bytes.size() < frame_header_size) {
        return parsed::need_more;
    }
    fault = decode_header(bytes.first<frame_header_size>(), incoming_, into.header);
    if (fault != errc{}) {
        return parsed::violation;
    }
    if (bytes.size() - frame_header_size < into.header.length) {
        return parsed::need_more;
    }
    fault = take_descriptors(into);
    if (fault != errc{}) {
        return parsed::violation;
    }
    into.value.reset();
    if (into.header.kind == frame_kind::moved) {
        if (in_.values.empty()) {
            fault = errc::bad_frame;
            return parsed::violation;
        }
        into.value = std::move(in_.values.front());
        in_.values.pop_front();
    }
    into.payload = bytes.subspan(frame_header_size, into.header.length);
    if (into.header.kind >= frame_kind::message) {
        ++counters_.received;
        counters_.bytes_received += into.content_size();
    }
    in_.consume(frame_header_size + into.header.length); // the bytes stay until more is read
    return parsed::frame;
}

inline errc channel::take_descriptors(frame& into) {
    into.descriptors.clear();
    into.truncated = false;
    if (into.header.descriptors == 0) {
        return {};
    }
    if (in_.descriptors.empty()) {
        carrier_->clear(in_); // they may be there without our having been told
    }
    if (in_.descriptors.empty()) {
        return errc::bad_frame;
    }
    into.descriptors = std::move(in_.descriptors.front().owned);
    into.truncated = in_.descriptors.front().truncated;
    in_.descriptors.pop_front();
    bool complete = into.descriptors.size() == into.header.descriptors;
    return complete || (into.truncated && into.descriptors.size() < into.header.descriptors)
               ? errc{}
               : errc::bad_frame;
}

inline void channel::deliver_kept() {
    auto stored = std::move(kept_.front());
    kept_.pop_front();
    frame arrived{stored.header,
                  stored.payload.span(),
                  std::move(stored.descriptors),
                  stored.truncated,
                  std::move(stored.value)};
    owner_.on_frame(arrived);
}

inline void channel::dispatch() {
    struct resume { // a handler that throws: the rest is delivered in the next turn
        channel& self;
        bool armed = true;
        ~resume() {
            self.dispatching_ = false;
            self.closed_.reset();
            if (armed && self.is_open() && self.reading_) {
                self.loop_.at_turn_end(self.dispatch_hook_);
            }
        }
    } guard{*this};
    dispatching_ = true;
    std::size_t pulled = 0;
    frame arrived; // each in its turn
    while (is_open() && reading_) {
        if (!kept_.empty()) {
            deliver_kept();
            continue;
        }
        errc fault{};
        auto state = next(arrived, fault);
        if (state == parsed::frame) {
            owner_.on_frame(arrived);
            in_.reuse(arrived.descriptors);
            continue;
        }
        bool silent = carrier_->arrives_silently();
        os::transfer got{0, EAGAIN};
        if (state == parsed::need_more && silent) {
            if (pulled >= most_in_a_turn) {
                return; // the others' turn
            }
            if (flush_hook_.linked()) { // the peer reads the answers while we tidy up
                flush_hook_.unlink();
                flush_now();
            }
            got = carrier_->pull(in_);
            pulled += got.bytes;
            if (got.bytes != 0) {
                continue;
            }
        }
        guard.armed = false;
        // A batch of descriptors that no frame asks for would be taken by the next one that does.
        std::size_t early = in_.next().empty() && !silent ? 0 : 1;
        if (state == parsed::violation || got.error == EPROTO || in_.descriptors.size() > early) {
            violated(fault);
        } else if (got.error != EAGAIN) {
            finish();
        } else {
            in_.bytes.shrink(4 * 1024);
            listen_closely();
        }
        return;
    }
}

// It may close the channel while the frame lies in the carrier's memory.
inline void channel::hand_to(function_ref<void(frame&)> take, frame& arrived) {
    struct delivery { // perhaps inside of another
        channel& self;
        bool inner = std::exchange(self.dispatching_, true);
        ~delivery() {
            self.dispatching_ = inner;
            if (!inner) {
                self.closed_.reset();
            }
        }
    } guard{*this};
    take(arrived);
}

inline bool channel::wait(function_ref<bool(const frame_header&)> wanted,
                          function_ref<void(frame&)> take,
                          time_point deadline) {
    bool endless = deadline == time_point::max();
    flush_blocking(endless ? std::chrono::milliseconds::max() : time_until(deadline));
    while (is_open()) {
        frame arrived;
        errc fault{};
        auto state = next(arrived, fault);
        if (state == parsed::violation) { // the loop finds it, too, and reports it
            read(true);
            return false;
        }
        if (state == parsed::need_more) {
            auto got = carrier_->pull(in_);
            if (!got.would_block() && (got.error != 0 || got.bytes == 0)) {
                read(true);
                return false; // the loop will see the end, too
            }
            if (got.would_block() && !carrier_->arm()) {
                auto left = endless ? -1 : static_cast<int>(time_until(deadline).count());
                if (!carrier_->wait_for_news(left) && left == 0) {
                    return false;
                }
                carrier_->clear(in_);
            }
            continue;
        }
        if (wanted(arrived.header)) {
            hand_to(take, arrived);
            if (!is_open()) { // by who took it
                return true;
            }
            if (!kept_.empty() || in_.next().size() >= frame_header_size) {
                loop_.at_turn_end(dispatch_hook_);
            }
            listen_closely();
            return true;
        }
        stored_frame stored{arrived.header,
                            {},
                            std::move(arrived.descriptors),
                            arrived.truncated,
                            std::move(arrived.value)};
        stored.payload.append(arrived.payload);
        kept_.push_back(std::move(stored));
    }
    return false;
}

inline void channel::retry_later() {
    blocked_ = true; // a limit of the system, not of the peer: try again shortly
    watch_for(false);
    retry_.cancel();
    retry_ = loop_.after(std::chrono::milliseconds{10}, [this] {
        blocked_ = false;
        flush();
    });
}

inline void channel::flush() noexcept {
    if (!can_send() || queued() == 0) {
        return;
    }
    auto state = carrier_->push(out_);
    complete_sent(); // before the rest fails: the peer may have died in the middle
    if (state == carrier::result::broken) {
        write_failed();
        if (carrier_->arrives_silently()) {
            loop_.at_turn_end(dispatch_hook_); // which tells the end, or what the peer did
        }
        return;
    }
    settle();
    if (state == carrier::result::blocked) {
        blocked_ = true;
        watch_for(true);
    } else if (state == carrier::result::pressed) {
        retry_later();
    }
}

inline void channel::complete_sent() {
    while (!completions_.empty() && completions_.front().offset <= out_.sent) {
        complete(std::move(completions_.front().call), {});
        completions_.pop_front();
    }
}

// After something has left.
inline void channel::settle() {
    if (queued() == 0) {
        out_.bytes.shrink(2 * high_water_mark); // what a sender needs that is often behind
        watch_for(false);
        if (std::exchange(wants_drain_, false)) { // not from here: we are inside send() or worse
            loop_.at_turn_end(drain_hook_);
        }
    }
}

inline void channel::write_failed() noexcept {
    broken_ = true;
    out_.clear();
    for (auto& each : std::exchange(completions_, {})) {
        complete(std::move(each.call), errc::channel_closed);
    }
    if (is_open()) {
        watch_for(false);
    }
}

inline void channel::flush_blocking(std::chrono::milliseconds limit) noexcept {
    using clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds forever = std::chrono::hours{24 * 365};
    auto deadline = clock::now() + (limit < forever ? limit : forever);
    flush();
    while (can_send() && queued() != 0) {
        auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
        if (left <= 0) {
            return;
        }
        bool pressed = retry_.active(); // the peer has room, the system refuses
        std::int64_t slice = pressed ? 10 : 1000;
        slice = left < slice ? left : slice;
        if (pressed) {
            os::wait_for(-1, true, static_cast<int>(slice));
        } else {
            carrier_->wait_for_room(std::chrono::milliseconds{slice});
        }
        if (carrier_->arrives_silently()) { // what wakes us is, perhaps, for the reader
            carrier_->clear(in_);
            listen_closely();
        }
        blocked_ = false;
        flush();
    }
}

inline void channel::close() noexcept {
    if (!is_open()) {
        return;
    }
    watch_.stop();
    bell_watch_.stop();
    retry_.cancel();
    flush_hook_.unlink();
    dispatch_hook_.unlink();
    drain_hook_.unlink();
    silence_hook_.unlink();
    if (dispatching_) { // the frame that is being delivered may lie in the carrier's memory
        static_cast<void>(carrier_->release_socket());
        closed_ = std::move(carrier_);
    }
    carrier_.reset();
    write_failed();
    in_.clear();
    kept_.clear();
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_IPC_CHANNEL_HPP
