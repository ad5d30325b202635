// SPDX-License-Identifier: MIT
// A small web socket server for the examples: text messages both ways, pings, closing. No
// extensions, no check of UTF-8. Not a part of the library.
#ifndef EXAMPLES_WEBSOCKET_HPP
#define EXAMPLES_WEBSOCKET_HPP

#include "http1_parser.hpp"
#include "http1_syntax.hpp"
#include "websocket_frames.hpp"

#include <cluster/net/connection.hpp>
#include <cluster/net/stream.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace examples {

/// One client's web socket. Keep the pointer as long as you want to send; it is closed when the
/// client is gone.
class websocket : public std::enable_shared_from_this<websocket> {
public:
    /// Called with each text message; the text is good until it returns.
    std::function<void(std::string_view)> on_text;
    /// Called once, when the client is gone.
    std::function<void()> on_close;

    void send(std::string_view text) { put(detail::opcode::text, text); }
    /// Says goodbye, once. 1000: all is well; 1001: the server goes away.
    void close(std::uint16_t code = 1000) {
        if (stream_ != nullptr && !std::exchange(closing_, true)) {
            stream_->write(
                detail::websocket_frame(detail::opcode::close, detail::close_reason(code)));
            stream_->end();
        }
    }

private:
    template <typename Self, typename Open>
    friend void serve_websocket(Self& self, cluster::connection client, Open open);

    void put(detail::opcode code, std::string_view payload) {
        if (stream_ != nullptr && !closing_) {
            stream_->write(detail::websocket_frame(code, payload));
        }
    }

    // The first request asks for a web socket, or is answered and that was it.
    template <typename Open>
    void on_handshake(std::string_view bytes, Open& open) {
        auto used = handshake_->feed(bytes);
        if (handshake_->failed()) {
            return refuse("400 Bad Request");
        }
        if (!handshake_->ready()) {
            return;
        }
        const request& asked = handshake_->current();
        auto key = asked.header("Sec-WebSocket-Key");
        auto upgrade = asked.header("Upgrade");
        if (!key || !upgrade || !detail::same_ignoring_case(*upgrade, "websocket") ||
            asked.header("Sec-WebSocket-Version") != "13") {
            return refuse("426 Upgrade Required");
        }
        stream_->write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                       "Upgrade\r\nSec-WebSocket-Accept: " +
                       detail::websocket_accept(*key) + "\r\n\r\n");
        handshake_.reset();
        open(shared_from_this());
        on_frames(bytes.substr(used));
    }

    void refuse(const std::string& status) {
        closing_ = true;
        stream_->end("HTTP/1.1 " + status +
                     "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: "
                     "close\r\nContent-Length: 0\r\n\r\n");
    }

    void on_frames(std::string_view bytes) {
        parser_.feed(bytes);
        websocket_parser::message found;
        while (!closing_ && parser_.next(found)) {
            if (found.code == detail::opcode::ping) {
                put(detail::opcode::pong, found.payload);
            } else if (found.code == detail::opcode::close) {
                close();
            } else if (found.code == detail::opcode::binary) {
                close(1003); // cannot be taken
            } else if (found.code == detail::opcode::text && on_text) {
                on_text(found.payload);
            }
        }
        if (parser_.error() != 0) {
            close(parser_.error());
        }
    }

    cluster::stream* stream_ = nullptr;
    std::optional<request_parser> handshake_{std::in_place};
    websocket_parser parser_;
    bool closing_ = false;
};

/// Shakes hands with the client and calls `open(std::shared_ptr<websocket>)`.
template <typename Self, typename Open>
void serve_websocket(Self& self, cluster::connection client, Open open) {
    auto socket = std::make_shared<websocket>();
    auto& stream = self.attach(std::move(client));
    socket->stream_ = &stream;
    stream.on_close([socket](std::error_code) {
        socket->stream_ = nullptr;
        if (socket->on_close) {
            socket->on_close();
        }
        socket->on_text = nullptr; // they may hold the socket
        socket->on_close = nullptr;
    });
    stream.on_data([socket, open = std::move(open)](cluster::stream::bytes bytes) mutable {
        std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
        if (socket->closing_) {
            return;
        }
        if (socket->handshake_) {
            socket->on_handshake(text, open);
        } else {
            socket->on_frames(text);
        }
    });
}

} // namespace examples

#endif // EXAMPLES_WEBSOCKET_HPP
