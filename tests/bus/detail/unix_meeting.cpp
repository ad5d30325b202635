// SPDX-License-Identifier: MIT
#include <cluster/bus/detail/unix_meeting.hpp>

#include "../../support/bus_test.hpp"
#include "../../support/unix_bus_test.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using cluster::unix_bus_options;
using cluster_test::all_up;
using cluster_test::bytes_of;
using cluster_test::dispatch_until;
using cluster_test::refusal;
using node = cluster_test::unix_node;
using place = cluster_test::unix_place;

} // namespace

TEST_CASE("unix: the socket of a hub is removed when it ends and its lock stays") {
    place at;
    {
        node a{at("a")};
        struct stat info {};
        REQUIRE(::stat(at.path.c_str(), &info) == 0);
        CHECK((info.st_mode & 0777U) == 0600U);
    }
    CHECK(::access(at.path.c_str(), F_OK) != 0);
    CHECK(::access((at.path + ".lock").c_str(), F_OK) == 0);
}

TEST_CASE("unix: a hub whose socket was removed meets the others at the new one") {
    place at;
    auto often = at("a");
    often.timeout = 40ms; // it looks every 10 ms
    node a{often};
    REQUIRE(a.bus.is_hub());
    REQUIRE(::unlink(at.path.c_str()) == 0);
    often.node = "b";
    node b{often};
    CHECK(b.bus.is_hub());
    CHECK(dispatch_until([&] { return a.connected > 1; }, a.bus, b.bus));
    // However slow the machine is, and however often somebody takes over: it arrives.
    CHECK(dispatch_until(
        [&] {
            a.bus.publish("news", bytes_of("again"));
            return !b.heard.empty();
        },
        a.bus,
        b.bus));
}

TEST_CASE("unix: a path that is nothing to meet at is refused at once") {
    place at;
    auto with_path = [](std::string path) {
        return refusal({.path = std::move(path), .node = "a"});
    };
    CHECK(with_path("") == std::errc::invalid_argument);
    CHECK(with_path(at.folder / "no/bus") == std::errc::no_such_file_or_directory);
    CHECK(with_path(at.folder / std::string(200, 'x')) == std::errc::filename_too_long);
    std::ofstream{at.folder / "file"} << "precious";
    CHECK(with_path(at.folder / "file") == std::errc::not_a_socket);
    CHECK(with_path(at.folder / "file/bus") == std::errc::not_a_directory);
    node a{at("a")};
    REQUIRE(::symlink(at.path.c_str(), (at.folder / "link").c_str()) == 0);
    CHECK(with_path(at.folder / "link") == std::errc::not_a_socket);
    REQUIRE(::symlink("file", (at.folder / "other.lock").c_str()) == 0);
    CHECK(with_path(at.folder / "other") == std::errc::too_many_symbolic_link_levels);
    CHECK(refusal({.path = at.path, .node = "a b"}) == std::errc::invalid_argument);
    if (::geteuid() == 0) {
        constexpr uid_t other = 12345;
        REQUIRE(::chown(at.path.c_str(), other, other) == 0);
        CHECK(with_path(at.path) == std::errc::permission_denied);
        auto lock = at.folder / "foreign.lock";
        std::ofstream{lock} << "";
        REQUIRE(::chown(lock.c_str(), other, other) == 0);
        CHECK(with_path(at.folder / "foreign") == std::errc::permission_denied);
    }
}

TEST_CASE("unix: a socket that nobody listens to is taken over and a path may be relative") {
    place at;
    cluster_test::listen_at(at.path).reset();
    REQUIRE(::access(at.path.c_str(), F_OK) == 0); // as after kill -9
    std::string here(4096, '\0');
    REQUIRE(::getcwd(here.data(), here.size()) != nullptr);
    REQUIRE(::chdir(at.folder.path().c_str()) == 0);
    node a{unix_bus_options{.path = "bus", .node = "a"}};
    REQUIRE(::chdir(here.c_str()) == 0);
    CHECK(a.bus.is_hub());
    node b{at("b")};
    CHECK(all_up(a, b));
}
