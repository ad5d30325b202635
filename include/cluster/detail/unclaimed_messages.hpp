// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_UNCLAIMED_MESSAGES_HPP
#define CLUSTER_DETAIL_UNCLAIMED_MESSAGES_HPP

#include "../byte_buffer.hpp"
#include "../ipc/frame.hpp"
#include "../net/handle.hpp"
#include "memory.hpp"
#include "ring_queue.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Messages for whose type no handler exists yet, in their order, within bounds.
class unclaimed_messages {
public:
    static constexpr std::size_t most = 4096;
    static constexpr std::size_t most_bytes = 64 * 1024 * 1024;
    static constexpr std::size_t most_descriptors = 256; // later ones arrive as lost

    struct entry {
        std::uint32_t type;
        bool request;
        std::uint32_t sequence;
        std::size_t size;
        byte_buffer payload;
        handle descriptor;
        std::unique_ptr<moved_value> value;
    };

    /// \returns whether it is kept; beyond the bounds it is dropped.
    bool keep(frame& arrived, handle&& descriptor) {
        auto size = arrived.content_size();
        if (entries_.size() == most || bytes_ + size > most_bytes) {
            return false;
        }
        bool request = arrived.header.kind == frame_kind::request;
        if (descriptor && descriptors_ == most_descriptors) {
            descriptor = handle::lost();
        }
        descriptors_ += descriptor ? 1U : 0U;
        entry kept{arrived.header.type,
                   request,
                   arrived.header.sequence,
                   size,
                   {},
                   std::move(descriptor),
                   std::move(arrived.value)};
        kept.payload.append(arrived.payload);
        bytes_ += size;
        entries_.push_back(std::move(kept));
        return true;
    }
    [[nodiscard]] bool has(std::uint32_t type, bool request) const noexcept {
        for (const auto& each : entries_) {
            if (each.type == type && each.request == request) {
                return true;
            }
        }
        return false;
    }
    /// Takes out the first entry that satisfies the condition, if any.
    template <typename Condition>
    bool take(Condition condition, entry& into) {
        for (std::size_t i = 0; i != entries_.size(); ++i) {
            auto& each = entries_[i];
            if (condition(each)) {
                bytes_ -= each.size;
                descriptors_ -= each.descriptor ? 1U : 0U;
                into = std::move(each);
                for (; i != 0; --i) { // those before move up: mostly there are none
                    entries_[i] = std::move(entries_[i - 1]);
                }
                entries_.pop_front();
                return true;
            }
        }
        return false;
    }
    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    void clear() noexcept {
        entries_.clear();
        bytes_ = descriptors_ = 0;
    }

private:
    ring_queue<entry> entries_;
    std::size_t bytes_ = 0;
    std::size_t descriptors_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_UNCLAIMED_MESSAGES_HPP
