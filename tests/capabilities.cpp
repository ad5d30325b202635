// SPDX-License-Identifier: MIT
#include <cluster/capabilities.hpp> // first and alone: proves the header is self-contained

#include "support/no_capabilities.hpp"

#include <doctest/doctest.h>

#include <system_error>

TEST_SUITE("capabilities") {
    TEST_CASE("what the process may not do is told with the reason") {
        auto before = cluster::capabilities();
        CHECK(before.most_backlog >= 0);
        MESSAGE("steering in the kernel: " << before.kernel_steering.message()
                                           << ", pidfd: " << before.pidfd.message());
        cluster_test::no_capabilities without;
        REQUIRE(without);
        CHECK(cluster::capabilities().kernel_steering == std::errc::operation_not_permitted);
        CHECK(cluster::capabilities().pidfd == before.pidfd);
    }
}
