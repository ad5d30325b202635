// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_HAND_OVER_HPP
#define CLUSTER_DETAIL_HAND_OVER_HPP

#include "../event_loop.hpp"
#include "../ipc/channel.hpp"
#include "../unique_fd.hpp"
#include "chrono.hpp"
#include "control_page.hpp"
#include "ring_queue.hpp"
#include "turn_hook.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

class hand_over_queue;

/// Where connections come from, and go back to when no handler has seen them.
class connection_source {
public:
    [[nodiscard]] virtual std::uint32_t key() const noexcept = 0;
    virtual void take_back(unique_fd accepted) = 0;
    /// As take_back; and this worker shall get none until it says so.
    virtual void take_refused(const hand_over_queue& by, unique_fd accepted) = 0;

protected:
    ~connection_source() = default;
};

/// Told when a worker can, or can no longer, be given connections, and when it is found to claim
/// what it never got.
class hand_over_owner {
public:
    virtual void on_window_changed() = 0;
    virtual void on_false_claim() = 0;

protected:
    ~hand_over_owner() = default;
};

/// Connections on their way to one worker. They leave in batches at the end of the turn; each stays
/// open here until the worker has taken it, so that its death loses none (see control_page). What
/// was taken is let go of when the next one goes out, or a moment later.
class hand_over_queue {
public:
    hand_over_queue(event_loop& loop, channel& to, hand_over_owner& owner) noexcept
        : loop_{loop}, channel_{to}, owner_{owner} {}
    ~hand_over_queue() {
        late_.cancel();
        look_.cancel();
    }
    hand_over_queue(hand_over_queue&&) = delete;
    hand_over_queue& operator=(hand_over_queue&&) = delete;

    /// Makes the page that the worker maps by `descriptor`.
    std::error_code open(unique_fd& descriptor) {
        std::error_code error;
        page_ = control_mapping::create(descriptor, error);
        return error;
    }

    [[nodiscard]] std::size_t size() const noexcept { return waiting_.size() + parked_.size(); }
    /// Handed over since the beginning, less those that came back.
    [[nodiscard]] std::uint64_t handed() const noexcept { return handed_; }
    /// Those that the worker has not taken, as far as it says.
    [[nodiscard]] std::size_t untaken() const noexcept {
        if (!page_) {
            return size();
        }
        auto taken = control_page::taken_of(page_->position.load(std::memory_order_relaxed));
        std::size_t gone = taken - first_;
        return gone <= waiting_.size() ? size() - gone : size();
    }
    [[nodiscard]] bool has_room() const noexcept { return waiting_.size() < hand_over_window; }
    /// The window has been full for so long that others should get the connections.
    [[nodiscard]] bool is_behind() const noexcept { return behind_; }

    /// \pre has_room()
    void add(connection_source& from, unique_fd accepted) {
        ++handed_;
        send(from, std::move(accepted));
    }

    /// For a connection that nobody else shall have: it waits for room. \returns false, and leaves
    /// it alone, when too many do.
    bool park(connection_source& from, unique_fd& accepted) {
        constexpr std::size_t most_parked = 1024;
        if (parked_.size() == most_parked) {
            return false;
        }
        ++handed_;
        parked_.push_back({&from, std::move(accepted)});
        return true;
    }

    /// Lets go of what the worker has taken. \returns false when it claims what it never got.
    [[nodiscard]] bool collect() {
        if (page_ && !catch_up()) {
            return false;
        }
        look_later();
        return true;
    }

    /// Takes back what the worker, which does not answer, has not claimed: its copies are void.
    /// \returns false when it claims what it never got.
    [[nodiscard]] bool revoke() {
        if (!page_ || size() == 0 || !channel_.keep_descriptors()) {
            return true;
        }
        auto end = first_ + static_cast<std::uint32_t>(waiting_.size() - batch_.size());
        bool honest = release(page_->revoke(end));
        if (honest) {
            first_ = end;
            batch_.clear();
            return_all();
            has_room_again();
        }
        return honest;
    }

    /// The worker's part of the figures; null before open() and after close().
    [[nodiscard]] const control_page* page() const noexcept { return page_.get(); }

    /// The worker is dead and its channel was read to the end: what no handler has seen goes back.
    void close() {
        batch_.clear();
        hook_.unlink();
        late_.cancel();
        look_.cancel();
        if (channel_.is_between_threads() && page_) { // its thread may go on, if it was given up
            auto end = first_ + static_cast<std::uint32_t>(waiting_.size());
            static_cast<void>(release(page_->revoke(end)));
        } else if (!collect()) {
            // A lie is of no use any more; what it claims to have taken is as good as unseen.
        }
        page_ = {};
        return_all();
    }

    /// The source is gone: its connections that come back are closed.
    void forget(const connection_source& source) noexcept {
        for (auto* all : {&waiting_, &parked_}) {
            for (auto& each : *all) {
                each.from = each.from == &source ? nullptr : each.from;
            }
        }
        if (batch_from_ == &source) {
            send_batch();
            batch_from_ = nullptr;
        }
    }

private:
    static constexpr std::chrono::milliseconds patience{20};
    static constexpr std::chrono::milliseconds moment{5};

    struct waiting_connection {
        connection_source* from;
        unique_fd fd;
    };

    void send(connection_source& from, unique_fd accepted) {
        if (batch_.empty() && page_) { // a false claim is told by look()
            static_cast<void>(catch_up());
        }
        if (batch_from_ != &from || batch_.size() == static_cast<std::size_t>(batch_limit)) {
            send_batch();
        }
        batch_from_ = &from;
        batch_.push_back(accepted.get());
        waiting_.push_back({&from, std::move(accepted)});
        loop_.at_turn_end(hook_);
        look_later();
        if (!has_room()) {
            ask();
        }
        if (!has_room()) {
            late_ = loop_.after(patience, [this] {
                behind_ = true;
                owner_.on_window_changed();
            });
        }
    }

    void look_later() {
        if (!waiting_.empty() && !look_.active()) {
            look_ = loop_.after(moment, [this] { look(); });
            look_.unref();
        }
    }
    void look() {
        if (!page_) {
            return;
        }
        if (!catch_up()) {
            owner_.on_false_claim();
        } else if (!waiting_.empty()) {
            ask();
        }
    }
    /// The next claim is told by a frame, which leads to collect().
    void ask() {
        if (page_) {
            page_->asked.set();
            static_cast<void>(catch_up());
        }
    }

    /// Lets go of what the worker has claimed. \returns false when it cannot have
    bool catch_up() { return release(control_page::taken_of(page_->position.load())); }

    bool release(std::uint32_t taken) {
        auto refused = page_->refused.load(std::memory_order_acquire);
        if (taken - first_ > waiting_.size() - batch_.size()) {
            return false;
        }
        bool had_room = has_room();
        bool any = first_ != taken;
        while (first_ != taken) {
            auto done = std::move(waiting_.front());
            waiting_.pop_front();
            bool back = (refused & control_page::bit(first_)) != 0;
            if (back) {
                page_->refused.fetch_and(~control_page::bit(first_));
                --handed_;
            }
            ++first_;
            if (back && done.from != nullptr) {
                done.from->take_refused(*this, std::move(done.fd));
            } else if (!back && channel_.is_between_threads()) {
                static_cast<void>(done.fd.release()); // it was lent and is the worker's now
            }
        }
        if (any) {
            page_->load.let_go.store(first_, std::memory_order_release);
        }
        if (!had_room && has_room()) {
            has_room_again();
        }
        return true;
    }

    void return_all() {
        handed_ -= size();
        for (auto* all : {&waiting_, &parked_}) {
            for (auto& each : std::exchange(*all, {})) {
                if (each.from != nullptr) {
                    each.from->take_back(std::move(each.fd));
                }
            }
        }
    }

    void has_room_again() {
        late_.cancel();
        behind_ = false;
        while (has_room() && !parked_.empty()) {
            auto next = std::move(parked_.front());
            parked_.pop_front();
            if (next.from != nullptr) {
                send(*next.from, std::move(next.fd));
            } else {
                --handed_;
            }
        }
        owner_.on_window_changed();
    }

    void send_batch() {
        if (batch_.empty()) {
            return;
        }
        auto end = first_ + static_cast<std::uint32_t>(waiting_.size());
        auto start = end - static_cast<std::uint32_t>(batch_.size());
        frame_header header{0, frame_kind::connections, 0, batch_from_->key(), start};
        if (!channel_.is_between_threads()) {
            channel_.send_control(
                header, descriptor_list{std::exchange(batch_, channel_.descriptor_room())});
            return;
        }
        header.kind = frame_kind::lent_connections; // no copy, no system call
        channel_.send(
            header,
            [this](byte_buffer& out) { out.append(std::as_bytes(std::span{batch_})); },
            {},
            {},
            true);
        batch_.clear();
    }

    event_loop& loop_;
    channel& channel_;
    hand_over_owner& owner_;
    control_mapping page_;
    ring_queue<waiting_connection> waiting_;
    ring_queue<waiting_connection> parked_;
    std::uint64_t handed_ = 0;
    std::uint32_t first_ = 0; // sequence number of waiting_.front()
    std::vector<int> batch_;  // the last ones of waiting_, not sent yet
    connection_source* batch_from_ = nullptr;
    bool behind_ = false;
    timer late_;
    timer look_;
    turn_hook hook_ = turn_hook::for_member<hand_over_queue, &hand_over_queue::send_batch>(*this);
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_HAND_OVER_HPP
