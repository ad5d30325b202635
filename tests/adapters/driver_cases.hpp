// SPDX-License-Identifier: MIT
// What holds of every driver; read inside of a TEST_SUITE by tests that have a type `host`, the other library's loop:
// `run()`, `after(delay, task)` and `drive(event_loop&)`, which returns a pointer to a driver.
// `host::throws`: what a handler throws leaves from run(), else from the role's own run().

TEST_CASE("neither loop has anything: the other one ends at once") {
    cluster::event_loop loop;
    host other;
    auto driver = other.drive(loop);
    other.run();
}

TEST_CASE("timers, tasks, descriptors and signals of the role run in the other loop") {
    cluster::event_loop loop;
    host other;
    auto driver = other.drive(loop);
    std::string order;
    auto pair = raw::unix_pair();
    cluster::detail::io_watch watch;
    auto on_readable = [&](cluster::detail::os::io) {
        order += raw::read_some(pair.ours.get());
        watch.stop();
        loop.after(1ms, [&] { order += 't'; });
    };
    REQUIRE_FALSE(watch.start(loop,
                              pair.ours.get(),
                              cluster::detail::os::io::readable,
                              &on_readable,
                              [](void* f, cluster::detail::os::io what) {
                                  (*static_cast<decltype(on_readable)*>(f))(what);
                              }));
    auto subscription = loop.on_signal(SIGUSR1, [&] {
        order += 's';
        raw::send_some(pair.theirs.get(), "d");
    });
    loop.defer([&] {
        order += 'p';
        ::raise(SIGUSR1);
    });
    other.run();
    CHECK(order == "psdt");
}

TEST_CASE("the other loop waits for whoever takes longer") {
    cluster::event_loop loop;
    host other;
    auto driver = other.drive(loop);
    std::string order;
    loop.after(1ms, [&] { order += 'a'; });
    other.after(20ms, [&] {
        order += 'b';
        loop.after(20ms, [&] { order += 'c'; });
    });
    other.run();
    CHECK(order == "abc");
}

TEST_CASE("the other loop ends when its own handler takes the last thing away from the role") {
    cluster::event_loop loop;
    host other;
    auto driver = other.drive(loop);
    auto timer = loop.after(1h, [] {});
    loop.ref();
    other.after(1ms, [&] { timer.cancel(); });
    other.after(2ms, [&] { loop.unref(); });
    other.run();
    CHECK_FALSE(timer.active());
}

TEST_CASE("a role that had nothing when it began has something later") {
    cluster::event_loop loop;
    host other;
    auto driver = other.drive(loop);
    std::string order;
    other.after(10ms, [&] { order += 'o'; });
    other.run();
    loop.after(1ms, [&] { order += 'r'; });
    other.run();
    CHECK(order == "or");
}

TEST_CASE("an idle role is still there for calls from threads and timers that keep nothing alive") {
    cluster::event_loop loop;
    host other;
    auto driver = other.drive(loop);
    std::string order;
    bool more = true;
    std::function<void()> keep_on = [&] {
        if (more) {
            other.after(1ms, keep_on);
        }
    };
    keep_on();
    std::thread caller;
    loop.after(20ms,
               [&] {
                   order += 't';
                   caller = std::thread{[&] {
                       loop.post([&] {
                           order += 'p';
                           more = false;
                       });
                   }};
               })
        .unref();
    other.run();
    caller.join();
    CHECK(order == "tp");
}

TEST_CASE("stop() ends the other loop and is still there for run()") {
    cluster::event_loop loop;
    host other;
    auto driver = other.drive(loop);
    loop.ref(); // as an open channel does
    other.after(1h, [] {});
    other.after(1ms, [&] { loop.stop(7); });
    other.run();
    CHECK(loop.run() == 7);
}

TEST_CASE("what a handler throws leaves and both loops go on") {
    cluster::event_loop loop;
    host other;
    auto driver = other.drive(loop);
    std::string order;
    loop.defer([] { throw std::runtime_error("oops"); });
    loop.defer([&] {
        order += 'a';
        loop.after(1ms, [&] { order += 'b'; });
    });
    if (host::throws) {
        CHECK_THROWS_WITH(other.run(), "oops");
    } else {
        other.run();
        CHECK_THROWS_WITH(loop.run(), "oops");
    }
    other.run();
    CHECK(order == "ab");
}

TEST_CASE("a driver may go at any time; its role runs on by itself") {
    cluster::event_loop loop;
    std::string order;
    SUBCASE("from a handler of its role") {
        host other;
        auto driver = other.drive(loop);
        loop.after(1ms, [&] {
            driver.reset();
            loop.after(1ms, [&] { order += 'x'; });
        });
        other.after(20ms, [&] { order += 'o'; });
        other.run();
        CHECK(order == "o");
    }
    SUBCASE("from the last handler of its role") {
        host other;
        auto driver = other.drive(loop);
        loop.after(1ms, [&] { driver.reset(); });
        other.run();
    }
    SUBCASE("while it waits") {
        host other;
        auto driver = other.drive(loop);
        loop.after(1ms, [&] { order += 'x'; });
        driver.reset();
        other.after(20ms, [&] { order += 'o'; });
        other.run();
        CHECK(order == "o");
    }
    SUBCASE("while its role is idle") {
        host other;
        auto driver = other.drive(loop);
        other.after(1ms, [&] {
            order += 'o';
            driver.reset();
        });
        other.run();
        loop.after(1ms, [&] { order += 'x'; });
        other.after(1ms, [&] { order += 'o'; });
        other.run();
        CHECK(order == "oo");
    }
    loop.run();
    CHECK(order.find_first_not_of("ox") == std::string::npos);
}

TEST_CASE("two roles in one loop") {
    cluster::event_loop one;
    cluster::event_loop two;
    host other;
    auto first = other.drive(one);
    auto second = other.drive(two);
    std::string order;
    one.after(1ms, [&] {
        order += '1';
        two.defer([&] { order += '2'; });
    });
    two.after(20ms, [&] { order += '3'; });
    other.run();
    CHECK(order == "123");
}

TEST_CASE("a role that waits keeps no CPU busy") {
    cluster::event_loop loop;
    host other;
    auto driver = other.drive(loop);
    int turns = 0;
    auto pair = raw::unix_pair();
    cluster::detail::io_watch watch;
    REQUIRE_FALSE(watch.start(loop,
                              pair.ours.get(),
                              cluster::detail::os::io::readable,
                              &turns,
                              [](void*, cluster::detail::os::io) {}));
    std::clock_t before = std::clock(); // of CPU time
    other.after(1s, [&] { watch.stop(); });
    other.after(1s, [&] { loop.defer([] {}); });
    other.run();
    CHECK(std::clock() - before < CLOCKS_PER_SEC / 2);
}
