// SPDX-License-Identifier: MIT
#include <cluster/detail/datagram_queue.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace {

using cluster::address;
using cluster::detail::datagram_queue;
using cluster::detail::os::outgoing_datagram;

address at_port(std::size_t port) {
    return address::ipv4({127, 0, 0, 1}, static_cast<std::uint16_t>(port));
}

bool push(datagram_queue& queue, const std::string& text, std::size_t port) {
    return queue.push(std::as_bytes(std::span{text}), at_port(port));
}

std::vector<std::string> front(const datagram_queue& queue) {
    std::array<outgoing_datagram, 4> next;
    std::vector<std::string> texts;
    for (const auto& each : std::span{next}.first(queue.front(next))) {
        texts.emplace_back(reinterpret_cast<const char*>(each.bytes.data()), each.bytes.size());
        texts.back() += ':' + std::to_string(each.to->port());
    }
    return texts;
}

} // namespace

TEST_SUITE("detail/datagram_queue") {
    TEST_CASE("datagrams leave in their order with their receivers, empty ones too") {
        datagram_queue queue{10'000};
        CHECK(queue.empty());
        CHECK(front(queue).empty());
        CHECK(push(queue, "a", 1));
        CHECK(push(queue, "", 2));
        CHECK(push(queue, "bcd", 3));
        CHECK(front(queue) == std::vector<std::string>{"a:1", ":2", "bcd:3"});
        CHECK(queue.bytes() == 4);
        queue.pop(1);
        CHECK(queue.first_receiver() == at_port(2));
        CHECK(front(queue) == std::vector<std::string>{":2", "bcd:3"});
        CHECK(push(queue, "e", 4));
        queue.pop(2);
        CHECK(front(queue) == std::vector<std::string>{"e:4"});
        queue.pop(1);
        CHECK(queue.empty());
        CHECK(queue.bytes() == 0);
    }

    TEST_CASE("no more at a time than there is room for") {
        datagram_queue queue{10'000};
        for (std::size_t i = 0; i != 6; ++i) {
            CHECK(push(queue, "x", i));
        }
        CHECK(front(queue).size() == 4);
        CHECK(queue.size() == 6);
    }

    TEST_CASE("the limit counts bytes and datagrams") {
        datagram_queue queue{10 * datagram_queue::overhead};
        std::size_t taken = 0;
        while (push(queue, "", taken)) {
            ++taken;
        }
        CHECK(taken == 10);
        queue.pop(10);
        CHECK_FALSE(push(queue, std::string(10 * datagram_queue::overhead, 'x'), 1));
        CHECK(push(queue, std::string(9 * datagram_queue::overhead, 'x'), 1));
        CHECK_FALSE(push(queue, "", 1));
    }

    TEST_CASE("a queue that is never empty keeps its order and does not grow") {
        datagram_queue queue{100 * datagram_queue::overhead};
        std::size_t next = 0;
        for (std::size_t i = 0; i != 10'000; ++i) {
            while (queue.size() < 50) {
                REQUIRE(push(queue, std::to_string(next), next % 60'000));
                ++next;
            }
            REQUIRE(front(queue)[0] == std::to_string(i) + ':' + std::to_string(i % 60'000));
            queue.pop(1);
        }
    }
}
