// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_BUS_LOG_HPP
#define CLUSTER_TESTS_SUPPORT_BUS_LOG_HPP

#include "bus_test.hpp"

#include <cluster/bus/bus_subscription.hpp>
#include <cluster/bus/concept.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster_test {

/// A bus with what it has heard and what has happened to it.
template <typename Bus>
struct node_of {
    template <typename Options>
    explicit node_of(Options options, std::string_view subject = "news")
        : bus{std::move(options)},
          subscription{bus.subscribe(subject, [this](const cluster::bus_message& arrived) {
              this->heard.push_back(std::string{arrived.from} + ':' + string_of(arrived.payload));
          })} {
        bus.on_event([this](const cluster::bus_event& happened) { note(happened); });
    }

    void note(const cluster::bus_event& happened) {
        switch (happened.what) {
        case cluster::bus_change::connected:
            ++connected;
            return;
        case cluster::bus_change::disconnected:
            ++disconnected;
            break;
        case cluster::bus_change::lost:
            (happened.node.empty() ? own_lost : lost) += happened.count;
            break;
        case cluster::bus_change::bad_message:
            ++bad;
            break;
        }
        why = happened.why;
        text = happened.text;
    }

    Bus bus;
    std::vector<std::string> heard;
    int connected = 0;
    int disconnected = 0;
    int bad = 0;
    std::uint64_t lost = 0;
    std::uint64_t own_lost = 0;
    std::error_code why;
    std::string text;
    cluster::bus_subscription subscription;
};

template <typename Bus>
bool all_connected(node_of<Bus>& a, node_of<Bus>& b, int times = 1) {
    return dispatch_until(
        [&] { return a.connected == times && b.connected == times; }, a.bus, b.bus);
}

using words = std::vector<std::string>;

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_BUS_LOG_HPP
