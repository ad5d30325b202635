// SPDX-License-Identifier: MIT
#include <cluster/detail/first_bytes.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/socket.h>

namespace {

using cluster::detail::arrival;
using cluster::detail::first_bytes;

struct waiting_room : cluster::detail::first_bytes_owner {
    explicit waiting_room(std::chrono::nanoseconds patience = std::chrono::hours{1})
        : waits{loop, *this, patience} {}

    void on_first_bytes(arrival one) override { arrived.push_back(std::move(one)); }

    /// What hand_out does with a connection whose policy needs more bytes than there are.
    void wait(cluster::unique_fd fd) {
        auto there = waits.look(fd.get(), 100);
        waits.wait({std::move(fd)}, there ? there->size() : 0);
    }
    bool until_arrived(std::size_t count = 1) {
        return raw::run_until(loop, [&] { return arrived.size() == count; });
    }
    /// The bytes of the one that arrived; "-" when it has ended.
    std::string look() {
        auto there = waits.look(arrived.back().fd.get(), 100);
        return there ? std::string{reinterpret_cast<const char*>(there->data()), there->size()}
                     : "-";
    }

    cluster::event_loop loop;
    std::vector<arrival> arrived;
    first_bytes waits;
};

int low_water(int fd) {
    return cluster::detail::os::option(fd, SOL_SOCKET, SO_RCVLOWAT, -1);
}

void wait_for_more_bytes(raw::ends pair) {
    waiting_room room;
    raw::send_some(pair.theirs.get(), "abc");
    raw::readable(pair.ours.get(), -1);
    int fd = pair.ours.get();
    room.wait(std::move(pair.ours));
    CHECK(room.waits.size() == 1);
    CHECK(raw::comes_to_rest(room.loop));
    CHECK(room.arrived.empty());
    raw::send_some(pair.theirs.get(), "d");
    REQUIRE(room.until_arrived());
    CHECK(room.waits.size() == 0);
    CHECK(room.arrived[0].fd.get() == fd);
    CHECK_FALSE(room.arrived[0].settled);
    CHECK(room.arrived[0].deadline.has_value());
    CHECK(room.look() == "abcd");
    CHECK(low_water(fd) == 1);
    CHECK(raw::read_some(fd) == "abcd");
}

} // namespace

TEST_SUITE("detail/first_bytes") {
    TEST_CASE("bytes that are there wake nobody and one more does: TCP") {
        wait_for_more_bytes(raw::tcp_pair());
    }
    TEST_CASE("bytes that are there wake nobody and one more does: UNIX") {
        wait_for_more_bytes(raw::unix_pair());
    }

    TEST_CASE("a connection that says nothing has waited long enough when its time is over") {
        waiting_room room{std::chrono::milliseconds{1}};
        auto pair = raw::tcp_pair();
        room.wait(std::move(pair.ours));
        REQUIRE(room.until_arrived());
        CHECK(room.arrived[0].settled);
        CHECK(room.look() == "");
        CHECK(low_water(room.arrived[0].fd.get()) == 1);
    }

    TEST_CASE("the time goes on when a connection waits again") {
        waiting_room room;
        auto pair = raw::tcp_pair();
        room.wait(std::move(pair.ours));
        raw::send_some(pair.theirs.get(), "a");
        REQUIRE(room.until_arrived());
        auto one = std::move(room.arrived[0]);
        one.deadline = std::chrono::steady_clock::now();
        room.waits.wait(std::move(one), 1);
        REQUIRE(room.until_arrived(2));
        CHECK(room.arrived[1].settled);
        CHECK(room.look() == "a");
    }

    TEST_CASE("a client that has ended is waited for no longer") {
        for (std::string sent : {"", "some"}) {
            for (bool unix_socket : {false, true}) {
                waiting_room room;
                auto pair = unix_socket ? raw::unix_pair() : raw::tcp_pair();
                raw::send_some(pair.theirs.get(), sent);
                if (!sent.empty()) {
                    raw::readable(pair.ours.get(), -1);
                }
                room.wait(std::move(pair.ours));
                raw::comes_to_rest(room.loop);
                ::shutdown(pair.theirs.get(), SHUT_WR);
                REQUIRE(room.until_arrived());
                CHECK(room.arrived[0].settled);
                CHECK(room.look() == (sent.empty() ? "-" : sent));
            }
        }
    }

    TEST_CASE("a client that resets is waited for no longer") {
        waiting_room room;
        auto pair = raw::tcp_pair();
        room.wait(std::move(pair.ours));
        cluster::detail::os::reset_on_close(pair.theirs.get());
        pair.theirs.reset();
        REQUIRE(room.until_arrived());
        CHECK(room.look() == "-");
    }

    TEST_CASE("1024 may wait and clear lets go of all of them") {
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        auto before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
        ::setrlimit(RLIMIT_NOFILE, &limit);
        {
            waiting_room room;
            auto pair = raw::tcp_pair();
            for (int i = 0; i != 1024; ++i) {
                REQUIRE(room.waits.has_room());
                room.wait(pair.ours.duplicate());
            }
            CHECK_FALSE(room.waits.has_room());
            pair.ours.reset();
            CHECK_FALSE(raw::readable(pair.theirs.get()));
            room.waits.clear();
            CHECK(room.waits.size() == 0);
            CHECK(room.waits.has_room());
            CHECK(raw::readable(pair.theirs.get(), -1)); // the last of them has closed it
            CHECK(raw::comes_to_rest(room.loop));
            CHECK(room.arrived.empty());
        }
        limit.rlim_cur = before;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}
