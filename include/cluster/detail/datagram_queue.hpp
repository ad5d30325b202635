// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_DATAGRAM_QUEUE_HPP
#define CLUSTER_DETAIL_DATAGRAM_QUEUE_HPP

#include "../byte_buffer.hpp"
#include "../net/address.hpp"
#include "os.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Datagrams that wait to be sent, in order. Keeps its storage: in a steady state nothing allocates.
class datagram_queue {
public:
    /// What a datagram counts beyond its bytes, so that empty ones are bounded as well.
    static constexpr std::size_t overhead = 128;

    explicit datagram_queue(std::size_t limit) noexcept : limit_{limit} {}

    [[nodiscard]] std::size_t size() const noexcept { return entries_.size() - first_; }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.size(); }

    /// \returns false when there is no room for it.
    bool push(std::span<const std::byte> datagram, const address& to) {
        if (bytes_.size() + size() * overhead + datagram.size() + overhead > limit_) {
            return false;
        }
        if (first_ >= 64 && first_ >= size()) { // so that what is gone does not pile up in front
            entries_.erase(entries_.begin(),
                           entries_.begin() + static_cast<std::ptrdiff_t>(first_));
            first_ = 0;
        }
        entries_.push_back({to, datagram.size()});
        try {
            bytes_.append(datagram);
        } catch (...) {
            entries_.pop_back();
            throw;
        }
        return true;
    }

    /// The first ones, as many as fit. \returns how many.
    [[nodiscard]] std::size_t front(std::span<os::outgoing_datagram> into) const noexcept {
        std::size_t count = size() < into.size() ? size() : into.size();
        auto rest = bytes_.span();
        for (std::size_t i = 0; i != count; ++i) {
            const entry& each = entries_[first_ + i];
            into[i] = {rest.first(each.size), &each.to};
            rest = rest.subspan(each.size);
        }
        return count;
    }

    [[nodiscard]] const address& first_receiver() const noexcept { return entries_[first_].to; }

    void pop(std::size_t count) noexcept {
        for (; count != 0; --count) {
            bytes_.consume_front(entries_[first_++].size);
        }
        if (first_ == entries_.size()) {
            entries_.clear();
            first_ = 0;
        }
    }

private:
    struct entry {
        address to;
        std::size_t size;
    };

    std::size_t limit_;
    std::vector<entry> entries_;
    std::size_t first_ = 0;
    byte_buffer bytes_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_DATAGRAM_QUEUE_HPP
