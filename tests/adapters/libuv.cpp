// SPDX-License-Identifier: MIT
#include <cluster/adapters/libuv.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <csignal>

namespace {

using namespace std::chrono_literals;
using cluster::adapters::to_libuv;

struct host {
    static constexpr bool throws = false;

    host() { uv_loop_init(&loop); }
    host(host&&) = delete;
    host& operator=(host&&) = delete;
    ~host() {
        uv_walk(
            &loop,
            [](uv_handle_t* each, void*) {
                if (!uv_is_closing(each)) {
                    uv_close(each, each->type == UV_TIMER ? delete_timer : nullptr);
                }
            },
            nullptr);
        run();
        CHECK(uv_loop_close(&loop) == 0);
    }

    void run() { uv_run(&loop, UV_RUN_DEFAULT); }
    void after(std::chrono::milliseconds delay, std::function<void()> task) {
        auto* made = new timer{{}, std::move(task)};
        uv_timer_init(&loop, &made->handle);
        uv_timer_start(
            &made->handle,
            [](uv_timer_t* due) {
                auto run = std::move(reinterpret_cast<timer*>(due)->task);
                uv_close(reinterpret_cast<uv_handle_t*>(due), delete_timer);
                run();
            },
            static_cast<std::uint64_t>(delay.count()),
            0);
    }
    auto drive(cluster::event_loop& role) {
        return std::make_unique<cluster::adapters::libuv_driver>(&loop, role);
    }

    uv_loop_t loop;

private:
    struct timer {
        uv_timer_t handle;
        std::function<void()> task;
    };
    static void delete_timer(uv_handle_t* closed) { delete reinterpret_cast<timer*>(closed); }
};

// Reads what the handle's peer sends, until its end.
std::string read_to_end(host& other, uv_stream_t* stream) {
    std::string got;
    stream->data = &got;
    REQUIRE(uv_read_start(
                stream,
                [](uv_handle_t*, std::size_t, uv_buf_t* into) {
                    static char bytes[1000];
                    *into = uv_buf_init(bytes, sizeof bytes);
                },
                [](uv_stream_t* from, ssize_t count, const uv_buf_t* bytes) {
                    if (count < 0) {
                        uv_close(reinterpret_cast<uv_handle_t*>(from), nullptr);
                    } else {
                        static_cast<std::string*>(from->data)
                            ->append(bytes->base, static_cast<std::size_t>(count));
                    }
                }) == 0);
    other.run();
    return got;
}

template <typename Pair>
cluster::connection connection_of(Pair&& pair) {
    return cluster::connection{std::move(pair.ours)};
}

} // namespace

TEST_SUITE("adapters/libuv") {
#include "driver_cases.hpp"

    TEST_CASE("a connection becomes libuv's: TCP and UNIX") {
        host other;
        SUBCASE("TCP") {
            uv_tcp_t handle;
            uv_tcp_init(&other.loop, &handle);
            auto pair = raw::tcp_pair();
            REQUIRE_FALSE(to_libuv(handle, connection_of(pair)));
            raw::send_some(pair.theirs.get(), "hello");
            pair.theirs.reset();
            CHECK(read_to_end(other, reinterpret_cast<uv_stream_t*>(&handle)) == "hello");
        }
        SUBCASE("UNIX") {
            uv_pipe_t handle;
            uv_pipe_init(&other.loop, &handle, 0);
            auto pair = raw::unix_pair();
            REQUIRE_FALSE(to_libuv(handle, connection_of(pair)));
            raw::send_some(pair.theirs.get(), "hello");
            pair.theirs.reset();
            CHECK(read_to_end(other, reinterpret_cast<uv_stream_t*>(&handle)) == "hello");
        }
    }

    TEST_CASE("what does not fit is closed and an error") {
        uv_tcp_t tcp;
        uv_pipe_t pipe;
        host other; // closes them
        uv_tcp_init(&other.loop, &tcp);
        uv_pipe_init(&other.loop, &pipe, 0);
        auto unix_pair = raw::unix_pair();
        CHECK(to_libuv(tcp, connection_of(unix_pair)) == std::errc::address_family_not_supported);
        bool end = false;
        raw::read_some(unix_pair.theirs.get(), &end);
        CHECK(end);
        CHECK(to_libuv(pipe, connection_of(raw::tcp_pair())) ==
              std::errc::address_family_not_supported);
        CHECK(to_libuv(tcp, cluster::connection{}) == std::errc::bad_file_descriptor);
        CHECK(to_libuv(pipe, cluster::listener{}) == std::errc::bad_file_descriptor);
        REQUIRE_FALSE(to_libuv(tcp, connection_of(raw::tcp_pair())));
        CHECK(to_libuv(tcp, connection_of(raw::tcp_pair()))); // the handle has one already
    }

    TEST_CASE("a listener becomes libuv's and closing it leaves others their socket") {
        host other;
        sockaddr_in at{};
        cluster::listener listener{raw::tcp_listener(at)};
        auto ours = listener.duplicate();
        uv_tcp_t handle;
        uv_tcp_init(&other.loop, &handle);
        REQUIRE_FALSE(to_libuv(handle, std::move(listener)));
        int arrived = 0;
        handle.data = &arrived;
        uv_listen(reinterpret_cast<uv_stream_t*>(&handle), 10, [](uv_stream_t* from, int status) {
            *static_cast<int*>(from->data) += status == 0;
            uv_close(reinterpret_cast<uv_handle_t*>(from), nullptr);
        });
        auto client = raw::tcp_connect(at);
        other.run();
        CHECK(arrived == 1);
        CHECK(raw::tcp_connect(at));
        CHECK(ours);
    }
}
