// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_RING_PAGE_HPP
#define CLUSTER_DETAIL_RING_PAGE_HPP

#include "../unique_fd.hpp"
#include "byte_ring.hpp"
#include "os.hpp"
#include "sleep_flag.hpp"

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <system_error>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What two processes that talk through shared memory know of each other: one stream of bytes each
/// way. Neither believes a word of it without a look whether it can be.
struct ring_page {
    struct one_way {
        ring_positions positions;
        alignas(64) sleep_flag reader_sleeps;
        sleep_flag writer_waits; // for room
    };

    one_way to_worker;
    one_way to_primary;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "the page is shared between processes");

/// The page and the two rings, mapped for as long as the object lives.
class ring_mapping {
public:
    ring_mapping() noexcept = default;

    /// \pre `bytes`, the size of one ring, is a power of two and whole pages
    static ring_mapping
    create(std::size_t bytes, unique_fd& descriptor, std::error_code& error) noexcept {
        ring_mapping result;
        result.mapping_ = os::shared_mapping::create_rings(bytes, 2, descriptor, error);
        result.bytes_ = bytes;
        if (!error) {
            ::new (result.mapping_.data()) ring_page;
        }
        return result;
    }
    static ring_mapping open(int descriptor, std::size_t bytes, std::error_code& error) noexcept {
        ring_mapping result;
        if (!std::has_single_bit(bytes) || bytes % os::shared_mapping::page_size() != 0) {
            error = {EINVAL, std::system_category()};
            return result;
        }
        result.mapping_ = os::shared_mapping::open_rings(descriptor, bytes, 2, error);
        result.bytes_ = bytes;
        return result;
    }

    [[nodiscard]] ring_page& page() const noexcept {
        return *std::launder(static_cast<ring_page*>(mapping_.data()));
    }
    [[nodiscard]] std::size_t ring_size() const noexcept { return bytes_; }
    [[nodiscard]] std::byte* to_worker() const noexcept {
        return static_cast<std::byte*>(mapping_.data()) + os::shared_mapping::page_size();
    }
    [[nodiscard]] std::byte* to_primary() const noexcept { return to_worker() + 2 * bytes_; }

private:
    os::shared_mapping mapping_;
    std::size_t bytes_ = 0;
};

/// Whether this process gets such memory.
[[nodiscard]] inline std::error_code try_rings() noexcept {
    unique_fd descriptor;
    std::error_code error;
    static_cast<void>(ring_mapping::create(std::size_t{256} * 1024, descriptor, error));
    return error;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_RING_PAGE_HPP
