// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_BOOT_OUTPUT_HPP
#define CLUSTER_DETAIL_BOOT_OUTPUT_HPP

#include "../event_loop.hpp"
#include "os.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What a worker says on its standard error until it is ready: passed on to where it belongs, and
/// its end kept for the report on a boot that failed.
class boot_output {
public:
    /// Reads `from`, a pipe that does not block; writes to `to`, dropping what that does not take.
    boot_output(event_loop& loop, unique_fd from, unique_fd to)
        : from_{std::move(from)}, to_{std::move(to)} {
        watch_.keep_alive(false);
        watch_.start<&boot_output::on_ready>(loop, from_.get(), os::io::readable, *this);
    }
    boot_output(boot_output&&) = delete;
    boot_output& operator=(boot_output&&) = delete;

    /// The last lines, a kilobyte at most, as printable text.
    [[nodiscard]] std::string tail() {
        for (int i = 0; i != 16 && take();
             ++i) { // as much as a pipe holds, if somebody writes on and on
        }
        return printable(last_);
    }

private:
    static constexpr std::size_t kept = 1024;

    void on_ready(os::io) { take(); }

    bool take() { // some of it; false when there is no more for now
        if (!from_) {
            return false;
        }
        std::array<std::byte, 4096> buffer;
        auto got = os::read_some(from_.get(), buffer);
        if (got.error != 0 || got.bytes == 0) {
            if (!got.would_block()) {
                watch_.stop(); // everyone who could write is gone
                from_.reset();
                to_.reset();
            }
            return false;
        }
        auto text = std::span{buffer}.first(got.bytes);
        os::write_if_possible(to_.get(), text);
        last_.append(reinterpret_cast<const char*>(text.data()), text.size());
        if (last_.size() > kept) {
            last_.erase(0, last_.size() - kept);
        }
        return true;
    }

    // A worker is no friend of the terminal that shows its words.
    static std::string printable(std::string_view text) {
        constexpr std::string_view digits = "0123456789abcdef";
        std::string result;
        for (char each : text) {
            auto byte = static_cast<unsigned char>(each);
            if (each == '\n' || each == '\t' || (byte >= 0x20 && byte != 0x7f && byte < 0x80) ||
                byte >= 0xa0) {
                result += each;
            } else {
                result.append("\\x").push_back(digits[byte >> 4U]);
                result.push_back(digits[byte & 15U]);
            }
        }
        while (!result.empty() && result.back() == '\n') {
            result.pop_back();
        }
        return result;
    }

    unique_fd from_;
    unique_fd to_;
    io_watch watch_;
    std::string last_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_BOOT_OUTPUT_HPP
