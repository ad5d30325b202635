// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_RESTART_QUEUE_HPP
#define CLUSTER_DETAIL_RESTART_QUEUE_HPP

#include "../event_loop.hpp"
#include "../fork_options.hpp"
#include "move_only_function.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A place whose worker has died and gets another one.
struct returning_worker {
    std::uint32_t slot = 0;
    fork_options options;
    unsigned restarts = 0; // in a row, with this one
};

/// The replacements that are on their way. Those of one group start together, in the order of their
/// places, one delay after the last worker of the group has died.
class restart_queue {
public:
    using start_function = move_only_function<void(const returning_worker&)>;

    restart_queue(event_loop& loop, start_function start) : loop_{loop}, start_{std::move(start)} {}
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
            if (std::erase(each->waiting, id) != 0) {
                each->members.push_back(std::move(one));
                start_if_complete(*each);
                return;
            }
        }
    }

    /// Nobody comes back any more. `give_up` is called with each place.
    template <typename F>
    void clear(F give_up) {
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
        std::erase_if(groups_, [&complete](const auto& each) { return each.get() == &complete; });
        while (!members.empty()) {
            std::size_t next = 0;
            for (std::size_t i = 1; i != members.size(); ++i) {
                next = members[i].slot < members[next].slot ? i : next;
            }
            start_(members[next]);
            members.erase(members.begin() + static_cast<std::ptrdiff_t>(next));
        }
    }

    event_loop& loop_;
    start_function start_;
    std::vector<std::unique_ptr<group>> groups_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_RESTART_QUEUE_HPP
