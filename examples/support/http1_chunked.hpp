// SPDX-License-Identifier: MIT
// The chunked transfer coding. Part of http1.hpp, not of the library.
#ifndef EXAMPLES_HTTP1_CHUNKED_HPP
#define EXAMPLES_HTTP1_CHUNKED_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace examples {

/// Takes a chunked body apart, in pieces of any size. Extensions and trailers are checked for their
/// line ends, bounded together, and dropped.
class chunk_decoder {
public:
    /// More than this in extensions and trailers is an error.
    static constexpr std::size_t max_overhead = 16 * 1024;

    /// Appends the body's bytes to `body`, which never gets longer than `limit`.
    /// \returns how much of `input` belongs to the body.
    std::size_t decode(std::string_view input, std::string& body, std::size_t limit) {
        std::size_t at = 0;
        while (at != input.size() && !done() && !failed()) {
            if (state_ == state::data) {
                auto piece = input.substr(at, left_);
                body.append(piece);
                at += piece.size();
                left_ -= piece.size();
                state_ = left_ == 0 ? state::data_cr : state::data;
            } else {
                step(input[at++], limit - body.size());
            }
        }
        return at;
    }

    [[nodiscard]] bool done() const noexcept { return state_ == state::done; }
    [[nodiscard]] bool failed() const noexcept { return error_ != 0; }
    /// The status to answer with: 400, 413 (too long) or 431 (too many trailers).
    [[nodiscard]] int error() const noexcept { return error_; }

private:
    enum class state : std::uint8_t {
        size,         // at the first digit
        more_size,    // behind it
        extension,    // between the size and its CR
        size_lf,      // at the LF of a size line
        data,         // in a chunk
        data_cr,      // behind a chunk
        data_lf,      // and its CR
        trailer,      // at the start of a line behind the last chunk
        trailer_line, // in it
        trailer_lf,   // at its LF
        last_lf,      // at the LF of the empty line
        done
    };

    void step(char c, std::size_t room) {
        switch (state_) {
        case state::size:
        case state::more_size:
            return size(c, room);
        case state::extension:
            return text(c, state::size_lf, 400);
        case state::size_lf:
            return expect(c, '\n', left_ == 0 ? state::trailer : state::data);
        case state::data_cr:
            return expect(c, '\r', state::data_lf);
        case state::data_lf:
            digits_ = 0;
            return expect(c, '\n', state::size);
        case state::trailer:
            if (c == '\r') {
                state_ = state::last_lf;
                return;
            }
            state_ = state::trailer_line;
            return c == ' ' || c == '\t' || c == ':' ? fail(400) : text(c, state::trailer_lf, 431);
        case state::trailer_line:
            return text(c, state::trailer_lf, 431);
        case state::trailer_lf:
            return expect(c, '\n', state::trailer);
        case state::last_lf:
            return expect(c, '\n', state::done);
        case state::data:
        case state::done:
            break;
        }
    }

    void size(char c, std::size_t room) {
        auto digit = hex(c);
        if (digit >= 0) {
            left_ = state_ == state::size ? 0 : left_;
            state_ = state::more_size;
            left_ = left_ * 16 + static_cast<std::size_t>(digit);
            if (left_ > room) {
                fail(413);
            } else if (++digits_ > 16) { // only zeros get here
                fail(400);
            }
        } else if (state_ == state::more_size && c == '\r') {
            state_ = state::size_lf;
        } else if (state_ == state::more_size && c == ';') {
            state_ = state::extension;
        } else {
            fail(400);
        }
    }

    // One byte of a line that is dropped; `end` follows its CR.
    void text(char c, state end, int too_much) {
        if (c == '\r') {
            state_ = end;
        } else if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
            fail(400);
        } else if (++overhead_ > max_overhead) {
            fail(too_much);
        }
    }

    void expect(char c, char wanted, state next) {
        if (c == wanted) {
            state_ = next;
        } else {
            fail(400);
        }
    }

    void fail(int status) noexcept { error_ = status; }

    [[nodiscard]] static int hex(char c) noexcept {
        if (c >= '0' && c <= '9') {
            return c - '0';
        }
        auto letter = c | 0x20;
        return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
    }

    std::size_t left_ = 0; // of the current chunk; its size while that is read
    std::size_t overhead_ = 0;
    int digits_ = 0;
    int error_ = 0;
    state state_ = state::size;
};

} // namespace examples

#endif // EXAMPLES_HTTP1_CHUNKED_HPP
