// SPDX-License-Identifier: MIT
#include <cluster/net/connection.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <type_traits>
#include <utility>

#include <fcntl.h>

namespace {

using cluster::connection;
using cluster::detail::connection_access;
using cluster::detail::connection_account;

static_assert(!std::is_copy_constructible_v<connection>);
static_assert(std::is_nothrow_move_constructible_v<connection>);
static_assert(std::is_nothrow_move_assignable_v<connection>);

bool nonblocking(int fd) {
    return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}
bool closed(int peer) {
    bool end = false;
    raw::read_some(peer, &end);
    return end;
}

} // namespace

TEST_SUITE("net/connection") {
    TEST_CASE("an empty connection has nothing") {
        connection none;
        CHECK_FALSE(none);
        CHECK(none.native_handle() == -1);
        CHECK(none.remote() == cluster::address{});
        CHECK_FALSE(none.release(cluster::io::blocking));
        CHECK_FALSE(none.duplicate());
        CHECK_FALSE(connection{cluster::unique_fd{}});
    }

    TEST_CASE("it makes its descriptor non-blocking and closes it") {
        auto pair = raw::unix_pair();
        cluster::detail::os::set_nonblocking(pair.ours.get(), false);
        {
            connection one{std::move(pair.ours)};
            CHECK(one);
            CHECK(nonblocking(one.native_handle()));
            CHECK_FALSE(closed(pair.theirs.get()));
            connection two = std::move(one);
            CHECK_FALSE(one);
            CHECK_FALSE(closed(pair.theirs.get()));
        }
        CHECK(closed(pair.theirs.get()));
    }

    TEST_CASE("release leaves the mode that was asked for") {
        auto pair = raw::unix_pair();
        auto fd = connection{std::move(pair.ours)}.release(cluster::io::blocking);
        CHECK_FALSE(nonblocking(fd.get()));
        auto again = connection{std::move(fd)}.release(cluster::io::nonblocking);
        CHECK(nonblocking(again.get()));
        CHECK_FALSE(closed(pair.theirs.get()));
    }

    TEST_CASE("it is counted until it is closed, released or replaced") {
        cluster::event_loop loop;
        auto account = std::make_shared<connection_account>(loop, [] {});
        auto make = [&] { return connection_access::make(raw::unix_pair().ours, account); };
        auto one = make();
        CHECK(account->open() == 1);
        one = make();
        CHECK(account->open() == 1);
        auto two = std::move(one);
        CHECK(account->open() == 1);
        auto fd = two.release(cluster::io::nonblocking);
        CHECK(account->open() == 0);
        two = make();
        two = connection{};
        CHECK(account->open() == 0);
    }

    TEST_CASE("a duplicate is a second owner") {
        auto pair = raw::unix_pair();
        connection one{std::move(pair.ours)};
        auto copy = one.duplicate();
        one = connection{};
        CHECK_FALSE(closed(pair.theirs.get()));
        copy.reset();
        CHECK(closed(pair.theirs.get()));
    }

    TEST_CASE("it knows both addresses, for as long as the peer is there") {
        auto pair = raw::tcp_pair();
        connection one{std::move(pair.ours)};
        CHECK(one.remote() == cluster::detail::os::local_address(pair.theirs.get()));
        CHECK(one.local() == cluster::detail::os::remote_address(pair.theirs.get()));
    }
}
