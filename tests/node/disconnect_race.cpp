// SPDX-License-Identifier: MIT
#include "../support/every_model.hpp"
#include "unshared.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <unistd.h>

using namespace cluster_test;

namespace {

enum class order : unsigned char { disconnect, kill };

struct listening_now {};

struct about_to_leave {};

} // namespace

CLUSTER_CASE("test-cluster-concurrent-disconnect") {
    std::size_t count = std::max(4U, cluster::available_parallelism());
    std::size_t disconnected = 0;
    std::size_t exited = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto tell_all = [&primary](auto choose) {
                std::size_t i = 0;
                for (auto& worker : primary.workers()) {
                    if (worker.is_connected()) {
                        worker.send(choose(i++));
                    }
                }
            };
            primary.fork(count);
            primary.on(cluster::event::online, [&, tell_all, online = 0U]() mutable {
                if (++online == count) {
                    tell_all([](std::size_t i) { return i % 2 ? order::disconnect : order::kill; });
                }
            });
            primary.on(cluster::event::disconnect, [&, tell_all] {
                ++disconnected;
                tell_all([](std::size_t) { return order::disconnect; });
            });
            primary.on(cluster::event::error, [](auto&, std::error_code error) {
                CHECK_MESSAGE(!error, error.message()); // Node lets EPIPE and ECONNRESET through
            });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ++exited;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK(worker.exited_after_disconnect());
            });
        },
        [](auto& self) {
            self.on_message([](auto& me, const order& what) {
                if (me.is_connected()) {
                    what == order::kill ? me.kill() : me.disconnect();
                }
            });
        });
    CHECK(disconnected == count);
    CHECK(exited == count);
}

CLUSTER_CASE("test-cluster-disconnect-exitedAfterDisconnect-race") {
    char told = 'x';
    int exited = 0;
    side_sockets<Backend> beside;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork(beside.for_worker());
            worker.on_message([&](const about_to_leave&) {
                // The worker's announcement is behind this message, and is not read before we
                // return: meanwhile the worker's loop must not have told about the disconnect.
                told = beside.read();
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exited;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK(worker.exited_after_disconnect());
            });
        },
        [](auto& self) {
            struct state {
                bool told = false;
                int turns = 0;
            };
            auto now = std::make_shared<state>();
            self.on(cluster::event::disconnect, [now] { now->told = true; });
            self.send(about_to_leave{});
            self.disconnect();
            expect_in_worker(!now->told && !self.is_connected(), 2);
            struct step {
                cluster::event_loop& loop;
                int fd;
                std::shared_ptr<state> now;
                void operator()() const {
                    constexpr int turns = 20;
                    if (++now->turns != turns) {
                        loop.defer(*this);
                    } else {
                        expect_in_worker(::write(fd, now->told ? "y" : "n", 1) == 1, 3);
                    }
                }
            };
            self.loop().defer(step{self.loop(), self.template data<int>(), now});
        });
    CHECK(told == 'n');
    CHECK(exited == 1);
}

EVERY_MODEL_CASE("test-cluster-disconnect-leak") {
    std::vector<std::string> events;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::disconnect, [&] { events.push_back("worker disconnect"); });
            worker.on(cluster::event::exit, [&] { events.push_back("worker exit"); });
            primary.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                events.push_back("exit");
                CHECK_MESSAGE(status.success(), status.to_string());
            });
            primary.disconnect();
        },
        [](auto& self) {
            std::error_code error; // unlike in Node the worker learns that it comes too late
            self.listen(
                {}, [](cluster::connection) {}, error);
            expect_in_worker(!error || error == cluster::errc::cancelled ||
                                 error == cluster::errc::channel_closed,
                             2);
        });
    CHECK(events == std::vector<std::string>{"worker disconnect", "worker exit", "exit"});
}

EVERY_MODEL_CASE("test-cluster-disconnect-race") {
    int exited = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& first = primary.fork();
            first.on_message([&](const listening_now&) {
                auto& second = primary.fork();
                first.disconnect();
                second.on(cluster::event::online, [](auto& worker) { worker.disconnect(); });
            });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ++exited;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK(worker.exited_after_disconnect());
            });
        },
        [](auto& self) {
            std::error_code error; // the second one may be told to go before it listens
            self.listen(
                {}, [](cluster::connection) {}, error);
            if (!error && self.id() == 1) {
                self.send(listening_now{});
            } else if (error && error != cluster::errc::cancelled &&
                       error != cluster::errc::channel_closed) {
                fail_worker(2);
            }
        });
    CHECK(exited == 2);
}

EVERY_MODEL_CASE("test-cluster-disconnect-unshared-tcp") {
    disconnect_unshared<Backend, any_model>(
        [](auto& self) { self.listen({}, [](cluster::connection) {}); });
}
