// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ENCODE_MESSAGE_HPP
#define CLUSTER_DETAIL_ENCODE_MESSAGE_HPP

#include "../byte_buffer.hpp"
#include "../serialization/concept.hpp"
#include "callable.hpp"

#include <string_view>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Appends a message as message_type_of says that it travels.
template <typename Serializer, typename Message>
void encode_message(const Message& message, byte_buffer& out) {
    using type = message_type_of<Message>;
    if constexpr (std::is_same_v<type, Message>) {
        Serializer{}.encode(message, out);
    } else if constexpr (decodes_text_view<Serializer> && encodes<Serializer, std::string_view>) {
        Serializer{}.encode(std::string_view{message}, out); // the same bytes
    } else {
        Serializer{}.encode(type{message}, out);
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_ENCODE_MESSAGE_HPP
