// SPDX-License-Identifier: MIT
#include <cluster/detail/os/linux/datagram.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <string>

#include <sys/socket.h>

namespace {

namespace os = cluster::detail::os;

} // namespace

TEST_SUITE("detail/os/datagram") {
    TEST_CASE("the system tells what waits at a socket and what has found no room") {
        auto fd = os::open_datagram_socket(cluster::address_family::ipv4);
        REQUIRE(os::set_receive_buffer(fd.get(), 1)); // it takes the least that it allows
        REQUIRE(os::bind_to(fd.get(), cluster::address::ipv4({127, 0, 0, 1}, 0)));
        auto before = os::receive_buffer_of(fd.get());
        CHECK(before.limit > 0);
        CHECK(before.used == 0);
        CHECK(before.dropped == 0);
        REQUIRE(os::connect_to(fd.get(), os::local_address(fd.get())));
        const std::string text(1000, 'x');
        for (int i = 0; i != 100; ++i) {
            ::send(fd.get(), text.data(), text.size(), MSG_DONTWAIT);
        }
        auto after = os::receive_buffer_of(fd.get());
        CHECK(after.used > 0);
        CHECK(after.dropped > 0);
        CHECK(os::receive_buffer_of(-1).limit == 0);
    }
}
