// SPDX-License-Identifier: MIT
#include <cluster/channels/message_channel.hpp> // first and alone: it is self-contained

#include <cluster/detail/os.hpp>

#include <doctest/doctest.h>

#include <system_error>
#include <utility>

TEST_CASE("the ends of a message channel are connected and become handles") {
    auto [one, other] = cluster::message_channel<int>::create();
    CHECK(one);
    CHECK(other);
    cluster::handle first = std::move(one);
    CHECK(!one); // NOLINT: it says so
    cluster::handle second = std::move(other);
    CHECK(first.is_connection());
    CHECK(cluster::detail::os::is_local_socket(second.native_handle()));
    first = {};
    CHECK(cluster::detail::os::has_peer_ended(second.native_handle()));
}

TEST_CASE("an end at rest may be empty") {
    cluster::message_channel<int>::end none;
    CHECK(!none);
    CHECK(!cluster::handle{std::move(none)});
}
