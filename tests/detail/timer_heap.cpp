// SPDX-License-Identifier: MIT
#include <cluster/detail/timer_heap.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cluster::detail::time_point;
using cluster::detail::timer_heap;

constexpr auto once = 0ns;

/// The clock of these tests.
constexpr time_point at(std::chrono::nanoseconds since) {
    return time_point{since};
}

} // namespace

TEST_SUITE("detail/timer_heap") {
    TEST_CASE("an empty heap has no next deadline") {
        timer_heap heap;
        CHECK(heap.next() == time_point::max());
        CHECK(heap.alive() == 0);
        heap.run_due(time_point::max());
        heap.cancel({});
        heap.cancel({7, 1});
        CHECK_FALSE(heap.active({}));
        CHECK_FALSE(heap.active({7, 1}));
    }

    TEST_CASE("what is due runs in the order of deadlines, equal ones as added") {
        timer_heap heap;
        std::string order;
        heap.add(at(30ns), once, [&] { order += 'e'; });
        heap.add(at(10ns), once, [&] { order += 'a'; });
        heap.add(at(20ns), once, [&] { order += 'c'; });
        heap.add(at(10ns), once, [&] { order += 'b'; });
        heap.add(at(20ns), once, [&] { order += 'd'; });
        CHECK(heap.next() == at(10ns));
        heap.run_due(at(9ns));
        CHECK(order.empty());
        heap.run_due(at(20ns));
        CHECK(order == "abcd");
        CHECK(heap.next() == at(30ns));
        CHECK(heap.alive() == 1);
        heap.run_due(at(1h));
        CHECK(order == "abcde");
        CHECK(heap.alive() == 0);
    }

    TEST_CASE("a key names one timer only, also when its place is used again") {
        timer_heap heap;
        bool ran = false;
        auto first = heap.add(at(1ns), once, [] {});
        CHECK(heap.active(first));
        heap.cancel(first);
        CHECK_FALSE(heap.active(first));
        auto second = heap.add(at(1ns), once, [&] { ran = true; });
        CHECK(second.index == first.index);
        heap.cancel(first);
        heap.keep_alive(first, false);
        heap.move(first, at(5h));
        CHECK(heap.active(second));
        CHECK(heap.alive() == 1);
        heap.run_due(at(1ns));
        CHECK(ran);
        CHECK_FALSE(heap.active(second));
    }

    TEST_CASE("a handler may cancel itself, others that are due, and add new ones") {
        timer_heap heap;
        std::string order;
        timer_heap::key b;
        timer_heap::key a = heap.add(at(1ns), once, [&] {
            order += 'a';
            heap.cancel(a); // over already
            heap.cancel(b);
            for (int i = 0; i != 100; ++i) { // the tables grow under the handler
                heap.add(at(2ns), once, [&] { order += 'n'; });
            }
        });
        b = heap.add(at(1ns), once, [&] { order += 'b'; });
        heap.add(at(2ns), once, [&] { order += 'c'; });
        heap.run_due(at(2ns));
        CHECK(order == "ac"); // new ones wait for the next call
        heap.run_due(at(2ns));
        CHECK(order == "ac" + std::string(100, 'n'));
    }

    TEST_CASE("a period keeps its beat and skips what it missed") {
        timer_heap heap;
        int runs = 0;
        auto beat = heap.add(at(10ns), 10ns, [&] { ++runs; });
        heap.run_due(at(10ns));
        CHECK(heap.next() == at(20ns));
        heap.run_due(at(23ns)); // late
        CHECK(heap.next() == at(30ns));
        heap.run_due(at(75ns)); // very late
        CHECK(runs == 3);
        CHECK(heap.next() == at(80ns));
        CHECK(heap.active(beat));
        CHECK(heap.alive() == 1);
        heap.cancel(beat);
        CHECK(heap.next() == time_point::max());
    }

    TEST_CASE("a period may end itself in its handler, what it owns dies behind it") {
        timer_heap heap;
        auto owned = std::make_shared<int>(0);
        std::weak_ptr<int> watch = owned;
        timer_heap::key key;
        key = heap.add(at(1ns), 1ns, [&, owned = std::move(owned)] {
            heap.cancel(key);
            heap.add(at(5ns), once, [] {}); // takes the place
            ++*owned;
        });
        heap.run_due(at(1ns));
        CHECK(watch.expired());
        CHECK(heap.alive() == 1);
        CHECK(heap.next() == at(5ns));
    }

    TEST_CASE("an exception leaves the others due") {
        timer_heap heap;
        int runs = 0;
        heap.add(at(1ns), once, [] { throw 1; });
        auto beat = heap.add(at(1ns), 10ns, [&] {
            ++runs;
            throw 2;
        });
        heap.add(at(1ns), once, [&] { ++runs; });
        CHECK_THROWS_AS(heap.run_due(at(1ns)), int);
        CHECK_THROWS_AS(heap.run_due(at(1ns)), int);
        heap.run_due(at(1ns));
        CHECK(runs == 2);
        CHECK_THROWS_AS(heap.run_due(at(11ns)), int);
        CHECK(runs == 3);
        CHECK(heap.active(beat));
    }

    TEST_CASE("what is due goes no further once it is stopped") {
        timer_heap heap;
        int runs = 0;
        for (int i = 0; i != 3; ++i) {
            heap.add(at(1ns), once, [&] { ++runs; });
        }
        heap.run_due(at(1ns), [&] { return runs == 2; });
        CHECK(runs == 2);
        heap.run_due(at(1ns));
        CHECK(runs == 3);
    }

    TEST_CASE("a deadline may move both ways") {
        timer_heap heap;
        std::string order;
        auto a = heap.add(at(10ns), once, [&] { order += 'a'; });
        heap.add(at(20ns), once, [&] { order += 'b'; });
        heap.move(a, at(30ns));
        CHECK(heap.next() == at(20ns));
        heap.move(a, at(5ns));
        CHECK(heap.next() == at(5ns));
        heap.move(a, at(25ns));
        heap.run_due(at(30ns));
        CHECK(order == "ba");
    }

    TEST_CASE("only timers that keep alive are counted") {
        timer_heap heap;
        auto a = heap.add(at(1ns), once, [] {});
        auto b = heap.add(at(1ns), 1ns, [] {});
        heap.keep_alive(a, false);
        heap.keep_alive(a, false);
        CHECK(heap.alive() == 1);
        heap.keep_alive(a, true);
        heap.keep_alive(b, false);
        CHECK(heap.alive() == 1);
        heap.run_due(at(1ns));
        CHECK(heap.alive() == 0);
        CHECK(heap.active(b));
        heap.keep_alive(b, true);
        heap.cancel(b);
        CHECK(heap.alive() == 0);
        heap.add(at(9ns), once, [] {}); // the place of one that did not
        CHECK(heap.alive() == 1);
    }

    TEST_CASE("what a cancelled handler owns may use the heap as it dies") {
        struct adds_when_it_dies {
            timer_heap* heap;
            explicit adds_when_it_dies(timer_heap& in) : heap{&in} {}
            adds_when_it_dies(adds_when_it_dies&& other) noexcept
                : heap{std::exchange(other.heap, nullptr)} {}
            ~adds_when_it_dies() {
                if (heap != nullptr) {
                    for (int i = 0; i != 50; ++i) {
                        heap->add(at(1ns), once, [] {});
                    }
                }
            }
            void operator()() const {}
        };
        timer_heap heap;
        auto key = heap.add(at(2ns), once, adds_when_it_dies{heap});
        heap.cancel(key);
        CHECK(heap.alive() == 50);
        heap.add(at(1ns), once, adds_when_it_dies{heap});
        heap.run_due(at(1ns));
        CHECK(heap.alive() == 50);
        heap.run_due(at(1ns));
        CHECK(heap.alive() == 0);
    }

    TEST_CASE("it does what a sorted list does, whatever is added, moved and cancelled") {
        std::mt19937 random{7};
        timer_heap heap;
        struct entry {
            int name;
            std::int64_t deadline;
            timer_heap::key key;
        };
        std::vector<entry> model; // in the order in which they were added
        std::vector<int> ran;
        std::int64_t now = 0;
        int name = 0;
        for (int step = 0; step != 20'000; ++step) {
            auto what = random() % 8;
            auto when = now + static_cast<std::int64_t>(random() % 50);
            if (what < 4) {
                int mine = name++;
                auto key = heap.add(at(std::chrono::nanoseconds{when}), once, [&ran, mine] {
                    ran.push_back(mine);
                });
                model.push_back({mine, when, key});
            } else if (what < 6 && !model.empty()) {
                auto victim = model.begin() + static_cast<std::ptrdiff_t>(random() % model.size());
                heap.cancel(victim->key);
                model.erase(victim);
            } else if (what == 6 && !model.empty()) {
                auto& moved = model[random() % model.size()];
                moved.deadline = when;
                heap.move(moved.key, at(std::chrono::nanoseconds{when}));
            } else {
                now += static_cast<std::int64_t>(random() % 20);
                std::vector<int> expected;
                std::stable_sort(model.begin(), model.end(), [](const auto& a, const auto& b) {
                    return a.deadline < b.deadline;
                });
                while (!model.empty() && model.front().deadline <= now) {
                    expected.push_back(model.front().name);
                    model.erase(model.begin());
                }
                std::sort(model.begin(), model.end(), [](const auto& a, const auto& b) {
                    return a.name < b.name;
                });
                ran.clear();
                heap.run_due(at(std::chrono::nanoseconds{now}));
                REQUIRE(ran == expected);
            }
            REQUIRE(heap.alive() == model.size());
        }
    }
}
