// SPDX-License-Identifier: MIT
#include <cluster/detail/endpoint.hpp> // first and alone: proves the header is self-contained

#include "../support/temporary_directory.hpp"

#include <cluster/event_loop.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

namespace {

namespace os = cluster::detail::os;
using cluster::detail::accept_mode;
using cluster::detail::connection_account;
using cluster::detail::connection_ticket;
using cluster::detail::endpoint;

} // namespace

TEST_SUITE("detail/endpoint") {
    TEST_CASE("a file goes with its endpoint, unless somebody else has put another in its place") {
        cluster_test::temporary_directory directory;
        auto path = directory / "socket";
        for (bool replaced : {false, true}) {
            std::ofstream{path};
            {
                endpoint one{0, cluster::address::local(path), accept_mode::own_socket};
                one.own_file(path);
                if (replaced) {
                    std::ofstream{directory / "other"};
                    std::filesystem::rename(directory / "other", path);
                }
                CHECK(std::filesystem::exists(path));
            }
            CHECK(std::filesystem::exists(path) == replaced);
        }
    }

    TEST_CASE("the connections of a server count at each of its addresses") {
        cluster::event_loop loop;
        auto account = std::make_shared<connection_account>(loop, [] {});
        std::error_code error;
        cluster::unique_fd descriptors[2];
        os::shared_mapping seen[2];
        endpoint addresses[2] = {{1, {}, accept_mode::own_socket},
                                 {2, {}, accept_mode::own_socket}};
        for (int i = 0; i != 2; ++i) {
            seen[i] = os::shared_mapping::create(sizeof(os::steering_load), descriptors[i], error);
            REQUIRE(!error);
            REQUIRE(!addresses[i].tell_load(3, descriptors[i].get(), *account));
        }
        auto load = [&seen](int i, std::uint32_t place = 3) {
            return static_cast<os::steering_load*>(seen[i].data())->places[place].load();
        };
        auto accepted = [&seen](int i) {
            return static_cast<os::steering_load*>(seen[i].data())->accepted[3].count.load();
        };
        {
            connection_ticket one{account};
            CHECK(load(0) == 1);
            CHECK(load(1) == 1);
        }
        CHECK(load(0) == 0);
        CHECK(load(1) == 0);
        { // the kernel has counted it at the first address when it chose the place
            static_cast<os::steering_load*>(seen[0].data())->places[3].picked = 1;
            auto* counted = addresses[0].count_accepted(3);
            REQUIRE(counted != nullptr);
            CHECK(accepted(0) == 1);
            CHECK(accepted(1) == 0);
            connection_ticket one{account, {}, counted};
            CHECK(load(0) == 1);
            CHECK(load(1) == 1);
        }
        CHECK(load(0) == 0);
        CHECK(load(1) == 0);
        // One from the queue of another place, whose worker is gone.
        static_cast<os::steering_load*>(seen[0].data())->places[2].picked = 1;
        auto* counted = addresses[0].count_accepted(2);
        CHECK(counted == nullptr);
        CHECK(load(0, 2) == 0);
        connection_ticket adopted{account, {}, counted};
        CHECK(load(0) == 1);
        // One that is refused.
        static_cast<os::steering_load*>(seen[0].data())->places[3].picked = 2;
        account->refused(false, addresses[0].count_accepted(3));
        CHECK(load(0) == 1);
    }
}
