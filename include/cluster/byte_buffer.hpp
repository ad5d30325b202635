// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BYTE_BUFFER_HPP
#define CLUSTER_BYTE_BUFFER_HPP

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

// Writes the object representation of `value`, least significant byte first.
template <std::unsigned_integral Unsigned>
inline void store_little_endian(std::byte* at, Unsigned value) noexcept {
    if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(at, &value, sizeof value);
    } else {
        for (std::size_t i = 0; i != sizeof value; ++i) {
            at[i] = static_cast<std::byte>((value >> (8 * i)) & 0xffU);
        }
    }
}

template <std::unsigned_integral Unsigned>
[[nodiscard]] inline Unsigned load_little_endian(const std::byte* at) noexcept {
    Unsigned value{};
    if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(&value, at, sizeof value);
    } else {
        for (std::size_t i = 0; i != sizeof value; ++i) {
            value = static_cast<Unsigned>(value | (static_cast<Unsigned>(at[i]) << (8 * i)));
        }
    }
    return value;
}

} // namespace detail

/// Contiguous bytes that grow at the back, are consumed at the front and keep their storage.
///
/// Made to be reused: what a serializer encodes into and a channel reads into. Growth doubles the
/// storage and leaves new bytes uninitialised. Every call that grows invalidates pointers and spans
/// and may throw `std::bad_alloc`, which leaves the contents as they were; nothing else throws.
/// Movable, not copyable. Thread safety: distinct objects, safe; shared objects, unsafe.
class byte_buffer {
public:
    byte_buffer() noexcept = default;

    /// Starts with room for `capacity` bytes.
    explicit byte_buffer(std::size_t capacity) {
        if (capacity != 0) {
            grow(capacity);
        }
    }

    /// Appends to `foreign` for as long as that has room, and to storage of its own from then on.
    /// For encoders that only append: what consumes bytes, or clears the buffer, must not be called.
    [[nodiscard]] static byte_buffer over(std::span<std::byte> foreign) noexcept {
        byte_buffer result;
        result.begin_ = result.end_ = foreign.data();
        result.limit_ = foreign.data() + foreign.size();
        return result;
    }
    /// Whether the bytes are, still, in memory that is not the buffer's own.
    [[nodiscard]] bool is_foreign() const noexcept { return storage_ == nullptr; }

    byte_buffer(byte_buffer&& other) noexcept
        : storage_{std::exchange(other.storage_, nullptr)},
          begin_{std::exchange(other.begin_, nullptr)},
          end_{std::exchange(other.end_, nullptr)},
          limit_{std::exchange(other.limit_, nullptr)} {}

    byte_buffer& operator=(byte_buffer&& other) noexcept {
        byte_buffer taken{std::move(other)};
        std::swap(storage_, taken.storage_);
        std::swap(begin_, taken.begin_);
        std::swap(end_, taken.end_);
        std::swap(limit_, taken.limit_);
        return *this;
    }

    ~byte_buffer() {
        if (storage_ !=
            nullptr) { // mostly there is none, and the call would be to a shared library
            ::operator delete(storage_);
        }
    }

    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>(end_ - begin_);
    }
    [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
    /// Bytes of storage, including those already consumed at the front.
    [[nodiscard]] std::size_t capacity() const noexcept {
        return static_cast<std::size_t>(limit_ - (storage_ == nullptr ? begin_ : storage_));
    }
    /// The first byte; may be null when `empty()`.
    [[nodiscard]] std::byte* data() noexcept { return begin_; }
    [[nodiscard]] const std::byte* data() const noexcept { return begin_; }
    /// The bytes that there are.
    [[nodiscard]] std::span<const std::byte> span() const noexcept { return {begin_, size()}; }

    /// Appends `count` uninitialised bytes. \returns the first of them.
    [[nodiscard]] std::byte* extend(std::size_t count) {
        if (static_cast<std::size_t>(limit_ - end_) < count) {
            grow(count);
        }
        return std::exchange(end_, end_ + count);
    }

    /// Appends a copy of `bytes`. \pre they do not lie in this buffer.
    void append(std::span<const std::byte> bytes) { append(bytes.data(), bytes.size()); }
    /// Copies them behind what there is.
    void append(const void* bytes, std::size_t count) {
        if (count != 0) { // memcpy takes no null pointer, not even for nothing
            std::memcpy(extend(count), bytes, count);
        }
    }

    /// Appends `value`, least significant byte first.
    template <std::unsigned_integral Unsigned>
    void append_le(Unsigned value) {
        detail::store_little_endian(extend(sizeof value), value);
    }

    /// Drops the first `count` bytes. Moves nothing: the room is won back by a later growth.
    /// \pre `count <= size()`.
    void consume_front(std::size_t count) noexcept {
        begin_ += count;
        if (begin_ == end_) {
            clear();
        }
    }

    /// Drops all but the first `count` bytes: takes back what was appended. \pre `count <= size()`.
    void truncate(std::size_t count) noexcept { end_ = begin_ + count; }

    /// Drops all bytes, keeps the storage.
    void clear() noexcept { begin_ = end_ = storage_; }

    /// Gives the storage back if the buffer is empty and holds more than `limit` bytes of it:
    /// one huge message must not cost its size for ever.
    void shrink(std::size_t limit = 0) noexcept {
        if (empty() && capacity() > limit) {
            ::operator delete(storage_);
            storage_ = begin_ = end_ = limit_ = nullptr;
        }
    }

private:
    // Makes room for `count` more bytes. Moving the live bytes to the front is worth it only when
    // at least as many were consumed since: so each consumed byte pays for at most one moved byte.
    [[gnu::noinline, gnu::cold]] void grow(std::size_t count) {
        const std::size_t live = size();
        const std::size_t dead =
            storage_ == nullptr ? 0 : static_cast<std::size_t>(begin_ - storage_);
        if (storage_ != nullptr && dead >= live && capacity() - live >= count) {
            relocate(storage_, capacity());
            return;
        }
        constexpr std::size_t least = 256;
        constexpr std::size_t most = static_cast<std::size_t>(PTRDIFF_MAX);
        std::size_t wanted = capacity() < most / 2 ? 2 * capacity() : most;
        wanted = wanted < least ? least : wanted;
        if (wanted - live < count) {
            wanted = count > most - live ? SIZE_MAX : live + count; // SIZE_MAX: new throws for us
        }
        auto* const fresh = static_cast<std::byte*>(::operator new(wanted));
        auto* const old = storage_;
        relocate(fresh, wanted);
        ::operator delete(old);
    }

    // Copies the live bytes to `target`, which does not overlap them, and adopts it.
    void relocate(std::byte* target, std::size_t capacity) noexcept {
        const std::size_t live = size();
        if (live != 0) {
            std::memcpy(target, begin_, live);
        }
        storage_ = begin_ = target;
        end_ = target + live;
        limit_ = target + capacity;
    }

    std::byte* storage_{}; // owned; null or from operator new
    std::byte* begin_{};   // first live byte
    std::byte* end_{};     // past the last live byte
    std::byte* limit_{};   // past the storage
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BYTE_BUFFER_HPP
