// SPDX-License-Identifier: MIT
#include <cluster/detail/silence.hpp> // first and alone: proves the header is self-contained

#include <cluster/event_loop.hpp>

#include <doctest/doctest.h>

#include <chrono>

namespace {

using namespace std::chrono_literals;
using namespace cluster::detail;

/// Waits for something that comes at the `comes_at`-th look.
struct waiter {
    int looks = 0;
    int told = 0;
    int comes_at = -1;
    silence_hook hook = silence_hook::for_member<waiter, &waiter::look>(*this);

    bool look(bool sleeps) {
        told += sleeps ? 1 : 0;
        return ++looks == comes_at;
    }
};

} // namespace

TEST_SUITE("detail/silence") {
    TEST_CASE("who waits is told once that the loop sleeps") {
        silence all;
        waiter one;
        CHECK_FALSE(all.awaited());
        all.add(one.hook, 0us);
        all.add(one.hook, 0us);
        CHECK(all.awaited());
        all.tell();
        all.tell();
        CHECK(one.told == 1);
        CHECK_FALSE(all.awaited());
    }

    TEST_CASE("a loop looks out for so long and no more after that was in vain") {
        silence all;
        waiter one;
        auto never = [] { return false; };
        all.add(one.hook, 0us);
        CHECK_FALSE(all.look_out(never));
        CHECK(one.looks == 0); // nobody asked for it
        one.hook.unlink();
        one.comes_at = 3;
        all.add(one.hook, 1h);
        CHECK(all.look_out(never));
        CHECK(one.looks == 3);
        all.waited(5h);
        CHECK_FALSE(all.look_out(never));
        CHECK(one.looks == 3);
        all.waited(1h);
        CHECK_FALSE(all.look_out([] { return true; })); // somebody calls
        CHECK(one.looks > 3);
        CHECK(one.told == 0);
    }

    TEST_CASE("a loop to which things keep coming does not sleep and looks at its descriptors") {
        struct steady { // something comes with every look
            cluster::event_loop loop;
            int looks = 0;
            int told = 0;
            int handled_at = 0;
            silence_hook hook = silence_hook::for_member<steady, &steady::look>(*this);

            bool look(bool sleeps) {
                told += sleeps ? 1 : 0;
                if (++looks == 10) {
                    loop.post([this] { handled_at = looks; });
                } else if (looks == 1000) {
                    loop.stop();
                }
                return true;
            }
        } all;
        all.loop.before_sleep(all.hook, 1h);
        all.loop.ref();
        all.loop.run();
        all.loop.unref();
        CHECK(all.looks == 1000);
        CHECK(all.told == 0);
        CHECK(all.handled_at != 0);
        CHECK(all.handled_at < 200);
    }

    TEST_CASE("a loop that sleeps has told so and so has one inside of another") {
        cluster::event_loop loop;
        waiter one;
        loop.before_sleep(one.hook, 0us);
        loop.after(1ms, [&] { loop.stop(); });
        loop.run();
        CHECK(one.told == 1);
        CHECK(loop.native_handle() != -1);
        loop.defer([&] { loop.before_sleep(one.hook, 0us); });
        loop.poll();
        CHECK(one.told == 2);
    }
}
