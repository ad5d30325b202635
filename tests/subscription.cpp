// SPDX-License-Identifier: MIT
#include <cluster/subscription.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

using cluster::subscription;
using cluster::detail::emitter;

} // namespace

TEST_SUITE("subscription") {
    TEST_CASE("handlers run in the order in which they were added") {
        emitter<int> event;
        std::string order;
        CHECK(event.empty());
        event.add([&](int value) { order += 'a' + static_cast<char>(value); });
        event.add([&](int) { order += 'z'; });
        CHECK_FALSE(event.empty());
        event.emit(1);
        event.emit(2);
        CHECK(order == "bzcz");
    }

    TEST_CASE("a cancelled handler runs no more, the others go on") {
        emitter<> event;
        std::string order;
        auto a = event.add([&] { order += 'a'; });
        auto b = event.add([&] { order += 'b'; });
        CHECK(a.active());
        a.cancel();
        a.cancel();
        CHECK_FALSE(a.active());
        event.emit();
        CHECK(order == "b");
        b.cancel();
        CHECK(event.empty());
    }

    TEST_CASE("dropping a subscription changes nothing") {
        emitter<> event;
        int calls = 0;
        {
            auto dropped = event.add([&] { ++calls; });
        }
        event.emit();
        CHECK(calls == 1);
        subscription none;
        CHECK_FALSE(none.active());
        none.cancel();
    }

    TEST_CASE("once runs once, also when it raises its event again") {
        emitter<> event;
        int calls = 0;
        auto mine = event.add(
            [&] {
                ++calls;
                event.emit();
            },
            true);
        event.emit();
        event.emit();
        CHECK(calls == 1);
        CHECK_FALSE(mine.active());
        CHECK(event.empty());
    }

    TEST_CASE("once is over also when it throws") {
        emitter<> event;
        event.add([] { throw 1; }, true);
        CHECK_THROWS_AS(event.emit(), int);
        event.emit();
    }

    TEST_CASE("a handler may cancel itself, earlier and later ones while it runs") {
        emitter<> event;
        std::string order;
        subscription a;
        subscription b;
        subscription c;
        auto owned = std::make_shared<int>(5);
        std::weak_ptr<int> watch = owned;
        a = event.add([&] { order += 'a'; });
        b = event.add([&, owned = std::move(owned)] {
            a.cancel();
            b.cancel();
            c.cancel();
            order += static_cast<char>('0' + *owned); // it lives while it runs
        });
        c = event.add([&] { order += 'c'; });
        event.emit();
        CHECK(order == "a5");
        CHECK(watch.expired());
        event.emit();
        CHECK(order == "a5");
    }

    TEST_CASE("handlers that are added by a handler wait for the next event") {
        emitter<> event;
        int late = 0;
        int calls = 0;
        event.add([&] {
            if (calls++ == 0) {
                for (int i = 0; i != 100; ++i) { // the table grows under the walk
                    event.add([&] { ++late; });
                }
            }
        });
        event.emit();
        CHECK(late == 0);
        event.emit();
        CHECK(late == 100);
    }

    TEST_CASE("an event may be raised inside its own handler") {
        emitter<int> event;
        std::string order;
        subscription second;
        event.add([&](int depth) {
            order += static_cast<char>('0' + depth);
            if (depth < 2) {
                event.emit(depth + 1);
            } else {
                second.cancel(); // two walks are under way
            }
        });
        second = event.add([&](int) { order += 'x'; });
        event.emit(0);
        CHECK(order == "012");
        CHECK_FALSE(event.walking());
    }

    TEST_CASE("every handler runs, then the first exception leaves") {
        emitter<> event;
        int calls = 0;
        event.add([&] { ++calls; });
        event.add([&] {
            ++calls;
            throw std::runtime_error{"first"};
        });
        event.add([&] {
            ++calls;
            throw std::logic_error{"second"};
        });
        event.add([&] { ++calls; });
        CHECK_THROWS_WITH(event.emit(), "first");
        CHECK(calls == 4);
        CHECK_THROWS_WITH(event.emit(), "first");
        CHECK(calls == 8);
    }

    TEST_CASE("arguments are shared, not consumed") {
        emitter<std::string&, const std::string&> event;
        std::string seen;
        event.add([&](std::string& a, const std::string& b) { seen += std::exchange(a, "2") + b; });
        event.add([&](std::string& a, const std::string& b) { seen += a + b; });
        std::string first = "1";
        event.emit(first, "x");
        CHECK(seen == "1x2x");
        emitter<std::string> copies;
        copies.add([&](std::string text) { seen = std::move(text); });
        copies.add([&](std::string text) { seen += text; });
        copies.emit("long enough to be moved away");
        CHECK(seen == "long enough to be moved awaylong enough to be moved away");
    }

    TEST_CASE("a subscription outlives what it was added to") {
        subscription mine;
        {
            emitter<> event;
            mine = event.add([] {});
            CHECK(mine.active());
        }
        CHECK_FALSE(mine.active());
        mine.cancel();
    }

    TEST_CASE("who asked for it is told of a cancel, once") {
        emitter<> event;
        int told = 0;
        auto tell = [](void* count) noexcept { ++*static_cast<int*>(count); };
        auto a = event.add([] {}, false, tell, &told);
        auto copy = a;
        a.cancel();
        copy.cancel();
        CHECK(told == 1);
    }
}
