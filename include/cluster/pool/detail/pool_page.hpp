// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_POOL_PAGE_HPP
#define CLUSTER_POOL_DETAIL_POOL_PAGE_HPP

#include "../../detail/byte_ring.hpp"
#include "../../detail/fence.hpp"
#include "../../detail/os.hpp"
#include "../../detail/os/linux/futex.hpp"
#include "../../version.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <system_error>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Descriptors of a pool's worker.
inline constexpr int page_descriptor = 3;
inline constexpr int doorbell_descriptor = 4;

inline constexpr std::size_t pool_ring_bytes = std::size_t{64} * 1024;

/// What a process pool and one of its workers share. Requests and results are streams of frames, so
/// that one of any size goes through in pieces. A side that goes to sleep says so, looks again, and
/// is woken once: the worker by a futex, the parent by an eventfd, as it waits for more than this.
///
/// The worker claims each request before it runs it, in the word that the parent revokes by: a
/// request is either begun here or can go to another worker, whatever happens at the same time. And
/// after a death the parent knows what had been begun.
struct pool_page {
    static constexpr std::uint64_t expected_magic =
        0x636c7573706f6f6cU + CLUSTER_VERSION_MAJOR * 10000U + CLUSTER_VERSION_MINOR;

    std::uint64_t magic = expected_magic;
    std::uint32_t sandbox = 0;
    alignas(64) std::atomic<std::uint64_t> claims{0}; // revoked << 32 | taken
    alignas(64) os::futex_word worker_waits{0};
    std::atomic<std::uint32_t> quit{0};
    alignas(64) std::atomic<std::uint32_t> parent_waits{0};
    std::atomic<std::uint32_t> parent_wants_room{0};
    std::atomic<std::uint32_t> ready{0}; // by the worker: it serves
    ring_positions requests;
    ring_positions results;
    alignas(64) std::byte request_bytes[pool_ring_bytes];
    std::byte result_bytes[pool_ring_bytes];

    static std::uint32_t taken_of(std::uint64_t claims) noexcept {
        return static_cast<std::uint32_t>(claims);
    }
    static bool is_before(std::uint32_t a, std::uint32_t b) noexcept {
        return static_cast<std::int32_t>(a - b) < 0;
    }

    /// For the worker. A sequentially consistent fence. \returns false when request `sequence` has
    /// been given to somebody else
    bool claim(std::uint32_t sequence) noexcept {
        std::uint64_t now = claims.load(std::memory_order_relaxed);
        bool mine = false;
        do {
            mine = !is_before(sequence, static_cast<std::uint32_t>(now >> 32U));
        } while (mine &&
                 !claims.compare_exchange_weak(now, (now & 0xffffffff00000000U) | (sequence + 1U)));
#if defined(__x86_64__) || defined(__i386__)
        if (mine) { // the exchange was one
            std::atomic_signal_fence(std::memory_order_seq_cst);
            return true;
        }
#endif
        full_fence();
        return mine;
    }
    /// For the parent: nothing before `end` can be claimed any more. \returns what was until then
    std::uint32_t revoke(std::uint32_t end) noexcept {
        return taken_of(claims.exchange(std::uint64_t{end} << 32U | end));
    }

    /// For the parent, after it has published something.
    void wake_worker() noexcept {
        full_fence();
        if (worker_waits.load(std::memory_order_relaxed) != 0 && worker_waits.exchange(0) != 0) {
            os::futex_wake(worker_waits, 1, os::futex_scope::shared);
        }
    }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "the page is shared between processes");

/// Before the arguments of a call. Most tasks need no more, and each byte has to go to another CPU.
struct request_header {
    std::uint64_t function = 0; // task_function::id
    std::uint64_t size = 0;     // of the arguments, in bytes
    std::uint32_t sequence = 0;
    std::uint32_t has_options = 0; // a request_options follows
};

struct request_options {
    std::uint64_t memory = 0; // task_limits
    std::uint32_t cpu_seconds = 0;
    std::uint32_t count = 0; // elements of a chunk
};

enum class result_kind : std::uint16_t {
    value,
    exception, // the name of its type and its text
};

/// Before a result.
struct result_header {
    std::uint64_t size = 0;
    std::uint64_t run_nanoseconds = 0; // of as many tasks as `measured`
    std::uint32_t sequence = 0;
    result_kind kind = result_kind::value;
    std::uint16_t measured = 0; // 0: the time comes with a later one
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_POOL_PAGE_HPP
