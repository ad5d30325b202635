// SPDX-License-Identifier: MIT
#include <cluster/detail/stable_heap.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace stable_heap_test {

using cluster::detail::stable_heap;
using element = std::unique_ptr<int>;

TEST_SUITE("detail/stable_heap") {
    TEST_CASE("it does what a map of queues does") {
        stable_heap<element> ours;
        std::map<int, std::deque<int>, std::greater<>> model;
        std::size_t size = 0;
        std::mt19937 random{7};
        for (int i = 0; i != 20'000; ++i) {
            const auto what = random() % 16;
            const int priority = static_cast<int>(random() % 7) - 3;
            const bool growing = (i / 500) % 2 == 0;
            if (what < (growing ? 8U : 4U)) {
                ours.push(std::make_unique<int>(i), priority);
                model[priority].push_back(i);
                ++size;
            } else if (what < (growing ? 10U : 5U)) {
                ours.push_front(std::make_unique<int>(i), priority);
                model[priority].push_front(i);
                ++size;
            } else if (size != 0) {
                auto most = model.begin();
                REQUIRE(ours.top_priority() == most->first);
                REQUIRE(*ours.top() == most->second.front());
                ours.pop();
                most->second.pop_front();
                --size;
                if (most->second.empty()) {
                    model.erase(most);
                }
            }
            REQUIRE(ours.size() == size);
            REQUIRE(ours.empty() == (size == 0));
        }
    }

    TEST_CASE("those of one priority leave in the order in which they came") {
        stable_heap<element> heap;
        for (int i = 0; i != 1'000; ++i) {
            heap.push(std::make_unique<int>(i), i % 2);
        }
        std::vector<int> odd_then_even;
        for (; !heap.empty(); heap.pop()) {
            odd_then_even.push_back(*heap.top());
        }
        for (int i = 0; i != 500; ++i) {
            CHECK(odd_then_even[static_cast<std::size_t>(i)] == 2 * i + 1);
            CHECK(odd_then_even[static_cast<std::size_t>(500 + i)] == 2 * i);
        }
    }
}

} // namespace stable_heap_test
