// SPDX-License-Identifier: MIT
// What a user of Node.js's worker_threads expects: one case for each row of its table, by its name.
// MessageChannel is in tests/channels, SharedArrayBuffer in tests/shared_memory, pools in tests/pool.
#include "../fixtures/scenario.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

using cluster::thread_cluster;

template <typename PrimaryMain, typename WorkerMain>
int run_threads(PrimaryMain primary_main, WorkerMain worker_main) {
    return run_case<thread_cluster>("", std::move(primary_main), std::move(worker_main));
}

struct note {
    std::string text;
};

long fibonacci(int n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

/// The events of a worker by their names, in their order.
template <typename Worker>
void log_events(Worker& worker, std::vector<std::string>& into) {
    worker.on(cluster::event::online, [&into] { into.push_back("online"); });
    worker.on(cluster::event::error, [&into, &worker](const std::error_code&) {
        into.push_back("error: " + worker.report().diagnosis);
    });
    worker.on(cluster::event::exit, [&into](const cluster::exit_status& status) {
        into.push_back("exit " + std::to_string(status.code()));
    });
    worker.on_message([&into](const note& said) { into.push_back(said.text); });
}

} // namespace

TEST_CASE("scenario 49: fibonacci in a thread with worker data gives a message and exit 0") {
    std::vector<std::string> events;
    run_threads([&](auto& primary) { log_events(primary.fork({.data = 20}), events); },
                [](auto& self) {
                    self.send(note{std::to_string(fibonacci(self.template data<int>()))});
                    self.disconnect();
                });
    CHECK(events == std::vector<std::string>{"online", "6765", "exit 0"});
}

TEST_CASE("scenario 49: what a thread throws is an error and then exit 1 and nothing after it") {
    std::vector<std::string> events;
    run_threads([&](auto& primary) { log_events(primary.fork(), events); },
                [](auto& self) {
                    self.send(note{"before"});
                    throw std::runtime_error("out of numbers");
                });
    CHECK(events == std::vector<std::string>{
                        "online", "before", "error: uncaught exception: out of numbers", "exit 1"});
}

TEST_CASE("worker_threads: an exit code of a thread ends that thread alone") {
    std::vector<std::string> events;
    std::vector<std::string> other;
    run_threads(
        [&](auto& primary) {
            log_events(primary.fork({.data = 5}), events);
            auto& second = primary.fork({.data = 0});
            log_events(second, other);
            primary.on(cluster::event::exit, [&second](auto& one, const cluster::exit_status&) {
                if (one.id() == 1) {
                    second.disconnect();
                }
            });
        },
        [](auto& self) {
            if (int code = self.template data<int>()) {
                self.stop(code);
            }
        });
    CHECK(events == std::vector<std::string>{"online", "exit 5"});
    CHECK(other == std::vector<std::string>{"online", "exit 0"});
}

TEST_CASE("worker_threads: terminate ends a thread that waits and one that looks at its token") {
    std::vector<std::string> waits;
    std::vector<std::string> computes;
    run_threads(
        [&](auto& primary) {
            auto& first = primary.fork({.data = false});
            auto& second = primary.fork({.data = true});
            log_events(first, waits);
            log_events(second, computes);
            for (auto* each : {&first, &second}) {
                each->on_message([each](const note&) {
                    CHECK_FALSE(each->kill());
                    CHECK_FALSE(each->kill());
                });
            }
        },
        [](auto& self) {
            self.send(note{"runs"});
            self.flush();
            while (self.template data<bool>() && !self.stop_token().stop_requested()) {
                std::this_thread::yield();
            }
        });
    CHECK(waits == std::vector<std::string>{"online", "runs", "exit 1"});
    CHECK(computes == std::vector<std::string>{"online", "runs", "exit 1"});
}

TEST_CASE("worker_threads: terminate before the thread has begun ends it") {
    std::vector<std::string> events;
    run_threads(
        [&](auto& primary) {
            auto& worker = primary.fork();
            log_events(worker, events);
            CHECK_FALSE(worker.kill());
        },
        [](auto& self) { self.on_message([](const note&) {}); });
    REQUIRE_FALSE(events.empty());
    CHECK(events.back() == "exit 1");
}

TEST_CASE("worker_threads: postMessage is first in first out both ways") {
    std::vector<int> back;
    run_threads(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on_message([&](const int& n) {
                back.push_back(n);
                if (n == 999) {
                    worker.disconnect();
                }
            });
            for (int i = 0; i != 1000; ++i) {
                worker.send(i);
            }
        },
        [](auto& self) { self.on_message([&self](const int& n) { self.send(n); }); });
    REQUIRE(back.size() == 1000);
    for (int i = 0; i != 1000; ++i) {
        CHECK(back[static_cast<std::size_t>(i)] == i);
    }
}

TEST_CASE("worker_threads: threads have ids of their own and the names that they were given") {
    struct who {
        std::uint32_t id = 0;
        std::string name;
        std::thread::id thread;
    };
    std::set<std::uint32_t> ids;
    std::set<std::string> names;
    std::set<std::thread::id> threads{std::this_thread::get_id()};
    run_threads(
        [&](auto& primary) {
            primary.on_message([&](auto& from, const who& one) {
                CHECK(from.id() == one.id);
                ids.insert(one.id);
                names.insert(one.name);
                threads.insert(one.thread);
                from.disconnect();
            });
            primary.fork({.name = "reader"});
            primary.fork({.name = "writer"});
        },
        [](auto& self) {
            self.send(who{self.id(), self.name(), std::this_thread::get_id()});
        });
    CHECK(ids == std::set<std::uint32_t>{1, 2});
    CHECK(names == std::set<std::string>{"reader", "writer"});
    CHECK(threads.size() == 3);
}

TEST_CASE("worker_threads: a listener of messages keeps the thread and unref lets it end") {
    std::vector<std::string> events;
    run_threads([&](auto& primary) { log_events(primary.fork(), events); },
                [](auto& self) {
                    self.on_message([](const note&) {});
                    self.keep_alive(false);
                });
    CHECK(events == std::vector<std::string>{"online", "exit 0"});
}

TEST_CASE("worker_threads: a broadcast channel reaches every other thread and the main one") {
    std::atomic<int> heard{0};
    int at_home = 0;
    std::shared_ptr<void> kept;
    run_threads(
        [&](auto& primary) {
            using channel_type = cluster::broadcast_channel<note>;
            auto channel =
                std::make_shared<channel_type>(primary.template broadcast_channel<note>("news"));
            kept = channel;
            channel->on_message([&](const note& said) {
                CHECK(said.text == "extra");
                ++at_home;
                scenario::when(
                    primary, [&heard] { return heard == 2; }, [&primary] { primary.disconnect(); });
            });
            primary.when_ready([&primary] { primary.workers()[0].send(note{"go"}); });
            primary.fork(3);
        },
        [&heard](auto& self) {
            using channel_type = cluster::broadcast_channel<note>;
            auto channel =
                std::make_shared<channel_type>(self.template broadcast_channel<note>("news"));
            channel->on_message([&heard](const note&) { ++heard; });
            self.on_message([channel](const note&) { channel->post(note{"extra"}); });
            self.ready();
        });
    CHECK(at_home == 1);
    CHECK(heard == 2);
}

TEST_CASE("scenario 50: eight threads add to one shared number") {
    int total = 0;
    run_threads(
        [&](auto& primary) {
            auto hits = primary.template shared<std::atomic<int>>("hits", 1);
            primary.on(cluster::event::exit,
                       [&, hits](auto&, const cluster::exit_status&) { total = hits[0].load(); });
            primary.fork(8);
        },
        [](auto& self) {
            auto hits = self.template shared<std::atomic<int>>("hits", 1);
            for (int i = 0; i != 100'000; ++i) {
                hits[0].fetch_add(1);
            }
            self.disconnect();
        });
    CHECK(total == 800'000);
}
