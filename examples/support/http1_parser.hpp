// SPDX-License-Identifier: MIT
// An HTTP/1.1 request parser. Part of http1.hpp, not of the library.
#ifndef EXAMPLES_HTTP1_PARSER_HPP
#define EXAMPLES_HTTP1_PARSER_HPP

#include "http1_chunked.hpp"
#include "http1_message.hpp"
#include "http1_syntax.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace examples {

/// What one request may cost.
struct parse_limits {
    std::size_t head = 16 * 1024; // bytes of request line and header section
    std::size_t fields = 100;     // header lines
    std::size_t body = 1024 * 1024;
};

namespace detail {

struct range { // offsets, because the bytes move while the head grows
    std::uint32_t at = 0;
    std::uint32_t size = 0;

    [[nodiscard]] std::string_view of(std::string_view text) const noexcept {
        return text.substr(at, size);
    }
};

// How far a parser has come with one request: all that it forgets between two of them.
struct parse_progress {
    enum class state : std::uint8_t { head, body, ready, failed };

    std::size_t line_ = 0;    // where the first unseen line starts
    std::size_t scanned_ = 0; // no LF between there and here
    std::size_t fields_ = 0;
    std::size_t fields_at_ = 0;
    std::uint64_t length_ = 0;
    range method_;
    range target_;
    chunk_decoder chunks_;
    int minor_version_ = 1;
    int error_ = 0;
    state state_ = state::head;
    bool has_request_line_ = false;
    bool known_method_ = false;
    bool is_head_ = false;
    bool has_host_ = false;
    bool has_length_ = false;
    bool chunked_ = false;
    bool close_ = false;
    bool keep_alive_ = false;
    bool expects_continue_ = false;
    bool unknown_expectation_ = false;
};

} // namespace detail

/// Finds requests in a stream of bytes that comes in pieces of any size; the pieces never change
/// the result. Pure: no input, no output. A request that arrives in one piece is not copied.
///
/// Strict where leniency has been a hole elsewhere: lines end with CRLF, never with a bare LF; no
/// blank before a colon; no folded lines; one framing only; one Host.
class request_parser : private detail::parse_progress {
public:
    request_parser() = default;
    explicit request_parser(const parse_limits& limits) : limits_{limits} {}

    /// Takes bytes, up to the end of a request at most. When ready() it takes none until next().
    /// \returns how many it took.
    std::size_t feed(std::string_view data) {
        switch (state_) {
        case state::head:
            return feed_head(data);
        case state::body:
            return feed_body(data);
        case state::ready:
        case state::failed:
            break;
        }
        return 0;
    }

    /// A request is complete: current() is good while the last bytes fed are, or after keep().
    [[nodiscard]] bool ready() const noexcept { return state_ == state::ready; }
    [[nodiscard]] bool failed() const noexcept { return state_ == state::failed; }
    /// The status to answer with when failed(). The connection is beyond use then.
    [[nodiscard]] int error() const noexcept { return error_; }

    /// No byte of a request is here.
    [[nodiscard]] bool between() const noexcept { return state_ == state::head && kept_.empty(); }
    /// The head is complete, the body is not.
    [[nodiscard]] bool in_body() const noexcept { return state_ == state::body; }
    /// True once when the client waits for "100 Continue" before it sends the body.
    [[nodiscard]] bool take_continue() noexcept {
        bool waits = in_body() && expects_continue_ && minor_version_ > 0 && body_.empty();
        expects_continue_ = expects_continue_ && !waits;
        return waits;
    }
    /// The request, as far as it is known, is a HEAD: an answer has no body.
    [[nodiscard]] bool is_head() const noexcept { return is_head_; }

    [[nodiscard]] const request& current() const noexcept { return request_; }

    /// Copies what current() shows, so that it stays good until next().
    void keep() {
        if (!ready()) {
            return;
        }
        if (kept_.empty()) {
            kept_.assign(head_);
        }
        if (body_.empty()) {
            body_.assign(request_.body);
        }
        publish(kept_, body_);
    }

    /// Goes on behind the current request.
    void next() {
        constexpr std::size_t keep_at_most = 4 * 1024; // one big request must not cost for ever
        clear(kept_, keep_at_most);
        clear(body_, keep_at_most);
        start_over();
    }

private:
    std::size_t feed_head(std::string_view data) {
        if (kept_.empty()) {
            auto text = data.substr(0, limits_.head);
            if (parse_lines(text)) {
                return finish_head(text.substr(0, line_), data);
            }
            return failed() ? 0 : wait_for_more(text);
        }
        auto before = kept_.size();
        kept_.append(data.substr(0, limits_.head - before));
        if (parse_lines(kept_)) {
            auto used = line_ - before; // what was kept had no end, so the surplus is all in `data`
            kept_.resize(line_);
            return used + finish_head(kept_, data.substr(used));
        }
        if (failed()) {
            return 0;
        }
        check_size(kept_.size());
        return kept_.size() - before;
    }

    // The head goes on in the next piece.
    std::size_t wait_for_more(std::string_view text) {
        if (!has_request_line_ && line_ == text.size()) {
            start_over(); // empty lines between two requests are nothing at all
            return text.size();
        }
        check_size(text.size());
        kept_.assign(text);
        return text.size();
    }

    void check_size(std::size_t size) {
        if (size >= limits_.head) {
            fail(has_request_line_ ? 431 : 414);
        }
    }

    // Looks at every line that is complete and new. \returns true at the end of the head.
    bool parse_lines(std::string_view text) {
        while (!failed()) {
            auto end = text.find('\n', scanned_);
            if (end == text.npos) {
                scanned_ = text.size();
                check_first_byte(text);
                return false;
            }
            if (end == line_ || text[end - 1] != '\r') {
                fail(400); // a bare LF
                return false;
            }
            auto line = text.substr(line_, end - 1 - line_);
            auto line_at = line_;
            line_ = scanned_ = end + 1;
            if (line.empty()) {
                if (has_request_line_) {
                    return true;
                }
            } else if (!has_request_line_) {
                parse_request_line(line, line_at);
            } else {
                parse_field(line);
            }
        }
        return false;
    }

    // What is not HTTP at all, such as TLS, need not wait for the end of a line.
    void check_first_byte(std::string_view text) {
        if (!has_request_line_ && line_ != text.size() && text[line_] != '\r' &&
            !detail::all_of(text.substr(line_, 1), detail::token_char)) {
            fail(400);
        }
    }

    void parse_request_line(std::string_view line, std::size_t line_at) {
        auto method_end = detail::count_of(line, detail::token_char);
        auto rest = line.substr(method_end);
        auto target_size = detail::count_of(rest.substr(rest.empty() ? 0 : 1), detail::target_char);
        if (method_end == 0 || rest.empty() || rest[0] != ' ' || target_size == 0) {
            return fail(400);
        }
        auto method = line.substr(0, method_end);
        auto target = rest.substr(1, target_size);
        auto version = rest.substr(1 + target_size);
        if (version.size() != 9 || !version.starts_with(" HTTP/") || !is_digit(version[6]) ||
            version[7] != '.' || !is_digit(version[8]) || !is_target(method, target)) {
            return fail(400);
        }
        if (version[6] != '1') {
            return fail(505);
        }
        minor_version_ = version[8] - '0';
        method_ = make_range(line_at, method);
        target_ = make_range(line_at + method_end + 1, target);
        fields_at_ = line_;
        is_head_ = method == "HEAD";
        known_method_ = detail::is_known_method(method);
        has_request_line_ = true;
    }

    [[nodiscard]] static bool is_target(std::string_view method, std::string_view target) noexcept {
        return target[0] == '/' || (target == "*" && method == "OPTIONS") ||
               detail::same_ignoring_case(target.substr(0, 7), "http://") ||
               detail::same_ignoring_case(target.substr(0, 8), "https://") || method == "CONNECT";
    }

    void parse_field(std::string_view line) {
        auto name_size = detail::count_of(line, detail::token_char);
        if (name_size == 0 || name_size == line.size() || line[name_size] != ':') {
            return fail(400); // also a folded line, or a blank before the colon
        }
        auto value = line.substr(name_size + 1);
        if (!detail::is_field_value(value)) {
            return fail(400);
        }
        if (++fields_ > limits_.fields) {
            return fail(431);
        }
        note(line.substr(0, name_size), value);
    }

    // The headers that matter to the framing and to the connection.
    void note(std::string_view name, std::string_view value) {
        auto is = [name](std::string_view other) {
            return detail::same_ignoring_case(name, other);
        };
        switch (name.size()) {
        case 4:
            return is("host") ? note_host(detail::trim(value)) : void();
        case 6:
            if (is("expect")) {
                expects_continue_ = detail::same_ignoring_case(detail::trim(value), "100-continue");
                unknown_expectation_ = unknown_expectation_ || !expects_continue_;
            }
            return;
        case 10:
            if (is("connection")) {
                close_ = close_ || detail::list_has(value, "close");
                keep_alive_ = keep_alive_ || detail::list_has(value, "keep-alive");
            }
            return;
        case 14:
            return is("content-length") ? note_length(detail::trim(value)) : void();
        case 17:
            return is("transfer-encoding") ? note_encoding(detail::trim(value)) : void();
        default:
            return;
        }
    }

    void note_host(std::string_view value) {
        if (has_host_ || !detail::all_of(value, detail::host_char)) {
            return fail(400);
        }
        has_host_ = true;
    }

    void note_length(std::string_view digits) {
        std::uint64_t length = 0;
        constexpr std::uint64_t enough = UINT64_MAX / 16; // beyond every limit
        for (char c : digits) {
            if (!is_digit(c)) {
                return fail(400);
            }
            length = length > enough ? length : length * 10 + static_cast<std::uint64_t>(c - '0');
        }
        if (digits.empty() || (has_length_ && length != length_)) {
            return fail(400);
        }
        has_length_ = true;
        length_ = length;
    }

    void note_encoding(std::string_view value) {
        if (chunked_) {
            return fail(400); // whatever follows: chunked is the last coding
        }
        chunked_ = detail::same_ignoring_case(value, "chunked");
        if (!chunked_) {
            auto last = detail::trim(value.substr(value.rfind(',') + 1));
            bool misplaced =
                detail::list_has(value, "chunked") && !detail::same_ignoring_case(last, "chunked");
            fail(misplaced ? 400 : 501); // gzip and the like
        }
    }

    // `head` ends with its empty line; `data` starts where `head` did, or behind it if it is kept.
    std::size_t finish_head(std::string_view head, std::string_view data) {
        if (auto status = verdict(); status != 0) {
            fail(status);
            return 0;
        }
        bool kept = !kept_.empty();
        std::size_t used = kept ? 0 : head.size();
        auto rest = data.substr(used);
        head_ = head;
        if (!chunked_ && length_ <= rest.size()) {
            state_ = state::ready;
            auto size = static_cast<std::size_t>(length_);
            publish(head, rest.substr(0, size));
            return used + size;
        }
        if (!kept) {
            kept_.assign(head);
        }
        state_ = state::body;
        return used + feed_body(rest);
    }

    // What the head as a whole deserves: a status, or 0.
    [[nodiscard]] int verdict() const noexcept {
        if (!known_method_) {
            return 405;
        }
        if ((!has_host_ && minor_version_ > 0) ||
            (chunked_ && (has_length_ || minor_version_ == 0))) {
            return 400;
        }
        if (length_ > limits_.body) {
            return 413;
        }
        return unknown_expectation_ && minor_version_ > 0 ? 417 : 0;
    }

    std::size_t feed_body(std::string_view data) {
        if (chunked_) {
            auto used = chunks_.decode(data, body_, limits_.body);
            if (chunks_.failed()) {
                fail(chunks_.error());
            } else if (chunks_.done()) {
                finish_body();
            }
            return used;
        }
        auto piece = data.substr(0, static_cast<std::size_t>(length_) - body_.size());
        body_.append(piece);
        if (body_.size() == length_) {
            finish_body();
        }
        return piece.size();
    }

    void finish_body() {
        state_ = state::ready;
        publish(kept_, body_);
    }

    void publish(std::string_view head, std::string_view body) noexcept {
        request_.method = method_.of(head);
        request_.target = target_.of(head);
        request_.fields = head.substr(fields_at_, head.size() - fields_at_ - 2);
        request_.body = body;
        request_.minor_version = minor_version_;
        request_.keep_alive = !close_ && (minor_version_ > 0 || keep_alive_);
    }

    void fail(int status) noexcept {
        state_ = state::failed;
        error_ = status;
    }

    void start_over() noexcept { static_cast<detail::parse_progress&>(*this) = {}; }

    static void clear(std::string& text, std::size_t capacity) {
        text.clear();
        if (text.capacity() > capacity) {
            text.shrink_to_fit();
        }
    }

    [[nodiscard]] static detail::range make_range(std::size_t at, std::string_view text) noexcept {
        return {static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(text.size())};
    }
    [[nodiscard]] static bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

    parse_limits limits_;
    std::string kept_; // the head, once it came in pieces or must stay
    std::string body_; // the same for the body
    std::string_view head_;
    request request_;
};

} // namespace examples

#endif // EXAMPLES_HTTP1_PARSER_HPP
