// SPDX-License-Identifier: MIT
#ifndef CLUSTER_IPC_CHANNEL_HPP
#define CLUSTER_IPC_CHANNEL_HPP

#include "../byte_buffer.hpp"
#include "../detail/chrono.hpp"
#include "../detail/move_only_function.hpp"
#include "../detail/os.hpp"
#include "../detail/ring_queue.hpp"
#include "../detail/thread_link.hpp"
#include "../detail/turn_hook.hpp"
#include "../error.hpp"
#include "../event_loop.hpp"
#include "../send_result.hpp"
#include "../unique_fd.hpp"
#include "frame.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
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

/// Descriptors that go with a frame: `owned` ones are closed once they are sent, those that only
/// stand in `numbers` are the caller's, who keeps them open until then.
struct descriptor_list {
    descriptor_list() = default;
    explicit descriptor_list(std::vector<int> borrowed) : numbers{std::move(borrowed)} {}
    explicit descriptor_list(unique_fd one) {
        if (one) {
            numbers.push_back(one.get());
            owned.push_back(std::move(one));
        }
    }

    std::vector<int> numbers;
    std::vector<unique_fd> owned;
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
        socket_ = std::move(socket);
        return watch_.start<&channel::on_ready>(loop_, descriptor(), os::io::readable, *this);
    }
    /// The same between threads of one process.
    std::error_code open(thread_link link) {
        link_ = std::move(link);
        between_threads_ = true;
        return watch_.start<&channel::on_ready>(loop_, descriptor(), os::io::readable, *this);
    }

    [[nodiscard]] bool is_open() const noexcept {
        return static_cast<bool>(socket_) || static_cast<bool>(link_);
    }
    [[nodiscard]] bool is_between_threads() const noexcept { return between_threads_; }
    [[nodiscard]] bool can_send() const noexcept { return is_open() && !broken_; }
    /// Bytes that wait, with the weight of objects among them.
    [[nodiscard]] std::size_t queued() const noexcept { return out_.size() + weight_; }

    /// Whether something waits to be read, the end included.
    [[nodiscard]] bool has_input() const noexcept {
        return dispatch_hook_.linked() || os::wait_for(descriptor(), false, 0);
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
            watch_.start<&channel::on_ready>(loop_, descriptor(), os::io::readable, *this);
        }
        if (on) {
            loop_.at_turn_end(dispatch_hook_);
        }
    }

    /// Whether the open channel keeps its loop running.
    void keep_alive(bool on) noexcept { watch_.keep_alive(on); }

    /// Appends a frame whose payload `encode(byte_buffer&)` writes. What `encode` throws leaves
    /// from here and nothing is sent. The library's own frames (`urgent`) ignore the hard limit.
    template <typename Encode>
    send_result send(frame_header header,
                     Encode&& encode,
                     descriptor_list descriptors = {},
                     send_completion completion = {},
                     bool urgent = false) {
        if (!can_send()) {
            return complete(std::move(completion), errc::channel_closed), send_result::closed;
        }
        if (!urgent && queued() >= hard_limit) {
            wants_drain_ = true;
            return complete(std::move(completion), errc::would_block), send_result::full;
        }
        std::size_t start = out_.size();
        std::size_t queued_before = queued();
        struct undo { // an encoder that throws must leave no half frame
            byte_buffer& out;
            std::size_t size;
            bool armed = true;
            ~undo() {
                if (armed) {
                    out.truncate(size);
                }
            }
        } guard{out_, start};
        static_cast<void>(out_.extend(frame_header_size));
        encode(out_);
        std::size_t length = out_.size() - start - frame_header_size;
        if (length > rule_for(header.kind).longest) {
            throw std::system_error(make_error_code(errc::message_too_large), "send");
        }
        guard.armed = false;
        header.length = static_cast<std::uint32_t>(length);
        if (header.kind >= frame_kind::message) {
            ++counters_.sent;
            counters_.bytes_sent += queued() - queued_before - frame_header_size;
        }
        header.descriptors = static_cast<std::uint8_t>(descriptors.numbers.size());
        encode_header(
            header,
            std::span<std::byte, frame_header_size>{out_.data() + start, frame_header_size});
        if (!descriptors.numbers.empty()) {
            passed_.push_back({sent_ + start, std::move(descriptors)});
        }
        if (completion) {
            completions_.push_back({sent_ + out_.size(), std::move(completion)});
        }
        return queue();
    }

    /// Appends a message that is not encoded. \pre is_between_threads()
    send_result send_value(frame_header header,
                           std::unique_ptr<moved_value> value,
                           descriptor_list descriptors,
                           send_completion completion) {
        return send(
            header,
            [&](byte_buffer&) {
                auto weight = value->weight();
                values_.push_back(std::move(value));
                weight_ += weight;
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

    /// Before borrowed descriptors close: copies those that wait to be sent.
    /// \returns false when the system is out of descriptors; then they must stay open.
    [[nodiscard]] bool keep_descriptors() {
        for (auto& each : passed_) {
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

    /// Blocks until everything has been sent, the peer is gone, or the time is over.
    void flush_blocking(std::chrono::milliseconds limit) noexcept;

    /// Blocks until a frame arrives for which `wanted(header)` holds and hands it to `take`; other
    /// frames keep their order and are delivered later by the loop.
    /// \returns false when the channel ended first, or at the deadline.
    template <typename Wanted, typename Take>
    bool wait(Wanted wanted, Take take, time_point deadline = time_point::max());

    /// Closes at once: what was not sent is dropped, what was not read is lost.
    void close() noexcept;

private:
    // What is read at once: much from a peer that has much to say, little from the others, whose
    // buffers stay.
    static constexpr std::size_t small_step = 4 * 1024;
    static constexpr std::size_t big_step = 64 * 1024;

    struct passed_descriptors {
        std::uint64_t offset; // of the frame's first byte in the stream
        descriptor_list list;
    };
    struct waiting_completion {
        std::uint64_t offset; // of the first byte behind the frame
        send_completion call;
    };
    struct arrived_batch {
        std::vector<unique_fd> owned;
        bool truncated = false;
    };
    struct stored_frame {
        frame_header header;
        byte_buffer payload;
        std::vector<unique_fd> descriptors;
        bool truncated = false;
        std::unique_ptr<moved_value> value;
    };

    send_result queue() {
        if (queued() >= high_water_mark && !blocked_) {
            flush();
        }
        if (out_.size() != 0) {
            loop_.at_turn_end(flush_hook_);
        }
        if (!can_send()) {
            return send_result::closed;
        }
        bool behind = queued() >= high_water_mark;
        wants_drain_ = wants_drain_ || behind;
        return behind ? send_result::queued : send_result::ok;
    }

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

    void watch_for(bool writable) noexcept {
        auto reading = reading_ ? os::io::readable : os::io::none;
        bool tells_room = writable && !link_; // whose descriptor tells everything by being readable
        watch_.update(tells_room ? reading | os::io::writable : reading);
    }
    void on_ready(os::io what);
    void flush_now() { blocked_ ? void() : flush(); }
    void drained() { owner_.on_channel_drained(); }
    void sent(std::size_t bytes);
    void write_failed() noexcept;
    void retry_later();

    [[nodiscard]] int descriptor() const noexcept {
        return link_ ? link_.descriptor() : socket_.get();
    }
    void flush_link();
    os::transfer receive();
    os::transfer receive_from_link();
    void dispatch();
    enum class parsed { frame, need_more, violation };
    parsed next(frame& into, errc& fault);
    errc take_descriptors(frame& into);

    event_loop& loop_;
    channel_owner& owner_;
    direction incoming_;
    unique_fd socket_;
    thread_link link_; // instead of the socket
    bool between_threads_ = false;
    io_watch watch_;
    timer retry_;

    counters counters_;
    byte_buffer out_;
    std::uint64_t sent_ = 0; // bytes of the stream that the system has taken
    ring_queue<passed_descriptors> passed_;
    ring_queue<std::unique_ptr<moved_value>> values_; // of the frames in out_
    std::size_t weight_ = 0;                          // of values_
    ring_queue<waiting_completion> completions_;
    bool blocked_ = false;
    bool broken_ = false; // writing failed; reading goes on to the end
    bool reading_ = true;
    bool wants_drain_ = false;

    byte_buffer in_;
    std::size_t step_ = small_step;
    ring_queue<arrived_batch> arrived_;
    ring_queue<std::unique_ptr<moved_value>> arrived_values_;
    ring_queue<stored_frame> kept_; // by wait(), to be delivered before in_
    turn_hook flush_hook_ = turn_hook::for_member<channel, &channel::flush_now>(*this);
    turn_hook dispatch_hook_ = turn_hook::for_member<channel, &channel::dispatch>(*this);
    turn_hook drain_hook_ = turn_hook::for_member<channel, &channel::drained>(*this);
};

inline void channel::on_ready(os::io what) {
    if (link_) {
        link_.clear();
    }
    if ((what & os::io::writable) || link_) {
        blocked_ = false;
        flush();
    }
    if (is_open() && !reading_ && (what & os::io::hangup)) {
        watch_.stop(); // else it would be told again and again
    }
    if (!is_open() || !reading_ || !((what & os::io::readable) || (what & os::io::hangup))) {
        return;
    }
    auto got = receive();
    if (got.would_block()) {
        return;
    }
    if (got.error != 0 || got.bytes == 0) { // ECONNRESET: it died with our frames unread
        if (!dispatch_hook_.linked()) {     // else first what a throwing handler has left
            watch_.stop();
            owner_.on_channel_end();
        }
        return;
    }
    dispatch();
}

// Whole frames only; what belongs to them comes with them.
inline os::transfer channel::receive_from_link() {
    std::size_t before = in_.size();
    thread_batch batch;
    std::swap(batch.bytes, in_);
    std::swap(batch.values, arrived_values_);
    bool open = link_.take(batch);
    std::swap(batch.bytes, in_);
    std::swap(batch.values, arrived_values_);
    for (auto& each : batch.descriptors) {
        arrived_.push_back({std::move(each), false});
    }
    std::size_t bytes = in_.size() - before;
    if (!open) {
        link_.remind(); // of the end, which comes behind all that
    }
    return {bytes, bytes == 0 && open ? EAGAIN : 0};
}

inline os::transfer channel::receive() {
    if (link_) {
        return receive_from_link();
    }
    std::size_t size = in_.size();
    std::span<std::byte> room{in_.extend(step_), step_};
    os::received_descriptors descriptors;
    auto got = os::receive_with_descriptors(socket_.get(), room, descriptors);
    in_.truncate(size + got.bytes);
    step_ = got.bytes == step_ ? big_step : small_step;
    if (got.error == 0 && (descriptors.count() != 0 || descriptors.truncated)) {
        arrived_.push_back({descriptors.take(), descriptors.truncated});
    }
    return got;
}

inline channel::parsed channel::next(frame& into, errc& fault) {
    if (in_.size() < frame_header_size) {
        return parsed::need_more;
    }
    auto bytes = in_.span();
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
    if (into.header.kind == frame_kind::moved) {
        if (arrived_values_.empty()) {
            fault = errc::bad_frame;
            return parsed::violation;
        }
        into.value = std::move(arrived_values_.front());
        arrived_values_.pop_front();
    }
    into.payload = bytes.subspan(frame_header_size, into.header.length);
    if (into.header.kind >= frame_kind::message) {
        ++counters_.received;
        counters_.bytes_received += into.content_size();
    }
    in_.consume_front(frame_header_size + into.header.length); // the bytes stay until in_ grows
    return parsed::frame;
}

// The sender puts at most one frame with descriptors into one sendmsg, as its first: each batch
// that arrives belongs to the next such frame.
inline errc channel::take_descriptors(frame& into) {
    into.descriptors.clear();
    into.truncated = false;
    if (into.header.descriptors == 0) {
        return {};
    }
    if (arrived_.empty()) {
        return errc::bad_frame;
    }
    into.descriptors = std::move(arrived_.front().owned);
    into.truncated = arrived_.front().truncated;
    arrived_.pop_front();
    bool complete = into.descriptors.size() == into.header.descriptors;
    return complete || (into.truncated && into.descriptors.size() < into.header.descriptors)
               ? errc{}
               : errc::bad_frame;
}

inline void channel::dispatch() {
    struct resume { // a handler that throws: the rest is delivered in the next turn
        channel& self;
        bool armed = true;
        ~resume() {
            if (armed && self.is_open() && self.reading_) {
                self.loop_.at_turn_end(self.dispatch_hook_);
            }
        }
    } guard{*this};
    while (is_open() && reading_) {
        frame arrived;
        if (!kept_.empty()) {
            auto stored = std::move(kept_.front());
            kept_.pop_front();
            arrived = {stored.header,
                       stored.payload.span(),
                       std::move(stored.descriptors),
                       stored.truncated,
                       std::move(stored.value)};
            owner_.on_frame(arrived);
            continue;
        }
        errc fault{};
        auto state = next(arrived, fault);
        if (state == parsed::frame) {
            owner_.on_frame(arrived);
            continue;
        }
        guard.armed = false;
        // A batch of descriptors that no frame asks for would be taken by the next one that does.
        if (state == parsed::violation || arrived_.size() > (in_.empty() ? 0U : 1U)) {
            close();
            owner_.on_violation(fault == errc{} ? errc::bad_frame : fault);
        } else if (in_.empty()) {
            in_.shrink(small_step);
        }
        return;
    }
}

template <typename Wanted, typename Take>
bool channel::wait(Wanted wanted, Take take, time_point deadline) {
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
            auto left = endless ? -1 : static_cast<int>(time_until(deadline).count());
            bool in_time = os::wait_for(descriptor(), false, left) || left != 0;
            if (link_) {
                link_.clear();
            }
            auto got = receive();
            if (!got.would_block() && (got.error != 0 || got.bytes == 0)) {
                read(true);
                return false; // the loop will see the end, too
            }
            if (got.would_block() && !in_time) {
                return false;
            }
            continue;
        }
        if (wanted(arrived.header)) {
            take(arrived);
            if (!kept_.empty() || in_.size() >= frame_header_size) {
                loop_.at_turn_end(dispatch_hook_);
            }
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

// All that waits, or nothing of it.
inline void channel::flush_link() {
    if (!can_send() || out_.empty()) {
        return;
    }
    if (!keep_descriptors()) {
        retry_later();
        return;
    }
    thread_batch batch;
    std::size_t bytes = out_.size();
    std::swap(batch.bytes, out_);
    std::swap(batch.values, values_);
    std::swap(batch.weight, weight_);
    for (auto& each : passed_) {
        batch.descriptors.push_back(std::move(each.list.owned));
    }
    switch (link_.push(batch)) {
    case thread_link::pushed::all:
        passed_.clear();
        std::swap(batch.bytes, out_); // storage of the other side's, to be used again
        out_.clear();
        sent(bytes);
        break;
    case thread_link::pushed::full:
        std::swap(batch.bytes, out_);
        std::swap(batch.values, values_);
        std::swap(batch.weight, weight_);
        for (std::size_t i = 0; i != passed_.size(); ++i) {
            passed_[i].list.owned = std::move(batch.descriptors[i]);
        }
        blocked_ = true;
        break;
    case thread_link::pushed::closed:
        write_failed();
        break;
    }
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
    if (link_) {
        flush_link();
        return;
    }
    while (can_send() && !out_.empty()) {
        bool passes = !passed_.empty() && passed_.front().offset == sent_;
        std::size_t most = out_.size();
        std::size_t next_passing = passes ? 1 : 0;
        if (passed_.size() > next_passing) { // a frame with descriptors starts a system call
            most = static_cast<std::size_t>(passed_[next_passing].offset - sent_);
        }
        auto bytes = out_.span().first(most);
        auto result =
            passes ? os::send_with_descriptors(socket_.get(), bytes, passed_.front().list.numbers)
                   : os::send(socket_.get(), bytes);
        if (result.would_block()) {
            blocked_ = true;
            watch_for(true);
            return;
        }
        if (result.error == ETOOMANYREFS || result.error == ENOBUFS || result.error == ENOMEM) {
            retry_later();
            return;
        }
        if (result.error != 0) {
            write_failed();
            return;
        }
        if (passes) {
            passed_.pop_front(); // closes our copies
        }
        sent(result.bytes);
    }
}

inline void channel::sent(std::size_t bytes) {
    sent_ += bytes;
    if (!link_) {
        out_.consume_front(bytes);
    }
    while (!completions_.empty() && completions_.front().offset <= sent_) {
        complete(std::move(completions_.front().call), {});
        completions_.pop_front();
    }
    if (out_.empty()) {
        out_.shrink(high_water_mark);
        watch_for(false);
        if (std::exchange(wants_drain_, false)) { // not from here: we are inside send() or worse
            loop_.at_turn_end(drain_hook_);
        }
    }
}

inline void channel::write_failed() noexcept {
    broken_ = true;
    out_.clear();
    passed_.clear();
    values_.clear();
    weight_ = 0;
    for (auto& each : std::exchange(completions_, {})) {
        complete(std::move(each.call), errc::channel_closed);
    }
    watch_for(false);
}

inline void channel::flush_blocking(std::chrono::milliseconds limit) noexcept {
    using clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds forever = std::chrono::hours{24 * 365};
    auto deadline = clock::now() + (limit < forever ? limit : forever);
    flush();
    while (can_send() && !out_.empty()) {
        auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
        if (left <= 0) {
            return;
        }
        bool pressed = retry_.active(); // the socket is writable, the system refuses
        std::int64_t slice = pressed ? 10 : 1000;
        slice = left < slice ? left : slice;
        if (link_ && !pressed) {
            link_.wait_for_room(std::chrono::milliseconds{slice});
        } else {
            os::wait_for(pressed ? -1 : socket_.get(), true, static_cast<int>(slice));
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
    retry_.cancel();
    flush_hook_.unlink();
    dispatch_hook_.unlink();
    drain_hook_.unlink();
    socket_.reset();
    link_.close();
    write_failed();
    in_.clear();
    arrived_.clear();
    arrived_values_.clear();
    kept_.clear();
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_IPC_CHANNEL_HPP
