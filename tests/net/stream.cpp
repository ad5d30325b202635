// SPDX-License-Identifier: MIT
#include <cluster/net/stream.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cluster::connection;
using cluster::event_loop;
using cluster::stream;
using cluster::unique_fd;
using cluster::detail::stream_set;

struct oops {};

std::string_view text_of(stream::bytes data) {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

/// A stream in a loop, and its other end in the hands of the test.
struct fixture {
    event_loop loop;
    stream_set streams{loop};
    raw::ends ends;
    stream* one = nullptr; // null behind its close handler
    int peer;
    int closed = 0;
    std::error_code reason;
    std::string got;

    explicit fixture(raw::ends pair = raw::unix_pair())
        : ends{std::move(pair)}, peer{ends.theirs.get()} {
        auto& made = streams.attach(connection{std::move(ends.ours)}, &one);
        one = &made;
        made.on_close([this](std::error_code why) {
            ++closed;
            reason = why;
        });
    }
    void collect() {
        one->on_data([this](stream::bytes data) { got += text_of(data); });
    }
    bool settle() { return raw::comes_to_rest(loop); }
    bool until_closed() {
        return raw::run_until(loop, [this] { return closed != 0; });
    }
};

} // namespace

TEST_SUITE("net/stream") {
    TEST_CASE("what arrives is given to on_data, what is written arrives") {
        fixture f;
        f.one->on_data([&](stream::bytes data) {
            f.got += text_of(data);
            CHECK(f.one->write("echo " + f.got));
        });
        raw::send_some(f.peer, "hello");
        CHECK(f.settle());
        CHECK(f.got == "hello");
        CHECK(raw::read_some(f.peer) == "echo hello");
        CHECK(f.one->is_open());
        CHECK(f.one->buffered() == 0);
    }

    TEST_CASE("nothing is read before on_data") {
        fixture f;
        raw::send_some(f.peer, "early");
        CHECK(f.settle());
        f.collect();
        CHECK(f.settle());
        CHECK(f.got == "early");
    }

    TEST_CASE(
        "what has come with a connection is read whether the last ones brought something or not") {
        fixture f;
        std::vector<raw::ends> pairs;
        for (int i = 0; i != 100; ++i) {
            bool brings = i / 10 % 2 == 1; // ten that bring nothing, ten that do
            auto& pair = pairs.emplace_back(raw::unix_pair());
            std::string got;
            if (brings) {
                raw::send_some(pair.theirs.get(), "early");
            }
            auto& one = f.streams.attach(connection{std::move(pair.ours)});
            one.on_data([&](stream::bytes data) { got += text_of(data); });
            CHECK(f.settle());
            CHECK(got == (brings ? "early" : ""));
            one.close();
        }
    }

    TEST_CASE("new streams are read at once as long as that finds something") {
        cluster::detail::first_reads reads;
        for (int i = 0; i != 100; ++i) {
            CHECK(reads.worth_it());
            reads.tried(i % 2 == 0); // half of them is enough
        }
        int tried = 0;
        for (int i = 0; i != 1000; ++i) {
            if (reads.worth_it()) {
                ++tried;
                reads.tried(false);
            }
        }
        CHECK(tried > 8); // a look now and then
        CHECK(tried < 50);
        while (!reads.worth_it()) {
        }
        reads.tried(true);
        CHECK(reads.worth_it());
    }

    TEST_CASE("what a handler writes leaves in one system call behind it") {
        fixture f;
        f.one->on_data([&](stream::bytes) {
            f.one->write("a");
            f.one->write("b");
            CHECK(raw::read_some(f.peer).empty());
            CHECK(f.one->buffered() == 2);
        });
        raw::send_some(f.peer, "x");
        CHECK(f.settle());
        CHECK(raw::read_some(f.peer) == "ab");
        f.one->write("c"); // outside: at once
        CHECK(raw::read_some(f.peer) == "c");
    }

    TEST_CASE("streams that write in their handlers share the memory, not the bytes") {
        fixture f;
        raw::ends others = raw::unix_pair();
        auto& second = f.streams.attach(connection{std::move(others.ours)});
        const std::string much(1 << 20, 'm'); // more than the socket takes
        f.one->on_data([&](stream::bytes) {
            f.one->write(much);
            f.one->write("first");
        });
        second.on_data([&](stream::bytes) { second.write("second"); });
        raw::send_some(f.peer, "x");
        raw::send_some(others.theirs.get(), "x");
        CHECK(f.settle());
        CHECK(f.one->buffered() != 0);
        CHECK(raw::read_some(others.theirs.get()) == "second");
        CHECK(second.buffered() == 0);
        std::string got;
        raw::run_until(f.loop, [&] {
            got += raw::read_some(f.peer);
            return got.size() >= much.size() + 5;
        });
        CHECK(got == much + "first");
        raw::send_some(others.theirs.get(), "x");
        CHECK(f.settle());
        CHECK(raw::read_some(others.theirs.get()) == "second");
    }

    TEST_CASE("what the system does not take at once follows, in order, with back-pressure and one "
              "drain") {
        fixture f{raw::unix_pair(4096)};
        int drains = 0;
        std::string sent;
        f.one->on_drain([&] { ++drains; });
        bool more = true;
        while (more) {
            std::string block(3000, static_cast<char>('a' + sent.size() / 3000 % 26));
            sent += block;
            more = f.one->write(block);
        }
        CHECK(f.one->buffered() >= stream::high_water_mark);
        CHECK(f.one->is_open());
        CHECK(f.settle()); // waiting for the peer costs nothing
        CHECK(drains == 0);
        std::string arrived;
        CHECK(raw::run_until(f.loop, [&] {
            arrived += raw::read_some(f.peer);
            return arrived.size() == sent.size();
        }));
        CHECK(arrived == sent);
        CHECK(f.settle());
        CHECK(drains == 1);
        CHECK(f.one->buffered() == 0);
    }

    TEST_CASE("a few megabytes go both ways through TCP") {
        fixture f{raw::tcp_pair()};
        std::string block(3'000'000, 'x');
        f.collect();
        f.one->write(block);
        std::size_t offset = 0;
        std::size_t arrived = 0;
        CHECK(raw::run_until(f.loop, [&] {
            offset += raw::send_some(f.peer, std::string_view{block}.substr(offset));
            arrived += raw::read_some(f.peer).size();
            return arrived == block.size() && f.got.size() == block.size();
        }));
        CHECK(f.got == block);
    }

    TEST_CASE("a drain handler may write, replace itself and throw") {
        fixture f{raw::unix_pair(4096)};
        int drains = 0;
        auto payload = std::make_unique<std::string>(100'000, 'b');
        f.one->on_drain([&, payload = std::move(payload)] {
            f.one->on_drain([&] {
                ++drains;
                throw oops{};
            });
            f.one->write(*payload); // what it owns lives while it runs
        });
        f.one->write(std::string(100'000, 'a'));
        std::string arrived;
        bool thrown = false;
        CHECK(raw::run_until(f.loop, [&] {
            arrived += raw::read_some(f.peer);
            try {
                f.loop.poll();
            } catch (const oops&) {
                thrown = true;
            }
            return thrown;
        }));
        arrived += raw::read_some(f.peer);
        CHECK(arrived == std::string(100'000, 'a') + std::string(100'000, 'b'));
        CHECK(drains == 1);
        CHECK(f.settle());
        CHECK(f.one->write("still there"));
    }

    TEST_CASE("a drain handler that throws behind a data handler leaves run") {
        fixture f;
        f.one->on_drain([] { throw oops{}; });
        std::string arrived;
        f.one->on_data([&](stream::bytes) { arrived += raw::read_some(f.peer); });
        std::size_t sent = 0;
        for (bool more = true; more; sent += 10'000) {
            more = f.one->write(std::string(10'000, 'x'));
        }
        raw::send_some(f.peer, "x");
        CHECK_THROWS_AS(f.loop.poll(), oops); // the room made inside the handler is used behind it
        CHECK(f.settle());
        arrived += raw::read_some(f.peer);
        CHECK(arrived.size() == sent);
        CHECK(f.one->is_open());
    }

    TEST_CASE("a data handler may replace itself") {
        fixture f;
        auto state = std::make_unique<std::string>("first ");
        f.one->on_data([&, state = std::move(state)](stream::bytes) {
            f.one->on_data([&](stream::bytes data) { f.got += text_of(data); });
            f.got += *state; // what it owns lives while it runs
        });
        raw::send_some(f.peer, "x");
        CHECK(f.settle());
        raw::send_some(f.peer, "y");
        CHECK(f.settle());
        CHECK(f.got == "first y");
    }

    TEST_CASE(
        "an exception from a data handler leaves run, what it wrote is sent, no byte is lost") {
        fixture f;
        f.one->on_data([&](stream::bytes data) {
            f.got += text_of(data);
            f.one->write("answer");
            throw oops{};
        });
        raw::send_some(f.peer, "1");
        CHECK_THROWS_AS(f.loop.run(), oops);
        CHECK(raw::read_some(f.peer) == "answer");
        raw::send_some(f.peer, "2");
        CHECK_THROWS_AS(f.loop.run(), oops);
        CHECK(f.got == "12");
        CHECK(f.one->is_open());
    }

    TEST_CASE("end sends what waits, then a FIN, and closes when the peer has finished") {
        fixture f{raw::unix_pair(4096)};
        f.collect();
        f.one->write(std::string(50'000, 'x'));
        f.one->end("!");
        CHECK_FALSE(f.one->is_open());
        CHECK_FALSE(f.one->write("too late"));
        bool end = false;
        std::string arrived;
        CHECK(raw::run_until(f.loop, [&] {
            arrived += raw::read_some(f.peer, &end);
            return end;
        }));
        CHECK(arrived == std::string(50'000, 'x') + "!");
        CHECK(f.closed == 0);
        raw::send_some(f.peer, "last words");
        CHECK(f.settle());
        CHECK(f.got == "last words");
        f.ends.theirs.reset();
        CHECK(f.until_closed());
        CHECK(f.closed == 1);
        CHECK_FALSE(f.reason);
        CHECK(f.one == nullptr);
    }

    TEST_CASE("end inside a data handler sends what the handler wrote") {
        fixture f;
        f.one->on_data([&](stream::bytes) {
            f.one->write("a");
            f.one->end("b");
            f.one->end();
        });
        raw::send_some(f.peer, "x");
        CHECK(f.settle());
        bool end = false;
        CHECK(raw::read_some(f.peer, &end) == "ab");
        CHECK(end);
    }

    TEST_CASE("close_when_sent does not wait for the peer") {
        fixture f{raw::unix_pair(4096)};
        f.one->write(std::string(50'000, 'x'));
        f.one->close_when_sent();
        CHECK(f.settle());
        CHECK(f.closed == 0);
        std::string arrived;
        bool end = false;
        CHECK(raw::run_until(f.loop, [&] {
            arrived += raw::read_some(f.peer, &end);
            return end;
        }));
        CHECK(arrived.size() == 50'000);
        CHECK(f.until_closed());
        CHECK_FALSE(f.reason);
    }

    TEST_CASE("close_when_sent behind end does not wait any longer") {
        fixture f;
        f.one->end();
        CHECK(f.settle());
        CHECK(f.closed == 0);
        f.one->close_when_sent();
        CHECK(f.settle());
        CHECK(f.closed == 1);
        fixture g;
        g.one->close_when_sent(); // nothing waits
        CHECK(g.settle());
        CHECK(g.closed == 1);
    }

    TEST_CASE("close drops what waits and tells once") {
        fixture f{raw::unix_pair(4096)};
        f.one->write(std::string(500'000, 'x'));
        f.one->close();
        f.one->close();
        f.one->end();
        f.one->pause();
        f.one->resume();
        CHECK_FALSE(f.one->write("x"));
        CHECK(f.closed == 0); // at the end of the turn
        CHECK(f.settle());
        CHECK(f.closed == 1);
        CHECK_FALSE(f.reason);
        bool end = false;
        CHECK(raw::read_some(f.peer, &end).size() < 500'000);
        CHECK(end);
    }

    TEST_CASE("reset makes the peer see a reset") {
        fixture f{raw::tcp_pair()};
        f.one->reset();
        CHECK(f.settle());
        CHECK(f.closed == 1);
        char byte = 0;
        REQUIRE(raw::readable(f.peer, 20'000));
        CHECK(::recv(f.peer, &byte, 1, 0) == -1);
        CHECK(errno == ECONNRESET);
    }

    TEST_CASE("a reset by the peer is the reason of the end") {
        fixture f{raw::tcp_pair()};
        f.collect();
        cluster::detail::os::reset_on_close(f.peer);
        f.ends.theirs.reset();
        CHECK(f.until_closed());
        CHECK(f.reason == std::errc::connection_reset);
    }

    TEST_CASE("writing to a peer that is gone closes with an error and raises no signal") {
        fixture f;
        f.ends.theirs.reset();
        f.one->write("a");
        CHECK_FALSE(f.one->write("b"));
        CHECK(f.settle());
        CHECK(f.closed == 1);
        CHECK(f.reason == std::errc::broken_pipe);
    }

    TEST_CASE("a peer that finishes is answered by end unless there is an end handler") {
        fixture f;
        f.collect();
        raw::send_some(f.peer, "bye");
        ::shutdown(f.peer, SHUT_WR);
        CHECK(f.until_closed());
        CHECK(f.got == "bye");
        CHECK_FALSE(f.reason);
        bool end = false;
        raw::read_some(f.peer, &end);
        CHECK(end);
    }

    TEST_CASE("behind the peer's half close the stream can still be written") {
        fixture f{raw::tcp_pair()};
        int ends = 0;
        f.collect();
        f.one->on_end([&] { ++ends; });
        ::shutdown(f.peer, SHUT_WR);
        CHECK(raw::run_until(f.loop, [&] { return ends != 0; }));
        CHECK(f.settle()); // the end is not reported again and again
        CHECK(ends == 1);
        CHECK(f.one->write("still here"));
        f.one->end();
        CHECK(f.until_closed());
        bool end = false;
        std::string arrived;
        CHECK(raw::run_until(f.loop, [&] {
            arrived += raw::read_some(f.peer, &end);
            return end;
        }));
        CHECK(arrived == "still here");
        CHECK_FALSE(f.reason);
    }

    TEST_CASE("a paused stream reads nothing and goes on where it was") {
        fixture f;
        f.one->on_data([&](stream::bytes data) {
            f.got += text_of(data);
            f.one->pause();
        });
        raw::send_some(f.peer, "a");
        CHECK(f.settle());
        raw::send_some(f.peer, "b");
        CHECK(f.settle());
        CHECK(f.got == "a");
        f.one->resume();
        CHECK(f.settle());
        CHECK(f.got == "ab");
    }

    TEST_CASE("a hangup while paused does not spin, and what was sent before is still read") {
        for (auto& pair : {raw::unix_pair, +[](int) { return raw::tcp_pair(); }}) {
            fixture f{pair(0)};
            f.collect();
            f.one->pause();
            raw::send_some(f.peer, "last words");
            ::shutdown(f.one->native_handle(), SHUT_WR); // so that the system reports a hangup
            f.ends.theirs.reset();
            CHECK(f.settle());
            CHECK(f.closed == 0);
            f.one->resume();
            CHECK(f.until_closed());
            CHECK(f.got == "last words");
        }
    }

    TEST_CASE("a hangup with bytes still to send ends the stream, also while paused") {
        fixture f{raw::unix_pair(4096)};
        f.collect();
        f.one->pause();
        f.one->write(std::string(500'000, 'x'));
        f.ends.theirs.reset();
        CHECK(f.until_closed());
    }

    TEST_CASE("a stream nobody reads does not spin when the peer hangs up") {
        fixture f;
        f.ends.theirs.reset();
        CHECK(f.settle());
        CHECK(f.loop.run() == 0); // nothing more can come
    }

    TEST_CASE("a deadline closes with timed_out unless there is a handler") {
        fixture f;
        f.collect();
        f.one->expires_after(1ms);
        CHECK(f.until_closed());
        CHECK(f.reason == std::errc::timed_out);
    }

    TEST_CASE("a deadline can be moved, taken back and handled") {
        fixture f;
        int timeouts = 0;
        f.one->on_timeout([&] {
            ++timeouts;
            f.one->on_timeout([&] { timeouts += 10; });
        });
        f.one->expires_after(1ms);
        f.one->expires_after(1h);
        f.one->expires_after(std::chrono::nanoseconds::max());
        f.one->expires_never();
        auto passed = false;
        f.loop.after(5ms, [&] { passed = true; });
        CHECK(raw::run_until(f.loop, [&] { return passed; }));
        CHECK(timeouts == 0);
        f.one->expires_after(1h);
        f.one->expires_after(1ms);
        CHECK(raw::run_until(f.loop, [&] { return timeouts == 1; }));
        CHECK(f.one->is_open());
        f.one->expires_after(1ms);
        CHECK(raw::run_until(f.loop, [&] { return timeouts == 11; }));
        CHECK(f.closed == 0);
    }

    TEST_CASE("a deadline counts from the call, also while the loop does not run") {
        fixture f;
        auto until = std::chrono::steady_clock::now() + 20ms;
        while (std::chrono::steady_clock::now() < until) {
        }
        auto start = std::chrono::steady_clock::now();
        f.one->expires_after(10ms);
        CHECK(f.until_closed());
        CHECK(std::chrono::steady_clock::now() - start >= 10ms);
    }

    TEST_CASE("a stream is destroyed behind its close handler, whatever its handlers do") {
        fixture f;
        auto alive = std::make_shared<int>(1);
        std::weak_ptr<int> watch = alive;
        f.one->on_data([&, alive = std::move(alive)](stream::bytes) {
            f.one->close();
            CHECK(f.one != nullptr);
            CHECK(*alive == 1);
            CHECK_FALSE(f.one->write("x"));
            CHECK(f.one->native_handle() == -1);
            CHECK(f.one->remote() == cluster::address{});
        });
        f.one->on_close([&](std::error_code) {
            ++f.closed;
            CHECK(f.one != nullptr);
        });
        raw::send_some(f.peer, "x");
        CHECK(f.until_closed());
        CHECK(f.one == nullptr);
        CHECK(watch.expired());
    }

    TEST_CASE("a close handler that throws does not keep other streams from their end") {
        event_loop loop;
        stream_set streams{loop};
        int closed = 0;
        for (int i = 0; i != 3; ++i) {
            auto pair = raw::unix_pair();
            auto& one = streams.attach(connection{std::move(pair.ours)});
            one.on_close([&](std::error_code) {
                ++closed;
                throw oops{};
            });
            one.close();
        }
        for (int i = 0; i != 3; ++i) {
            CHECK_THROWS_AS(loop.run(), oops);
        }
        CHECK(loop.run() == 0);
        CHECK(closed == 3);
    }

    TEST_CASE("a close handler may close and attach other streams") {
        event_loop loop;
        stream_set streams{loop};
        auto pairs = std::array<raw::ends, 3>{raw::unix_pair(), raw::unix_pair(), raw::unix_pair()};
        int closed = 0;
        auto& first = streams.attach(connection{std::move(pairs[0].ours)});
        auto& second = streams.attach(connection{std::move(pairs[1].ours)});
        auto count = [&](std::error_code) { ++closed; };
        second.on_close(count);
        first.on_close([&](std::error_code) {
            ++closed;
            second.close();
            auto& third = streams.attach(connection{std::move(pairs[2].ours)});
            third.on_close(count);
            third.close();
        });
        first.close();
        loop.run();
        CHECK(closed == 3);
    }

    TEST_CASE("attaching nothing is told by the close handler") {
        event_loop loop;
        stream_set streams{loop};
        std::error_code why;
        streams.attach(connection{}).on_close([&](std::error_code reason) { why = reason; });
        loop.run();
        CHECK(why == std::errc::bad_file_descriptor);
    }

    TEST_CASE("an open stream keeps its loop alive, a closed one does not") {
        fixture f;
        f.one->on_data([&](stream::bytes) { f.one->close(); });
        raw::send_some(f.peer, "x");
        CHECK(f.loop.run() == 0);
        CHECK(f.closed == 1);
    }

    TEST_CASE("draining ends idle streams in a moment and the others when they become idle") {
        event_loop loop;
        stream_set streams{loop};
        auto quiet = raw::unix_pair();
        auto busy = raw::unix_pair();
        auto& idle = streams.attach(connection{std::move(quiet.ours)});
        auto& working = streams.attach(connection{std::move(busy.ours)});
        idle.idle(true);
        working.idle(true);
        working.idle(false);
        streams.drain();
        CHECK(streams.draining());
        CHECK(idle.is_open()); // a request may be on its way
        CHECK(working.is_open());
        working.write("answer");
        working.idle(true);
        CHECK_FALSE(working.is_open());
        CHECK(raw::run_until(loop, [&] { return !idle.is_open(); }));
        CHECK(raw::read_some(busy.theirs.get()) == "answer");
    }

    TEST_CASE("a set that dies closes its streams without a word") {
        raw::ends pair = raw::unix_pair();
        stream* reference = nullptr;
        event_loop loop;
        bool told = false;
        {
            stream_set streams{loop};
            auto& one = streams.attach(connection{std::move(pair.ours)}, &reference);
            reference = &one;
            one.on_close([&](std::error_code) { told = true; });
            one.expires_after(0ns);
        }
        CHECK(reference == nullptr);
        CHECK_FALSE(told);
        CHECK(loop.run() == 0);
        bool end = false;
        raw::read_some(pair.theirs.get(), &end);
        CHECK(end);
    }

    TEST_CASE("a stream knows both addresses") {
        fixture f{raw::tcp_pair()};
        CHECK(f.one->local().host() == "127.0.0.1");
        CHECK(f.one->remote().host() == "127.0.0.1");
        CHECK(f.one->remote() == cluster::detail::os::local_address(f.peer));
    }
}
