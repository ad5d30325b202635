// SPDX-License-Identifier: MIT
#include <cluster/detail/os.hpp> // first and alone: proves the header is self-contained

#include "../../support/no_capabilities.hpp"

#include <cluster/net/address.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <system_error>
#include <utility>
#include <vector>

namespace steering_test {

namespace os = cluster::detail::os;
using cluster::address;
using cluster::address_family;
using cluster::unique_fd;
using os::steer_by;

/// Sockets of one group, and clients that are connected to it and wait in their queues.
class group {
public:
    std::array<unique_fd, 4> sockets;
    os::steering steering;

    /// \returns whether the system lets us.
    bool open(steer_by what, bool classic = false) {
        auto error = steering.open(what);
        error = error || classic ? error : steering.why_classic();
        if (error) {
            MESSAGE("not steered: " << error.message());
            return false;
        }
        for (std::uint32_t i = 0; i != sockets.size(); ++i) {
            sockets[i] = socket();
            REQUIRE_FALSE(steering.add(i, sockets[i].get()));
            steering.turn_off(i, false);
        }
        return true;
    }
    unique_fd socket() {
        auto fd = os::open_stream_socket(address_family::ipv4);
        os::set_reuse_port(fd.get());
        REQUIRE(os::bind_to(fd.get(), at_));
        REQUIRE(os::listen_on(fd.get(), 1000));
        at_ = os::local_address(fd.get());
        return fd;
    }
    void connect(std::size_t count, std::uint8_t last = 1) {
        for (std::size_t i = 0; i != count; ++i) {
            auto fd = os::open_stream_socket(address_family::ipv4);
            os::set_nonblocking(fd.get(), false);
            REQUIRE(os::bind_to(fd.get(), address::ipv4({127, 0, 0, last}, 0)));
            REQUIRE(os::connect_to(fd.get(), at_));
            clients_.push_back(std::move(fd));
        }
    }
    /// How many wait for each socket; they are accepted.
    std::vector<std::size_t> accept() {
        std::vector<std::size_t> result;
        for (std::size_t i = 0; i != sockets.size(); ++i) {
            result.push_back(0);
            while (sockets[i] && os::accept_from(sockets[i].get())) {
                ++result.back();
                if (auto* load = steering.load()) {
                    load->places[i].gone.fetch_add(1);
                }
            }
        }
        return result;
    }
    [[nodiscard]] std::size_t resets() const {
        return static_cast<std::size_t>(
            std::count_if(clients_.begin(), clients_.end(), [](const auto& each) {
                return bool{os::pending_error(each.get())};
            }));
    }

private:
    address at_ = address::ipv4({127, 0, 0, 1}, 0);
    std::vector<unique_fd> clients_;
};

using counts = std::vector<std::size_t>;

} // namespace steering_test

using namespace steering_test;

TEST_SUITE("os/steering") {
    TEST_CASE("the sockets of a group get clients exactly in turn") {
        group sockets;
        if (sockets.open(steer_by::turns)) {
            sockets.connect(100);
            CHECK(sockets.accept() == counts{25, 25, 25, 25});
            sockets.steering.turn_off(2, true);
            sockets.connect(90);
            CHECK(sockets.accept() == counts{30, 30, 0, 30});
        }
    }
    TEST_CASE("the least loaded socket gets the client") {
        group sockets;
        if (sockets.open(steer_by::load)) {
            sockets.steering.load()->places[0].gone -= 30U;
            sockets.connect(120); // none is accepted meanwhile: those that wait count
            auto even = sockets.accept();
            even[0] += 30;
            CHECK(*std::min_element(even.begin(), even.end()) == 37);
            CHECK(*std::max_element(even.begin(), even.end()) == 38);
            sockets.steering.load()->places[3].gone -= 100U;
            sockets.steering.turn_off(1, true);
            sockets.connect(50);
            auto got = sockets.accept();
            CHECK(got[1] == 0);
            CHECK(got[3] == 0);
            CHECK(got[0] + got[2] == 50);
        }
    }
    TEST_CASE("a client meets the same socket each time") {
        group sockets;
        if (sockets.open(steer_by::client)) {
            for (std::uint8_t last = 1; last != 6; ++last) {
                sockets.connect(10, last);
                auto got = sockets.accept();
                auto chosen = std::max_element(got.begin(), got.end()) - got.begin();
                CHECK(got[static_cast<std::size_t>(chosen)] == 10);
                auto other = static_cast<std::uint32_t>(chosen == 0 ? 1 : 0);
                sockets.steering.turn_off(other, true); // its clients move, ours do not
                sockets.connect(10, last);
                CHECK(sockets.accept() == got);
                sockets.steering.turn_off(other, false);
            }
        }
    }
    TEST_CASE("a client meets the same socket by the classic filter") {
        group by_filter;
        {
            cluster_test::no_capabilities without;
            REQUIRE(without);
            REQUIRE(by_filter.open(steer_by::client, true));
            CHECK(by_filter.steering.why_classic());
            CHECK(by_filter.steering.load() == nullptr);
        }
        group by_program;
        bool both = by_program.open(steer_by::client);
        for (std::uint8_t last = 1; last != 20; ++last) {
            by_filter.connect(5, last);
            auto got = by_filter.accept();
            CHECK(*std::max_element(got.begin(), got.end()) == 5);
            if (both) {
                by_program.connect(5, last);
                CHECK(by_program.accept() == got);
            }
        }
        by_filter.connect(5, 1);
        auto got = by_filter.accept();
        auto chosen = std::max_element(got.begin(), got.end()) - got.begin();
        by_filter.steering.turn_off(static_cast<std::uint32_t>(chosen), true);
        by_filter.connect(5, 1);
        auto moved = by_filter.accept();
        CHECK(*std::max_element(moved.begin(), moved.end()) == 5);
        CHECK(moved[static_cast<std::size_t>(chosen)] == 0);
    }
    TEST_CASE("who waits for a socket that is closed moves to another and is not reset") {
        for (auto what : {steer_by::turns, steer_by::load, steer_by::client}) {
            group sockets;
            if (!sockets.open(what)) {
                return;
            }
            sockets.connect(80);
            for (std::uint32_t gone : {1U, 3U}) {
                sockets.steering.turn_off(gone, true);
                sockets.sockets[gone].reset();
            }
            auto got = sockets.accept();
            CHECK(std::accumulate(got.begin(), got.end(), std::size_t{0}) == 80);
            CHECK(sockets.resets() == 0);
        }
    }
    TEST_CASE("the kernel takes a program for as many places as there may be") {
        for (auto what : {steer_by::turns, steer_by::load, steer_by::client}) {
            group sockets;
            if (!sockets.open(what)) {
                return;
            }
            auto one_more = sockets.socket();
            CHECK_FALSE(sockets.steering.add(os::steered_places - 1, one_more.get()));
            CHECK(sockets.steering.add(os::steered_places, one_more.get()) ==
                  std::errc::argument_out_of_domain);
        }
    }
}
