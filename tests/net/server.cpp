// SPDX-License-Identifier: MIT
#include <cluster/net/server.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cluster::connection;
using cluster::event_loop;
using cluster::listen_options;
using cluster::server;
using cluster::unique_fd;
using cluster::detail::accept_mode;
using cluster::detail::server_access;

struct oops {};

/// A server on a TCP port, its owner, and clients.
struct fixture final : cluster::detail::server_owner {
    event_loop loop;
    sockaddr_in at{};
    unique_fd keep; // a second owner of the listening socket, as the primary is
    std::vector<connection> accepted;
    std::vector<unique_fd> clients;
    server::connection_handler on_each;
    int told_closed = 0;
    int told_finished = 0;
    int told_ready = 0;
    int dropped = 0;
    std::unique_ptr<server> one;
    cluster::detail::endpoint* at_one = nullptr;

    explicit fixture(const listen_options& options = {},
                     accept_mode mode = accept_mode::own_socket) {
        auto socket = raw::tcp_listener(at);
        keep = socket.duplicate();
        one = std::make_unique<server>(*this, loop, options, [this](connection client) {
            on_each ? on_each(std::move(client)) : accepted.push_back(std::move(client));
        });
        one->on_drop([this](connection) { ++dropped; });
        auto where = cluster::detail::os::local_address(keep.get());
        at_one = &server_access::add_endpoint(*one, 1, where, mode);
        server_access::add_socket(*one, *at_one, 0, std::move(socket));
    }
    ~fixture() = default;

    void connect(int count = 1) {
        for (int i = 0; i != count; ++i) {
            clients.push_back(raw::tcp_connect(at));
            REQUIRE(clients.back());
        }
    }
    bool settle() { return raw::comes_to_rest(loop); }
    bool until(std::size_t count) {
        return raw::run_until(loop, [this, count] { return accepted.size() == count; });
    }

    void on_server_closed(server&) noexcept override { ++told_closed; }
    void on_server_finished(server&) noexcept override { ++told_finished; }
    void on_server_ready(server&) noexcept override { ++told_ready; }
    void on_server_pressure(server&, const std::error_code&) override {}
    std::shared_ptr<cluster::detail::load_counters> load() noexcept override { return counters; }

    std::shared_ptr<cluster::detail::load_counters> counters =
        std::make_shared<cluster::detail::load_counters>();
};

listen_options at_most(std::size_t count, bool drop = false) {
    listen_options options;
    options.max_connections = count;
    options.drop_beyond_max = drop;
    return options;
}

} // namespace

TEST_SUITE("net/server") {
    TEST_CASE("connections go to the handler and are counted until they end") {
        for (auto mode : {accept_mode::own_socket, accept_mode::shared}) {
            fixture f{{}, mode};
            CHECK(f.one->is_listening());
            CHECK(f.one->address().port() == ntohs(f.at.sin_port));
            f.connect(40); // more than a shared socket accepts before it registers anew
            CHECK(f.until(40));
            CHECK(f.one->connections() == 40);
            CHECK(f.accepted[0].remote() == cluster::detail::os::local_address(f.clients[0].get()));
            f.accepted.pop_back();
            CHECK(f.one->connections() == 39);
            auto released = f.accepted.back().release(cluster::io::nonblocking);
            CHECK(f.one->connections() == 38);
            f.accepted.clear();
            CHECK(f.one->connections() == 0);
            CHECK(f.settle());
            CHECK(f.told_closed == 0);
        }
    }

    TEST_CASE("close takes no more, tells at once, and finishes with the last connection") {
        fixture f;
        int closed = 0;
        f.one->on_close([&] { ++closed; });
        f.connect(2);
        CHECK(f.until(2));
        f.one->close();
        f.one->close();
        CHECK(f.told_closed == 1);
        CHECK_FALSE(f.one->is_listening());
        CHECK(f.settle());
        CHECK(f.told_finished == 0);
        f.connect(); // the other owner still listens, but this server does not take it
        CHECK(f.settle());
        CHECK(f.accepted.size() == 2);
        f.accepted.pop_back();
        CHECK(f.settle());
        CHECK(closed == 0);
        f.accepted.clear();
        CHECK(f.settle());
        CHECK(closed == 1);
        CHECK(f.told_finished == 1);
    }

    TEST_CASE("close of a server without connections finishes in the next turn, once") {
        fixture f;
        f.one->close();
        CHECK(f.told_finished == 0);
        CHECK(f.loop.run() == 0);
        CHECK(f.told_finished == 1);
    }

    TEST_CASE("close inside the handler ends the accept loop") {
        for (auto mode : {accept_mode::own_socket, accept_mode::shared}) {
            fixture f{{}, mode};
            f.on_each = [&](connection client) {
                f.accepted.push_back(std::move(client));
                f.one->close();
            };
            f.connect(3);
            CHECK(f.until(1));
            CHECK(f.settle());
            CHECK(f.accepted.size() == 1);
            f.accepted.clear();
            CHECK(f.settle());
            CHECK(f.told_finished == 1);
        }
    }

    TEST_CASE("a server may die before its close is over, connections live on") {
        fixture f;
        f.connect(2);
        CHECK(f.until(2));
        f.one->close();
        f.one.reset();
        CHECK(f.settle());
        f.accepted.clear(); // in an account that nobody reads
        CHECK(f.loop.run() == 0);
        CHECK(f.told_finished == 0);
    }

    TEST_CASE("a close handler that throws leaves run, and the owner is told all the same") {
        fixture f;
        f.one->on_close([] { throw oops{}; });
        f.one->close();
        CHECK_THROWS_AS(f.loop.run(), oops);
        CHECK(f.told_finished == 1);
        CHECK(f.loop.run() == 0);
        CHECK(f.told_finished == 1);
    }

    TEST_CASE("an exception from the handler leaves run, the connections behind it wait") {
        for (auto mode : {accept_mode::own_socket, accept_mode::shared}) {
            fixture f{{}, mode};
            int calls = 0;
            f.on_each = [&](connection) {
                ++calls;
                throw oops{};
            };
            f.connect(5);
            for (int i = 0; i != 5; ++i) {
                CHECK_THROWS_AS(f.loop.run(), oops);
            }
            CHECK(calls == 5);
            CHECK(f.one->connections() == 0);
            CHECK(f.settle());
        }
    }

    TEST_CASE("a full server lets the others wait and goes on when one ends") {
        fixture f{at_most(2)};
        f.connect(5);
        CHECK(f.until(2));
        CHECK(f.settle()); // those that wait cost nothing
        CHECK(f.accepted.size() == 2);
        CHECK_FALSE(server_access::welcomes(*f.one));
        f.accepted.erase(f.accepted.begin());
        CHECK(f.until(2));
        CHECK(f.settle());
        CHECK(f.accepted.size() == 2);
        f.accepted.clear();
        CHECK(f.until(2));
        CHECK(f.dropped == 0);
        CHECK(f.told_ready >= 2);
        f.accepted.clear();
        CHECK(f.settle());
        CHECK(server_access::welcomes(*f.one));
    }

    TEST_CASE("a full server that drops accepts and closes the others") {
        fixture f{at_most(1, true)};
        f.connect(4);
        CHECK(f.until(1));
        CHECK(raw::run_until(f.loop, [&] { return f.dropped == 3; }));
        CHECK(f.accepted.size() == 1);
        f.accepted.clear();
        f.connect();
        CHECK(f.until(1));
        CHECK(f.dropped == 3);
    }

    TEST_CASE("a server pauses while no descriptor is left and does not spin") {
        fixture f;
        REQUIRE(f.settle());
        f.connect(3);
        {
            raw::few_descriptors few{1};
            CHECK(f.until(1));
            CHECK(f.settle());
            CHECK(f.accepted.size() == 1);
            few.give(2);
            CHECK(f.until(3)); // by the timer: nobody tells that descriptors are free
        }
        CHECK(f.one->connections() == 3);
    }

    TEST_CASE("a server may die while it is short of descriptors") {
        fixture f;
        REQUIRE(f.settle());
        f.connect(3);
        {
            raw::few_descriptors few{1};
            CHECK(f.until(1));
            CHECK(f.settle());  // paused
            f.accepted.clear(); // goes on at once, and pauses again
            CHECK(f.until(1));
            CHECK(f.settle());
            f.one.reset();
        }
        f.accepted.clear();
        bool late = false;
        f.loop.after(150ms, [&] { late = true; }); // beyond all pauses
        f.loop.run();
        CHECK(late);
    }

    TEST_CASE("a listener that somebody else shut down does not spin") {
        fixture f;
        REQUIRE(f.settle());
        ::shutdown(f.keep.get(), SHUT_RDWR);
        CHECK(f.settle());
        CHECK(f.one->is_listening());
    }

    TEST_CASE("connections may end in other threads") {
        fixture f{at_most(2)};
        constexpr std::size_t count = 300;
        std::atomic<int> ended{0};
        std::size_t seen = 0;
        std::vector<std::thread> threads;
        f.on_each = [&](connection client) {
            if (++seen == count) {
                f.one->close();
            }
            threads.emplace_back([&ended, mine = std::move(client)]() mutable {
                mine = connection{};
                ++ended;
            });
        };
        std::thread connecting{[&] {
            for (std::size_t i = 0; i != count; ++i) {
                auto client = raw::tcp_connect(f.at);
                bool end = false;
                while (!end && raw::readable(client.get(), 20'000)) {
                    raw::read_some(client.get(), &end);
                }
            }
        }};
        bool finished = raw::run_until(f.loop, [&] { return f.told_finished == 1; });
        if (!finished) { // else the clients would wait for ever
            f.one.reset();
            f.keep.reset();
        }
        connecting.join();
        for (auto& each : threads) {
            each.join();
        }
        CHECK(finished);
        CHECK(seen == count);
        CHECK(ended == static_cast<int>(count));
    }

    TEST_CASE("an unrefed server does not keep the loop alive, a closed one neither") {
        fixture f;
        f.one->unref();
        f.one->unref();
        CHECK(f.loop.run() == 0);
        f.one->ref();
        f.on_each = [&](connection) { f.one->unref(); };
        f.connect();
        CHECK(f.loop.run() == 0);
        f.one->close();
        f.one->ref();
        CHECK(f.loop.run() == 0);
    }

    TEST_CASE("a connection from elsewhere counts as one of the server's own") {
        fixture f;
        auto pair = raw::unix_pair();
        f.one->inject(connection{std::move(pair.ours)});
        CHECK(f.accepted.size() == 1);
        CHECK(f.one->connections() == 1);
    }

    TEST_CASE("handed connections are taken as if they had been accepted") {
        fixture f{at_most(1), accept_mode::handed};
        auto pair = raw::unix_pair();
        CHECK(server_access::welcomes(*f.one));
        server_access::take(*f.one, std::move(pair.ours), {.by_primary = true});
        CHECK(f.accepted.size() == 1);
        CHECK_FALSE(server_access::welcomes(*f.one));
        server_access::take(*f.one, std::move(pair.theirs), {.by_primary = true}); // was on its way
        CHECK(f.dropped == 1);
        f.accepted.clear();
        CHECK(f.settle());
        CHECK(f.told_ready == 1);
        CHECK(server_access::welcomes(*f.one));
    }

    TEST_CASE("a second socket can be added and taken away") {
        fixture f;
        sockaddr_in other{};
        auto second = raw::tcp_listener(other);
        server_access::add_socket(*f.one, *f.at_one, 7, std::move(second));
        f.clients.push_back(raw::tcp_connect(other));
        f.connect();
        CHECK(f.until(2));
        server_access::remove_socket(*f.one, *f.at_one, 7);
        CHECK_FALSE(raw::tcp_connect(other));
        f.connect();
        CHECK(f.until(3));
    }

    TEST_CASE("a server on several addresses counts and closes them as one") {
        fixture f{at_most(2)};
        sockaddr_in other{};
        auto second = raw::tcp_listener(other);
        auto keep_second = second.duplicate();
        auto where = cluster::detail::os::local_address(second.get());
        auto& at = server_access::add_endpoint(*f.one, 2, where, accept_mode::shared);
        server_access::add_socket(*f.one, at, 0, std::move(second));
        CHECK(f.one->addresses() == std::vector{f.one->address(), where});
        CHECK(server_access::find(*f.one, 1) == f.at_one);
        CHECK(server_access::find(*f.one, 2) == &at);
        CHECK(server_access::find(*f.one, 3) == nullptr);
        f.connect();
        f.clients.push_back(raw::tcp_connect(other));
        CHECK(f.until(2));
        f.connect();
        f.clients.push_back(raw::tcp_connect(other));
        CHECK(f.settle()); // full, on both
        CHECK(f.one->connections() == 2);
        f.one->close();
        CHECK(f.told_closed == 1);
        CHECK(f.one->addresses().size() == 2); // they can still be told
        f.accepted.clear();
        CHECK(f.settle());
        CHECK(f.told_finished == 1);
    }

    TEST_CASE("a server that never listened is over at once") {
        fixture f;
        server_access::fail(*f.one);
        CHECK(f.told_finished == 1);
        CHECK_FALSE(f.one->is_listening());
        f.one->close();
        CHECK(f.told_closed == 0);
    }
}
