// SPDX-License-Identifier: MIT
// Turns an answer into bytes. Part of http1.hpp, not of the library.
#ifndef EXAMPLES_HTTP1_WRITER_HPP
#define EXAMPLES_HTTP1_WRITER_HPP

#include "http1_message.hpp"
#include "http1_syntax.hpp"

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>

namespace examples {

/// What an answer says about its connection: nothing (kept alive by default), or a word.
enum class connection_header { none, keep_alive, close };

namespace detail {

template <typename Number>
void append_number(std::string& out, Number number) {
    char digits[24];
    auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    out += std::string_view{digits, end};
}

// A line break in a name or a value would let the client's text start a header of its own.
inline void append_clean(std::string& out, std::string_view text) {
    if (is_field_value(text)) {
        out += text;
        return;
    }
    for (char c : text) {
        out += all_of({&c, 1}, value_char) ? c : ' ';
    }
}

[[nodiscard]] inline bool is_added_by_the_server(std::string_view name) noexcept {
    return same_ignoring_case(name, "content-length") || same_ignoring_case(name, "connection") ||
           same_ignoring_case(name, "transfer-encoding");
}

[[nodiscard]] constexpr bool may_have_body(int status) noexcept {
    return status != 204 && status != 304;
}

// The handler wants this answer to be the last one.
[[nodiscard]] inline bool asks_to_close(const response& answer) noexcept {
    for (const auto& [name, value] : answer.headers) {
        if (same_ignoring_case(name, "connection") && same_ignoring_case(value, "close")) {
            return true;
        }
    }
    return false;
}

} // namespace detail

/// Appends the status line and the headers, with the empty line. Blanks replace line breaks in what
/// the handler gave; a status that no final answer can have becomes 500.
inline void append_head(std::string& out, const response& answer, connection_header connection) {
    using namespace std::string_view_literals; // their length is known
    int status = answer.status >= 200 && answer.status <= 999 ? answer.status : 500;
    if (status == 200) {
        out += "HTTP/1.1 200 OK"sv;
    } else {
        out += "HTTP/1.1 "sv;
        detail::append_number(out, status);
        out += ' ';
        out += reason_phrase(status);
    }
    if (detail::may_have_body(status)) {
        if (!answer.content_type.empty()) {
            out += "\r\nContent-Type: "sv;
            detail::append_clean(out, answer.content_type);
        }
        out += "\r\nContent-Length: "sv;
        detail::append_number(out, answer.body.size());
    }
    if (connection == connection_header::close) {
        out += "\r\nConnection: close"sv;
    } else if (connection == connection_header::keep_alive) {
        out += "\r\nConnection: keep-alive"sv;
    }
    for (const auto& [name, value] : answer.headers) {
        if (!detail::is_added_by_the_server(name)) {
            out += "\r\n"sv;
            detail::append_clean(out, name);
            out += ": "sv;
            detail::append_clean(out, value);
        }
    }
    out += "\r\n\r\n"sv;
}

} // namespace examples

#endif // EXAMPLES_HTTP1_WRITER_HPP
