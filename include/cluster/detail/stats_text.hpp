// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_STATS_TEXT_HPP
#define CLUSTER_DETAIL_STATS_TEXT_HPP

#include "chrono.hpp"
#include "number.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace detail {

/// \returns the length of the valid UTF-8 sequence at the front of `text`, 0 when there is none
constexpr std::size_t utf8_length(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const auto follows = [&](std::size_t i, unsigned lowest = 0x80, unsigned highest = 0xbf) {
        return byte(i) >= lowest && byte(i) <= highest;
    };
    const unsigned first = byte(0);
    if (first < 0x80) {
        return text.empty() ? 0 : 1;
    }
    if (first < 0xe0) {
        return first >= 0xc2 && follows(1) ? 2 : 0;
    }
    if (first < 0xf0) { // neither a longer form of a shorter one, nor half of a surrogate pair
        const bool second = follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
        return second && follows(2) ? 3 : 0;
    }
    const bool second = follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return first <= 0xf4 && second && follows(2) && follows(3) ? 4 : 0;
}

/// Appends `text` as valid UTF-8, U+FFFD for each byte that is none. `escape(out, byte)` may write
/// an ASCII character in its own way, and tells whether it did.
template <typename Escape>
void append_utf8(std::string& out, std::string_view text, Escape escape) {
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) {
            out += "\xef\xbf\xbd";
        } else if (length > 1 || !escape(out, text.front())) {
            out += text.substr(0, length);
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
}

template <std::integral Number>
void append_number(std::string& out, Number number) {
    char digits[24];
    out.append(digits, write_number(digits, number));
}

/// Appends seconds as an exact decimal number: "12", "0.25", "-0.000000001".
inline void append_number(std::string& out, std::chrono::nanoseconds time) {
    constexpr std::uint64_t second = 1'000'000'000;
    const bool negative = time.count() < 0;
    auto left = static_cast<std::uint64_t>(time.count());
    left = negative ? 0 - left : left;
    out += negative ? "-" : "";
    append_number(out, left / second);
    if (left %= second; left != 0) {
        out += '.';
        for (std::uint64_t place = second / 10; left != 0; place /= 10) {
            out += static_cast<char>('0' + left / place);
            left %= place;
        }
    }
}

/// Writes JSON (RFC 8259) into a string, without blanks. The caller opens and closes in pairs.
class json_writer {
public:
    explicit json_writer(std::string& out) noexcept : out_{&out} {}

    void open(char bracket) {
        separate();
        *out_ += bracket;
        first_ = true;
    }

    void close(char bracket) {
        *out_ += bracket;
        first_ = false;
    }

    /// The name of the value that comes next.
    void key(std::string_view name) {
        string(name);
        *out_ += ':';
        first_ = true;
    }

    void string(std::string_view text) {
        separate();
        *out_ += '"';
        append_utf8(*out_, text, escape);
        *out_ += '"';
    }

    void member(std::string_view name, std::string_view text) {
        key(name);
        string(text);
    }

    template <std::integral Number>
    void member(std::string_view name, Number number) {
        key(name);
        separate();
        append_number(*out_, number);
    }

    /// `name` gets the suffix "_seconds".
    void member(std::string_view name, std::chrono::nanoseconds time) {
        key(std::string{name} + "_seconds");
        separate();
        append_number(*out_, time);
    }

private:
    void separate() {
        *out_ += first_ ? "" : ",";
        first_ = false;
    }

    static bool escape(std::string& out, char character) {
        constexpr std::string_view digits = "0123456789abcdef";
        if (character == '"' || character == '\\') {
            out += {'\\', character};
        } else if (static_cast<unsigned char>(character) < 0x20) {
            const auto code = static_cast<unsigned char>(character);
            out += "\\u00";
            out += {digits[code >> 4U], digits[code & 0xfU]};
        } else {
            return false;
        }
        return true;
    }

    std::string* out_;
    bool first_ = true; ///< no comma before the next value
};

enum class metric_type { counter, gauge, info, stateset };

/// One family of metrics: its samples follow it, before the next family.
struct metric_family {
    std::string_view name; ///< with the unit at the end
    metric_type type;
    std::string_view unit; ///< may be empty
    std::string_view help;
};

struct metric_label {
    std::string_view name;
    std::string_view value;
};

/// The labels of a sample as text: `worker="3",slot="0"`.
inline std::string metric_labels(std::initializer_list<metric_label> labels) {
    const auto escape = [](std::string& out, char character) {
        if (character != '"' && character != '\\' && character != '\n') {
            return false;
        }
        out += {'\\', character == '\n' ? 'n' : character};
        return true;
    };
    std::string text;
    for (const metric_label& label : labels) {
        text += text.empty() ? "" : ",";
        text += label.name;
        text += "=\"";
        append_utf8(text, label.value, escape);
        text += '"';
    }
    return text;
}

/// Writes OpenMetrics 1.0 into a string.
class metrics_writer {
public:
    explicit metrics_writer(std::string& out) noexcept : out_{&out} {}

    void family(const metric_family& family) {
        static constexpr std::string_view types[] = {"counter", "gauge", "info", "stateset"};
        static constexpr std::string_view suffixes[] = {"_total", "", "_info", ""};
        const auto type = static_cast<std::size_t>(family.type);
        name_ = family.name;
        suffix_ = suffixes[type];
        line("# TYPE ", types[type]);
        if (!family.unit.empty()) {
            line("# UNIT ", family.unit);
        }
        line("# HELP ", family.help);
    }

    /// A sample of the last family; `labels` as metric_labels() makes them.
    template <typename Number>
    void sample(std::string_view labels, Number value) {
        *out_ += name_;
        *out_ += suffix_;
        if (!labels.empty()) {
            *out_ += '{';
            *out_ += labels;
            *out_ += '}';
        }
        *out_ += ' ';
        append_number(*out_, value);
        *out_ += '\n';
    }

    void end() { *out_ += "# EOF\n"; }

private:
    void line(std::string_view keyword, std::string_view text) {
        *out_ += keyword;
        *out_ += name_;
        *out_ += ' ';
        *out_ += text;
        *out_ += '\n';
    }

    std::string* out_;
    std::string_view name_;
    std::string_view suffix_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_STATS_TEXT_HPP
