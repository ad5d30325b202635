// SPDX-License-Identifier: MIT
#include <cluster/detail/ring_queue.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace ring_queue_test {

using cluster::detail::ring_queue;
using element = std::unique_ptr<int>;

std::vector<int> content(const ring_queue<element>& queue) {
    std::vector<int> result;
    for (const auto& each : queue) {
        result.push_back(*each);
    }
    return result;
}
void push(ring_queue<element>& queue, int value) {
    queue.push_back(std::make_unique<int>(value));
}

TEST_SUITE("ring_queue") {
    TEST_CASE("it does what std::deque does") {
        ring_queue<element> ours;
        std::deque<int> model;
        std::mt19937 random{7};
        for (int i = 0; i != 20'000; ++i) {
            const auto what = random() % 16;
            // Grows and shrinks in long waves, so that it wraps round at many sizes.
            const bool growing = (i / 500) % 2 == 0;
            if (what < (growing ? 8U : 4U)) {
                push(ours, i);
                model.push_back(i);
            } else if (what < (growing ? 10U : 5U)) {
                ours.push_front(std::make_unique<int>(i));
                model.push_front(i);
            } else if (!model.empty() && what < 13) {
                CHECK(*ours.front() == model.front());
                ours.pop_front();
                model.pop_front();
            } else if (!model.empty()) {
                CHECK(*ours.back() == model.back());
                ours.pop_back();
                model.pop_back();
            }
            REQUIRE(ours.size() == model.size());
            REQUIRE(ours.empty() == model.empty());
            if (i % 64 == 0) {
                REQUIRE(content(ours) == std::vector<int>(model.begin(), model.end()));
            }
            if (!model.empty()) {
                const std::size_t middle = model.size() / 2;
                REQUIRE(*ours[middle] == model[middle]);
            }
        }
    }

    TEST_CASE("moving it takes the elements along") {
        ring_queue<element> one;
        push(one, 1);
        push(one, 2);
        ring_queue<element> two = std::move(one);
        CHECK(content(two) == std::vector<int>{1, 2});
        CHECK(content(one).empty());
        push(one, 3);
        std::swap(one, two);
        CHECK(content(one) == std::vector<int>{1, 2});
        CHECK(content(two) == std::vector<int>{3});
        two = std::exchange(one, {});
        CHECK(content(two) == std::vector<int>{1, 2});
        CHECK(one.empty());
    }

    TEST_CASE("elements die when they leave and with the queue") {
        auto witness = std::make_shared<int>();
        {
            ring_queue<std::shared_ptr<int>> queue;
            for (int i = 0; i != 10; ++i) {
                queue.push_back(std::shared_ptr<int>{witness});
            }
            CHECK(witness.use_count() == 11);
            queue.pop_front();
            queue.pop_back();
            CHECK(witness.use_count() == 9);
            queue.clear();
            CHECK(witness.use_count() == 1);
            CHECK(queue.empty());
            queue.push_back(std::shared_ptr<int>{witness});
        }
        CHECK(witness.use_count() == 1);
    }

    TEST_CASE("it stays where it is until it grows or was a burst") {
        ring_queue<int> queue;
        queue.push_back(0);
        const int* const first = &queue.front();
        for (int i = 0; i != 100; ++i) { // never more than two: the memory is used again
            queue.push_back(int{i});
            queue.pop_front();
            queue.pop_front();
            queue.push_back(int{i});
        }
        CHECK(&queue.front() >= first - 4);
        CHECK(&queue.front() < first + 4);
        for (int i = 0; i != 10'000; ++i) {
            queue.push_back(int{i});
        }
        while (!queue.empty()) {
            queue.pop_front();
        }
        queue.push_back(5);
        CHECK(queue.front() == 5);
    }
}

} // namespace ring_queue_test
