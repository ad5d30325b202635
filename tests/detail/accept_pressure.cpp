// SPDX-License-Identifier: MIT
#include <cluster/detail/accept_pressure.hpp>

#include "../support/client.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <vector>

using namespace std::chrono_literals;

namespace {

namespace os = cluster::detail::os;
const auto no_descriptors = std::make_error_code(std::errc::too_many_files_open);

struct waiting_clients {
    explicit waiting_clients(std::size_t count) {
        os::bind_to(listening.get(), cluster_test::loopback(0));
        os::listen_on(listening.get(), 128);
        while (clients.size() != count) {
            clients.push_back(cluster_test::connect_socket(os::local_address(listening.get()), {}));
        }
    }
    cluster::unique_fd listening = os::open_stream_socket(cluster::address_family::ipv4);
    std::vector<cluster::unique_fd> clients;
};

} // namespace

TEST_CASE("a pause doubles up to half a second and begins anew after a success") {
    cluster::detail::accept_pressure pressure;
    std::vector<std::chrono::milliseconds> pauses;
    for (int i = 0; i != 6; ++i) {
        pauses.push_back(pressure.next_pause());
    }
    CHECK(pauses ==
          std::vector<std::chrono::milliseconds>{50ms, 100ms, 200ms, 400ms, 500ms, 500ms});
    pressure.succeeded();
    CHECK(pressure.next_pause() == 50ms);
}

TEST_CASE("a failure of a connection counts only in a long row") {
    cluster::detail::accept_pressure pressure;
    for (int i = 0; i != 127; ++i) {
        CHECK_FALSE(pressure.failed());
    }
    CHECK(pressure.failed());
    pressure.succeeded();
    CHECK_FALSE(pressure.failed());
}

TEST_CASE("pressure is news once a second") {
    cluster::detail::accept_pressure pressure;
    auto now = std::chrono::steady_clock::now();
    CHECK(pressure.is_news(now));
    CHECK_FALSE(pressure.is_news(now + 999ms));
    CHECK(pressure.is_news(now + 1s));
    CHECK_FALSE(pressure.is_news(now + 1s));
}

TEST_CASE("nobody is shed without a reserve or for another cause") {
    waiting_clients some{3};
    cluster::detail::accept_pressure pressure;
    CHECK(pressure.shed(some.listening.get(), no_descriptors) == 0);
    pressure.keep_reserve();
    CHECK(pressure.shed(some.listening.get(),
                        std::make_error_code(std::errc::too_many_files_open_in_system)) == 0);
    CHECK(pressure.shed(some.listening.get(), std::make_error_code(std::errc::not_enough_memory)) ==
          0);
    pressure.release_reserve();
    CHECK(pressure.shed(some.listening.get(), no_descriptors) == 0);
}

TEST_CASE("all who wait are shed and not too many at a time") {
    waiting_clients some{70};
    cluster::detail::accept_pressure pressure;
    pressure.keep_reserve();
    CHECK(pressure.shed(some.listening.get(), no_descriptors) == 64);
    CHECK(pressure.shed(some.listening.get(), no_descriptors) == 6);
    CHECK(pressure.shed(some.listening.get(), no_descriptors) == 0);
}
