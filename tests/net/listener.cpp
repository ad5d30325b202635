// SPDX-License-Identifier: MIT
#include <cluster/net/listener.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

using cluster::address;
using cluster::address_family;
using cluster::listen_options;
using cluster::listener;
using cluster::unique_fd;
using cluster::detail::addresses_of;
using cluster::detail::bind_first;
using cluster::detail::bind_once;
using cluster::detail::bind_options;

/// A directory of this test's own, with everything in it.
struct folder {
    std::string path;
    folder() {
        char name[] = "/tmp/cluster_test_XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        path = name;
    }
    ~folder() {
        ::unlink((path + "/s").c_str());
        ::unlink((path + "/t").c_str());
        ::rmdir(path.c_str());
    }
    [[nodiscard]] std::string socket() const { return path + "/s"; }
};

unique_fd bind_path(const std::string& path, std::error_code& error, const bind_options& how = {}) {
    address at;
    return bind_once(address::local(path), how, at, error);
}

bool exists(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0;
}

bool accepts(const std::string& path) {
    unique_fd client{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    return cluster::detail::os::connect_to(client.get(), address::local(path));
}

int option(int fd, int level, int name) {
    return cluster::detail::os::option(fd, level, name, -1);
}

bool has_ipv6() {
    std::error_code error;
    address at;
    std::array<std::uint8_t, 16> loopback{};
    loopback[15] = 1;
    return static_cast<bool>(bind_once(address::ipv6(loopback, 0), {}, at, error));
}

} // namespace

TEST_SUITE("net/listener") {
    TEST_CASE("a bound socket listens, without blocking, at the port that the system chose") {
        std::error_code error;
        address at;
        auto fd = bind_once(address::ipv4({127, 0, 0, 1}, 0), {}, at, error);
        REQUIRE(fd);
        CHECK_FALSE(error);
        CHECK(at.port() != 0);
        CHECK(at.host() == "127.0.0.1");
        CHECK(cluster::detail::os::is_listening(fd.get()));
        CHECK((::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) != 0);
        CHECK(::fcntl(fd.get(), F_GETFD) == FD_CLOEXEC);
        CHECK(option(fd.get(), IPPROTO_TCP, TCP_NODELAY) == 1);
        CHECK(option(fd.get(), SOL_SOCKET, SO_REUSEPORT) == 0);
        CHECK(option(fd.get(), SOL_SOCKET, SO_REUSEADDR) == 1);

        auto second = bind_once(at, {}, at, error);
        CHECK_FALSE(second);
        CHECK(error == std::errc::address_in_use);
    }

    TEST_CASE("options reach the socket") {
        std::error_code error;
        address at;
        bind_options how;
        how.reuse_port = true;
        how.no_delay = false;
        auto one = bind_once(address::ipv4({127, 0, 0, 1}, 0), how, at, error);
        REQUIRE(one);
        CHECK(option(one.get(), IPPROTO_TCP, TCP_NODELAY) == 0);
        auto two = bind_once(at, how, at, error);
        CHECK(two);
    }

    TEST_CASE("an address that is not ours is an error") {
        std::error_code error;
        address at;
        CHECK_FALSE(bind_once(address::ipv4({192, 0, 2, 1}, 0), {}, at, error));
        CHECK(error == std::errc::address_not_available);
        CHECK_FALSE(bind_once(address{}, {}, at, error));
        CHECK(error);
        CHECK_FALSE(bind_first({}, {}, at, error));
        CHECK(error);
    }

    TEST_CASE("of several addresses the first that the system can have is taken") {
        std::error_code error;
        address at;
        auto fd = bind_first(
            {address::ipv4({192, 0, 2, 1}, 0), address::ipv4({127, 0, 0, 1}, 0)}, {}, at, error);
        CHECK(fd);
        CHECK_FALSE(error);
        CHECK(at.host() == "127.0.0.1");
        auto busy = bind_first({at, address::ipv4({127, 0, 0, 1}, 0)}, {}, at, error);
        CHECK_FALSE(busy); // somebody has it: no silent second choice
        CHECK(error == std::errc::address_in_use);
    }

    TEST_CASE("every interface takes IPv4 and IPv6 clients, or IPv6 only") {
        if (!has_ipv6()) {
            MESSAGE("skipped: no IPv6 here");
            return;
        }
        for (bool only : {false, true}) {
            std::error_code error;
            address at;
            listen_options options;
            bind_options how;
            how.ipv6_only = only;
            auto fd = bind_first(addresses_of(options, error), how, at, error);
            REQUIRE(fd);
            CHECK(at.family() == address_family::ipv6);
            CHECK(option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY) == (only ? 1 : 0));
            sockaddr_in four{};
            four.sin_family = AF_INET;
            four.sin_port = htons(at.port());
            four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            CHECK(static_cast<bool>(raw::tcp_connect(four)) == !only);
        }
    }

    TEST_CASE("options say which addresses are meant") {
        std::error_code error;
        listen_options options;
        options.port = 80;
        auto any = addresses_of(options, error);
        REQUIRE(any.size() == 2);
        CHECK(any[0].to_string() == "[::]:80");
        CHECK(any[1].to_string() == "0.0.0.0:80");
        options.host = "127.0.0.1";
        auto one = addresses_of(options, error);
        REQUIRE(one.size() == 1);
        CHECK(one[0].to_string() == "127.0.0.1:80");
        options.host = "::1";
        CHECK(addresses_of(options, error).front().to_string() == "[::1]:80");
        CHECK_FALSE(error);
        options.host = "300.1.1.1.invalid";
        CHECK(addresses_of(options, error).empty());
        CHECK(error);
        options.path = "/" + std::string(200, 'x');
        CHECK(addresses_of(options, error).front().family() == address_family::none);
        CHECK(error == std::errc::filename_too_long);
    }

    TEST_CASE("a long path is shortened by the working directory") {
        folder here;
        char before[4096];
        REQUIRE(::getcwd(before, sizeof before) != nullptr);
        REQUIRE(::chdir(here.path.c_str()) == 0);
        std::error_code error;
        listen_options options;
        options.path = here.path + "/s";
        auto at = addresses_of(options, error);
        CHECK(at.front().path() == "s");
        options.path = "t";
        CHECK(addresses_of(options, error).front().path() == "t");
        REQUIRE(::chdir(before) == 0);
    }

    TEST_CASE("the text of an error names the address") {
        listen_options options;
        options.port = 80;
        CHECK(cluster::detail::describe(options) == "listen on *:80");
        options.host = "localhost";
        CHECK(cluster::detail::describe(options) == "listen on localhost:80");
        options.host = "::1";
        CHECK(cluster::detail::describe(options) == "listen on [::1]:80");
        options.path = "/run/x";
        CHECK(cluster::detail::describe(options) == "listen on /run/x");
        options.fd = 5;
        CHECK(cluster::detail::describe(options) == "listen on descriptor 5");
    }

    TEST_CASE("a UNIX socket has the mode that was asked for") {
        folder here;
        std::error_code error;
        bind_options how;
        how.mode = 0600;
        auto fd = bind_path(here.socket(), error, how);
        REQUIRE(fd);
        struct stat info {};
        REQUIRE(::stat(here.socket().c_str(), &info) == 0);
        CHECK((info.st_mode & 0777) == 0600);
        CHECK(accepts(here.socket()));
    }

    TEST_CASE("a socket that a crashed server left is taken over") {
        folder here;
        std::error_code error;
        bind_path(here.socket(), error).reset(); // closed, the file stays
        REQUIRE_FALSE(error);
        REQUIRE(exists(here.socket()));
        auto fd = bind_path(here.socket(), error);
        CHECK(fd);
        CHECK_FALSE(error);
        CHECK(accepts(here.socket()));
    }

    TEST_CASE("a socket that somebody answers at is in use") {
        folder here;
        std::error_code error;
        auto live = bind_path(here.socket(), error);
        REQUIRE(live);
        CHECK_FALSE(bind_path(here.socket(), error));
        CHECK(error == std::errc::address_in_use);
        CHECK(accepts(here.socket()));
    }

    TEST_CASE("a busy server's full queue is no reason to take its socket") {
        folder here;
        std::error_code error;
        bind_options how;
        how.backlog = 0;
        auto live = bind_path(here.socket(), error, how);
        REQUIRE(live);
        std::vector<unique_fd> clients;
        for (int i = 0; i != 8; ++i) { // until one has to wait
            clients.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            cluster::detail::os::connect_to(clients.back().get(), address::local(here.socket()));
        }
        CHECK_FALSE(bind_path(here.socket(), error));
        CHECK(error == std::errc::address_in_use);
        CHECK(exists(here.socket()));
    }

    TEST_CASE("a socket of another type that somebody reads is in use") {
        folder here;
        unique_fd datagrams{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
        REQUIRE(cluster::detail::os::bind_to(datagrams.get(), address::local(here.socket())));
        std::error_code error;
        CHECK_FALSE(bind_path(here.socket(), error));
        CHECK(error == std::errc::address_in_use);
        CHECK(exists(here.socket()));
    }

    TEST_CASE("plain files and links stay, whatever they point at") {
        folder here;
        std::error_code error;
        unique_fd file{::open(here.socket().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)};
        CHECK_FALSE(bind_path(here.socket(), error));
        CHECK(error == std::errc::address_in_use);
        CHECK(exists(here.socket()));
        ::unlink(here.socket().c_str());

        auto target = here.path + "/t";
        bind_path(target, error).reset(); // stale
        REQUIRE(::symlink(target.c_str(), here.socket().c_str()) == 0);
        CHECK_FALSE(bind_path(here.socket(), error));
        CHECK(error == std::errc::address_in_use);
        CHECK(exists(target));
        CHECK(exists(here.socket()));

        ::unlink(target.c_str()); // dangling now
        CHECK_FALSE(bind_path(here.socket(), error));
        CHECK(error == std::errc::address_in_use);
        CHECK_FALSE(exists(target));
    }

    TEST_CASE("a folder that does not exist is its own error") {
        std::error_code error;
        CHECK_FALSE(bind_path("/nonexistent/folder/s", error));
        CHECK(error == std::errc::no_such_file_or_directory);
    }

    TEST_CASE("failures leave no descriptor open") {
        auto before = raw::open_descriptors();
        folder here;
        std::error_code error;
        {
            auto live = bind_path(here.socket(), error);
            CHECK_FALSE(bind_path(here.socket(), error));
        }
        CHECK_FALSE(bind_path("/nonexistent/folder/s", error));
        CHECK(raw::open_descriptors() == before);
    }

    TEST_CASE("a listener gives its socket away in the mode asked for") {
        listener none;
        CHECK_FALSE(none);
        CHECK_FALSE(none.release(cluster::io::blocking));
        CHECK(none.address() == address{});
        sockaddr_in at{};
        listener one{raw::tcp_listener(at)};
        CHECK(one);
        CHECK(one.address().port() == ntohs(at.sin_port));
        auto copy = one.duplicate();
        auto fd = one.release(cluster::io::blocking);
        CHECK_FALSE(one);
        CHECK((::fcntl(copy.get(), F_GETFL) & O_NONBLOCK) == 0); // the file's, so everybody's
    }
}
