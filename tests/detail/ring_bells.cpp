// SPDX-License-Identifier: MIT
#include <cluster/detail/ring_bells.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <utility>

namespace {

using cluster::unique_fd;
using cluster::detail::ring_bells;
namespace os = cluster::detail::os;

struct pair {
    ring_bells primary;
    ring_bells worker;

    pair() {
        std::error_code error;
        unique_fd hears;
        unique_fd rings;
        primary = ring_bells::make(hears, rings, error);
        REQUIRE(!error);
        worker = {std::move(hears), std::move(rings), {}};
    }
};

bool is_ringing(const ring_bells& at) {
    return os::wait_for(at.heard.get(), false, 0);
}

} // namespace

TEST_SUITE("detail/ring_bells") {
    TEST_CASE("each side hears the other and not itself") {
        pair both;
        CHECK_FALSE(is_ringing(both.primary));
        CHECK_FALSE(is_ringing(both.worker));
        both.primary.ring();
        CHECK(is_ringing(both.worker));
        CHECK_FALSE(is_ringing(both.primary));
        both.worker.ring();
        CHECK(is_ringing(both.primary));
    }

    TEST_CASE("a worker that has heard waits for the next one") {
        pair both;
        both.primary.ring();
        both.primary.ring();
        both.worker.hear();
        CHECK(is_ringing(both.worker)); // what it was woken for comes first
        both.worker.quiet();
        CHECK_FALSE(is_ringing(both.worker));
        both.worker.hear();
        both.worker.quiet(); // nothing is there, and nobody waits
        both.primary.ring();
        CHECK(is_ringing(both.worker));
    }

    TEST_CASE("a primary hears by edges and touches nothing that a worker may have made block") {
        pair both;
        os::set_nonblocking(both.worker.rung.get(), false);
        both.primary.hear();
        both.primary.quiet();
        both.worker.ring();
        both.primary.hear();
        both.primary.quiet();
        CHECK(is_ringing(both.primary)); // nobody has read it
    }

    TEST_CASE("to ring where nobody hears any more does nothing") {
        pair both;
        both.worker = {};
        both.primary.ring();
        pair others;
        others.primary = {};
        others.worker.ring();
    }

    TEST_CASE("without descriptors there is an error and nothing is left behind") {
        const auto before = raw::open_descriptors();
        for (int left = 0; left != 5; ++left) {
            CAPTURE(left);
            const raw::few_descriptors few{left};
            std::error_code error;
            unique_fd hears;
            unique_fd rings;
            ring_bells::make(hears, rings, error);
            CHECK(error == std::errc::too_many_files_open);
            CHECK_FALSE(hears);
            CHECK_FALSE(rings);
        }
        CHECK(raw::open_descriptors() == before);
    }
}
