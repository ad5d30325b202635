// SPDX-License-Identifier: MIT
#include <cluster/detail/datagram_set.hpp> // first and alone: proves the header is self-contained

#include "../support/datagram.hpp"
#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <string>
#include <system_error>

namespace {

using cluster::address;
using cluster::datagram_options;
using cluster::detail::bind_datagram;
using cluster::detail::bind_datagram_once;
using cluster::detail::describe;
using cluster::detail::local_datagram_set;

datagram_options on_loopback() {
    datagram_options options;
    options.host = "127.0.0.1";
    return options;
}

} // namespace

TEST_SUITE("detail/datagram_set") {
    TEST_CASE("an address that is none of UDP is refused and makes no file") {
        std::error_code error;
        for (const auto& each : {address{}, address::local("/tmp/never"), address::local("@x")}) {
            CHECK_FALSE(bind_datagram_once(each, {}, error));
            CHECK(error == std::errc::address_family_not_supported);
        }
    }

    TEST_CASE("an address of another machine is told and so is where it was") {
        auto options = on_loopback();
        options.host = "192.0.2.1"; // TEST-NET-1
        std::error_code error;
        CHECK_FALSE(bind_datagram(options, error));
        CHECK(error == std::errc::address_not_available);
        options.port = 7;
        CHECK(describe(options) == "bind 192.0.2.1:7");
        options.host = "::1";
        CHECK(describe(options) == "bind [::1]:7");
        options.host.clear();
        CHECK(describe(options) == "bind *:7");
        options.fd = 5;
        CHECK(describe(options) == "bind descriptor 5");
    }

    TEST_CASE("buffers are what was asked for, as far as the system goes") {
        auto options = on_loopback();
        options.receive_buffer = 20'000;
        options.send_buffer = 30'000;
        std::error_code error;
        auto fd = bind_datagram(options, error);
        REQUIRE_FALSE(error);
        namespace os = cluster::detail::os;
        CHECK(os::option(fd.get(), SOL_SOCKET, SO_RCVBUF, 0) == 40'000);
        CHECK(os::option(fd.get(), SOL_SOCKET, SO_SNDBUF, 0) == 60'000);
        options.receive_buffer = options.send_buffer = 0xffffffff;
        CHECK(bind_datagram(options, error));
    }

    TEST_CASE("sockets go when they are over and one that was never bound at once") {
        cluster::event_loop loop;
        local_datagram_set all{loop};
        CHECK_FALSE(all.add(0, {}, {}, {}).is_open());
        CHECK(all.empty());
        std::error_code error;
        auto& one = all.add(7, bind_datagram(on_loopback(), error), {}, {});
        CHECK(all.find(7) == &one);
        CHECK(all.find(8) == nullptr);
        all.close_all();
        CHECK(all.find(7) == nullptr);
        CHECK_FALSE(all.empty());
        CHECK(loop.run() == 0);
        CHECK(all.empty());
        CHECK_FALSE(one.is_open());
    }
}
