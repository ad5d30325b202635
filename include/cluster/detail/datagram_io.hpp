// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_DATAGRAM_IO_HPP
#define CLUSTER_DETAIL_DATAGRAM_IO_HPP

#include "../net/datagram_socket.hpp"
#include "algorithm.hpp"
#include "memory.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

/// \file
/// How a datagram_socket receives, sends and ends.

// A watch with `exclusive` cannot be changed, only made anew. One that waits for room is not
// exclusive: the one who is woken might have nothing to send.
inline void datagram_socket::update_watch() {
    using detail::os::io;
    io wanted = receives() ? io::readable : io::none;
    if (blocked_) {
        wanted = wanted | io::writable;
    } else if (receives() && shared_) {
        wanted = wanted | io::exclusive;
    }
    if (!open_ || wanted == io::none || pause_.active()) {
        watch_.stop();
    } else if (!watch_.active() || wanted != watched_) {
        watch_.stop();
        wakes_ = 0;
        watched_ = wanted;
        watch_.start<&datagram_socket::on_ready>(loop_, fd_.get(), wanted, *this);
    }
}

inline void datagram_socket::on_ready(detail::os::io what) {
    using detail::os::io;
    if (what & io::writable) {
        auto before = queue_.size();
        blocked_ = false;
        flush();
        if (blocked_ && queue_.size() == before) { // there is room, but not at the receiver's end
            rest_a_while();
        }
    }
    if (open_ && ((what & io::readable) || (what & io::hangup))) {
        auto before = counters_.receive_calls;
        if (receives()) {
            receive();
        }
        // A socket that somebody has shut down, or whose errors nobody reads, stays ready.
        if (open_ && (what & io::hangup) && counters_.receive_calls == before) {
            rest_a_while();
        }
    }
    if (open_ && shared_ && ++wakes_ == wakes_per_registration) {
        recheck();
    }
}

// One call a wake: the other descriptors of the loop, and other workers, get their turn.
inline void datagram_socket::receive() {
    if (!batch_) {
        batch_ = std::make_unique<detail::os::datagram_batch>(most_, max_size_);
    }
    if (delivered_ != batch_->received()) {
        return; // a handler that threw has left some: first those
    }
    constexpr int most_errors = 8;
    for (int i = 0; i != most_errors && open_; ++i) {
        int error = batch_->receive(fd_.get());
        delivered_ = 0;
        if (error == 0) {
            ++counters_.receive_calls;
            if (load_) {
                load_->datagrams_received.fetch_add(batch_->received(), std::memory_order_relaxed);
            }
            deliver();
            return;
        }
        if (error == EAGAIN || error == EWOULDBLOCK) {
            return;
        }
        tell_error(error, {}); // about one that was sent before
    }
    if (open_) {
        rest_a_while();
    }
}

inline void datagram_socket::deliver() {
    struct in_handler { // when one throws, the others come in the next turn
        datagram_socket& self;
        ~in_handler() {
            self.delivering_ = false;
            self.take_next_handler();
            if (self.open_ && self.delivered_ != self.batch_->received()) {
                self.loop_.at_turn_end(self.deliver_hook_);
            }
        }
    } guard{*this};
    while (open_ && delivered_ != batch_->received()) {
        auto index = delivered_++;
        if (batch_->truncated(index)) {
            ++counters_.truncated;
            continue;
        }
        ++counters_.received;
        delivering_ = true;
        handler_(batch_->bytes(index), batch_->sender(index));
        take_next_handler();
    }
}

// Each datagram that waits now is tried once; more may come from the handler of an error.
inline void datagram_socket::flush() {
    struct go_on { // when that handler throws, the others leave in the next turn
        datagram_socket& self;
        ~go_on() {
            if (self.open_ && !self.blocked_ && !self.queue_.empty()) {
                self.loop_.at_turn_end(self.flush_hook_);
            }
        }
    } guard{*this};
    for (auto left = queue_.size(); left != 0 && open_ && !blocked_;) {
        auto before = queue_.size();
        int error = send_some();
        if (error == ECONNREFUSED) { // perhaps of one that was sent before
            if (int again = send_some(); again != 0) {
                error = again;
            }
        }
        auto sent = before - queue_.size();
        left -= detail::min(left, sent);
        if (sent != 0 && error != 0) {
            tell_error(error, {});
        } else if (error != 0 && !blocked_) {
            --left;
            refused(error);
        }
    }
    update_watch();
}

inline void datagram_socket::refused(int error) {
    auto to = queue_.first_receiver();
    queue_.pop(1);
    ++counters_.failed;
    tell_error(error, to);
}

// One call. \returns 0, or the error of the first datagram, which then still waits.
inline int datagram_socket::send_some() noexcept {
    std::array<detail::os::outgoing_datagram, detail::os::max_outgoing> next;
    std::size_t count = queue_.front(next);
    auto sent = detail::os::send_datagrams(fd_.get(), std::span{next}.first(count));
    if (sent.error == 0) {
        ++counters_.send_calls;
        counters_.sent += sent.bytes;
        if (load_) {
            load_->datagrams_sent.fetch_add(sent.bytes, std::memory_order_relaxed);
        }
        queue_.pop(sent.bytes);
    }
    blocked_ = sent.would_block();
    return sent.error;
}

inline void datagram_socket::rest_a_while() {
    watch_.stop();
    pause_.cancel();
    pause_ = loop_.after(patience, [this] {
        pause_ = {};
        update_watch();
    });
    pause_.unref();
}

inline void datagram_socket::shut() noexcept {
    for (int error = 0; !queue_.empty() && !blocked_;) {
        error = send_some();
        if (error != 0 && !blocked_) {
            ++counters_.failed;
            queue_.pop(1);
        }
    }
    counters_.dropped += queue_.size();
    open_ = false;
    pause_.cancel();
    flush_hook_.unlink();
    deliver_hook_.unlink();
    watch_.stop();
    fd_.reset();
    hold(false);
}

inline void datagram_socket::finish() {
    auto closed = std::move(on_close_);
    struct guard_type { // the handler may throw
        datagram_socket& self;
        ~guard_type() {
            self.handler_ = {}; // what they hold may go, the socket itself stays for a while
            self.next_handler_ = {};
            self.on_error_ = {};
            self.batch_.reset();
            self.owner_.on_datagram_finished(self);
        }
    } guard{*this};
    if (closed) {
        closed();
    }
}

inline std::error_code datagram_socket::change_group(const cluster::address& group,
                                                     const std::string& interface_name,
                                                     bool join) noexcept {
    unsigned number = 0;
    bool done = detail::os::interface_index(interface_name, number) &&
                detail::os::change_membership(fd_.get(), group, number, join);
    return done ? std::error_code{} : detail::os::last_error();
}

inline std::error_code
datagram_socket::change_multicast(const multicast_options& options) noexcept {
    namespace os = detail::os;
    unsigned number = 0;
    bool done = true;
    if (options.ttl) {
        done = os::set_multicast_ttl(fd_.get(), *options.ttl);
    }
    if (done && options.loopback) {
        done = os::set_multicast_loopback(fd_.get(), *options.loopback);
    }
    if (done && options.interface_name) {
        done = os::interface_index(*options.interface_name, number) &&
               os::set_multicast_interface(fd_.get(), number);
    }
    return done ? std::error_code{} : os::last_error();
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_DATAGRAM_IO_HPP
