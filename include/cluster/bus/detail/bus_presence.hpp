// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_BUS_PRESENCE_HPP
#define CLUSTER_BUS_DETAIL_BUS_PRESENCE_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/string_map.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The other nodes whose heartbeats were heard of late.
class bus_presence {
public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr std::size_t most_nodes = 4096;

    /// \returns whether it is new; `full` when there is no room for it.
    bool seen(std::string_view node, time_point now, bool& full) {
        auto* known = nodes_.find(node);
        full = known == nullptr && nodes_.size() >= most_nodes;
        if (!full) {
            nodes_[node] = now;
        }
        return known == nullptr && !full;
    }
    bool gone(std::string_view node) { return nodes_.erase(node); }

    /// Takes out who was not heard since `timeout`. When it was us who slept, everybody gets as
    /// long as we did: what they have said may wait in our queue.
    std::vector<std::string>
    expire(time_point now, std::chrono::nanoseconds timeout, std::chrono::nanoseconds period) {
        auto since = now - std::exchange(looked_, now);
        std::vector<std::string> gone;
        for (auto& each : nodes_) {
            if (since > 2 * period) {
                each.value += since;
            }
            if (now - each.value > timeout) {
                gone.push_back(each.key);
            }
        }
        for (const auto& each : gone) {
            nodes_.erase(each);
        }
        return gone;
    }

    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> all;
        all.reserve(nodes_.size());
        for (const auto& each : nodes_) {
            all.push_back(each.key);
        }
        return all;
    }

private:
    string_map<time_point> nodes_;
    time_point looked_ = std::chrono::steady_clock::now();
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_BUS_PRESENCE_HPP
