// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_REMEMBERED_HPP
#define CLUSTER_DETAIL_REMEMBERED_HPP

#include "../event_loop.hpp"
#include "memory.hpp"
#include "ring_queue.hpp"

#include <cstddef>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Owns objects until they are over, and the last 64 of those a while longer, so that a reference
/// that somebody kept stays good.
template <typename T>
class remembered {
public:
    T& add(std::unique_ptr<T> one) { return *active_.emplace_back(std::move(one)); }

    /// It is over. It may be running now: nothing is destroyed before the next turn.
    void finished(event_loop& loop, T& which) {
        for (std::size_t i = 0; i != active_.size(); ++i) {
            if (active_[i].get() == &which) {
                finished_.push_back(std::move(active_[i]));
                active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
                break;
            }
        }
        if (finished_.size() > most) {
            loop.defer([dying = std::move(finished_.front())] {});
            finished_.pop_front();
        }
    }

    [[nodiscard]] const std::vector<std::unique_ptr<T>>& active() const noexcept { return active_; }
    [[nodiscard]] bool empty() const noexcept { return active_.empty(); }

private:
    static constexpr std::size_t most = 64;

    std::vector<std::unique_ptr<T>> active_;
    ring_queue<std::unique_ptr<T>> finished_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_REMEMBERED_HPP
