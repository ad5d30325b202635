// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_BOOST_JSON_HPP
#define CLUSTER_ADAPTERS_BOOST_JSON_HPP

/// \file
/// Messages as JSON text, by Boost.JSON 1.81 or later: `compose<adapters::boost_json>`. Link its
/// library, or include `<boost/json/src.hpp>` in one file.

#include "../byte_buffer.hpp"
#include "../error.hpp"
#include "../serialization/concept.hpp"
#include "detail/guarded_decode.hpp"
#include "detail/with_parts.hpp"

#include <boost/json.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename T>
concept boost_json_kind =
    std::same_as<T, boost::json::value> || std::same_as<T, boost::json::object> ||
    std::same_as<T, boost::json::array> || std::same_as<T, boost::json::string>;

template <typename T>
struct boost_json_encodes
    : std::bool_constant<std::is_arithmetic_v<T> || boost::json::has_value_from<T>::value> {};

template <typename T>
concept boost_json_view =
    std::same_as<T, std::string_view> || std::same_as<T, boost::json::string_view>;

// The library makes the pairs of such a map and then assigns to their keys, which are const.
template <typename T>
concept boost_json_odd_map = requires {
    typename T::mapped_type;
    requires !std::convertible_to<typename T::key_type, std::string_view>;
};

// Of a view the library would make one that looks into the text that is thrown away.
template <typename T>
struct boost_json_decodes
    : std::bool_constant<!std::is_const_v<T> && !boost_json_view<T> && !boost_json_odd_map<T> &&
                         (std::is_arithmetic_v<T> || boost::json::has_value_to<T>::value)> {};

} // namespace detail

namespace adapters {

/// The `serializer` that sends JSON: `boost::json::value` itself and every type that the library
/// converts, as by `BOOST_DESCRIBE_STRUCT(type, (), (members...))` or by functions `tag_invoke`
/// beside the type. Keys of maps are strings.
///
/// Choose it to read messages in a log or to talk to programs that are not in C++; it costs a tree
/// of the message on each side. Numbers that do not fit are errors; so are unknown and missing
/// members of a described type, and whatever is sent that JSON has no form for: strings that are not
/// UTF-8, NaN and infinity, at the receiver. Nesting ends at 64 levels. Stateless and thread-safe.
struct boost_json {
    static constexpr std::string_view name = "boost_json";

    template <typename T>
    static constexpr bool can_encode =
        detail::boost_json_kind<T> || detail::with_parts<detail::boost_json_encodes, T>();
    template <typename T>
    static constexpr bool can_decode =
        detail::boost_json_kind<T> || detail::with_parts<detail::boost_json_decodes, T>();

    /// Appends `value` as JSON without spaces.
    /// \throws std::bad_alloc, and what a `tag_invoke` throws.
    template <typename T>
    static void encode(const T& value, byte_buffer& out) {
        static_assert(can_encode<T>,
                      "boost_json: the library cannot convert this type; put "
                      "BOOST_DESCRIBE_STRUCT(type, (), (members...)) or a function tag_invoke("
                      "const boost::json::value_from_tag&, boost::json::value&, const type&) into "
                      "its namespace.");
        if constexpr (detail::boost_json_kind<T>) {
            write(value, out);
        } else if constexpr (can_encode<T>) {
            write(boost::json::value_from(value), out);
        }
    }

    /// Replaces `value` by what `bytes`, all of them, say; spaces around it are allowed. After an
    /// error it is as before.
    /// \returns `errc::bad_payload`, `trailing_bytes` or `nesting_too_deep` for other bytes, and
    /// `bad_payload` when a `tag_invoke` fails.
    /// \throws std::bad_alloc.
    template <typename T>
    [[nodiscard]] static std::error_code decode(std::span<const std::byte> bytes, T& value) {
        static_assert(
            can_decode<T>,
            "boost_json: the library cannot convert to this type; put "
            "BOOST_DESCRIBE_STRUCT(type, (), (members...)) or a function tag_invoke("
            "const boost::json::value_to_tag<type>&, const boost::json::value&) into its "
            "namespace; receive text as std::string, as a view owns nothing, and maps with "
            "std::string as their key.");
        if constexpr (can_decode<T>) {
            return detail::guarded_decode([&] { return read(bytes, value); });
        } else {
            return errc::not_supported;
        }
    }

private:
    static constexpr std::size_t deepest = 64;
    static constexpr std::size_t at_once = 1024;

    template <typename Kind>
    static void write(const Kind& tree, byte_buffer& out) {
        boost::json::serializer text;
        text.reset(&tree);
        while (!text.done()) {
            const std::size_t before = out.size();
            auto* const at = reinterpret_cast<char*>(out.extend(at_once));
            out.truncate(before + text.read(at, at_once).size());
        }
    }

    template <typename T>
    static std::error_code read(std::span<const std::byte> bytes, T& value) {
        boost::json::parse_options options;
        options.max_depth = deepest;
        boost::json::error_code error;
        auto tree = boost::json::parse(
            {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, error, {}, options);
        if (error) {
            return error == boost::json::error::too_deep     ? errc::nesting_too_deep
                   : error == boost::json::error::extra_data ? errc::trailing_bytes
                                                             : errc::bad_payload;
        }
        if constexpr (std::is_same_v<T, boost::json::value>) {
            value = std::move(tree);
        } else {
            auto made = boost::json::try_value_to<T>(tree);
            if (!made) {
                return errc::bad_payload;
            }
            value = std::move(*made);
        }
        return {};
    }
};

static_assert(serializes<boost_json, int>);

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_BOOST_JSON_HPP
