// SPDX-License-Identifier: MIT
// One HTTP/1.1 connection. Part of http1.hpp, not of the library.
#ifndef EXAMPLES_HTTP1_SESSION_HPP
#define EXAMPLES_HTTP1_SESSION_HPP

#include "http1_message.hpp"
#include "http1_parser.hpp"
#include "http1_writer.hpp"

#include <cluster/net/stream.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace examples {

/// How long a client may take, and what it may send.
struct serve_options {
    std::chrono::nanoseconds header_timeout =
        std::chrono::seconds{10}; // the whole head, from its first byte
    std::chrono::nanoseconds body_timeout =
        std::chrono::seconds{30}; // the whole body, from the end of the head
    std::chrono::nanoseconds idle_timeout =
        std::chrono::seconds{60}; // from one request to the next
    std::chrono::nanoseconds write_timeout =
        std::chrono::seconds{60}; // without taking a byte of an answer
    parse_limits limits = {};
};

namespace detail {

// Reads requests from a stream, one after the other, and writes the answers in their order. The
// stream owns it; a responder keeps it alive, so that the request's bytes outlive the connection.
class session : public std::enable_shared_from_this<session> {
public:
    session(cluster::stream& on, const serve_options& options)
        : stream_{&on}, options_{options}, parser_{options.limits} {}
    session(session&&) = delete;
    session& operator=(session&&) = delete;
    virtual ~session() = default;

    void start();

    /// The answer to the request of this number, if it still waits for one.
    void answer(std::uint64_t number, const response& result);
    /// Nobody will answer it.
    void abandon(std::uint64_t number) noexcept;

protected:
    // Calls the handler, which calls respond() or makes a responder.
    virtual void handle(const request& what) = 0;
    [[nodiscard]] virtual bool is_draining() const = 0;

    void respond(const response& result);
    // From here until answer(): the request stays as it is, nothing else is handled.
    std::uint64_t defer() {
        parser_.keep();
        waiting_ = true;
        return ++number_;
    }

private:
    enum class phase : std::uint8_t { fresh, idle, head, body, handling, writing };

    // In the stream's data handler: tells the session when the stream dies.
    struct lease {
        std::shared_ptr<session> owner;

        explicit lease(std::shared_ptr<session> one) noexcept : owner{std::move(one)} {}
        lease(lease&&) noexcept = default;
        lease& operator=(lease&&) = delete;
        ~lease() {
            if (owner) {
                owner->stream_ = nullptr;
            }
        }
    };

    // What is here of the next requests while one waits; more stays in the kernel.
    static constexpr std::size_t max_pending = 16 * 1024;
    // Up to here a body is copied behind its head, to leave in one piece.
    static constexpr std::size_t small_body = 16 * 1024;
    // A connection without a request so far: most likely it is on its way, so that a role that
    // drains gives it this long.
    static constexpr std::chrono::nanoseconds first_request = std::chrono::seconds{1};

    [[nodiscard]] bool is_open() const noexcept { return stream_ != nullptr && stream_->is_open(); }

    void receive(std::string_view data);
    void process(std::string_view input);
    void serve_one();
    void go_on();
    void settle();
    void enter(phase next);
    void write(const response& result, connection_header connection, bool without_body);
    void finish(bool everything_read);
    void refuse(int status);
    void wait_until_sent();
    void wait_with(std::string_view input);
    void watch_rare_events();
    void drained();
    void timed_out();
    void peer_finished();

    cluster::stream* stream_; // null when it is gone
    serve_options options_;
    request_parser parser_;
    std::string pending_;      // read, but behind a request that waits
    std::uint64_t number_ = 0; // of the request that was deferred last
    std::size_t unsent_ = 0;   // when the write timeout began
    phase phase_ = phase::fresh;
    bool waiting_ = false;       // for answer()
    bool blocked_ = false;       // the client does not take what is written
    bool last_ = false;          // the answer that was written is the last one
    bool peer_finished_ = false; // no more input, but answers are welcome
    bool processing_ = false;
    bool answered_ = false; // the current request
    bool clean_end_ = false;
    bool watches_rare_events_ = false;
};

inline void session::start() {
    stream_->on_timeout([this] { timed_out(); }); // dies with the stream, which owns us
    stream_->expires_after(first_request < options_.idle_timeout ? first_request
                                                                 : options_.idle_timeout);
    stream_->on_data([held = lease{shared_from_this()}](cluster::stream::bytes data) {
        held.owner->receive({reinterpret_cast<const char*>(data.data()), data.size()});
    });
}

inline void session::receive(std::string_view data) {
    if (!is_open() || last_) {
        return; // behind the last request
    }
    if (waiting_ || blocked_) {
        pending_.append(data);
        if (pending_.size() >= max_pending) {
            stream_->pause();
        }
        return;
    }
    process(data);
}

inline void session::process(std::string_view input) {
    struct mark {
        bool& flag;
        explicit mark(bool& one) noexcept : flag{one} { flag = true; }
        ~mark() { flag = false; }
    } guard{processing_};
    stream_->idle(false);
    while (!input.empty()) {
        input.remove_prefix(parser_.feed(input));
        if (parser_.failed()) {
            return refuse(parser_.error());
        }
        if (!parser_.ready()) {
            break;
        }
        serve_one();
        if (!is_open()) {
            return;
        }
        if (waiting_ || blocked_) {
            return wait_with(input);
        }
        if (last_) {
            return finish(input.empty());
        }
    }
    settle();
}

inline void session::serve_one() {
    phase_ = phase::handling;
    answered_ = false;
    try {
        handle(parser_.current());
    } catch (...) { // it leaves the role's run(); the client should know
        waiting_ = false;
        if (is_open()) {
            answered_ ? finish(false) : refuse(500);
        }
        throw;
    }
    if (!waiting_) {
        parser_.next();
    }
}

// What came meanwhile, when a request that had to wait is done with.
inline void session::go_on() {
    if (!is_open() || blocked_) {
        return;
    }
    if (last_) {
        return finish(pending_.empty());
    }
    stream_->resume();
    auto input = std::exchange(pending_, {});
    process(input);
}

// Everything that is here is dealt with.
inline void session::settle() {
    if (peer_finished_) {
        return stream_->end();
    }
    if (!parser_.between()) {
        if (parser_.take_continue()) {
            stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
        }
        return enter(parser_.in_body() ? phase::body : phase::head);
    }
    enter(phase::idle);
    stream_->idle(true); // ends the stream if the role drains
}

inline void session::enter(phase next) {
    if (!is_open() || (phase_ == next && next != phase::idle)) {
        return; // the time of a head or a body starts once
    }
    phase_ = next;
    stream_->expires_after(next == phase::head   ? options_.header_timeout
                           : next == phase::body ? options_.body_timeout
                           : next == phase::idle ? options_.idle_timeout
                                                 : options_.write_timeout);
}

inline void session::respond(const response& result) {
    const request& what = parser_.current();
    answered_ = true;
    last_ = !what.keep_alive || is_draining() || asks_to_close(result);
    auto connection = last_                     ? connection_header::close
                      : what.minor_version == 0 ? connection_header::keep_alive
                                                : connection_header::none;
    write(result, connection, parser_.is_head());
    if (is_open() && stream_->buffered() >= cluster::stream::high_water_mark) {
        wait_until_sent();
    }
}

inline void session::answer(std::uint64_t number, const response& result) {
    if (!waiting_ || number != number_) {
        return;
    }
    waiting_ = false;
    if (!is_open()) {
        return;
    }
    respond(result);
    if (!processing_) { // else the handler has answered at once
        parser_.next();
        go_on();
    }
}

inline void session::abandon(std::uint64_t number) noexcept {
    if (waiting_ && number == number_ && is_open()) {
        try {
            refuse(500);
        } catch (...) { // out of memory
            stream_->close();
        }
    }
}

inline void
session::write(const response& result, connection_header connection, bool without_body) {
    thread_local std::string out; // no handler runs before it is free again
    out.clear();
    append_head(out, result, connection);
    bool has_body = !without_body && may_have_body(result.status);
    if (has_body && result.body.size() <= small_body) {
        out += result.body;
        has_body = false;
    }
    stream_->write(out);
    if (has_body) {
        stream_->write(result.body);
    }
}

// The last answer is written. `everything_read`: a close resets nothing that the client waits for.
inline void session::finish(bool everything_read) {
    last_ = true;
    clean_end_ = everything_read;
    pending_.clear();
    if (!is_open()) {
        return;
    }
    stream_->resume();
    if (blocked_) {
        return; // drained() comes back here; until then on_timeout minds the progress
    }
    stream_->expires_after(options_.write_timeout);
    if (clean_end_) {
        stream_->close_when_sent();
    } else {
        stream_->end();
    }
}

inline void session::refuse(int status) {
    waiting_ = false;
    response result{status, std::string{reason_phrase(status)} + "\n"};
    if (status == 405) {
        result.headers.emplace_back("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
    }
    write(result, connection_header::close, parser_.is_head());
    finish(false);
}

inline void session::wait_until_sent() {
    blocked_ = true;
    unsent_ = stream_->buffered();
    watch_rare_events();
    enter(phase::writing);
}

// Nothing more is handled until answer() or drained().
inline void session::wait_with(std::string_view input) {
    if (last_) {
        return finish(input.empty());
    }
    pending_.assign(input);
    if (waiting_) {
        stream_->expires_never();
        watch_rare_events();
    }
    if (blocked_ || pending_.size() >= max_pending) {
        stream_->pause();
    }
}

// Most connections never need them.
inline void session::watch_rare_events() {
    if (!watches_rare_events_) {
        watches_rare_events_ = true;
        stream_->on_drain([this] { drained(); });
        stream_->on_end([this] { peer_finished(); });
    }
}

inline void session::drained() {
    if (!blocked_) {
        return;
    }
    blocked_ = false;
    if (last_) {
        finish(clean_end_);
    } else if (!processing_) {
        go_on();
    }
}

inline void session::timed_out() {
    switch (phase_) {
    case phase::fresh:
        phase_ = phase::idle;
        stream_->expires_after(options_.idle_timeout);
        return stream_->idle(true);
    case phase::idle:
        return stream_->close();
    case phase::head:
    case phase::body:
        return refuse(408);
    case phase::handling:
        return;
    case phase::writing:
        if (stream_->buffered() >= unsent_) {
            return stream_->close();
        }
        unsent_ = stream_->buffered();
        stream_->expires_after(options_.write_timeout);
    }
}

inline void session::peer_finished() {
    peer_finished_ = true;
    if (!waiting_ && !blocked_) {
        stream_->end();
    }
}

} // namespace detail
} // namespace examples

#endif // EXAMPLES_HTTP1_SESSION_HPP
