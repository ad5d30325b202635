// SPDX-License-Identifier: MIT
#include <cluster/detail/control_page.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstdint>
#include <system_error>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

namespace {

using cluster::unique_fd;
using cluster::detail::control_mapping;
using cluster::detail::control_page;
using cluster::detail::hand_over_window;

} // namespace

TEST_SUITE("detail/control_page") {
    TEST_CASE("both mappings show the same page") {
        unique_fd descriptor;
        std::error_code error;
        auto primary = control_mapping::create(descriptor, error);
        REQUIRE(!error);
        REQUIRE(primary);
        CHECK(primary->taken == 0);
        CHECK(primary->refused == 0);
        auto worker = control_mapping::open(descriptor.get(), error);
        REQUIRE(!error);
        descriptor.reset(); // mappings live on without it
        worker->taken = 7;
        worker->refused.fetch_or(control_page::bit(3));
        CHECK(primary->taken == 7);
        CHECK(primary->refused == 8);
        worker = {};
        CHECK(primary->taken == 7); // it survives the worker
    }

    TEST_CASE("the page is sealed against a change of its size") {
        unique_fd descriptor;
        std::error_code error;
        auto page = control_mapping::create(descriptor, error);
        CHECK(::ftruncate(descriptor.get(), 0) == -1);
        CHECK(::ftruncate(descriptor.get(), 1 << 20) == -1);
    }

    TEST_CASE("a descriptor that is no sealed page is refused") {
        std::error_code error;
        CHECK_FALSE(control_mapping::open(-1, error));
        CHECK(error);
        unique_fd plain{::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
        REQUIRE(::ftruncate(plain.get(), 4096) == 0);
        CHECK_FALSE(control_mapping::open(plain.get(), error));
        CHECK(error);
        unique_fd small{::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
        REQUIRE(::ftruncate(small.get(), 1) == 0);
        REQUIRE(::fcntl(small.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0);
        CHECK_FALSE(control_mapping::open(small.get(), error));
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        unique_fd reading{ends[0]};
        unique_fd writing{ends[1]};
        CHECK_FALSE(control_mapping::open(ends[0], error));
    }

    TEST_CASE("every connection of a window has a bit of its own, also where numbers wrap") {
        std::uint64_t seen = 0;
        std::uint32_t first = static_cast<std::uint32_t>(-10);
        for (std::uint32_t i = 0; i != hand_over_window; ++i) {
            auto bit = control_page::bit(first + i);
            CHECK((seen & bit) == 0);
            seen |= bit;
        }
    }

    TEST_CASE("an empty mapping is false") {
        control_mapping none;
        CHECK_FALSE(none);
    }
}
