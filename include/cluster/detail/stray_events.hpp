// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_STRAY_EVENTS_HPP
#define CLUSTER_DETAIL_STRAY_EVENTS_HPP

#include <cstdint>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Events that a poller tells and nobody waits for. One is no harm: a handler of the same turn has
/// ended what it was for. One that comes again is of a file that is closed here and open elsewhere.
class stray_events {
public:
    void next_turn() noexcept { ++turn_; }

    /// Whether this one has come in a turn before, lately.
    [[nodiscard]] bool comes_again(std::uint64_t key) noexcept {
        constexpr std::uint32_t lately = 8; // of many, not each is in every batch
        if (key == key_ && turn_ != seen_) {
            seen_ = turn_;
            return true;
        }
        if (turn_ - seen_ > lately) {
            key_ = key;
            seen_ = turn_;
        }
        return false;
    }

private:
    std::uint64_t key_ = 0; // none has it: generations begin with 1
    std::uint32_t turn_ = 1U << 31U;
    std::uint32_t seen_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_STRAY_EVENTS_HPP
