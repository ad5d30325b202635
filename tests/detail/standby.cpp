// SPDX-License-Identifier: MIT
#include <cluster/detail/standby.hpp> // first and alone: proves the header is self-contained

#include "../support/socket_pair.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>

#include <fcntl.h>

namespace {

using namespace cluster::detail;
using cluster::unique_fd;

void put(int fd, const frame_header& header, int passed = -1) {
    std::array<std::byte, frame_header_size> bytes{};
    encode_header(header, bytes);
    auto sent =
        passed == -1 ? os::send(fd, bytes) : os::send_with_descriptors(fd, bytes, {&passed, 1});
    REQUIRE(sent.bytes == bytes.size());
}

struct ends {
    ends() { REQUIRE_FALSE(os::make_channel(ours, theirs)); }
    unique_fd ours, theirs;
};

} // namespace

TEST_SUITE("detail/standby") {
    TEST_CASE("a channel that begins with a welcome is a worker's") {
        ends channel;
        put(channel.ours.get(), {0, frame_kind::welcome, 0, 0, 0});
        CHECK(begins_with(frame_kind::welcome, channel.theirs.get()));
        CHECK_FALSE(begins_with(frame_kind::reserve, channel.theirs.get()));
        int number = channel.theirs.get();
        auto got = await_role(std::move(channel.theirs));
        CHECK(got.get() == number);
        CHECK(begins_with(frame_kind::welcome, got.get())); // nothing was taken
    }

    TEST_CASE("nothing and garbage begin with no frame") {
        ends channel;
        CHECK_FALSE(begins_with(frame_kind::reserve, channel.theirs.get()));
        CHECK_FALSE(begins_with(frame_kind::reserve, -1));
        std::array<std::byte, frame_header_size> garbage{};
        os::send(channel.ours.get(), garbage);
        CHECK_FALSE(begins_with(frame_kind::reserve, channel.theirs.get()));
    }

    TEST_CASE("a spare says that it waits and gets its channel under the number of its cord") {
        ends cord, channel;
        put(cord.ours.get(), {0, frame_kind::reserve, 0, 0, 0});
        put(cord.ours.get(), {0, frame_kind::promote, 1, 0, 0}, channel.theirs.get());
        channel.theirs.reset();
        int number = cord.theirs.get();
        auto got = await_role(std::move(cord.theirs));
        CHECK(got.get() == number);
        CHECK((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(begins_with(frame_kind::reserve, cord.ours.get()));
        put(channel.ours.get(), {0, frame_kind::welcome, 0, 0, 0});
        CHECK(begins_with(frame_kind::welcome, got.get()));
        std::array<std::byte, frame_header_size> said{};
        os::receive(cord.ours.get(), said);
        auto rest = os::receive(cord.ours.get(), said);
        CHECK((rest.error == 0 && rest.bytes == 0)); // nobody has the other end any more
    }
}
