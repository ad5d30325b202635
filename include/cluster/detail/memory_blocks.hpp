// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_MEMORY_BLOCKS_HPP
#define CLUSTER_DETAIL_MEMORY_BLOCKS_HPP

#include <cstddef>
#include <new>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Under AddressSanitizer memory is not used again: a use of an object after its end is to be found.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool memory_is_watched = true;
#elif defined(__has_feature)
inline constexpr bool memory_is_watched = __has_feature(address_sanitizer);
#else
inline constexpr bool memory_is_watched = false;
#endif

/// Memory for objects of one type that come and go in batches, as connections do: what a batch has
/// left serves the next one. (The allocator's own cache holds seven of a size; a batch is larger.)
template <typename T>
class memory_blocks {
public:
    memory_blocks() noexcept = default;
    memory_blocks(memory_blocks&&) = delete;
    memory_blocks& operator=(memory_blocks&&) = delete;
    ~memory_blocks() {
        while (free_ != nullptr) {
            block* next = free_->next;
            ::operator delete(free_);
            free_ = next;
        }
    }

    /// Room for one T, which is not made yet. \throws std::bad_alloc
    [[nodiscard]] void* take() {
        if (free_ == nullptr) {
            return ::operator new(sizeof(T));
        }
        block* found = free_;
        free_ = found->next;
        --kept_;
        return found;
    }
    /// The room of one that has been destroyed.
    void give(void* room) noexcept {
        if (kept_ == most_kept) {
            ::operator delete(room);
            return;
        }
        free_ = ::new (room) block{free_};
        ++kept_;
    }

private:
    static constexpr std::size_t most_kept = memory_is_watched ? 0 : 128;

    struct block {
        block* next;
    };

    block* free_ = nullptr;
    std::size_t kept_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_MEMORY_BLOCKS_HPP
