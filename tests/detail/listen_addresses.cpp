// SPDX-License-Identifier: MIT
#include <cluster/detail/listen_addresses.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstdint>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using cluster::listen_options;
using cluster::detail::each_address;

listen_options read(const std::string& text) {
    std::error_code error;
    listen_options asked;
    asked.addresses = {text};
    auto all = each_address(asked, error);
    REQUIRE(!error);
    REQUIRE(all.size() == 1);
    return all.front();
}
bool is_understood(const std::string& text) {
    std::error_code error;
    listen_options asked;
    asked.addresses = {"127.0.0.1:80", text};
    bool empty = each_address(asked, error).empty();
    CHECK(empty == (error == std::errc::invalid_argument));
    return !empty;
}

} // namespace

TEST_SUITE("detail/listen_addresses") {
    TEST_CASE("a host and a port, with brackets around an IPv6 address") {
        using both = std::pair<std::string, std::uint16_t>;
        auto parts = [](const std::string& text) {
            auto one = read(text);
            CHECK(one.path.empty());
            CHECK(one.addresses.empty());
            return both{one.host, one.port};
        };
        CHECK(parts("127.0.0.1:80") == both{"127.0.0.1", 80});
        CHECK(parts("[::1]:65535") == both{"::1", 65535});
        CHECK(parts("[fe80::1%lo]:1") == both{"fe80::1%lo", 1});
        CHECK(parts("localhost:0") == both{"localhost", 0});
        CHECK(parts("*:8000") == both{"", 8000});
        CHECK(parts(":8000") == both{"", 8000});
    }

    TEST_CASE("a path, and a name without a file") {
        CHECK(read("/run/a:b.sock").path == "/run/a:b.sock");
        CHECK(read("run/socket").path == "run/socket");
        CHECK(read("unix:socket").path == "socket");
        CHECK(read("unix:/run/socket").path == "/run/socket");
        CHECK_FALSE(read("unix:socket").abstract);
        for (const char* text : {"@name", "unix:@name"}) {
            CHECK(read(text).path == "name");
            CHECK(read(text).abstract);
        }
    }

    TEST_CASE("what is no address is refused, and all others with it") {
        for (const char* text : {"",
                                 "80",
                                 "localhost",
                                 "localhost:",
                                 "localhost:http",
                                 "localhost:80x",
                                 "localhost:-1",
                                 "localhost:65536",
                                 "::1",
                                 "::1:80",
                                 "[]:80",
                                 "[::1:80",
                                 "::1]:80",
                                 "[::1]80",
                                 "unix:",
                                 "@"}) {
            CAPTURE(text);
            CHECK_FALSE(is_understood(text));
        }
        CHECK(is_understood("[::1]:80"));
    }

    TEST_CASE("the other options hold for each of them, and a single address is none of several") {
        std::error_code error;
        listen_options asked;
        asked.backlog = 7;
        CHECK(each_address(asked, error).size() == 1);
        asked.addresses = {"a:1", "/b"};
        auto all = each_address(asked, error);
        REQUIRE(all.size() == 2);
        CHECK(all[0].backlog == 7);
        CHECK(all[1].backlog == 7);
        asked.port = 1;
        CHECK(each_address(asked, error).empty());
        CHECK(error == std::errc::invalid_argument);
    }
}
