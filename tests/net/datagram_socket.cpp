// SPDX-License-Identifier: MIT
#include <cluster/net/datagram_socket.hpp> // first and alone: proves the header is self-contained

#include "../support/datagram.hpp"
#include "../support/raw_socket.hpp"

#include <cluster/detail/datagram_set.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/un.h>

namespace {

using cluster::address;
using cluster::datagram_options;
using cluster::datagram_socket;
using cluster::event_loop;
using cluster::send_result;
using cluster::unique_fd;
using cluster::detail::bind_datagram;
using cluster::detail::datagram_access;
using cluster_test::loopback_udp;
using cluster_test::udp_client;

struct oops {};

std::string text_of(datagram_socket::bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

datagram_options on_loopback() {
    datagram_options options;
    options.host = "127.0.0.1";
    return options;
}

/// A socket, its owner and its loop.
struct fixture final : cluster::detail::datagram_owner {
    event_loop loop;
    std::vector<std::string> received;
    address last_sender;
    std::vector<std::error_code> errors;
    address last_refused;
    int told_closed = 0;
    int told_finished = 0;
    std::unique_ptr<datagram_socket> one;

    explicit fixture(const datagram_options& options = on_loopback(), bool shared = false)
        : fixture{bound(options), options, shared} {}
    fixture(unique_fd fd, const datagram_options& options, bool shared = false) {
        one = std::make_unique<datagram_socket>(
            *this,
            loop,
            1,
            std::move(fd),
            options,
            shared,
            [this](datagram_socket::bytes bytes, const auto& from) {
                received.push_back(text_of(bytes));
                last_sender = from;
            });
        one->on_error([this](std::error_code error, const address& to) {
            errors.push_back(error);
            last_refused = to;
        });
    }
    ~fixture() = default;

    static unique_fd bound(const datagram_options& options) {
        std::error_code error;
        auto fd = bind_datagram(options, error);
        REQUIRE_MESSAGE(!error, error.message());
        return fd;
    }

    [[nodiscard]] const address& at() const { return one->address(); }
    bool settle() { return raw::comes_to_rest(loop); }
    bool until(std::size_t count) {
        return raw::run_until(loop, [this, count] { return received.size() >= count; });
    }

    void on_datagram_closed(datagram_socket&) noexcept override { ++told_closed; }
    void on_datagram_finished(datagram_socket&) noexcept override { ++told_finished; }
};

struct unix_pair {
    unique_fd ours, theirs;

    unix_pair() {
        int fds[2] = {-1, -1};
        if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0) {
            ours.reset(fds[0]);
            theirs.reset(fds[1]);
        }
    }
};

unique_fd abstract_socket(address& at) {
    unique_fd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    sa_family_t family = AF_UNIX; // alone: the system picks an abstract name
    ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&family), sizeof family);
    at = cluster::detail::os::local_address(fd.get());
    return fd;
}

} // namespace

TEST_SUITE("net/datagram_socket") {
    TEST_CASE("datagrams arrive with their sender and answers go back") {
        fixture f;
        udp_client client;
        CHECK(f.one->is_open());
        CHECK(f.at().port() != 0);
        CHECK(client.send(f.at(), "ping"));
        CHECK(f.until(1));
        CHECK(f.received[0] == "ping");
        CHECK(f.last_sender == client.address());
        CHECK(f.one->send_to("pong", f.last_sender) == send_result::ok);
        CHECK(f.settle());
        CHECK(client.receive() == "pong");
        CHECK(f.one->counters().received == 1);
        CHECK(f.one->counters().sent == 1);
    }

    TEST_CASE("an empty datagram is one and the longest arrives whole") {
        fixture f;
        udp_client client;
        std::string longest(65507, 'x');
        longest.back() = 'y';
        CHECK(client.send(f.at(), ""));
        CHECK(client.send(f.at(), longest));
        CHECK(f.until(2));
        CHECK(f.received[0].empty());
        CHECK(f.received[1] == longest);
        CHECK(f.one->send_to("", client.address()) == send_result::ok);
        CHECK(f.one->send_to(longest, client.address()) == send_result::ok);
        CHECK(f.settle());
        CHECK(client.receive().empty());
        CHECK(client.receive() == longest);
        CHECK(f.one->counters().truncated == 0);
    }

    TEST_CASE("one system call brings what has arrived up to the batch") {
        for (std::size_t batch : {1U, 7U, 32U}) {
            auto options = on_loopback();
            options.batch = batch;
            fixture f{options};
            udp_client client;
            for (int i = 0; i != 100; ++i) {
                REQUIRE(client.send(f.at(), std::to_string(i)));
            }
            CHECK(f.until(100));
            CHECK(f.one->counters().receive_calls == (100 + batch - 1) / batch);
            for (std::size_t i = 0; i != f.received.size(); ++i) {
                CHECK(f.received[i] == std::to_string(i));
            }
        }
    }

    TEST_CASE("what is sent in one turn leaves in one system call") {
        fixture f;
        udp_client client;
        for (int i = 0; i != 50; ++i) {
            CHECK(f.one->send_to(std::to_string(i), client.address()) == send_result::ok);
        }
        CHECK(f.one->counters().send_calls == 0);
        CHECK(f.settle());
        CHECK(f.one->counters().sent == 50);
        CHECK(f.one->counters().send_calls == 1);
        for (int i = 0; i != 50; ++i) {
            CHECK(client.receive() == std::to_string(i));
        }
        for (int i = 0; i != 150; ++i) { // more than one call takes
            CHECK(f.one->send_to(std::to_string(i), client.address()) == send_result::ok);
        }
        CHECK(f.settle());
        CHECK(f.one->counters().send_calls == 4);
    }

    TEST_CASE("datagrams beyond max_size are counted and not delivered") {
        auto options = on_loopback();
        options.max_size = 10;
        fixture f{options};
        udp_client client;
        CHECK(client.send(f.at(), std::string(10, 'a')));
        CHECK(client.send(f.at(), std::string(11, 'b')));
        CHECK(client.send(f.at(), std::string(60'000, 'c')));
        CHECK(client.send(f.at(), "d"));
        CHECK(f.until(2));
        CHECK(f.received == std::vector<std::string>{std::string(10, 'a'), "d"});
        CHECK(f.one->counters().truncated == 2);
        CHECK(f.one->counters().received == 2);
    }

    TEST_CASE(
        "while the receiver is full datagrams wait and those beyond are dropped and counted") {
        unix_pair ends;
        auto options = on_loopback();
        options.send_queue = 4096;
        fixture f{std::move(ends.ours), options};
        std::vector<std::string> taken;
        int ok = 0;
        while (f.one->send_to(std::to_string(taken.size()), {}) == send_result::ok &&
               ok != 10'000) {
            taken.push_back(std::to_string(taken.size()));
            ++ok;
            f.loop.poll();
        }
        REQUIRE(ok != 10'000);
        taken.push_back(std::to_string(taken.size())); // it was queued
        int more = 0;
        for (; more != 100; ++more) {
            auto text = std::to_string(taken.size());
            auto result = f.one->send_to(text, {});
            if (result == send_result::full) {
                break;
            }
            CHECK(result == send_result::queued);
            taken.push_back(text);
        }
        REQUIRE(more != 100);
        CHECK(f.one->send_to("x", {}) == send_result::full);
        CHECK(f.one->counters().dropped == 2);
        CHECK(f.settle()); // waiting costs nothing
        std::vector<std::string> arrived;
        CHECK(raw::run_until(f.loop, [&] {
            char bytes[64];
            for (;;) {
                auto got = ::recv(ends.theirs.get(), bytes, sizeof bytes, MSG_DONTWAIT);
                if (got < 0) {
                    return arrived.size() == taken.size();
                }
                arrived.emplace_back(bytes, static_cast<std::size_t>(got));
            }
        }));
        CHECK(arrived == taken);
        CHECK(f.one->send_to("again", {}) == send_result::ok);
    }

    TEST_CASE("a receiver who is full although this socket has room keeps no processor busy") {
        address to;
        auto slow = abstract_socket(to);
        address ours;
        fixture f{abstract_socket(ours), {}};
        for (int i = 0; i != 1000; ++i) {
            f.one->send_to("x", to);
            f.loop.poll();
        }
        CHECK(f.one->counters().sent < 1000);
        CHECK(f.settle());
        CHECK(raw::run_until(f.loop, [&] {
            char bytes[64];
            while (::recv(slow.get(), bytes, sizeof bytes, MSG_DONTWAIT) >= 0) {
            }
            return f.one->counters().sent + f.one->counters().dropped == 1000;
        }));
    }

    TEST_CASE("a refusal by the receiver's machine is told and ends nothing") {
        udp_client gone;
        auto nowhere = gone.address();
        auto fd = fixture::bound(on_loopback());
        REQUIRE(cluster::detail::os::connect_to(fd.get(), nowhere));
        gone = udp_client{};
        fixture f{std::move(fd), on_loopback()};
        for (int i = 0; i != 3; ++i) {
            f.one->send_to("x", {});
            auto before = f.errors.size();
            CHECK(raw::run_until(f.loop, [&] { return f.errors.size() > before; }));
            CHECK(f.errors.back() == std::errc::connection_refused);
            CHECK(f.one->is_open());
        }
        CHECK(f.settle());
        f.one->send_to("a", {}); // the refusal of the first meets the second on its way out
        f.loop.poll();
        f.one->send_to("b", {});
        CHECK(f.settle());
        CHECK(f.one->counters().sent == 5);
    }

    TEST_CASE("what the system does not send is told with its receiver and the others leave") {
        fixture f;
        udp_client client;
        auto six = address::ipv6({1}, 9); // not for an IPv4 socket
        f.one->send_to("a", client.address());
        f.one->send_to(std::string(65508, 'x'), client.address());
        f.one->send_to("b", client.address());
        f.one->send_to("no", six);
        f.one->send_to("c", client.address());
        CHECK(f.settle());
        REQUIRE(f.errors.size() == 2);
        CHECK(f.errors[0] == std::errc::message_size);
        CHECK(f.errors[1] == std::errc::address_family_not_supported);
        CHECK(f.last_refused == six);
        CHECK(f.one->counters().failed == 2);
        CHECK(client.receive() == "a");
        CHECK(client.receive() == "b");
        CHECK(client.receive() == "c");
    }

    TEST_CASE("an error handler that sends again does not keep the loop from its work") {
        fixture f;
        int told = 0;
        bool other = false;
        auto six = address::ipv6({1}, 9);
        f.one->on_error([&](std::error_code, const address& to) {
            ++told;
            f.one->send_to("again", to);
        });
        f.one->send_to("first", six);
        f.loop.after({}, [&] { other = true; });
        CHECK(raw::run_until(f.loop, [&] { return other && told > 3; }));
    }

    TEST_CASE("broadcast needs its option") {
        auto everybody = address::ipv4({255, 255, 255, 255}, 9);
        fixture without;
        without.one->send_to("x", everybody);
        CHECK(without.settle());
        REQUIRE(without.errors.size() == 1);
        CHECK(without.errors[0] == std::errc::permission_denied);
        auto options = on_loopback();
        options.broadcast = true;
        fixture with{options};
        with.one->send_to("x", address::ipv4({127, 255, 255, 255}, 9));
        CHECK(with.settle());
        CHECK(with.errors.empty());
        CHECK(with.one->counters().sent == 1);
    }

    TEST_CASE("when the handler throws the rest of its batch comes afterwards") {
        fixture f;
        udp_client client;
        int calls = 0;
        f.one->on_message([&](datagram_socket::bytes bytes, const address&) {
            f.received.push_back(text_of(bytes));
            if (++calls % 2 == 0) {
                throw oops{};
            }
        });
        std::vector<std::string> sent;
        for (int i = 0; i != 10; ++i) {
            sent.push_back(std::to_string(i));
            REQUIRE(client.send(f.at(), sent.back()));
        }
        int thrown = 0;
        while (f.received.size() != 10 && thrown != 10) {
            try {
                f.until(10);
            } catch (const oops&) {
                ++thrown;
            }
        }
        CHECK(thrown == 5);
        CHECK(f.received == sent);
        CHECK(f.settle());
    }

    TEST_CASE("close inside the handler ends the batch and finishes once") {
        fixture f;
        udp_client client;
        int closed = 0;
        f.one->on_message([&](datagram_socket::bytes bytes, const address& from) {
            f.received.push_back(text_of(bytes));
            f.one->send_to("bye", from); // leaves before the socket closes
            f.one->close();
            f.one->close();
        });
        f.one->on_close([&] { ++closed; });
        REQUIRE(client.send(f.at(), "1"));
        REQUIRE(client.send(f.at(), "2"));
        CHECK(f.until(1));
        CHECK(f.settle());
        CHECK(f.received.size() == 1);
        CHECK(client.receive() == "bye");
        CHECK(f.told_closed == 1);
        CHECK(f.told_finished == 1);
        CHECK(closed == 1);
        CHECK_FALSE(f.one->is_open());
        CHECK(f.one->native_handle() == -1);
        CHECK(f.one->send_to("x", client.address()) == send_result::closed);
        f.one->on_message([](auto...) {});
        f.one->ref();
        CHECK(f.loop.run() == 0);
        std::error_code error;
        f.one->join_group(address::ipv4({239, 1, 2, 3}, 0), "", error);
        CHECK(error == std::errc::bad_file_descriptor);
    }

    TEST_CASE("with a batch of one nothing is lost to a handler that closes the socket") {
        auto options = on_loopback();
        options.batch = 1;
        fixture f{options};
        auto keep = f.one->native_handle();
        unique_fd other{cluster::detail::os::duplicate(keep)};
        udp_client client;
        f.one->on_message([&](auto bytes, const address&) {
            f.received.push_back(text_of(bytes));
            f.one->close();
        });
        REQUIRE(client.send(f.at(), "1"));
        REQUIRE(client.send(f.at(), "2"));
        CHECK(f.until(1));
        fixture successor{std::move(other), options};
        CHECK(successor.until(1));
        CHECK(successor.received[0] == "2");
    }

    TEST_CASE("a handler may replace itself") {
        fixture f;
        udp_client client;
        int second = 0;
        f.one->on_message([&, guard = std::make_shared<int>(7)](auto, const address&) {
            f.one->on_message([&](auto, const address&) { ++second; });
            CHECK(*guard == 7);
        });
        for (int i = 0; i != 3; ++i) {
            REQUIRE(client.send(f.at(), "x"));
        }
        CHECK(raw::run_until(f.loop, [&] { return second == 2; }));
    }

    TEST_CASE("without a handler nothing is taken until there is one") {
        fixture f;
        auto twin = f.one->native_handle();
        datagram_socket only_sends{f, f.loop, 0, unique_fd{}, {}, false, {}};
        CHECK_FALSE(only_sends.is_open());
        fixture g{unique_fd{cluster::detail::os::duplicate(twin)}, {}};
        datagram_socket quiet{g, g.loop, 0, fixture::bound(on_loopback()), {}, false, {}};
        udp_client client;
        REQUIRE(client.send(quiet.address(), "x"));
        CHECK(g.settle());
        CHECK(quiet.counters().received == 0);
        int got = 0;
        quiet.on_message([&](auto, const address&) { ++got; });
        CHECK(raw::run_until(g.loop, [&] { return got == 1; }));
    }

    TEST_CASE("a socket that only sends and waits for room receives nothing meanwhile") {
        unix_pair ends;
        fixture owner;
        datagram_socket sends{owner, owner.loop, 0, std::move(ends.ours), {}, false, {}};
        while (sends.send_to("x", {}) == send_result::ok) {
            owner.loop.poll();
        }
        REQUIRE(::send(ends.theirs.get(), "y", 1, 0) == 1);
        CHECK(owner.settle());
        ends.theirs.reset(); // a hang-up, and nobody to send to
        CHECK(owner.settle());
        CHECK(sends.is_open());
        CHECK(sends.counters().received == 0);
    }

    TEST_CASE("held back it receives nothing until it is let go") {
        fixture f;
        udp_client client;
        datagram_access::hold_back(*f.one, true);
        REQUIRE(client.send(f.at(), "x"));
        CHECK(f.settle());
        CHECK(f.received.empty());
        datagram_access::hold_back(*f.one, false);
        CHECK(f.until(1));
    }

    TEST_CASE("only a referenced open socket keeps its loop running") {
        fixture f;
        f.one->unref();
        f.one->unref();
        CHECK(f.loop.run() == 0);
        f.one->ref();
        f.loop.defer([&] { f.one->close(); });
        CHECK(f.loop.run() == 0);
        CHECK(f.told_finished == 1);
    }

    TEST_CASE("of those who share a socket each datagram goes to one") {
        datagram_options options = on_loopback();
        fixture a{options, true};
        fixture b{unique_fd{cluster::detail::os::duplicate(a.one->native_handle())}, options, true};
        udp_client client;
        for (std::size_t i = 1; i <= 100; ++i) {
            REQUIRE(client.send(a.at(), std::to_string(i)));
            CHECK(raw::run_until(a.loop, [&] {
                b.loop.poll();
                return a.received.size() + b.received.size() == i;
            }));
        }
        CHECK(a.settle());
        CHECK(b.settle());
        CHECK(a.received.size() + b.received.size() == 100);
    }

    TEST_CASE("a socket that another one has shut down keeps no processor busy") {
        for (bool shared : {false, true}) {
            fixture f{on_loopback(), shared};
            ::shutdown(f.one->native_handle(), SHUT_RDWR);
            CHECK(f.settle());
            CHECK(f.one->is_open());
        }
    }

    TEST_CASE("addresses that are taken are refused unless both sides allow it") {
        using flag = bool datagram_options::*;
        for (flag each :
             {flag{nullptr}, &datagram_options::reuse_port, &datagram_options::reuse_address}) {
            auto options = on_loopback();
            if (each != nullptr) {
                options.*each = true;
            }
            std::error_code error;
            auto first = bind_datagram(options, error);
            CHECK_FALSE(error);
            options.port = cluster::detail::os::local_address(first.get()).port();
            auto second = bind_datagram(options, error);
            CHECK(static_cast<bool>(second) == (each != nullptr));
            CHECK(error == (each == nullptr ? std::errc::address_in_use : std::errc{}));
        }
    }

    TEST_CASE("only a datagram socket may be given by its number") {
        std::error_code error;
        datagram_options options;
        sockaddr_in at{};
        auto tcp = raw::tcp_listener(at);
        options.fd = tcp.get();
        CHECK_FALSE(bind_datagram(options, error));
        CHECK(error == cluster::errc::bad_descriptor);
        udp_client udp;
        options.fd = udp.fd();
        auto copy = bind_datagram(options, error);
        CHECK_FALSE(error);
        CHECK(cluster::detail::os::local_address(copy.get()) == udp.address());
        options.fd = 1'000'000;
        CHECK_FALSE(bind_datagram(options, error));
        CHECK(error == std::errc::bad_file_descriptor);
    }

    TEST_CASE("an IPv6 socket takes IPv4 datagrams unless told otherwise") {
        datagram_options options; // every interface
        fixture f{options};
        udp_client client;
        REQUIRE(client.send(loopback_udp(f.at().port()), "four"));
        CHECK(f.until(1));
        CHECK(f.last_sender.port() == client.address().port());
        f.one->send_to("back", f.last_sender);
        f.one->send_to("too", client.address());
        CHECK(f.settle());
        CHECK(client.receive() == "back");
        CHECK(client.receive() == "too");
    }

    TEST_CASE("multicast reaches the members of a group as far as the options say") {
        auto options = on_loopback();
        options.host = "0.0.0.0";
        fixture member{options};
        fixture stranger{options};
        auto group = address::ipv4({239, 77, 1, 3}, member.at().port());
        std::error_code error;
        member.one->join_group(group, "lo", error);
        fixture sender;
        cluster::multicast_options way;
        way.ttl = 1;
        way.loopback = true;
        way.interface_name = "lo";
        if (!error) {
            sender.one->set_multicast(way, error);
        }
        if (error) {
            MESSAGE("skipped: no multicast on the loopback interface here: ", error.message());
            return;
        }
        member.one->join_group(group, "lo"); // idempotent
        sender.one->send_to("hello", group);
        CHECK(sender.settle());
        REQUIRE(sender.errors.empty());
        CHECK(member.until(1));
        CHECK(member.received[0] == "hello");

        way.loopback = false; // the interface itself loops: only the system can tell
        way.ttl.reset();
        sender.one->set_multicast(way);
        int sends_here = cluster::detail::os::option(
            sender.one->native_handle(), IPPROTO_IP, IP_MULTICAST_LOOP, -1);
        CHECK(sends_here == 0);
        way.loopback = true;
        sender.one->set_multicast(way);

        member.one->leave_group(group, "lo");
        member.one->leave_group(group, "lo");
        sender.one->send_to("to nobody", group);
        sender.one->send_to("to you", loopback_udp(member.at().port()));
        CHECK(sender.settle());
        CHECK(member.until(2));
        CHECK(member.received[1] == "to you");
        CHECK(stranger.received.empty());
    }

    TEST_CASE("multicast options that make no sense are refused with a reason") {
        fixture f;
        std::error_code error;
        f.one->join_group(loopback_udp(), "lo", error);
        CHECK(error == std::errc::invalid_argument);
        f.one->join_group(address::ipv4({239, 1, 1, 1}, 0), "no-such-device", error);
        CHECK(error == std::errc::no_such_device);
        f.one->join_group(address::local("/x"), "", error);
        CHECK(error == std::errc::address_family_not_supported);
        cluster::multicast_options way;
        way.ttl = 256;
        f.one->set_multicast(way, error);
        CHECK(error == std::errc::invalid_argument);
        CHECK_THROWS_AS(f.one->set_multicast(way), std::system_error);
        CHECK_THROWS_AS(f.one->join_group(loopback_udp()), std::system_error);
    }
}
