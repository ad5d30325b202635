// SPDX-License-Identifier: MIT
// The bytes of web sockets (RFC 6455): the handshake's answer and the frames. Pure: no input, no
// output. Part of websocket.hpp, not of the library.
#ifndef EXAMPLES_WEBSOCKET_FRAMES_HPP
#define EXAMPLES_WEBSOCKET_FRAMES_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace examples {
namespace detail {

/// SHA-1, for which the handshake has a use that needs no secrecy.
inline std::array<std::uint8_t, 20> sha1(std::string text) {
    std::uint64_t bits = std::uint64_t{text.size()} * 8;
    text += '\x80';
    text.append((120 - text.size() % 64) % 64, '\0');
    for (int shift = 56; shift >= 0; shift -= 8) {
        text += static_cast<char>(bits >> static_cast<unsigned>(shift));
    }
    auto rotated = [](std::uint32_t word, unsigned by) { return word << by | word >> (32 - by); };
    std::array<std::uint32_t, 5> sum{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    for (std::size_t block = 0; block != text.size(); block += 64) {
        std::array<std::uint32_t, 80> words{};
        for (std::size_t i = 0; i != 64; ++i) {
            words[i / 4] = words[i / 4] << 8U | static_cast<std::uint8_t>(text[block + i]);
        }
        for (std::size_t i = 16; i != 80; ++i) {
            words[i] = rotated(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
        }
        auto [a, b, c, d, e] = sum;
        for (std::size_t i = 0; i != 80; ++i) {
            auto mixed = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                         : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                         : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                                  : (b ^ c ^ d) + 0xca62c1d6;
            auto next = rotated(a, 5) + mixed + e + words[i];
            e = d;
            d = c;
            c = rotated(b, 30);
            b = a;
            a = next;
        }
        sum = {sum[0] + a, sum[1] + b, sum[2] + c, sum[3] + d, sum[4] + e};
    }
    std::array<std::uint8_t, 20> result{};
    for (std::size_t i = 0; i != 20; ++i) {
        result[i] = static_cast<std::uint8_t>(sum[i / 4] >> (24 - 8 * (i % 4)));
    }
    return result;
}

/// Base 64 of 20 bytes.
inline std::string base64(const std::array<std::uint8_t, 20>& bytes) {
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 6) {
        unsigned two =
            bytes[bit / 8] * 256U + (bit / 8 + 1 < bytes.size() ? bytes[bit / 8 + 1] : 0);
        text += digits[two >> (10 - bit % 8) & 63U];
    }
    return text + '=';
}

/// The value of Sec-WebSocket-Accept for one of Sec-WebSocket-Key.
inline std::string websocket_accept(std::string_view key) {
    return base64(sha1(std::string{key} + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
}

enum class opcode : std::uint8_t { more = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

/// A whole frame from the server, which masks nothing.
inline std::string websocket_frame(opcode code, std::string_view payload) {
    std::string frame(1, static_cast<char>(0x80U | static_cast<unsigned>(code)));
    int bytes_of_length = payload.size() < 126 ? 0 : payload.size() < 65536 ? 2 : 8;
    frame += static_cast<char>(bytes_of_length == 0   ? payload.size()
                               : bytes_of_length == 2 ? 126
                                                      : 127);
    for (int i = bytes_of_length; i != 0; --i) {
        frame +=
            static_cast<char>(std::uint64_t{payload.size()} >> static_cast<unsigned>(8 * i - 8));
    }
    return frame.append(payload);
}

/// A close frame's payload.
inline std::string close_reason(std::uint16_t code) {
    return {static_cast<char>(code >> 8U), static_cast<char>(code & 0xffU)};
}

} // namespace detail

/// Finds the messages in what a client sends, in pieces of any size.
class websocket_parser {
public:
    static constexpr std::size_t largest_message = 64 * 1024;

    /// A whole message, or a control frame. Good until the next call.
    struct message {
        detail::opcode code = detail::opcode::text;
        std::string_view payload;
    };

    void feed(std::string_view bytes) { pending_.append(bytes); }

    /// \returns whether there is one; false also when the client broke the rules: error().
    bool next(message& found) {
        drop_done();
        while (error_ == 0) {
            head frame;
            if (!read_head(frame) || pending_.size() - frame.size < frame.length) {
                return false;
            }
            char* payload = pending_.data() + frame.size;
            auto length = static_cast<std::size_t>(frame.length);
            for (std::size_t i = 0; i != length; ++i) {
                payload[i] = static_cast<char>(payload[i] ^ pending_[frame.size - 4 + i % 4]);
            }
            done_ = frame.size + length;
            if (frame.code >= detail::opcode::close) { // may come between parts of a message
                found = {frame.code, {payload, length}};
                return true;
            }
            if (take_part(frame, {payload, length}, found)) {
                return true;
            }
            drop_done();
        }
        return false;
    }

    /// The code to close with, 0 when all is well: 1002 wrong frame, 1009 too big.
    [[nodiscard]] std::uint16_t error() const noexcept { return error_; }

private:
    struct head {
        detail::opcode code = detail::opcode::more;
        bool last = false;
        std::uint64_t length = 0;
        std::size_t size = 0; // with the mask, which ends it
    };

    void drop_done() {
        pending_.erase(0, done_);
        done_ = 0;
        if (message_done_) {
            message_.clear();
            in_message_ = message_done_ = false;
        }
    }

    [[nodiscard]] unsigned byte(std::size_t at) const {
        return static_cast<std::uint8_t>(pending_[at]);
    }

    // False while it is not whole, and when it is wrong.
    bool read_head(head& frame) {
        if (pending_.size() < 2) {
            return false;
        }
        frame.code = static_cast<detail::opcode>(byte(0) & 15U);
        frame.last = (byte(0) & 0x80U) != 0;
        unsigned short_length = byte(1) & 0x7fU;
        std::size_t more = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
        bool control = frame.code >= detail::opcode::close;
        bool known =
            frame.code <= detail::opcode::binary || (control && frame.code <= detail::opcode::pong);
        bool masked = (byte(1) & 0x80U) != 0;
        bool reserved = (byte(0) & 0x70U) != 0;
        if (!known || !masked || reserved || (control && (!frame.last || more != 0))) {
            return fail(1002);
        }
        frame.size = 2 + more + 4;
        if (pending_.size() < frame.size) {
            return false;
        }
        frame.length = more == 0 ? short_length : 0;
        for (std::size_t i = 0; i != more; ++i) {
            frame.length = frame.length << 8U | byte(2 + i);
        }
        return frame.length <= largest_message - message_.size() || fail(1009);
    }

    // A part of a message; \returns whether it was the last one.
    bool take_part(const head& frame, std::string_view payload, message& found) {
        if ((frame.code == detail::opcode::more) != in_message_) {
            return fail(1002);
        }
        code_ = in_message_ ? code_ : frame.code;
        in_message_ = true;
        message_.append(payload);
        message_done_ = frame.last;
        found = {code_, message_};
        return frame.last;
    }

    bool fail(std::uint16_t code) {
        error_ = code;
        return false;
    }

    std::string pending_;
    std::size_t done_ = 0; // of pending_
    std::string message_;
    detail::opcode code_ = detail::opcode::text;
    bool in_message_ = false;
    bool message_done_ = false;
    std::uint16_t error_ = 0;
};

} // namespace examples

#endif // EXAMPLES_WEBSOCKET_FRAMES_HPP
