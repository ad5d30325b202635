// SPDX-License-Identifier: MIT
#include <cluster/event_loop.hpp> // first and alone: proves the header is self-contained

#include "support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>

namespace {

using namespace std::chrono_literals;
using cluster::event_loop;
using cluster::detail::io_watch;
using cluster::detail::turn_hook;
using cluster::detail::os::io;

struct oops {};

/// Of the timer descriptors of this process.
int clocks_that_were_set() {
    int count = 0;
    for (const auto& each : std::filesystem::directory_iterator{"/proc/self/fdinfo"}) {
        std::ifstream lines{each.path()};
        for (std::string line; std::getline(lines, line);) {
            count += line == "settime flags: 01" ? 1 : 0;
        }
    }
    return count;
}

/// Reads what arrives and counts how often it was called.
struct reader {
    int fd;
    io_watch watch;
    int calls = 0;
    std::string got;
    cluster::detail::move_only_function<void()> then;

    reader(event_loop& loop, int descriptor) : fd{descriptor} {
        REQUIRE(!watch.start<&reader::on_ready>(loop, fd, io::readable, *this));
    }
    void on_ready(io) {
        ++calls;
        got += raw::read_some(fd);
        if (then) {
            then();
        }
    }
};

std::atomic<int> own_handler_calls{0};
void own_handler(int) {
    ++own_handler_calls;
}

/// Has its own handler installed and puts back what was there.
struct own_disposition {
    explicit own_disposition(int which) : signal{which} {
        own_handler_calls = 0;
        struct sigaction wanted {};
        wanted.sa_handler = &own_handler;
        ::sigaction(signal, &wanted, &before);
    }
    ~own_disposition() { ::sigaction(signal, &before, nullptr); }
    /// Whether it is the disposition that the process has now.
    [[nodiscard]] bool in_place() const {
        struct sigaction now {};
        ::sigaction(signal, nullptr, &now);
        return now.sa_handler == &own_handler;
    }
    int signal;
    struct sigaction before {};
};

} // namespace

TEST_SUITE("event_loop") {
    TEST_CASE("run returns at once when there is nothing to wait for") {
        event_loop loop;
        CHECK(loop.run() == 0);
        CHECK_FALSE(loop.poll());
    }

    TEST_CASE("timers run in the order of their deadlines, equal ones as added") {
        std::string order;
        auto added_in = std::chrono::steady_clock::duration::max();
        while (added_in >= 1ms) { // else what was added first may be due first
            event_loop loop;
            order.clear();
            auto start = std::chrono::steady_clock::now();
            loop.after(3ms, [&] { order += 'c'; });
            loop.after(1ms, [&] { order += 'a'; });
            loop.after(2ms, [&] { order += 'b'; });
            loop.after(-1s, [&] { order += '0'; });
            loop.after(0ns, [&] { order += '1'; });
            added_in = std::chrono::steady_clock::now() - start;
            CHECK(loop.run() == 0);
        }
        CHECK(order == "01abc");
    }

    TEST_CASE("a timer never runs early") {
        event_loop loop;
        auto start = std::chrono::steady_clock::now();
        std::chrono::nanoseconds took{};
        loop.after(2500us, [&] { took = std::chrono::steady_clock::now() - start; });
        loop.run();
        CHECK(took >= 2500us);
    }

    TEST_CASE("the system's clock is set for a timer to come, not for one that is due") {
        event_loop loop;
        bool ran = false;
        loop.after(0ms, [&ran] { ran = true; });
        loop.poll();
        CHECK(ran);
        CHECK(clocks_that_were_set() == 0);
        loop.after(1h, [] {});
        loop.poll();
        CHECK(clocks_that_were_set() == 1);
    }

    TEST_CASE("a very long delay does not overflow") {
        event_loop loop;
        auto timer = loop.after(event_loop::duration::max(), [] {});
        auto other = loop.every(event_loop::duration::max(), [] {});
        CHECK(timer.active());
        CHECK(loop.poll());
        timer.cancel();
        other.cancel();
        CHECK(loop.run() == 0);
    }

    TEST_CASE("a handler cancels its own timer and others that are due") {
        event_loop loop;
        int runs = 0;
        cluster::timer mine;
        cluster::timer other;
        mine = loop.every(1ms, [&] {
            if (++runs == 3) {
                mine.cancel();
                mine.cancel();
                CHECK_FALSE(mine.active());
            }
        });
        loop.after(0ns, [&] { other.cancel(); });
        other = loop.after(1ns, [&] { runs += 100; });
        loop.run();
        CHECK(runs == 3);
    }

    TEST_CASE("a timer that adds itself again and again does not starve the others") {
        event_loop loop;
        bool other_ran = false;
        struct again {
            event_loop& loop;
            bool& stop;
            void operator()() const {
                if (!stop) {
                    loop.after(-1h, again{loop, stop});
                }
            }
        };
        loop.after(0ns, again{loop, other_ran});
        loop.after(1ms, [&] { other_ran = true; });
        loop.run();
        CHECK(other_ran);
    }

    TEST_CASE("a timer runs although every turn has an event and immediate work") {
        event_loop loop;
        auto pair = raw::unix_pair();
        bool ran = false;
        reader busy{loop, pair.ours.get()};
        auto more = [&] { raw::send_some(pair.theirs.get(), "x"); };
        more();
        SUBCASE("events only") {
            busy.then = more;
        }
        SUBCASE("immediate work, too") {
            busy.then = [&] {
                more();
                loop.defer([] {});
            };
        }
        loop.after(1ms, [&] {
            ran = true;
            loop.stop();
        });
        loop.run();
        CHECK(ran);
    }

    TEST_CASE("every keeps running until it is cancelled and skips what it missed") {
        event_loop loop;
        int runs = 0;
        cluster::timer beat;
        beat = loop.every(1ms, [&] {
            if (++runs == 1) { // a handler that takes long
                auto until = std::chrono::steady_clock::now() + 20ms;
                while (std::chrono::steady_clock::now() < until) {
                }
            }
            if (runs == 3) {
                beat.cancel();
            }
        });
        loop.run();
        CHECK(runs == 3);
    }

    TEST_CASE("an exception from a period does not end the period") {
        event_loop loop;
        int runs = 0;
        cluster::timer beat;
        beat = loop.every(1ms, [&] {
            if (++runs == 3) {
                beat.cancel();
            }
            throw oops{};
        });
        for (int i = 0; i != 3; ++i) {
            CHECK_THROWS_AS(loop.run(), oops);
        }
        CHECK(loop.run() == 0);
        CHECK(runs == 3);
    }

    TEST_CASE("an unrefed timer does not keep run from returning, a refed one does") {
        event_loop loop;
        int runs = 0;
        auto slow = loop.every(1h, [&] { ++runs; });
        slow.unref();
        CHECK(loop.run() == 0);
        slow.cancel();
        auto quick = loop.after(1ms, [&] { ++runs; });
        quick.unref();
        quick.unref();
        quick.ref();
        loop.run();
        CHECK(runs == 1);
        quick.ref(); // dead: nothing happens
        CHECK(loop.run() == 0);
    }

    TEST_CASE("ref and unref count") {
        event_loop loop;
        loop.ref();
        loop.ref();
        loop.after(1ms, [&] { loop.unref(); });
        loop.after(2ms, [&] { loop.unref(); });
        CHECK(loop.run() == 0);
    }

    TEST_CASE("deferred tasks run in order, what they defer runs in the next turn") {
        event_loop loop;
        std::string order;
        loop.defer([&] {
            order += 'a';
            loop.defer([&] { order += 'c'; });
        });
        loop.defer([&] { order += 'b'; });
        CHECK(loop.poll());
        CHECK(order == "ab");
        CHECK_FALSE(loop.poll());
        CHECK(order == "abc");
    }

    TEST_CASE("hooks run once at the end of the turn, also when asked for twice") {
        event_loop loop;
        struct counting {
            int runs = 0;
            void run() { ++runs; }
        } owner;
        auto hook = turn_hook::for_member<counting, &counting::run>(owner);
        loop.at_turn_end(hook);
        loop.at_turn_end(hook);
        loop.run();
        CHECK(owner.runs == 1);
        {
            auto gone = turn_hook::for_member<counting, &counting::run>(owner);
            loop.at_turn_end(gone);
        }
        loop.run();
        CHECK(owner.runs == 1);
    }

    TEST_CASE("stop gives run its code, once") {
        event_loop loop;
        loop.ref();
        loop.defer([&] { loop.stop(7); });
        CHECK(loop.run() == 7);
        CHECK(loop.exit_code() == 7);
        loop.stop(8); // before run
        CHECK(loop.run() == 8);
        loop.unref();
        CHECK(loop.run() == 0); // this one was not stopped
    }

    TEST_CASE("stop leaves the other handlers of the turn for the next run") {
        event_loop loop;
        auto pair = raw::unix_pair();
        auto other = raw::unix_pair();
        std::string order;
        reader first{loop, pair.ours.get()};
        reader second{loop, other.ours.get()};
        auto stopping = [&] {
            order += 'r';
            first.watch.keep_alive(false);
            second.watch.keep_alive(false);
            loop.stop(1);
        };
        first.then = stopping;
        second.then = stopping;
        raw::send_some(pair.theirs.get(), "x");
        raw::send_some(other.theirs.get(), "x");
        loop.defer([&] {
            order += 'd';
            loop.stop(2);
        });
        loop.defer([&] { order += 'e'; });
        loop.after(0ns, [&] { order += 't'; });
        CHECK(loop.run() == 2);
        CHECK(order == "d");
        CHECK(loop.run() == 1);
        CHECK(order == "der");
        CHECK(loop.run() == 1);
        CHECK(order == "derr");
        CHECK(loop.run() == 0);
        CHECK(order == "derrt");
    }

    TEST_CASE("an exception leaves run and nothing else is lost") {
        event_loop loop;
        auto pair = raw::unix_pair();
        auto other = raw::unix_pair();
        std::string order;
        reader first{loop, pair.ours.get()};
        reader second{loop, other.ours.get()};
        first.watch.keep_alive(false);
        second.watch.keep_alive(false);
        auto throws = [&] {
            order += 'r';
            throw oops{};
        };
        first.then = throws;
        second.then = throws;
        raw::send_some(pair.theirs.get(), "x");
        raw::send_some(other.theirs.get(), "x");
        struct throwing {
            std::string& order;
            void run() {
                order += 'h';
                throw oops{};
            }
        } owner{order};
        auto hook = turn_hook::for_member<throwing, &throwing::run>(owner);
        auto hook_too = turn_hook::for_member<throwing, &throwing::run>(owner);
        loop.at_turn_end(hook);
        loop.at_turn_end(hook_too);
        for (int i = 0; i != 3; ++i) {
            loop.defer([&] {
                order += 'd';
                throw oops{};
            });
            loop.post([&] {
                order += 'p';
                throw oops{};
            });
            loop.after(0ns, [&] {
                order += 't';
                throw oops{};
            });
        }
        int thrown = 0;
        for (bool done = false; !done;) {
            try {
                loop.run();
                done = true;
            } catch (const oops&) {
                ++thrown;
            }
        }
        CHECK(thrown == 13);
        CHECK(order == "dddppphhrrttt");
    }

    TEST_CASE("edges and timers that stop or an exception leaves behind come later, once") {
        event_loop loop;
        struct listener {
            cluster::detail::os::wakeup bell;
            io_watch watch;
            int rung = 0;
            cluster::detail::move_only_function<void()> then;
            void on_bell(io) {
                ++rung;
                then();
            }
        };
        int timers = 0;
        int thrown = 0;
        listener all[8];
        for (int i = 0; i != 8; ++i) {
            auto& each = all[i];
            each.then = [&loop, &timers, stops = i % 2 == 0] {
                const auto due = std::chrono::steady_clock::now();
                loop.after(0ns, [&timers] { ++timers; });
                while (std::chrono::steady_clock::now() == due) {
                }
                if (!stops) {
                    throw oops{};
                }
                loop.stop(1);
            };
            REQUIRE(!each.watch.start<&listener::on_bell>(
                loop, each.bell.descriptor(), io::readable | io::edge, each));
            each.watch.keep_alive(false);
            each.bell.notify();
        }
        loop.after(0ns, [&timers] { ++timers; });
        for (int stopped = 0; stopped + thrown != 8;) {
            try {
                stopped += loop.run();
            } catch (const oops&) {
                ++thrown;
            }
        }
        CHECK(thrown == 4);
        CHECK(loop.run() == 0);
        CHECK(timers == 9);
        for (auto& each : all) {
            CHECK(each.rung == 1);
        }
        CHECK_FALSE(loop.poll());
    }

    TEST_CASE("calls from other threads all run, each thread's in order") {
        event_loop loop;
        constexpr int threads = 4;
        constexpr int calls = 2000;
        int seen[threads] = {};
        bool ordered = true;
        int total = 0;
        loop.ref();
        std::vector<std::thread> posting;
        for (int t = 0; t != threads; ++t) {
            posting.emplace_back([&, t] {
                for (int i = 0; i != calls; ++i) {
                    loop.post([&, t, i] {
                        ordered = ordered && seen[t]++ == i;
                        if (++total == threads * calls) {
                            loop.unref();
                        }
                    });
                }
            });
        }
        CHECK(loop.run() == 0);
        for (auto& each : posting) {
            each.join();
        }
        CHECK(ordered);
        CHECK(total == threads * calls);
    }

    TEST_CASE("a call from another thread wakes a loop inside another loop, every time") {
        event_loop loop;
        constexpr int calls = 3000;
        std::atomic<int> ran{0};
        static_cast<void>(loop.native_handle());
        std::thread posting{[&] {
            for (int i = 0; i != calls; ++i) {
                int before = ran;
                loop.post([&] { ++ran; });
                while (i % 8 == 0 && ran == before) { // mostly in the middle of a turn
                }
            }
        }};
        bool in_time = true;
        while (ran != calls && in_time) {
            in_time = raw::readable(loop.native_handle(), 20'000); // a lost call would wait here
            loop.poll();
        }
        posting.join();
        CHECK(in_time);
    }

    TEST_CASE("stop from another thread wakes a blocked loop") {
        event_loop loop;
        loop.ref();
        std::thread other{[&] { loop.stop(5); }};
        CHECK(loop.run() == 5);
        CHECK(loop.was_stopped());
        other.join();
        loop.unref();
        CHECK(loop.run() == 0);
        CHECK_FALSE(loop.was_stopped());
    }

    TEST_CASE("poll runs what is ready inside another loop and says when nothing is left") {
        event_loop loop;
        std::string order;
        loop.after(2ms, [&] {
            order += 't';
            loop.defer([&] { order += 'd'; });
        });
        int rounds = 0;
        while (loop.poll()) { // a loop that says `true` wrongly would wait here for ever
            REQUIRE(raw::readable(loop.native_handle(), 20'000));
            ++rounds;
        }
        CHECK(order == "td");
        CHECK(rounds < 10);
        CHECK_FALSE(loop.was_stopped());
        loop.after(1h, [] {});
        loop.stop();
        CHECK_FALSE(loop.poll());
        CHECK(loop.was_stopped());
        CHECK(loop.poll());
        CHECK_FALSE(loop.was_stopped());
        loop.defer([&] { loop.stop(); });
        CHECK_FALSE(loop.poll());
        CHECK(loop.was_stopped());
    }

    TEST_CASE("the loop's descriptor tells of timers, deferred tasks, calls and descriptors") {
        event_loop loop;
        int handle = loop.native_handle();
        REQUIRE(raw::comes_to_rest(loop));
        loop.defer([] {});
        CHECK(raw::readable(handle));
        REQUIRE(raw::comes_to_rest(loop));
        loop.post([] {});
        CHECK(raw::readable(handle));
        REQUIRE(raw::comes_to_rest(loop));
        auto timer = loop.after(1ms, [] {});
        CHECK(raw::readable(handle, 20'000));
        REQUIRE(raw::comes_to_rest(loop));
        CHECK_FALSE(timer.active());
        auto pair = raw::unix_pair();
        reader one{loop, pair.ours.get()};
        raw::send_some(pair.theirs.get(), "x");
        CHECK(raw::readable(handle));
        REQUIRE(raw::comes_to_rest(loop));
        CHECK(one.calls == 1);
        loop.defer([] { throw oops{}; });
        loop.defer([] {});
        CHECK_THROWS_AS(loop.poll(), oops);
        CHECK(raw::readable(handle)); // there is more
        REQUIRE(raw::comes_to_rest(loop));
    }

    TEST_CASE("another loop is told whenever there begins or ends to be something to wait for") {
        struct : cluster::detail::loop_driver {
            inline void on_liveness(bool alive) noexcept override { told += alive ? '+' : '-'; }
            std::string told;
        } driver;
        event_loop loop;
        int handle = loop.native_handle();
        loop.set_driver(&driver);
        CHECK(driver.told == "-"); // there is nothing when it begins
        auto timer = loop.after(1h, [] {});
        CHECK(driver.told == "-+");
        timer.unref();
        timer.ref();
        CHECK(driver.told == "-+-+");
        loop.ref();
        timer.cancel();
        loop.unref();
        CHECK(driver.told == "-+-+-");
        {
            auto pair = raw::unix_pair();
            reader one{loop, pair.ours.get()};
            CHECK(driver.told == "-+-+-+");
            one.watch.keep_alive(false);
            CHECK(driver.told == "-+-+-+-");
            one.watch.keep_alive(true);
        }
        CHECK(driver.told == "-+-+-+-+-");
        driver.told.clear();
        loop.defer([&] { // what ends within the turn in which it began is not told
            timer = loop.after(1h, [] {});
            timer.cancel();
        });
        CHECK(driver.told == "+");
        CHECK(raw::readable(handle));
        CHECK_FALSE(loop.poll());
        CHECK(driver.told == "+-");
        loop.set_driver(nullptr);
        loop.ref();
        loop.unref();
        CHECK(driver.told == "+-");
    }

    TEST_CASE("poll runs what is ready but keeps no loop alive") {
        event_loop loop;
        auto pair = raw::unix_pair();
        reader one{loop, pair.ours.get()};
        one.watch.keep_alive(false);
        raw::send_some(pair.theirs.get(), "x");
        bool timer_ran = false;
        auto timer = loop.after(0ns, [&] { timer_ran = true; });
        timer.unref();
        loop.post([] {});
        CHECK(raw::comes_to_rest(loop));
        CHECK(one.got == "x");
        CHECK(timer_ran);
        CHECK_FALSE(loop.poll());
    }

    TEST_CASE("a waiting loop does not turn") {
        event_loop loop;
        auto pair = raw::unix_pair();
        reader one{loop, pair.ours.get()};
        loop.after(1h, [] {});
        loop.defer([] {});
        loop.post([] {});
        CHECK(raw::comes_to_rest(loop));
        one.watch.update(io::none);
        raw::send_some(pair.theirs.get(), "x");
        CHECK(raw::comes_to_rest(loop));
        CHECK(one.calls == 0);
        one.watch.update(io::readable);
        CHECK(raw::comes_to_rest(loop));
        CHECK(one.calls == 1);
    }

    TEST_CASE("a descriptor that an earlier handler of the batch stopped is not reported") {
        event_loop loop;
        auto pair = raw::unix_pair();
        auto other = raw::unix_pair();
        reader first{loop, pair.ours.get()};
        reader second{loop, other.ours.get()};
        int late = 0;
        auto stop_both = [&] {
            ++late;
            first.watch.stop();
            second.watch.stop();
        };
        first.then = stop_both;
        second.then = stop_both;
        raw::send_some(pair.theirs.get(), "x");
        raw::send_some(other.theirs.get(), "x");
        loop.run();
        CHECK(late == 1);
    }

    TEST_CASE("a number that is used again in the same batch gets no old event") {
        event_loop loop;
        auto pair = raw::unix_pair();
        auto other = raw::unix_pair();
        auto fresh = raw::unix_pair(); // nothing to read
        auto first = std::make_unique<reader>(loop, pair.ours.get());
        auto second = std::make_unique<reader>(loop, other.ours.get());
        std::unique_ptr<reader> third;
        auto swap = [&](std::unique_ptr<reader>& victim, cluster::unique_fd& its_number) {
            victim->watch.stop();
            REQUIRE(::dup3(fresh.ours.get(), its_number.get(), O_CLOEXEC) == its_number.get());
            third = std::make_unique<reader>(loop, its_number.get());
            loop.stop();
        };
        first->then = [&] { swap(second, other.ours); };
        second->then = [&] { swap(first, pair.ours); };
        raw::send_some(pair.theirs.get(), "x");
        raw::send_some(other.theirs.get(), "x");
        loop.run();
        loop.poll();
        REQUIRE(third != nullptr);
        CHECK(third->calls == 0);
    }

    TEST_CASE("a closed file that somebody has a copy of does not wake the loop for ever") {
        for (bool inside_another_loop : {false, true}) {
            CAPTURE(inside_another_loop);
            event_loop loop;
            if (inside_another_loop) {
                CHECK(loop.native_handle() != -1);
            }
            auto pair = raw::unix_pair();
            auto other = raw::unix_pair();
            auto copy = pair.ours.duplicate();
            reader stays{loop, other.ours.get()};
            {
                reader goes{loop, pair.ours.get()};
                goes.watch.stop_with_close();
                CHECK(!goes.watch.active());
                pair.ours.reset();
            }
            raw::send_some(pair.theirs.get(), "x"); // the copy is readable from here on
            for (int turn = 0; turn != 20; ++turn) {
                loop.poll();
            }
            CHECK(raw::comes_to_rest(loop));
            raw::send_some(other.theirs.get(), "y");
            CHECK(raw::comes_to_rest(loop));
            CHECK(stays.got == "y");
            CHECK(raw::read_some(copy.get()) == "x");
        }
    }

    TEST_CASE("a descriptor that is closed with its watch may be used again at once") {
        event_loop loop;
        auto pair = raw::unix_pair();
        int number = pair.ours.get();
        for (int i = 0; i != 3; ++i) {
            reader one{loop, number};
            raw::send_some(pair.theirs.get(), "x");
            loop.poll();
            CHECK(one.got == "x");
            one.watch.stop_with_close();
            pair.ours.reset();
            auto next = raw::unix_pair(); // the lowest number that is free
            REQUIRE(next.ours.get() == number);
            pair = std::move(next);
        }
    }

    TEST_CASE("watching a descriptor twice is an error and leaves the first watch alone") {
        event_loop loop;
        auto pair = raw::unix_pair();
        reader one{loop, pair.ours.get()};
        reader* owner = &one;
        io_watch second;
        CHECK(second.start<&reader::on_ready>(loop, pair.ours.get(), io::readable, *owner) ==
              std::errc::file_exists);
        CHECK_FALSE(second.active());
        raw::send_some(pair.theirs.get(), "x");
        CHECK(raw::comes_to_rest(loop));
        CHECK(one.got == "x");
        CHECK(second.start<&reader::on_ready>(loop, -1, io::readable, *owner) ==
              std::errc::bad_file_descriptor);
    }

    TEST_CASE("a watch keeps the loop alive unless it is told not to") {
        event_loop loop;
        auto pair = raw::unix_pair();
        reader one{loop, pair.ours.get()};
        one.watch.keep_alive(false);
        one.watch.keep_alive(false);
        CHECK(loop.run() == 0);
        one.watch.keep_alive(true);
        one.then = [&] { one.watch.stop(); };
        raw::send_some(pair.theirs.get(), "x");
        CHECK(loop.run() == 0);
        CHECK(one.got == "x");
    }

    TEST_CASE("the time stands still inside a turn and not outside") {
        event_loop loop;
        bool same = false;
        loop.defer([&] {
            auto before = loop.now();
            auto until = std::chrono::steady_clock::now() + 1ms;
            while (std::chrono::steady_clock::now() < until) {
            }
            same = loop.now() == before;
        });
        loop.run();
        CHECK(same);
        auto real = std::chrono::steady_clock::now();
        CHECK(loop.now() >= real); // a loop that has not run for long is not late
    }

    TEST_CASE("a signal reaches every subscriber of every loop") {
        own_disposition own{SIGUSR1};
        event_loop one;
        event_loop two;
        int calls[3] = {};
        auto a = one.on_signal(SIGUSR1, [&] { ++calls[0]; });
        auto b = one.on_signal(SIGUSR1, [&] { ++calls[1]; });
        auto c = two.on_signal(SIGUSR1, [&] { ++calls[2]; });
        ::raise(SIGUSR1);
        one.poll();
        two.poll();
        one.poll();
        two.poll();
        CHECK(calls[0] == 1);
        CHECK(calls[1] == 1);
        CHECK(calls[2] == 1);
        CHECK(own_handler_calls == 0);
    }

    TEST_CASE("the last cancel restores the disposition at once") {
        own_disposition own{SIGUSR1};
        event_loop one;
        event_loop two;
        auto a = one.on_signal(SIGUSR1, [] {});
        auto b = one.on_signal(SIGUSR1, [] {});
        auto c = two.on_signal(SIGUSR1, [] {});
        CHECK_FALSE(own.in_place());
        a.cancel();
        a.cancel();
        b.cancel();
        CHECK_FALSE(own.in_place());
        c.cancel();
        CHECK(own.in_place());
        ::raise(SIGUSR1);
        CHECK(own_handler_calls == 1);
    }

    TEST_CASE("a loop that dies restores the disposition") {
        own_disposition own{SIGUSR2};
        {
            event_loop loop;
            static_cast<void>(loop.on_signal(SIGUSR2, [] {}));
            CHECK_FALSE(own.in_place());
        }
        CHECK(own.in_place());
    }

    TEST_CASE("a signal handler cancels itself while it runs, and subscribes again") {
        own_disposition own{SIGUSR1};
        event_loop loop;
        int calls = 0;
        cluster::subscription mine;
        mine = loop.on_signal(SIGUSR1, [&] {
            ++calls;
            mine.cancel();
        });
        ::raise(SIGUSR1);
        loop.poll();
        loop.poll();
        CHECK(calls == 1);
        CHECK(own.in_place());
        mine = loop.on_signal(SIGUSR1, [&] {
            calls += 10;
            mine.cancel();
            throw oops{};
        });
        ::raise(SIGUSR1);
        CHECK_THROWS_AS((loop.poll(), loop.poll()), oops);
        CHECK(calls == 11);
        CHECK(own.in_place());
    }

    TEST_CASE("a signal that cannot be caught throws and leaves nothing behind") {
        {
            event_loop loop;
            CHECK_THROWS_AS(static_cast<void>(loop.on_signal(SIGKILL, [] {})), std::system_error);
            CHECK_THROWS_AS(static_cast<void>(loop.on_signal(0, [] {})), std::system_error);
            CHECK_THROWS_AS(static_cast<void>(loop.on_signal(65, [] {})), std::system_error);
            CHECK_THROWS_AS(static_cast<void>(loop.on_signal(-1, [] {})), std::system_error);
        }
        event_loop loop; // the dead one is not in the table of the signal handler
        int calls = 0;
        auto each = loop.on_signal(SIGUSR1, [&] { ++calls; });
        ::raise(SIGUSR1);
        loop.poll();
        loop.poll();
        CHECK(calls == 1);
    }

    TEST_CASE("a signal wakes a blocked loop in another thread") {
        event_loop loop;
        int calls = 0;
        loop.ref();
        auto each = loop.on_signal(SIGUSR1, [&] {
            ++calls;
            loop.stop(3);
        });
        std::thread other{[] { ::kill(::getpid(), SIGUSR1); }};
        CHECK(loop.run() == 3);
        other.join();
        CHECK(calls == 1);
    }

    TEST_CASE("loops come and go in threads while signals arrive") {
        own_disposition own{SIGUSR1};
        std::atomic<bool> done{false};
        std::thread raising{[&] {
            while (!done) {
                ::kill(::getpid(), SIGUSR1);
                std::this_thread::yield();
            }
        }};
        std::vector<std::thread> looping;
        for (int t = 0; t != 3; ++t) {
            looping.emplace_back([] {
                for (int i = 0; i != 100; ++i) {
                    event_loop loop;
                    static_cast<void>(loop.on_signal(SIGUSR1, [] {}));
                    loop.poll();
                }
            });
        }
        for (auto& each : looping) {
            each.join();
        }
        done = true;
        raising.join();
        CHECK(own.in_place());
    }

    TEST_CASE("the scratch memory is one and the same") {
        event_loop loop;
        CHECK(loop.scratch().size() == 64 * 1024);
        CHECK(loop.scratch().data() == loop.scratch().data());
    }

    TEST_CASE("a loop leaves no descriptor open") {
        auto before = raw::open_descriptors();
        {
            event_loop loop;
            static_cast<void>(loop.native_handle());
        }
        CHECK(raw::open_descriptors() == before);
    }
}
