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
        auto active = [&seen](int i) {
            return static_cast<os::steering_load*>(seen[i].data())->places[3].active.load();
        };
        {
            connection_ticket one{account};
            CHECK(active(0) == 1);
            CHECK(active(1) == 1);
        }
        CHECK(active(0) == 0);
        CHECK(active(1) == 0);
        addresses[0].count_accepted(3);
        CHECK(static_cast<os::steering_load*>(seen[0].data())->places[3].accepted.load() == 1);
        CHECK(static_cast<os::steering_load*>(seen[1].data())->places[3].accepted.load() == 0);
    }
}
