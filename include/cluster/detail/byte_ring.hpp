// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_BYTE_RING_HPP
#define CLUSTER_DETAIL_BYTE_RING_HPP

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Words behind each other, as a struct of them is in memory, of which a copy would wait for the
/// stores that have made it.
template <std::unsigned_integral... Words>
void write_words(std::byte* to, Words... words) noexcept {
    std::size_t at = 0;
    ((std::memcpy(to + at, &words, sizeof words), at += sizeof words), ...);
}

/// The two positions of a stream of bytes through shared memory, one writer and one reader. They
/// count bytes since the beginning and never go back.
struct ring_positions {
    alignas(64) std::atomic<std::uint64_t> written{0};
    alignas(64) std::atomic<std::uint64_t> read{0};
};

/// One end of such a stream. Its own position is in memory of its own; the other's is only believed
/// when it makes sense, and nothing is ever accessed outside of the ring.
///
/// A ring's size is a power of two. Where its memory is mapped twice, one copy behind the other
/// (os::shared_mapping::map_rings), what space() and contents() give never wraps. One thread at a
/// time.
class ring_end {
public:
    ring_end() = default;
    ring_end(std::byte* bytes, std::size_t size) noexcept : bytes_{bytes}, size_{size} {}

    /// The other side has written to its position what cannot be.
    [[nodiscard]] bool is_broken() const noexcept { return broken_; }

protected:
    [[nodiscard]] std::size_t offset() const noexcept {
        return static_cast<std::size_t>(at_) & (size_ - 1);
    }

    std::byte* bytes_ = nullptr;
    std::size_t size_ = 0;
    std::uint64_t at_ = 0;
    bool broken_ = false;
};

class ring_writer : public ring_end {
public:
    ring_writer() = default;
    ring_writer(ring_positions& positions, std::byte* bytes, std::size_t size) noexcept
        : ring_end{bytes, size}, positions_{&positions} {}

    [[nodiscard]] std::size_t room() noexcept {
        const std::uint64_t read = positions_->read.load(std::memory_order_acquire);
        const std::uint64_t waiting = at_ - read;
        if (waiting > size_) {
            broken_ = true;
            return 0;
        }
        read_ = read;
        return size_ - static_cast<std::size_t>(waiting);
    }
    /// Whether there is room for `count` bytes. Looks at what the other side writes only when what
    /// is known of it does not do.
    [[nodiscard]] bool has_room(std::size_t count) noexcept { return room_of(count) == count; }
    /// As much of `count` as there is room for.
    [[nodiscard]] std::size_t room_of(std::size_t count) noexcept {
        if (at_ - read_ + count <= size_) {
            return count;
        }
        const std::size_t there = room();
        return there < count ? there : count;
    }
    /// All the room there is. \pre the memory is mapped twice
    [[nodiscard]] std::span<std::byte> space() noexcept { return {bytes_ + offset(), room()}; }
    /// `count` bytes to write to that lie in one piece; null when there are none now.
    [[nodiscard]] std::byte* piece(std::size_t count) noexcept {
        const std::size_t begin = offset();
        return size_ - begin >= count && has_room(count) ? bytes_ + begin : nullptr;
    }
    /// What has been written there is a part of the stream. \pre `count <= room()`
    void advance(std::size_t count) noexcept { at_ += count; }
    /// \pre `bytes.size() <= room()`
    void put(std::span<const std::byte> bytes) noexcept {
        const std::size_t begin = offset();
        const std::size_t first = bytes.size() < size_ - begin ? bytes.size() : size_ - begin;
        if (first != 0) {
            std::memcpy(bytes_ + begin, bytes.data(), first);
        }
        if (first != bytes.size()) {
            std::memcpy(bytes_, bytes.data() + first, bytes.size() - first);
        }
        at_ += bytes.size();
    }
    void publish() noexcept { positions_->written.store(at_, std::memory_order_release); }

private:
    ring_positions* positions_ = nullptr;
    std::uint64_t read_ = 0; // by the other side, when it was last looked at
};

class ring_reader : public ring_end {
public:
    ring_reader() = default;
    ring_reader(ring_positions& positions, std::byte* bytes, std::size_t size) noexcept
        : ring_end{bytes, size}, positions_{&positions} {}

    [[nodiscard]] std::size_t available() noexcept {
        const std::uint64_t count = positions_->written.load(std::memory_order_acquire) - at_;
        if (count > size_) {
            broken_ = true;
            return 0;
        }
        return static_cast<std::size_t>(count);
    }
    /// The next bytes where they are. \pre `count <= available()`; the memory is mapped twice
    [[nodiscard]] std::span<const std::byte> contents(std::size_t count) const noexcept {
        return {bytes_ + offset(), count};
    }
    /// They have been read. \pre `count <= available()`
    void advance(std::size_t count) noexcept { at_ += count; }
    /// \pre `count <= available()`
    void take(std::byte* into, std::size_t count) noexcept {
        const std::size_t begin = offset();
        const std::size_t first = count < size_ - begin ? count : size_ - begin;
        if (first != 0) {
            std::memcpy(into, bytes_ + begin, first);
        }
        if (first != count) {
            std::memcpy(into + first, bytes_, count - first);
        }
        at_ += count;
    }
    /// What was taken may be written over.
    void release() noexcept { positions_->read.store(at_, std::memory_order_release); }

private:
    ring_positions* positions_ = nullptr;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_BYTE_RING_HPP
