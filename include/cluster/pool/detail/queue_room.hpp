// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_QUEUE_ROOM_HPP
#define CLUSTER_POOL_DETAIL_QUEUE_ROOM_HPP

#include "../../detail/os/linux/futex.hpp"
#include "../options.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The places of a bounded queue, and those who wait for one. Any thread.
class queue_room {
public:
    /// \param most 0: any number
    queue_room(std::size_t most, when_full then) noexcept : most_{most}, then_{then} {}

    /// Takes a place; blocks for when_full::wait. \param own_thread of the pool: it would wait for
    /// itself, and gets a place in any case then \returns false when there is none
    bool reserve(bool own_thread) noexcept {
        if (most_ == 0) {
            return true;
        }
        for (;;) {
            const std::uint32_t epoch = epoch_.load();
            if (try_reserve()) {
                return true;
            }
            if (then_ != when_full::wait) {
                return false;
            }
            if (own_thread) {
                taken_.fetch_add(1);
                return true;
            }
            sleep(epoch);
        }
    }

    void free() noexcept {
        if (most_ != 0) {
            taken_.fetch_sub(1);
            wake_one();
        }
    }

private:
    bool try_reserve() noexcept {
        std::size_t now = taken_.load();
        while (now < most_) {
            if (taken_.compare_exchange_weak(now, now + 1)) {
                return true;
            }
        }
        return false;
    }

    /// Unless there is room by now: then its mark stays, and costs one useless call later. It must
    /// not take it back, as who wakes may have taken it already: then it would be another's.
    void sleep(std::uint32_t epoch) noexcept {
        in_line_.fetch_add(1);
        if (taken_.load() >= most_) {
            os::futex_wait(epoch_, epoch);
        }
    }

    /// Takes the mark of one away: until that one runs, further free places cost no call.
    void wake_one() noexcept {
        auto sleeping = in_line_.load();
        while (sleeping != 0) {
            if (in_line_.compare_exchange_weak(sleeping, sleeping - 1)) {
                epoch_.fetch_add(1);
                os::futex_wake(epoch_, 1);
                return;
            }
        }
    }

    const std::size_t most_;
    const when_full then_;
    alignas(64) std::atomic<std::size_t> taken_{0};
    std::atomic<std::uint32_t> in_line_{0};
    os::futex_word epoch_{0};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_QUEUE_ROOM_HPP
