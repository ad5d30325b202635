// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_RESTART_QUEUE_HPP
#define CLUSTER_DETAIL_RESTART_QUEUE_HPP

#include "../event_loop.hpp"
#include "algorithm.hpp"
#include "chrono.hpp"
#include "memory.hpp"
#include "move_only_function.hpp"
#include "ring_queue.hpp"
#include "worker_core.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A place whose worker has died and gets another one.
struct returning_worker {
    std::uint32_t slot = 0;
    worker_plan plan;
    unsigned restarts = 0; // in a row, with this one
};

/// The replacements that are on their way. Those of one group start together, in the order of their
/// places, one delay after the last worker of the group has died, and not more at a time than may
/// boot.
class restart_queue {
public:
    using start_function = move_only_function<void(returning_worker)>;
    using room_function = move_only_function<bool()>;

    restart_queue(event_loop& loop, room_function has_room, start_function start)
        : loop_{loop}, has_room_{std::move(has_room)}, start_{std::move(start)} {}
    ~restart_queue() {
        clear([](std::uint32_t) {});
    }
    restart_queue(restart_queue&&) = delete;
    restart_queue& operator=(restart_queue&&) = delete;

    /// A group of the first one that died and of `companions`, ids of workers that will die as well.
    void add(returning_worker first,
             std::chrono::milliseconds delay,
             std::vector<std::uint32_t> companions) {
        auto& made = groups_.emplace_back(std::make_unique<group>());
        made->delay = delay;
        made->waiting = std::move(companions);
        made->members.push_back(std::move(first));
        start_if_complete(*made);
    }

    /// Whether the worker of this id dies because another one did.
    [[nodiscard]] bool expects(std::uint32_t id) const noexcept {
        for (const auto& each : groups_) {
            for (auto waiting : each->waiting) {
                if (waiting == id) {
                    return true;
                }
            }
        }
        return false;
    }

    /// A companion has died.
    void returned(std::uint32_t id, returning_worker one) {
        for (auto& each : groups_) {
            if (detail::erase(each->waiting, id) != 0) {
                each->members.push_back(std::move(one));
                start_if_complete(*each);
                return;
            }
        }
    }

    /// Whether a replacement for this place is on its way, and not waiting for a death.
    [[nodiscard]] bool holds(std::uint32_t slot) const noexcept {
        auto is_it = [slot](const returning_worker& each) { return each.slot == slot; };
        return any_of(due_, is_it) ||
               any_of(groups_, [is_it](const auto& each) { return any_of(each->members, is_it); });
    }

    /// How many places wait for their replacement.
    [[nodiscard]] std::size_t size() const noexcept {
        std::size_t count = due_.size();
        for (const auto& each : groups_) {
            count += each->members.size() + each->waiting.size();
        }
        return count;
    }

    /// Starts those whose time has come, as far as there is room: a worker has booted or died.
    void go_on() {
        while (!due_.empty() && has_room_()) {
            auto next = std::move(due_.front());
            due_.pop_front();
            start_(std::move(next));
        }
    }

    /// The replacement that would come last does not come. \returns whether there was one; its
    /// place is `slot`.
    bool drop_last(std::uint32_t& slot) {
        for (auto i = groups_.size(); i-- != 0;) {
            auto& each = *groups_[i];
            if (auto& members = each.members; !members.empty()) {
                slot = members.back().slot;
                members.pop_back();
                if (members.empty() && each.waiting.empty()) {
                    each.when.cancel();
                    groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(i));
                }
                return true;
            }
        }
        if (!due_.empty()) {
            slot = due_.back().slot;
            due_.pop_back();
            return true;
        }
        return false;
    }

    /// Nobody comes back any more. `give_up` is called with each place.
    template <typename F>
    void clear(F give_up) {
        for (const auto& each : std::exchange(due_, {})) {
            give_up(each.slot);
        }
        for (auto& each : std::exchange(groups_, {})) {
            each->when.cancel();
            for (const auto& member : each->members) {
                give_up(member.slot);
            }
        }
    }

private:
    struct group {
        std::vector<std::uint32_t> waiting;
        std::vector<returning_worker> members;
        std::chrono::milliseconds delay{0};
        timer when;
    };

    void start_if_complete(group& one) {
        if (one.waiting.empty()) {
            one.when = loop_.after(one.delay, [this, &one] { start(one); });
        }
    }

    void start(group& complete) {
        std::vector<returning_worker> members = std::move(complete.members);
        detail::erase_if(groups_,
                         [&complete](const auto& each) { return each.get() == &complete; });
        while (!members.empty()) {
            std::size_t next = 0;
            for (std::size_t i = 1; i != members.size(); ++i) {
                next = members[i].slot < members[next].slot ? i : next;
            }
            due_.push_back(std::move(members[next]));
            members.erase(members.begin() + static_cast<std::ptrdiff_t>(next));
        }
        go_on();
    }

    event_loop& loop_;
    room_function has_room_;
    start_function start_;
    std::vector<std::unique_ptr<group>> groups_;
    ring_queue<returning_worker> due_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_RESTART_QUEUE_HPP
