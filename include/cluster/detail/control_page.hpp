// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_CONTROL_PAGE_HPP
#define CLUSTER_DETAIL_CONTROL_PAGE_HPP

#include "os.hpp"
#include "sleep_flag.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Connections that may be on their way to one worker, handed over and not yet taken.
inline constexpr std::uint32_t hand_over_window = 32;

/// What a worker's servers and datagram sockets have to do; written by any thread of the worker.
struct load_counters {
    std::atomic<std::uint64_t> accepted{0}; // given to a handler
    std::atomic<std::uint64_t> ended{0};    // of those
    std::atomic<std::uint64_t> refused{0};  // beyond max_connections
    // Accepted without the primary, less those that it handed over and that were refused: so that
    // its own count of what it handed over, plus this, less `ended`, is exact at every instant.
    std::atomic<std::uint64_t> surplus{0};
    std::atomic<std::uint64_t> requests{0}; // as the program counts them
    std::atomic<std::uint64_t> datagrams_received{0};
    std::atomic<std::uint64_t> datagrams_sent{0};
    // By the primary: it has closed its copies of the handed connections before this one.
    alignas(64) std::atomic<std::uint32_t> let_go{0}; // it does not share a line with the worker's

    [[nodiscard]] std::size_t active() const noexcept {
        auto gone = ended.load(std::memory_order_acquire); // first, so that it is never the greater
        return static_cast<std::size_t>(accepted.load(std::memory_order_relaxed) - gone);
    }
};

/// What a worker tells its primary without a system call, and what survives its death at any
/// instruction. The primary never trusts it: it can only hurt the worker's own connections.
///
/// The worker takes connections in the order of their sequence numbers. Before it runs the handler
/// of number n it claims it: it moves `taken` to n + 1. If it refuses number n (server closed, no
/// descriptor left) it first sets bit n % 32 of `refused`. So after a death the primary knows
/// exactly which connections no handler has seen. The primary in turn can revoke what a worker that
/// does not answer has not claimed yet: it moves `revoked` behind them. Both are halves of one
/// word, so that a connection is either claimed or revoked, whatever happens at the same time:
/// nobody is served twice and nothing is lost.
///
/// The primary looks at `taken` when it has another connection for this worker, and after a moment.
/// Only if it waits for more it sets `asked`, and the worker sends a frame: most claims cost nobody
/// a system call.
struct control_page {
    std::atomic<std::uint64_t> position{0}; // revoked << 32 | taken
    sleep_flag asked;
    std::atomic<std::uint64_t> refused{0};
    std::atomic<std::uint32_t> beats{0}; // grows for as long as the worker's loop turns
    std::atomic<std::uint32_t> lag{0};   // how late the last beat was, microseconds
    load_counters load;

    static std::uint64_t bit(std::uint32_t sequence) noexcept {
        return std::uint64_t{1} << (sequence % hand_over_window);
    }
    static std::uint32_t taken_of(std::uint64_t position) noexcept {
        return static_cast<std::uint32_t>(position);
    }
    static std::uint32_t revoked_of(std::uint64_t position) noexcept {
        return static_cast<std::uint32_t>(position >> 32U);
    }

    /// For the worker. \returns false when the connection was revoked: it is not its own any more.
    bool claim(std::uint32_t sequence) noexcept {
        auto now = position.load(std::memory_order_acquire);
        do {
            if (static_cast<std::int32_t>(revoked_of(now) - sequence) > 0) {
                return false;
            }
        } while (
            !position.compare_exchange_weak(now,
                                            std::uint64_t{revoked_of(now)} << 32U | (sequence + 1U),
                                            std::memory_order_acq_rel));
        return true;
    }
    bool refuse(std::uint32_t sequence) noexcept {
        refused.fetch_or(bit(sequence));
        bool mine = claim(sequence);
        if (!mine) {
            refused.fetch_and(~bit(sequence));
        }
        return mine;
    }

    /// For the primary: nothing before `end` can be claimed any more.
    /// \returns what had been claimed until then.
    std::uint32_t revoke(std::uint32_t end) noexcept {
        return taken_of(position.exchange(std::uint64_t{end} << 32U | end));
    }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "the page is shared between processes");

/// The page, mapped for as long as the object lives.
class control_mapping {
public:
    control_mapping() noexcept = default;

    static control_mapping create(unique_fd& descriptor, std::error_code& error) noexcept {
        control_mapping result;
        result.mapping_ = os::shared_mapping::create(sizeof(control_page), descriptor, error);
        if (!error) {
            ::new (result.mapping_.data()) control_page;
        }
        return result;
    }
    static control_mapping open(int descriptor, std::error_code& error) noexcept {
        control_mapping result;
        result.mapping_ = os::shared_mapping::open(descriptor, sizeof(control_page), error);
        return result;
    }

    [[nodiscard]] explicit operator bool() const noexcept { return mapping_.data() != nullptr; }
    [[nodiscard]] control_page* get() const noexcept {
        return *this ? std::launder(static_cast<control_page*>(mapping_.data())) : nullptr;
    }
    control_page* operator->() const noexcept { return get(); }

private:
    os::shared_mapping mapping_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_CONTROL_PAGE_HPP
