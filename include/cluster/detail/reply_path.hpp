// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_REPLY_PATH_HPP
#define CLUSTER_DETAIL_REPLY_PATH_HPP

#include "../byte_buffer.hpp"
#include "../ipc/channel.hpp"
#include "../ipc/frame.hpp"
#include "memory.hpp"
#include "type_name.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Where answers go.
class reply_sink {
public:
    using encoder = void (*)(const void* value, byte_buffer& out);

    /// `encode(value, out)` appends the answer's payload; called at most once, from within.
    virtual void reply(const frame_header& header, const void* value, encoder encode) = 0;

protected:
    ~reply_sink() = default;
};

class channel_replies final : public reply_sink {
public:
    explicit channel_replies(channel& to) noexcept : to_{to} {}
    void reply(const frame_header& header, const void* value, encoder encode) override {
        to_.send(header, [value, encode](byte_buffer& out) { encode(value, out); });
    }

private:
    channel& to_;
};

/// How to answer one request: the way it came, if that still exists.
struct reply_path {
    std::weak_ptr<reply_sink> to;
    std::uint32_t sequence = 0;
};

template <typename Serializer, typename T>
void send_reply(const reply_path& path, const T& value) {
    if (auto to = path.to.lock()) {
        to->reply({0, frame_kind::reply, 0, message_id<T>(), path.sequence},
                  &value,
                  [](const void* answer, byte_buffer& out) {
                      Serializer{}.encode(*static_cast<const T*>(answer), out);
                  });
    }
}

inline void send_failure(const reply_path& path, std::string_view text) {
    constexpr std::size_t longest = 1024;
    text = text.substr(0, longest);
    if (auto to = path.to.lock()) {
        to->reply({0, frame_kind::failure, 0, 0, path.sequence},
                  &text,
                  [](const void* why, byte_buffer& out) {
                      const auto& said = *static_cast<const std::string_view*>(why);
                      out.append(said.data(), said.size());
                  });
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_REPLY_PATH_HPP
