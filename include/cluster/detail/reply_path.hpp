// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_REPLY_PATH_HPP
#define CLUSTER_DETAIL_REPLY_PATH_HPP

#include "../ipc/channel.hpp"
#include "type_name.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace detail {

/// How to answer one request: the channel it came by, if that still exists.
struct reply_path {
    std::weak_ptr<channel*> to;
    std::uint32_t sequence = 0;
};

template <typename Serializer, typename T>
void send_reply(const reply_path& path, const T& value) {
    if (auto to = path.to.lock()) {
        (*to)->send({0, frame_kind::reply, 0, message_id<T>(), path.sequence},
                    [&](byte_buffer& out) { Serializer{}.encode(value, out); });
    }
}

inline void send_failure(const reply_path& path, std::string_view text) {
    constexpr std::size_t longest = 1024;
    if (auto to = path.to.lock()) {
        (*to)->send({0, frame_kind::failure, 0, 0, path.sequence}, [&](byte_buffer& out) {
            out.append(text.data(), text.size() < longest ? text.size() : longest);
        });
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_REPLY_PATH_HPP
