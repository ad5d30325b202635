// SPDX-License-Identifier: MIT
#include <cluster/unique_fd.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cerrno>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace {

using cluster::unique_fd;

static_assert(!std::is_copy_constructible_v<unique_fd>);
static_assert(std::is_nothrow_move_constructible_v<unique_fd>);
static_assert(std::is_nothrow_move_assignable_v<unique_fd>);
static_assert(!std::is_convertible_v<int, unique_fd>, "taking ownership is explicit");
static_assert(sizeof(unique_fd) == sizeof(int));

int fresh() {
    return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}
bool open(int fd) {
    return ::fcntl(fd, F_GETFD) != -1;
}

} // namespace

TEST_SUITE("unique_fd") {
    TEST_CASE("it closes what it owns") {
        int number = fresh();
        {
            unique_fd fd{number};
            CHECK(fd);
            CHECK(fd.get() == number);
            CHECK(open(number));
        }
        CHECK_FALSE(open(number));
        unique_fd empty;
        CHECK_FALSE(empty);
        CHECK(empty.get() == -1);
    }

    TEST_CASE("moving moves the duty to close") {
        int number = fresh();
        unique_fd one{number};
        unique_fd two{std::move(one)};
        CHECK_FALSE(one);
        CHECK(two.get() == number);
        int old = fresh();
        unique_fd three{old};
        three = std::move(two);
        CHECK_FALSE(open(old));
        CHECK(three.get() == number);
        auto& self = three;
        three = std::move(self);
        CHECK(three.get() == number);
        CHECK(open(number));
    }

    TEST_CASE("release gives the descriptor away, reset takes another") {
        int number = fresh();
        unique_fd fd{number};
        CHECK(fd.release() == number);
        CHECK_FALSE(fd);
        fd.reset(number);
        fd.reset();
        CHECK_FALSE(open(number));
        fd.reset();
    }

    TEST_CASE("closing keeps errno") {
        unique_fd fd{fresh()};
        errno = ENOENT;
        fd.reset();
        CHECK(errno == ENOENT);
        fd.reset(987654); // not ours to begin with
        fd.reset();
        CHECK(errno == ENOENT);
    }

    TEST_CASE("a duplicate is a second owner, close-on-exec and no standard descriptor") {
        unique_fd fd{fresh()};
        auto copy = fd.duplicate();
        REQUIRE(copy);
        CHECK(copy.get() != fd.get());
        CHECK(copy.get() > 2);
        CHECK(::fcntl(copy.get(), F_GETFD) == FD_CLOEXEC);
        fd.reset();
        CHECK(open(copy.get()));
        CHECK_FALSE(unique_fd{}.duplicate());
    }
}
