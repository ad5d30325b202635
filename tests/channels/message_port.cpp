// SPDX-License-Identifier: MIT
#include <cluster/channels/message_port.hpp> // first and alone: proves it is self-contained

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream> // doctest prints error codes
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using cluster::errc;
using cluster::event_loop;
using cluster::message_channel;
using cluster::message_port;
using cluster::send_result;

struct note {
    std::uint32_t number = 0;
    std::string text;
};
using notes = message_port<note>;

struct two_ports {
    event_loop loop;
    notes one;
    notes other;

    two_ports() {
        auto [a, b] = message_channel<note>::create();
        one = notes{loop, std::move(a)};
        other = notes{loop, std::move(b)};
    }
};

/// A port and the bare socket at the other end.
struct port_and_socket {
    event_loop loop;
    notes port;
    cluster::unique_fd peer;

    port_and_socket() {
        auto [a, b] = message_channel<note>::create();
        port = notes{loop, std::move(a)};
        peer = cluster::handle{std::move(b)}.release();
    }
    void write(std::string bytes) const {
        REQUIRE(::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
    }
    static std::string frame(std::uint32_t type, const std::string& payload) {
        cluster::detail::frame_header header{static_cast<std::uint32_t>(payload.size()),
                                             cluster::detail::frame_kind::message,
                                             0,
                                             type,
                                             0};
        std::array<std::byte, cluster::detail::frame_header_size> bytes{};
        cluster::detail::encode_header(header, bytes);
        return std::string{reinterpret_cast<const char*>(bytes.data()), bytes.size()} + payload;
    }
    /// \returns why the port has closed
    std::error_code end() {
        std::error_code why = std::make_error_code(std::errc::timed_out);
        port.on_close([&why](std::error_code error) { why = error; });
        port.on_message([](const note&) { FAIL("that was no message"); });
        loop.run();
        CHECK(!port.is_open());
        return why;
    }
};

} // namespace

TEST_SUITE("channels/message_port") {
    TEST_CASE("messages go both ways in their order") {
        two_ports pair;
        std::vector<std::uint32_t> got;
        pair.other.on_message([&](const note& message) {
            pair.other.send({message.number * 2, message.text + message.text});
        });
        pair.one.on_message([&](const note& message) {
            CHECK(message.text == "xx");
            got.push_back(message.number);
            if (got.size() == 3) {
                pair.one.close();
            }
        });
        for (std::uint32_t i = 1; i != 4; ++i) {
            CHECK(pair.one.send({i, "x"}) == send_result::ok);
        }
        pair.loop.run(); // ends since both ports are closed
        CHECK(got == std::vector<std::uint32_t>{2, 4, 6});
        CHECK(!pair.other.is_open());
        CHECK(pair.other.send({}) == send_result::closed);
    }

    TEST_CASE("closing is told once at both ends and after the last message") {
        two_ports pair;
        std::string events;
        pair.one.on_close([&] { events += "one "; });
        pair.other.on_close([&](std::error_code why) { events += why ? "wrong " : "other "; });
        pair.other.on_message([&](const note& message) { events += message.text + ' '; });
        pair.one.send({1, "last"});
        pair.one.close();
        pair.one.close();
        CHECK(events.empty());
        pair.loop.run();
        CHECK((events == "one last other " || events == "last one other " ||
               events == "last other one "));
    }

    TEST_CASE("a port that is dropped calls nobody and what it sent arrives") {
        two_ports pair;
        const std::string large(3'000'000, 'x'); // more than the socket takes at once
        pair.one.on_close([] { FAIL("nobody is there"); });
        pair.one.on_drain([] { FAIL("nobody is there"); });
        CHECK(pair.one.send({1, large}) == send_result::queued);
        pair.one = {};
        bool same = false;
        bool closed = false;
        pair.other.on_message([&](const note& message) { same = message.text == large; });
        pair.other.on_close([&] { closed = true; });
        pair.loop.run();
        CHECK(same);
        CHECK(closed);
    }

    TEST_CASE("what came before the first handler waits for it") {
        two_ports pair;
        std::vector<std::uint32_t> got;
        for (std::uint32_t i = 0; i != 100; ++i) {
            pair.one.send({i, ""});
        }
        pair.one.close();
        pair.loop.after(1ms, [&] {
            pair.other.on_message([&](const note& message) { got.push_back(message.number); });
        });
        pair.loop.run();
        CHECK(got.size() == 100);
        CHECK(!pair.other.is_open());
    }

    TEST_CASE("a handler that is cancelled leaves the rest for receive") {
        two_ports pair;
        cluster::subscription first;
        std::vector<std::uint32_t> got;
        first = pair.other.on_message([&](const note& message) {
            got.push_back(message.number);
            first.cancel();
            pair.loop.after(1ms, [&] { pair.loop.stop(); });
        });
        for (std::uint32_t i = 1; i != 5; ++i) {
            pair.one.send({i, ""});
        }
        pair.loop.run();
        while (auto message = pair.other.receive()) {
            got.push_back(message->number);
        }
        CHECK(got == std::vector<std::uint32_t>{1, 2, 3, 4});
        pair.one.send({5, ""});
        CHECK(pair.one.receive() == std::nullopt); // sends first
        CHECK(pair.other.receive(1h)->number == 5);
        pair.one.send({6, ""});
        pair.other.on_message([&](const note& message) {
            got.push_back(message.number);
            pair.loop.stop();
        });
        pair.loop.run();
        CHECK(got.back() == 6);
    }

    TEST_CASE("receive takes what has arrived and waits as long as it may") {
        two_ports pair;
        CHECK(!pair.one.receive());
        CHECK(!pair.one.receive(2ms));
        pair.other.send({7, "seven"});
        CHECK(!pair.other.receive()); // and so what it sent has left
        auto got = pair.one.receive();
        REQUIRE(got);
        CHECK(got->text == "seven");
        CHECK(!pair.one.receive());
        pair.other.close();
        pair.loop.run();
        bool closed = false;
        pair.one.on_close([&] { closed = true; });
        CHECK(!pair.one.receive(std::chrono::nanoseconds::max())); // nothing will ever come
        pair.one.on_message([](const note&) {});
        pair.loop.run();
        CHECK(closed);
    }

    TEST_CASE("two threads talk through their own loops") {
        auto [a, b] = message_channel<note>::create();
        std::thread peer{[end = std::move(b)]() mutable {
            event_loop loop;
            notes port{loop, std::move(end)};
            port.on_message([&](const note& message) {
                port.send({message.number + 1, "from the thread"});
                port.close();
            });
            loop.run();
        }};
        event_loop loop;
        notes port{loop, std::move(a)};
        port.send({41, ""});
        auto answer = port.receive(1h);
        REQUIRE(answer);
        CHECK(answer->number == 42);
        peer.join();
    }

    TEST_CASE("a descriptor comes with its message") {
        two_ports pair;
        int fds[2] = {-1, -1};
        REQUIRE(::pipe(fds) == 0);
        cluster::unique_fd out{fds[0]};
        pair.one.send({1, "take"}, cluster::unique_fd{fds[1]});
        pair.one.send({2, "nothing"});
        CHECK(!pair.one.receive()); // and so both have left
        cluster::handle got;
        CHECK(pair.other.receive(1h, &got)->number == 1);
        REQUIRE(got);
        CHECK(::write(got.native_handle(), "x", 1) == 1);
        pair.other.on_message([&](const note&, cluster::handle none) {
            CHECK(!none);
            pair.other.close();
        });
        pair.loop.run();
    }

    TEST_CASE("a port may be closed and destroyed by its own handler") {
        two_ports pair;
        auto inner = std::make_unique<notes>(std::move(pair.other));
        int got = 0;
        inner->on_message([&](const note&) {
            ++got;
            inner.reset();
        });
        pair.one.on_message([](const note&) {});
        pair.one.send({});
        pair.one.send({});
        pair.loop.run();
        CHECK(got == 1);
        CHECK(!pair.one.is_open());
    }

    TEST_CASE("a port that its own handlers hold goes when the other end closes") {
        two_ports pair;
        auto held = std::make_shared<notes>(std::move(pair.other));
        std::weak_ptr<notes> watched = held;
        held->on_message([held](const note&) { held->send({}); });
        held->on_close([held] { CHECK(!held->is_open()); });
        held.reset();
        CHECK(!watched.expired());
        pair.one.close();
        pair.loop.run();
        CHECK(watched.expired());
    }

    TEST_CASE("a handler that throws loses no later message") {
        two_ports pair;
        std::uint32_t sum = 0;
        pair.other.on_message([&](const note& message) {
            sum += message.number;
            throw std::runtime_error("oops");
        });
        for (std::uint32_t i = 1; i != 4; ++i) {
            pair.one.send({i, ""});
        }
        pair.one.close();
        for (int i = 0; i != 3; ++i) {
            CHECK_THROWS_AS(pair.loop.run(), std::runtime_error);
        }
        pair.loop.run();
        CHECK(sum == 6);
    }

    TEST_CASE("bytes that are no message cost the channel and nothing else") {
        const auto type = cluster::detail::message_id<note>();
        SUBCASE("garbage") {
            port_and_socket each;
            each.write(std::string(100, '\xff'));
            CHECK(each.end() == errc::bad_frame);
        }
        SUBCASE("another type") {
            port_and_socket each;
            each.write(each.frame(type + 1, "\0\0\0\0"));
            CHECK(each.end() == errc::bad_frame);
        }
        SUBCASE("no encoding of the type") {
            port_and_socket each;
            each.write(each.frame(type, "x"));
            CHECK(each.end() == errc::bad_payload);
        }
        SUBCASE("another kind of frame") {
            port_and_socket each;
            auto bytes = each.frame(type, "");
            bytes[4] = static_cast<char>(cluster::detail::frame_kind::request);
            each.write(bytes);
            CHECK(each.end() == errc::bad_frame);
        }
        SUBCASE("half a message") {
            port_and_socket each;
            each.write(each.frame(type, "1234567890").substr(0, 20));
            each.peer.reset();
            CHECK(each.end() == std::error_code{});
        }
        SUBCASE("for one who receives") {
            port_and_socket each;
            each.write(each.frame(type, "x"));
            CHECK(!each.port.receive(1h));
            CHECK(!each.port.is_open());
        }
    }

    TEST_CASE("only a socket of the right kind becomes a port") {
        event_loop loop;
        std::error_code error;
        int fds[2] = {-1, -1};
        REQUIRE(::pipe(fds) == 0);
        cluster::unique_fd out{fds[0]};
        notes pipe{loop, cluster::handle{cluster::unique_fd{fds[1]}}, error};
        CHECK(error == errc::bad_descriptor);
        CHECK(!pipe.is_open());
        CHECK(!pipe.receive(1h));
        CHECK(!pipe.on_message([](const note&) {}).active());
        notes none{loop, cluster::handle{}, error};
        CHECK(error == errc::bad_descriptor);
        notes lost{loop, cluster::handle::lost(), error};
        CHECK(error == errc::descriptor_truncated);
        CHECK_THROWS_AS((notes{loop, cluster::handle{}}), std::system_error);
    }

    TEST_CASE("a port whose peer reads nothing is behind and drains when it does") {
        two_ports pair;
        int drains = 0;
        pair.one.on_drain([&] { ++drains; });
        std::uint32_t sent = 0;
        while (pair.one.send({sent, std::string(10'000, 'x')}) == send_result::ok) {
            ++sent;
        }
        ++sent; // queued: it is on its way, too
        std::uint32_t got = 0;
        pair.other.on_message([&](const note&) {
            if (++got == sent) {
                pair.loop.after(1ms, [&] { pair.loop.stop(); });
            }
        });
        pair.loop.run();
        CHECK(drains == 1);
    }
}
