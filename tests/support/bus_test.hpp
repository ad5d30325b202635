// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_BUS_TEST_HPP
#define CLUSTER_TESTS_SUPPORT_BUS_TEST_HPP

/// \file
/// What tests of message buses have in common: loops that end when what is waited for has come.

#include <cluster/bus/concept.hpp>
#include <cluster/event_loop.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include <poll.h>

namespace cluster_test {

inline std::chrono::seconds bus_patience() {
    const char* factor = std::getenv("CLUSTER_TEST_PATIENCE");
    return std::chrono::seconds{60} * (factor == nullptr ? 1 : std::atoi(factor));
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}
inline std::string string_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Dispatches the buses when their descriptors are readable until `condition()` holds.
/// \returns whether it came true in time.
template <typename Condition, typename... Buses>
bool dispatch_until(Condition condition, Buses&... buses) {
    auto deadline = std::chrono::steady_clock::now() + bus_patience();
    while (!condition()) {
        pollfd ready[] = {{buses.native_handle(), POLLIN, 0}...};
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
            return false;
        }
        // It may be about something else, too, which wakes nobody.
        auto slice = static_cast<int>(std::min<std::int64_t>(left.count(), 20));
        if (::poll(ready, sizeof...(buses), slice) > 0) {
            std::size_t at = 0;
            ((ready[at++].revents != 0 ? static_cast<void>(buses.dispatch()) : void()), ...);
        }
    }
    return true;
}

/// Runs the loop until `condition()` holds, which is looked at in every turn of a short timer.
/// \returns whether it came true in time.
template <typename Condition>
bool run_until(cluster::event_loop& loop, Condition condition) {
    bool held = false;
    auto limit = loop.after(bus_patience(), [&] { loop.stop(); });
    auto asking = loop.every(std::chrono::milliseconds{1}, [&] {
        if (condition()) {
            held = true;
            loop.stop();
        }
    });
    loop.run();
    asking.cancel();
    limit.cancel();
    return held;
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_BUS_TEST_HPP
