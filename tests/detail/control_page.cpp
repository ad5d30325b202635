// SPDX-License-Identifier: MIT
#include <cluster/detail/control_page.hpp> // first and alone: proves the header is self-contained

#include "../support/sanitized.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

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
        CHECK(primary->position == 0);
        CHECK(primary->refused == 0);
        auto worker = control_mapping::open(descriptor.get(), error);
        REQUIRE(!error);
        descriptor.reset(); // mappings live on without it
        worker->position = 7;
        worker->refused.fetch_or(control_page::bit(3));
        CHECK(control_page::taken_of(primary->position) == 7);
        CHECK(primary->refused == 8);
        worker = {};
        CHECK(control_page::taken_of(primary->position) == 7); // it survives the worker
    }

    TEST_CASE("a connection is either claimed or revoked") {
        control_page page;
        CHECK(page.claim(0));
        CHECK(page.claim(1));
        CHECK(page.revoke(5) == 2); // the primary gets 2, 3 and 4 back
        CHECK_FALSE(page.claim(2));
        CHECK_FALSE(page.refuse(3));
        CHECK(page.refused == 0);
        CHECK(control_page::taken_of(page.position) == 5);
        CHECK(page.claim(5));
        CHECK(page.refuse(6));
        CHECK(page.refused == control_page::bit(6));
        CHECK(control_page::taken_of(page.position) == 7);
    }

    TEST_CASE("sequence numbers go on behind the largest one") {
        control_page page;
        constexpr std::uint32_t last = 0xffffffff;
        CHECK(page.revoke(last) == 0);
        CHECK_FALSE(page.claim(last - 1));
        CHECK(page.claim(last));
        CHECK(control_page::taken_of(page.position) == 0);
        CHECK(page.claim(0));
        CHECK(page.revoke(3) == 1);
        CHECK_FALSE(page.claim(2));
    }

    TEST_CASE("of two threads that claim and revoke exactly one gets a connection") {
        control_page page;
        constexpr std::uint32_t window = 7;
        constexpr std::uint32_t count = cluster_test::unless_sanitized(20'000U, 4'000U) * window;
        std::vector<char> served(count);
        std::atomic<std::uint32_t> sent{0};
        std::thread worker{[&] {
            for (std::uint32_t i = 0; i != count; ++i) {
                while (sent.load() <= i) {
                    std::this_thread::yield();
                }
                served[i] = page.claim(i) ? 1 : 0;
            }
        }};
        std::vector<char> returned(count);
        for (std::uint32_t end = window; end <= count; end += window) {
            sent.store(end);
            if (end % 3 == 0) {
                std::this_thread::yield();
            }
            for (auto i = page.revoke(end); i != end; ++i) {
                returned[i] = 1;
            }
        }
        worker.join();
        std::uint32_t wrong = 0;
        for (std::uint32_t i = 0; i != count; ++i) {
            wrong += served[i] == returned[i] ? 1U : 0U; // one of them has it, and only one
        }
        CHECK(wrong == 0);
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
