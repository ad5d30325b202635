// SPDX-License-Identifier: MIT
#include <cluster/detail/shared_region.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstring>
#include <ostream> // doctest prints error codes
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace {

using cluster::errc;
using cluster::unique_fd;
using cluster::detail::region_table;
using cluster::detail::share_message;
using cluster::detail::shared_region;

using asker = region_table::asker;

std::error_code ask(region_table& table, const share_message& asked, asker by = asker::primary) {
    std::error_code error;
    bool found = table.find_or_create(asked, by, error) != nullptr;
    CHECK(found == !error);
    return error;
}

} // namespace

TEST_SUITE("detail/shared_region") {
    TEST_CASE("a region begins as zeros and is mapped once in a process") {
        std::error_code error;
        unique_fd fd;
        auto made = shared_region::create(5000, fd, error);
        REQUIRE(!error);
        CHECK(made->size() == 5000);
        for (std::size_t i = 0; i != 5000; ++i) {
            CHECK(static_cast<const char*>(made->data())[i] == '\0');
        }
        auto copy = fd.duplicate();
        std::vector<std::shared_ptr<shared_region>> found(4);
        std::vector<std::thread> threads;
        for (auto& each : found) {
            threads.emplace_back([&each, &copy] {
                std::error_code ignored;
                each = shared_region::open(copy.get(), 5000, ignored);
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        for (auto& each : found) {
            CHECK(each == made);
        }
        CHECK(shared_region::open(copy.get(), 5001, error) == nullptr);
        CHECK(error == std::errc::invalid_argument);
    }

    TEST_CASE("a region that nobody holds is mapped anew with what was in it") {
        std::error_code error;
        unique_fd fd;
        auto made = shared_region::create(100, fd, error);
        std::strcpy(static_cast<char*>(made->data()), "hello");
        made.reset();
        auto again = shared_region::open(fd.get(), 100, error);
        REQUIRE(!error);
        CHECK(std::string{static_cast<const char*>(again->data())} == "hello");
    }

    TEST_CASE("nobody can change the size of a region") {
        std::error_code error;
        unique_fd fd;
        auto made = shared_region::create(100, fd, error);
        CHECK(::ftruncate(fd.get(), 50) == -1);
        CHECK(::ftruncate(fd.get(), 500) == -1);
    }

    TEST_CASE("a descriptor that could shrink or that is too small or none is refused") {
        std::error_code error;
        unique_fd open{::memfd_create("test", MFD_CLOEXEC)};
        REQUIRE(::ftruncate(open.get(), 4096) == 0);
        CHECK(shared_region::open(open.get(), 4096, error) == nullptr);
        CHECK(error == std::errc::invalid_argument);
        unique_fd small;
        shared_region::create(100, small, error).reset();
        CHECK(shared_region::open(small.get(), 200, error) == nullptr);
        CHECK(error == std::errc::invalid_argument);
        CHECK(shared_region::open(-1, 1, error) == nullptr);
        CHECK(error == std::errc::bad_file_descriptor);
    }

    TEST_CASE("a limit on the size of files is an error and no signal") {
        rlimit before{};
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
        rlimit low{4096, before.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
        std::error_code error;
        unique_fd fd;
        CHECK(shared_region::create(8192, fd, error) == nullptr);
        ::setrlimit(RLIMIT_FSIZE, &before);
        CHECK(error == std::errc::file_too_large);
    }

    TEST_CASE("a name means one region to all who say the same of it") {
        region_table table;
        std::error_code error;
        const auto* first = table.find_or_create({"a", 1, 10, 40}, asker::worker, error);
        REQUIRE(first != nullptr);
        CHECK(table.find_or_create({"a", 1, 10, 40}, asker::worker, error) == first);
        CHECK(table.find_or_create({"b", 1, 10, 40}, asker::primary, error) != first);
        CHECK(ask(table, {"a", 2, 10, 40}) == errc::conflicting_type);
        CHECK(ask(table, {"a", 1, 11, 40}) == errc::conflicting_type);
        CHECK(ask(table, {"a", 1, 10, 44}) == errc::conflicting_type);
    }

    TEST_CASE("what a hostile worker may use up is bounded") {
        region_table table;
        CHECK(ask(table, {"", 1, 1, 1}) == std::errc::invalid_argument);
        CHECK(ask(table, {"none", 1, 0, 1}) == std::errc::invalid_argument);
        CHECK(ask(table, {"none", 1, 1, 0}) == std::errc::invalid_argument);
        CHECK(ask(table, {std::string(256, 'x'), 1, 1, 1}) == std::errc::filename_too_long);
        CHECK(!ask(table, {std::string(255, 'x'), 1, 1, 1}));
        CHECK(ask(table, {"huge", 1, 1, ~std::uint64_t{0}}) == std::errc::not_enough_memory);
        CHECK(ask(table, {"huge", 1, 1, region_table::most_bytes}) == std::errc::not_enough_memory);
        CHECK(ask(table, {"huge", 1, 1, region_table::most_bytes / 2}, asker::worker) ==
              std::errc::not_enough_memory);
        for (std::size_t i = 1; i != region_table::most_regions; ++i) {
            bool half = i < region_table::most_regions / 2;
            share_message asked{"name " + std::to_string(i), 1, 1, 1};
            CHECK(ask(table, asked, asker::worker) ==
                  (half ? std::error_code{} : std::make_error_code(std::errc::no_space_on_device)));
            CHECK(!ask(table, asked));
        }
        CHECK(ask(table, {"one more", 1, 1, 1}) == std::errc::no_space_on_device);
        CHECK(!ask(table, {"name 1", 1, 1, 1}));
    }
}
