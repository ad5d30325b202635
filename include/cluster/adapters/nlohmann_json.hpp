// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_NLOHMANN_JSON_HPP
#define CLUSTER_ADAPTERS_NLOHMANN_JSON_HPP

/// \file
/// Messages as JSON text, by nlohmann/json 3.9 or later: `compose<adapters::nlohmann_json>`.

#include "../byte_buffer.hpp"
#include "../error.hpp"
#include "../serialization/concept.hpp"
#include "detail/guarded_decode.hpp"
#include "detail/with_parts.hpp"

#include <nlohmann/json.hpp>

#include <concepts>
#include <cstddef>
#include <ostream>
#include <span>
#include <streambuf>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename T>
concept nlohmann_json_encodes =
    std::same_as<T, nlohmann::json> || requires(nlohmann::json& to, const T& value) {
        nlohmann::adl_serializer<T>::to_json(to, value);
    };

// Of a string_view the library would make one that looks into the text that is thrown away.
template <typename T>
        struct nlohmann_json_decodes : std::bool_constant < !std::is_const_v<T> &&
    !std::is_same_v<T, std::string_view> && requires(const nlohmann::json& from, T& value) {
    nlohmann::adl_serializer<T>::from_json(from, value);
} > {};

// Lets the library write its text where it is sent from.
class byte_buffer_sink final : public std::streambuf {
public:
    explicit byte_buffer_sink(byte_buffer& out) noexcept : out_{out} {}

protected:
    int_type overflow(int_type c) override {
        if (!traits_type::eq_int_type(c, traits_type::eof())) {
            *out_.extend(1) = static_cast<std::byte>(traits_type::to_char_type(c));
        }
        return traits_type::not_eof(c);
    }
    std::streamsize xsputn(const char* text, std::streamsize count) override {
        out_.append(text, static_cast<std::size_t>(count));
        return count;
    }

private:
    byte_buffer& out_;
};

// Whether no more than `limit` arrays and objects are open at once, wherever the text is JSON: for
// other text the answer may be wrong in either direction, but the parser stops there.
inline bool json_is_shallow(std::string_view text, std::size_t limit) noexcept {
    std::size_t depth = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            i += c == '\\' ? 1 : 0;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > limit) {
                return false;
            }
        } else if ((c == ']' || c == '}') && depth != 0) {
            --depth;
        }
    }
    return true;
}

} // namespace detail

namespace adapters {

/// The `serializer` that sends JSON: `nlohmann::json` itself and every type that the library
/// converts, as by `NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(type, members...)` or by functions `to_json`
/// and `from_json` beside the type.
///
/// Choose it to read messages in a log or to talk to programs that are not in C++; it costs a tree
/// of the message on each side. What the library does with a mismatch holds: unknown members are
/// ignored, and a number becomes what a `static_cast` to the member's type makes of it, which the
/// standard leaves open where a fraction or 1e300 meets an integer out of its range: from a peer
/// that is not trusted, receive `double` and check. Nesting ends at 64 levels. Stateless and
/// thread-safe.
struct nlohmann_json {
    static constexpr std::string_view name = "nlohmann_json";

    template <typename T>
    static constexpr bool can_encode = detail::nlohmann_json_encodes<T>;
    template <typename T>
    static constexpr bool can_decode =
        std::is_same_v<T, nlohmann::json> || detail::with_parts<detail::nlohmann_json_decodes, T>();

    /// Appends `value` as JSON without spaces.
    /// \throws std::bad_alloc, what a `to_json` throws, and `nlohmann::json::type_error` for a
    /// string that is not UTF-8; `out` then ends in a part of the text.
    template <typename T>
    static void encode(const T& value, byte_buffer& out) {
        static_assert(can_encode<T>,
                      "nlohmann_json: the library cannot convert this type; put "
                      "NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(type, members...) or a function "
                      "to_json(nlohmann::json&, const type&) into its namespace.");
        if constexpr (can_encode<T>) {
            detail::byte_buffer_sink sink{out};
            std::ostream stream{&sink};
            stream.exceptions(std::ios::badbit); // passes on what the buffer throws
            if constexpr (std::is_same_v<T, nlohmann::json>) {
                stream << value;
            } else {
                nlohmann::json tree;
                nlohmann::adl_serializer<T>::to_json(tree, value);
                stream << tree;
            }
        }
    }

    /// Replaces `value` by what `bytes`, all of them, say; spaces around it are allowed.
    /// \returns `errc::bad_payload` or `nesting_too_deep` for other bytes, and `bad_payload` when a
    /// `from_json` throws a `std::exception`.
    /// \throws std::bad_alloc.
    template <typename T>
    [[nodiscard]] static std::error_code decode(std::span<const std::byte> bytes, T& value) {
        static_assert(can_decode<T>,
                      "nlohmann_json: the library cannot convert to this type; put "
                      "NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(type, members...) or a function "
                      "from_json(const nlohmann::json&, type&) into its namespace, and receive "
                      "text as std::string, as a view owns nothing.");
        if constexpr (can_decode<T>) {
            const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
            // The library takes a zero for the end and would not look at what follows.
            if (text.find('\0') != std::string_view::npos) {
                return errc::bad_payload;
            }
            if (!detail::json_is_shallow(text, deepest)) {
                return errc::nesting_too_deep;
            }
            return convert(text, value);
        } else {
            return errc::not_supported;
        }
    }

private:
    static constexpr std::size_t deepest = 64;

    template <typename T>
    static std::error_code convert(std::string_view text, T& value) {
        return detail::guarded_decode([&]() -> std::error_code {
            auto tree =
                nlohmann::json::parse(text.data(), text.data() + text.size(), nullptr, false);
            if (tree.is_discarded()) {
                return errc::bad_payload;
            }
            if constexpr (std::is_same_v<T, nlohmann::json>) {
                value = std::move(tree);
            } else {
                nlohmann::adl_serializer<T>::from_json(std::as_const(tree), value);
            }
            return {};
        });
    }
};

static_assert(serializes<nlohmann_json, int>);

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_NLOHMANN_JSON_HPP
