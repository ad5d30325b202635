// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_UNIX_BUS_TEST_HPP
#define CLUSTER_TESTS_SUPPORT_UNIX_BUS_TEST_HPP

#include "bus_log.hpp"
#include "bus_test.hpp"
#include "temporary_directory.hpp"

#include <cluster/bus/unix_bus.hpp>
#include <cluster/net/listener.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <system_error>
#include <utility>

namespace cluster_test {

using unix_node = node_of<cluster::unix_bus>;

/// A folder to meet in.
struct unix_place {
    temporary_directory folder;
    std::string path = folder / "bus";

    [[nodiscard]] cluster::unix_bus_options operator()(std::string name) const {
        return {.path = path, .node = std::move(name), .timeout = std::chrono::seconds{60}};
    }
};

/// Why a bus cannot be made; no error when it can.
inline std::error_code refusal(cluster::unix_bus_options options) {
    try {
        const cluster::unix_bus bus{std::move(options)};
    } catch (const std::system_error& error) {
        return error.code();
    }
    return {};
}

template <typename... Nodes>
bool all_up(Nodes&... nodes) {
    return dispatch_until([&] { return (nodes.bus.is_connected() && ...); }, nodes.bus...);
}

/// A socket that listens there and is no bus.
inline cluster::unique_fd listen_at(const std::string& path) {
    cluster::address bound;
    std::error_code error;
    auto made = cluster::detail::bind_once(
        cluster::address::local(path), cluster::detail::bind_options{}, bound, error);
    REQUIRE_FALSE(error);
    return made;
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_UNIX_BUS_TEST_HPP
