// SPDX-License-Identifier: MIT
#include "../support/every_model.hpp"
#include "unshared.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
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

TEST_CASE("test-cluster-concurrent-disconnect") {
    std::size_t count = std::max(4U, cluster::available_parallelism());
    std::size_t disconnected = 0;
    std::size_t exited = 0;
    run_case<cluster::process_cluster>(
        "test-cluster-concurrent-disconnect",
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

TEST_CASE("test-cluster-disconnect-exitedAfterDisconnect-race") {
    char told = 'x';
    int exited = 0;
    run_case<cluster::process_cluster>(
        "test-cluster-disconnect-exitedAfterDisconnect-race",
        [&](auto& primary) {
            auto& worker = primary.fork({.extra = {cluster::stdio::pipe}});
            worker.on_message([&](const about_to_leave&) {
                // The worker's announcement is behind this message, and is not read before we
                // return: meanwhile the worker's loop must not have told about the disconnect.
                int fd = worker.pipe(4).native_handle();
                CHECK(cluster::detail::os::wait_for(fd, false, -1));
                CHECK(::read(fd, &told, 1) == 1);
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
                cluster::event_loop::task next;
            };
            static state now;
            self.on(cluster::event::disconnect, [] { now.told = true; });
            self.send(about_to_leave{});
            self.disconnect();
            if (now.told || self.is_connected()) {
                std::exit(2);
            }
            struct step {
                cluster::event_loop& loop;
                void operator()() const {
                    constexpr int turns = 20;
                    if (++now.turns != turns) {
                        loop.defer(step{loop});
                    } else if (::write(4, now.told ? "y" : "n", 1) != 1) {
                        std::exit(3);
                    }
                }
            };
            self.loop().defer(step{self.loop()});
        });
    CHECK(told == 'n');
    CHECK(exited == 1);
}

EVERY_MODEL_CASE("test-cluster-disconnect-leak") {
    std::vector<std::string> events;
    run_case<any_model_cluster>(
        "test-cluster-disconnect-leak",
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
            if (error && error != cluster::errc::cancelled &&
                error != cluster::errc::channel_closed) {
                std::exit(2);
            }
        });
    CHECK(events == std::vector<std::string>{"worker disconnect", "worker exit", "exit"});
}

EVERY_MODEL_CASE("test-cluster-disconnect-race") {
    int exited = 0;
    run_case<any_model_cluster>(
        "test-cluster-disconnect-race",
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
                std::exit(2);
            }
        });
    CHECK(exited == 2);
}

EVERY_MODEL_CASE("test-cluster-disconnect-unshared-tcp") {
    cluster_test::disconnect_unshared<any_model_cluster>(
        "test-cluster-disconnect-unshared-tcp",
        [](auto& self) { self.listen({}, [](cluster::connection) {}); });
}
