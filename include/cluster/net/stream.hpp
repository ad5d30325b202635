// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_STREAM_HPP
#define CLUSTER_NET_STREAM_HPP

#include "../byte_buffer.hpp"
#include "../detail/chrono.hpp"
#include "../detail/connection_account.hpp"
#include "../detail/memory.hpp"
#include "../detail/memory_blocks.hpp"
#include "../detail/move_only_function.hpp"
#include "../detail/os.hpp"
#include "../detail/turn_hook.hpp"
#include "../event_loop.hpp"
#include "connection.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

namespace detail {
class stream_set;
}

/// A connection that a loop reads and writes: what attach() returns. The role owns it; it dies
/// behind its close handler, and references to it are good until then.
///
/// Never blocks. Same thread as the loop. Errors arrive at the close handler, once.
class stream : private detail::list_node {
public:
    using bytes = std::span<const std::byte>;

    /// From this many unsent bytes on, write() answers false.
    static constexpr std::size_t high_water_mark = 64 * 1024;

    ~stream() {
        if (open_) {
            abandon();
        }
        if (reference_ != nullptr) {
            *reference_ = nullptr;
        }
    }

    /// Called with bytes that have arrived; they are good until the handler returns. Reading starts
    /// with this call. What is written from inside the handler leaves in one system call behind it.
    template <typename F>
    stream& on_data(F&& f) {
        (corked_ ? rare().next_on_data : on_data_) = std::forward<F>(f); // it may replace itself
        update_interest();
        return *this;
    }

    /// Called when the peer has finished sending; it should end() some time. Without it the stream
    /// answers with end() by itself.
    template <typename F>
    stream& on_end(F&& f) {
        rare().on_end = std::forward<F>(f);
        return *this;
    }

    /// Called when everything is sent after a write() that answered false.
    template <typename F>
    stream& on_drain(F&& f) {
        rare().on_drain = std::forward<F>(f);
        return *this;
    }

    /// Called when the deadline has passed. Without it the stream closes with `timed_out`.
    template <typename F>
    stream& on_timeout(F&& f) {
        rare().on_timeout = std::forward<F>(f);
        return *this;
    }

    /// Called once at the end, with the error that ended the stream or none. The stream dies behind
    /// it.
    template <typename F>
    stream& on_close(F&& f) {
        rare().on_close = std::forward<F>(f);
        return *this;
    }

    /// Sends, keeping what the system does not take at once.
    /// \returns false when high_water_mark bytes or more wait (go on at on_drain) or the stream is
    /// ended or closed (nothing is kept).
    bool write(bytes data);
    bool write(std::string_view text) { return write(std::as_bytes(std::span{text})); }

    /// Finishes: sends what waits, then a FIN. Closes when the peer has finished as well, or 10 s
    /// later. Bytes that still arrive go to on_data.
    void end();
    void end(std::string_view last) {
        write(last);
        end();
    }

    /// Closes as soon as what waits is sent, without a word from the peer: the cheap end for a
    /// protocol in which the peer has nothing more to say. Unread input makes the system reset.
    void close_when_sent();

    /// Closes at once; what waits is dropped.
    void close() noexcept { finish(); }
    /// The same with a TCP reset.
    void reset() noexcept {
        detail::os::reset_on_close(fd_.get());
        finish();
    }

    /// Stops reading, so that the peer is slowed down; resume() goes on.
    void pause() noexcept {
        paused_ = true;
        update_interest();
    }
    void resume() noexcept {
        paused_ = false;
        update_interest();
    }

    /// Gives the stream until `delay` from now (on_timeout); a later call moves the deadline, for
    /// which it costs no system call and mostly no work at all.
    void expires_after(std::chrono::nanoseconds delay);
    /// Takes the deadline away.
    void expires_never() noexcept { deadline_ = detail::time_point::max(); }

    /// Says that nothing is going on, as between two requests of a kept-alive connection: a role
    /// that drains ends such streams when nothing comes for a moment, and waits for the others.
    void idle(bool on) noexcept;

    [[nodiscard]] bool is_open() const noexcept { return open_ && !ending_; }
    /// Whether on_data() has been called.
    [[nodiscard]] bool has_reader() const noexcept { return static_cast<bool>(on_data_); }
    /// Bytes that wait to be sent.
    [[nodiscard]] std::size_t buffered() const noexcept { return out_.size(); }
    [[nodiscard]] address remote() const noexcept { return detail::os::remote_address(fd_.get()); }
    [[nodiscard]] address local() const noexcept { return detail::os::local_address(fd_.get()); }
    /// Borrows the descriptor.
    [[nodiscard]] int native_handle() const noexcept {
        ticket_.share();
        return fd_.get();
    }

private:
    friend class detail::stream_set;

    static constexpr std::chrono::seconds linger{10};

    struct rare_handlers {
        detail::move_only_function<void()> on_end, on_drain, on_timeout;
        detail::move_only_function<void(bytes)> next_on_data;
        detail::move_only_function<void(std::error_code)> on_close;
    };

    stream(detail::stream_set& set, event_loop& loop, connection&& from);

    rare_handlers& rare() {
        if (!rare_) {
            rare_ = std::make_unique<rare_handlers>();
        }
        return *rare_;
    }

    void on_ready(detail::os::io what);
    bool read_some();
    void deliver(bytes data);
    void uncork();
    static void call(detail::move_only_function<void()>& handler);
    void peer_ended();
    void flush();
    void sent_everything();
    void on_timer();
    void enroll();
    [[nodiscard]] detail::os::io interest() const noexcept;
    void update_interest() noexcept;
    void finish() noexcept;
    void finish(std::error_code reason) noexcept;
    void abandon() noexcept;
    void hold(bool on) noexcept { // the loop goes on while something may still come
        if (std::exchange(holding_, on) != on) {
            on ? loop_.ref() : loop_.unref();
        }
    }

    [[nodiscard]] bool wants_input() const noexcept {
        return !peer_ended_ && !paused_ && (on_data_ || ending_);
    }

    detail::stream_set& set_;
    event_loop& loop_;
    stream** reference_ = nullptr;
    unique_fd fd_;
    detail::io_watch watch_;
    detail::connection_ticket ticket_;
    byte_buffer out_;
    detail::move_only_function<void(bytes)> on_data_;
    std::unique_ptr<rare_handlers> rare_;
    detail::time_point deadline_ = detail::time_point::max();
    detail::time_point timer_at_ = detail::time_point::max();
    timer timer_;
    std::optional<std::error_code> reason_; // an empty code costs calls of the library's
    bool open_ = true;
    bool paused_ = false;
    bool corked_ = false;     // inside on_data: gather what is written
    bool above_mark_ = false; // a write answered false
    bool ending_ = false;     // no more writes
    bool close_at_once_ = false;
    bool fin_sent_ = false;
    bool peer_ended_ = false;
    bool idle_ = false;
    bool enrolled_ = false; // the poller knows it
    bool hung_up_ = false;
    bool holding_ = false;
};

namespace detail {

/// Whether to read from new streams at once, before a poller says so: what has mostly been there for
/// the last ones is so for the next.
class first_reads {
public:
    [[nodiscard]] bool worth_it() noexcept { return luck_ != 0 || ++omitted_ == patience; }
    void tried(bool found) noexcept {
        omitted_ = 0;
        luck_ = found ? most_luck : luck_ - (luck_ != 0 ? 1 : 0);
    }

private:
    static constexpr int most_luck = 8; // misses in a row, then
    static constexpr int patience = 32; // are not tried

    int luck_ = most_luck;
    int omitted_ = 0;
};

/// The streams of one role: owns them, drains them, buries them at the end of the turn.
class stream_set {
public:
    explicit stream_set(event_loop& loop) noexcept : loop_{loop} {}
    ~stream_set() {
        ending_idle_.cancel();
        bury_all(fresh_);
        bury_all(live_);
        bury_all(dead_);
    }

    /// `reference`, if any, is set to null when the stream dies.
    stream& attach(connection&& from, stream** reference = nullptr) {
        auto* made = ::new (memory_.take()) stream{*this, loop_, std::move(from)};
        made->reference_ = reference;
        made->insert_before(fresh_);
        loop_.at_turn_end(enroll_hook_);
        if (!made->fd_) { // told by the close handler
            made->finish(std::make_error_code(std::errc::bad_file_descriptor));
        }
        return *made;
    }

    /// A stream that is closed, for who holds a reference to one that is gone.
    [[nodiscard]] stream& closed_one() {
        if (!closed_one_) {
            closed_one_.reset(new stream{*this, loop_, connection{}});
            closed_one_->abandon();
        }
        return *closed_one_;
    }

    /// From now on the hook runs behind the death of streams.
    void tell_deaths(turn_hook& hook) noexcept { deaths_hook_ = &hook; }

    /// Closes all at once. No handler is called any more.
    void abandon() noexcept {
        silent_ = true;
        for (list_node* list : {&fresh_, &live_}) {
            while (list->linked()) {
                static_cast<stream&>(*list->next()).finish();
            }
        }
    }

    /// The holder of the reference is gone.
    static void forget(stream* one) noexcept {
        if (one != nullptr) {
            one->reference_ = nullptr;
        }
    }

    /// What a handler writes goes through one buffer, whoever the stream is: it is warm, needs no
    /// allocation, and an idle stream has none.
    void lend(byte_buffer& to) noexcept {
        if (to.capacity() == 0) {
            std::swap(to, spare_);
        }
    }
    /// Unless the socket did not take it all.
    void take_back(byte_buffer& from) noexcept {
        if (from.empty() && from.capacity() > spare_.capacity()) {
            std::swap(from, spare_);
        }
    }

    [[nodiscard]] bool draining() const noexcept { return draining_; }

    /// Ends the streams that are idle, and every other one as soon as it becomes idle. An idle one
    /// has a moment: the next request of a busy client is on its way, and it shall have its answer.
    void drain() {
        constexpr std::chrono::milliseconds moment{100};
        draining_ = true;
        enroll();
        for (list_node* each = live_.next(); each != &live_; each = each->next()) {
            if (static_cast<stream&>(*each).idle_) {
                ending_idle_.cancel();
                ending_idle_ = loop_.after(moment, [this] { end_idle(); });
                return;
            }
        }
    }

    /// At the end of the turn, or of the handler that has attached them: when it is known what the
    /// streams wait for. Some are over by then.
    void enroll() {
        while (fresh_.linked()) {
            auto& one = static_cast<stream&>(*fresh_.next());
            one.insert_before(live_);
            if (fresh_.linked()) {
                loop_.at_turn_end(enroll_hook_); // the handler may throw
            }
            one.enroll();
        }
    }

private:
    friend class cluster::v0::stream;

    void end_idle() {
        enroll();
        for (list_node* each = live_.next(); each != &live_;) {
            auto& current = static_cast<stream&>(*each);
            each = each->next();
            if (current.idle_) {
                current.end();
            }
        }
    }

    void closed(stream& one) noexcept {
        one.insert_before(dead_);
        loop_.at_turn_end(hook_);
    }

    void bury() {
        while (dead_.linked()) {
            struct last_breath { // behind its close handler
                stream_set& set;
                stream* one;
                ~last_breath() { set.destroy(one); }
                stream* operator->() const noexcept { return one; }
            } one{*this, static_cast<stream*>(dead_.next())};
            one->unlink();
            if (deaths_hook_ != nullptr) {
                loop_.at_turn_end(*deaths_hook_);
            }
            if (one->rare_ && one->rare_->on_close && !silent_) {
                if (dead_.linked()) {
                    loop_.at_turn_end(
                        hook_); // the handler may throw: the others stay for the next turn
                }
                one->rare_->on_close(one->reason_.value_or(std::error_code{}));
            }
        }
    }

    void bury_all(list_node& list) noexcept {
        while (list.linked()) {
            destroy(static_cast<stream*>(list.next()));
        }
    }
    void destroy(stream* one) noexcept {
        one->~stream();
        memory_.give(one);
    }

    event_loop& loop_;
    memory_blocks<stream> memory_;
    byte_buffer spare_;
    first_reads first_reads_;
    list_node fresh_; // not known to the poller yet
    list_node live_;
    list_node dead_;
    bool draining_ = false;
    bool silent_ = false;
    timer ending_idle_;
    turn_hook* deaths_hook_ = nullptr;
    std::unique_ptr<stream> closed_one_;
    turn_hook enroll_hook_ = turn_hook::for_member<stream_set, &stream_set::enroll>(*this);
    turn_hook hook_ = turn_hook::for_member<stream_set, &stream_set::bury>(*this);
};

} // namespace detail

inline stream::stream(detail::stream_set& set, event_loop& loop, connection&& from)
    : set_{set},
      loop_{loop},
      fd_{detail::connection_access::take_descriptor(from)},
      ticket_{detail::connection_access::take_ticket(from)} {
    hold(true);
    watch_.keep_alive(false);
}

// Where what a client wants has come with the connection, one that is over with its first request
// never meets the poller.
inline void stream::enroll() {
    struct start { // also when a handler throws
        stream& self;
        ~start() {
            if (!self.open_) {
                return;
            }
            self.enrolled_ = true;
            if (auto error = self.watch_.start<&stream::on_ready>(
                    self.loop_, self.fd_.get(), self.interest(), self)) {
                self.finish(error); // out of memory, for one
            }
        }
    } guard{*this};
    if (open_ && wants_input() && set_.first_reads_.worth_it()) {
        set_.first_reads_.tried(read_some());
    }
}

inline void stream::on_ready(detail::os::io what) {
    using detail::os::io;
    if ((what & (io::readable | io::hangup)) && wants_input()) {
        read_some();
    } else if (what & io::hangup) {
        hung_up_ = true; // level-triggered, and nobody reads: do not listen to it again and again
        watch_.stop();
        hold(false);
        auto why = detail::os::pending_error(fd_.get());
        if (!out_.empty()) {
            finish(why ? why : std::make_error_code(std::errc::broken_pipe));
        } else if (fin_sent_) {
            finish(why);
        }
        return;
    }
    if (open_ && (what & io::writable)) {
        flush();
    }
}

/// \returns whether there was anything
inline bool stream::read_some() {
    auto buffer = loop_.scratch();
    auto got = detail::os::receive(fd_.get(), buffer);
    if (got.would_block()) {
        return false;
    }
    if (got.error != 0) {
        finish({got.error, std::system_category()});
    } else if (got.bytes == 0) {
        peer_ended();
    } else {
        deliver(buffer.first(got.bytes));
    }
    return true;
}

inline void stream::deliver(bytes data) {
    if (!on_data_) {
        return; // ended without a reader: what the peer still says is dropped
    }
    corked_ = true;
    set_.lend(out_);
    try {
        on_data_(data);
    } catch (...) { // what it wrote is sent
        uncork();
        throw;
    }
    uncork();
}

inline void stream::uncork() {
    corked_ = false;
    if (rare_ && rare_->next_on_data) {
        on_data_ = std::move(rare_->next_on_data);
    }
    if (open_) {
        flush();
    }
    set_.take_back(out_);
}

// A handler may replace itself while it runs.
inline void stream::call(detail::move_only_function<void()>& handler) {
    struct give_back {
        detail::move_only_function<void()>& place;
        detail::move_only_function<void()> running;
        ~give_back() {
            if (!place) {
                place = std::move(running);
            }
        }
    } now{handler, std::move(handler)};
    now.running();
}

inline void stream::peer_ended() {
    peer_ended_ = true;
    update_interest();
    if (fin_sent_) {
        finish();
    } else if (rare_ && rare_->on_end && !ending_) {
        call(rare_->on_end);
    } else {
        end();
    }
}

inline bool stream::write(bytes data) {
    if (!open_ || ending_) {
        return false;
    }
    if (!corked_ && out_.empty()) {
        auto sent = detail::os::send(fd_.get(), data);
        if (sent.error != 0 && !sent.would_block()) {
            finish({sent.error, std::system_category()});
            return false;
        }
        data = data.subspan(sent.bytes);
    }
    if (!data.empty()) {
        out_.append(data);
        if (corked_ && out_.size() >= high_water_mark) {
            flush();
        }
        update_interest();
    }
    above_mark_ = above_mark_ || out_.size() >= high_water_mark;
    return open_ && out_.size() < high_water_mark;
}

inline void stream::flush() {
    while (!out_.empty()) {
        auto sent = detail::os::send(fd_.get(), out_.span());
        if (sent.would_block()) {
            break;
        }
        if (sent.error != 0) {
            finish({sent.error, std::system_category()});
            return;
        }
        out_.consume_front(sent.bytes);
    }
    if (out_.empty()) {
        out_.shrink(high_water_mark);
        sent_everything();
    }
    if (open_) {
        update_interest();
    }
}

inline void stream::sent_everything() {
    if (std::exchange(above_mark_, false) && !ending_ && rare_ && rare_->on_drain) {
        call(rare_->on_drain);
    }
    if (!open_ || !ending_ || !out_.empty() || fin_sent_ || corked_) {
        return;
    }
    if (close_at_once_ || peer_ended_) {
        finish();
        return;
    }
    fin_sent_ = true;
    detail::os::shutdown_writes(fd_.get());
    expires_after(linger);
}

inline void stream::end() {
    if (!open_ || ending_) {
        return;
    }
    ending_ = true;
    if (out_.empty() && !corked_) {
        sent_everything();
    }
    if (open_) {
        update_interest();
    }
}

inline void stream::close_when_sent() {
    close_at_once_ = true;
    end();
    if (fin_sent_) { // by an earlier end(), which waits for the peer
        finish();
    }
}

inline void stream::expires_after(std::chrono::nanoseconds delay) {
    if (!open_) {
        return; // a timer would outlive the stream
    }
    constexpr std::chrono::nanoseconds most = std::chrono::hours{24 * 365 * 100};
    deadline_ = loop_.now() + (delay < most ? delay : most);
    if (deadline_ < timer_at_) { // else the running timer looks at the deadline when it is due
        timer_.cancel();
        timer_at_ = deadline_;
        timer_ = loop_.after(deadline_ - std::chrono::steady_clock::now(), [this] { on_timer(); });
        timer_.unref();
    }
}

inline void stream::on_timer() {
    timer_at_ = detail::time_point::max();
    if (deadline_ == detail::time_point::max()) {
        return;
    }
    if (loop_.now() < deadline_) {
        expires_after(deadline_ - loop_.now());
        return;
    }
    deadline_ = detail::time_point::max();
    if (!ending_ && rare_ && rare_->on_timeout) {
        call(rare_->on_timeout);
    } else {
        finish(fin_sent_ ? std::error_code{} : std::make_error_code(std::errc::timed_out));
    }
}

inline void stream::idle(bool on) noexcept {
    idle_ = on;
    if (on && set_.draining()) {
        end();
    }
}

inline detail::os::io stream::interest() const noexcept {
    using detail::os::io;
    bool writes = !out_.empty() && !corked_;
    return (wants_input() ? io::readable : io::none) | (writes ? io::writable : io::none);
}

inline void stream::update_interest() noexcept {
    if (!open_ || !enrolled_) {
        return;
    }
    auto wanted = interest();
    if (hung_up_ && wanted != detail::os::io::none) {
        hung_up_ = false;
        hold(true);
        watch_.start<&stream::on_ready>(loop_, fd_.get(), wanted, *this);
    } else {
        watch_.update(wanted);
    }
}

inline void stream::finish(std::error_code reason) noexcept {
    if (open_) {
        reason_ = reason;
        finish();
    }
}

inline void stream::finish() noexcept {
    if (open_) {
        abandon();
        set_.closed(*this);
    }
}

inline void stream::abandon() noexcept {
    open_ = false;
    ticket_.is_shared() ? watch_.stop() : watch_.stop_with_close();
    fd_.reset();
    ticket_.reset();
    timer_.cancel();
    hold(false);
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_NET_STREAM_HPP
