// SPDX-License-Identifier: MIT
// What an HTTP/1.1 handler gets and gives. Part of http1.hpp, not of the library.
#ifndef EXAMPLES_HTTP1_MESSAGE_HPP
#define EXAMPLES_HTTP1_MESSAGE_HPP

#include "http1_syntax.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace examples {
namespace detail {

// The target without scheme and host, which an absolute one has ("http://host/path").
[[nodiscard]] constexpr std::string_view origin_form(std::string_view target) noexcept {
    auto scheme = target.starts_with('/') ? target.npos : target.find("://");
    if (scheme == target.npos) {
        return target;
    }
    auto path = target.find_first_of("/?", scheme + 3);
    return path == target.npos ? std::string_view{} : target.substr(path);
}

} // namespace detail

/// One request: views into the bytes of the connection. They are good until the handler returns,
/// for a handler with a `responder` until it is called or destroyed. Nothing is percent-decoded.
struct request {
    std::string_view method;
    std::string_view target; // as sent: "/path?query", "http://host/path" or "*"
    std::string_view fields; // the header lines as sent, each with its CRLF
    std::string_view body;
    int minor_version = 1;
    bool keep_alive = true; // what the client wishes

    /// The target without scheme, host and query.
    [[nodiscard]] std::string_view path() const noexcept {
        auto local = detail::origin_form(target);
        auto path = local.substr(0, local.find('?'));
        return path.empty() ? std::string_view{"/"} : path;
    }

    /// The value of the first `name=value` of the query; empty for a name without a value.
    [[nodiscard]] std::optional<std::string_view> query(std::string_view name) const noexcept {
        auto rest = detail::origin_form(target);
        auto mark = rest.find('?');
        while (mark != rest.npos) {
            rest.remove_prefix(mark + 1);
            mark = rest.find('&');
            auto pair = rest.substr(0, mark);
            auto equals = pair.find('=');
            if (pair.substr(0, equals) == name) {
                return equals == pair.npos ? std::string_view{} : pair.substr(equals + 1);
            }
        }
        return std::nullopt;
    }

    /// The value of the first header of this name, in whatever case it is spelled.
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept {
        for (auto rest = fields;
             !rest.empty();) { // the parser has checked that every line is whole
            auto end = rest.find("\r\n");
            auto line = rest.substr(0, end);
            auto colon = line.find(':');
            if (detail::same_ignoring_case(line.substr(0, colon), name)) {
                return detail::trim(line.substr(colon + 1));
            }
            rest.remove_prefix(end + 2);
        }
        return std::nullopt;
    }
};

/// An answer. Length, framing and connection headers are added by the server and ignored here, but
/// for `Connection: close`.
struct response {
    int status = 200;
    std::string body = {};
    std::string content_type = "text/plain";
    std::vector<std::pair<std::string, std::string>> headers = {};
};

/// The phrase behind a status code.
[[nodiscard]] constexpr std::string_view reason_phrase(int status) noexcept {
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 303:
        return "See Other";
    case 304:
        return "Not Modified";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Unknown";
    }
}

} // namespace examples

#endif // EXAMPLES_HTTP1_MESSAGE_HPP
