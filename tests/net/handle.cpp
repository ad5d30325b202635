// SPDX-License-Identifier: MIT
#include <cluster/net/handle.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <type_traits>
#include <utility>

#include <fcntl.h>

namespace {

using cluster::connection;
using cluster::handle;
using cluster::listener;

static_assert(!std::is_copy_constructible_v<handle>);
static_assert(std::is_nothrow_move_constructible_v<handle>);
static_assert(std::is_convertible_v<connection, handle>);
static_assert(std::is_convertible_v<listener, handle>);
static_assert(std::is_convertible_v<cluster::unique_fd, handle>);
static_assert(!std::is_convertible_v<int, handle>);

} // namespace

TEST_SUITE("net/handle") {
    TEST_CASE("an empty handle is nothing and no error") {
        handle none;
        CHECK_FALSE(none);
        CHECK_FALSE(none.error());
        CHECK_FALSE(none.is_listener());
        CHECK_FALSE(none.is_connection());
        CHECK_FALSE(none.to_connection());
        CHECK_FALSE(none.to_listener());
        CHECK(none.native_handle() == -1);
    }

    TEST_CASE("a lost descriptor is an error") {
        auto lost = handle::lost();
        CHECK_FALSE(lost);
        CHECK(lost.error() == cluster::errc::descriptor_truncated);
        auto moved = std::move(lost);
        CHECK(moved.error() == cluster::errc::descriptor_truncated);
    }

    TEST_CASE("a connection becomes a handle and a connection again") {
        auto pair = raw::unix_pair();
        int number = pair.ours.get();
        handle held{connection{std::move(pair.ours)}};
        CHECK(held.is_connection());
        CHECK_FALSE(held.is_listener());
        CHECK_FALSE(held.to_listener());
        CHECK(held);
        auto back = held.to_connection();
        CHECK(back.native_handle() == number);
        CHECK_FALSE(held);
    }

    TEST_CASE("a listener becomes a handle and a listener again") {
        sockaddr_in at{};
        auto fd = raw::tcp_listener(at);
        int number = fd.get();
        handle held{listener{std::move(fd)}};
        CHECK(held.is_listener());
        CHECK_FALSE(held.is_connection());
        CHECK_FALSE(held.to_connection());
        auto back = held.to_listener();
        CHECK(back.native_handle() == number);
        CHECK(back.address().port() == ntohs(at.sin_port));
    }

    TEST_CASE("any other descriptor is just that") {
        handle file{cluster::unique_fd{::open("/dev/null", O_RDONLY | O_CLOEXEC)}};
        CHECK(file);
        CHECK_FALSE(file.is_connection());
        CHECK_FALSE(file.is_listener());
        handle datagrams{cluster::unique_fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)}};
        CHECK_FALSE(datagrams.is_connection());
        auto fd = file.release();
        CHECK(fd);
        CHECK_FALSE(file);
    }
}
