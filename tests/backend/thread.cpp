// SPDX-License-Identifier: MIT
#include <cluster/backend/thread.hpp>

#include "../fixtures/scenario.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

template <typename... Policies>
using threads = cluster::compose<cluster::backend::thread, Policies...>;

struct task {
    int n = 0;
};

/// Runs a cluster of threads; the worker's function runs in this very process.
template <typename Cluster, typename PrimaryMain, typename WorkerMain>
int run_threads(PrimaryMain primary_main, WorkerMain worker_main) {
    return run_case<Cluster>("", std::move(primary_main), std::move(worker_main));
}

} // namespace

TEST_CASE("a worker is a thread that answers messages") {
    std::set<std::thread::id> seen{std::this_thread::get_id()};
    int sum = 0;
    int exits = 0;
    std::thread{[] {}}.join(); // a sanitizer starts a thread of its own with the first one
    auto before = scenario::threads();
    struct result {
        int value = 0;
    };
    std::atomic<int> in_other_threads{0};
    run_threads<threads<>>(
        [&](auto& primary) {
            primary.on_message([&](auto& from, const result& message) {
                CHECK(from.pid() == cluster::detail::os::process_id());
                sum += message.value;
                from.disconnect();
            });
            primary.on(cluster::event::exit, [&](auto& one, const cluster::exit_status& status) {
                ++exits;
                CHECK(one.exited_after_disconnect());
                CHECK_MESSAGE(status.success(), status.to_string());
            });
            for (auto& each : primary.fork(3)) {
                each.send(task{7});
            }
        },
        [&in_other_threads, home = std::this_thread::get_id()](auto& self) {
            in_other_threads += std::this_thread::get_id() != home ? 1 : 0;
            self.on_message([&self](const task& work) { self.send(result{work.n * 2}); });
        });
    CHECK(sum == 42);
    CHECK(exits == 3);
    CHECK(in_other_threads == 3);
    CHECK(scenario::threads() == before);
}

TEST_CASE("what a thread throws is an error and an exit with code 1 and the reason") {
    std::vector<std::string> events;
    std::string why;
    run_threads<threads<>>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::error, [&](const std::error_code& error) {
                CHECK(error == cluster::errc::uncaught_exception);
                events.push_back("error");
            });
            worker.on(cluster::event::disconnect, [&] { events.push_back("disconnect"); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                events.push_back("exit");
                why = worker.report().diagnosis;
                CHECK(status == cluster::exit_status::exited(1));
                CHECK_FALSE(worker.exited_after_disconnect());
            });
            worker.send(task{1});
        },
        [](auto& self) {
            self.on_message([](const task&) { throw std::runtime_error("no such number"); });
        });
    REQUIRE(events.size() == 3);
    CHECK(events.back() == "exit");
    CHECK(why == "uncaught exception: no such number");
}

TEST_CASE("a thread that computes is asked to stop by its token and ends with code 1") {
    cluster::exit_status end;
    run_threads<threads<>>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on_message([&worker](const task&) { CHECK_FALSE(worker.kill()); });
            worker.on(cluster::event::exit,
                      [&](const cluster::exit_status& status) { end = status; });
        },
        [](auto& self) {
            self.send(task{});
            self.flush();
            auto asked = self.stop_token();
            while (!asked.stop_requested()) {
                std::this_thread::yield();
            }
        });
    CHECK(end == cluster::exit_status::exited(1));
}

TEST_CASE("a thread reads the very object that fork() was given") {
    struct table {
        std::string name;
        std::vector<int> numbers;
        const void* at = nullptr;
    };
    struct seen {
        std::string name;
        std::uint64_t at = 0;
    };
    seen got;
    std::vector<int> numbers{1, 2, 3};
    const int* first = numbers.data();
    run_threads<threads<>>(
        [&](auto& primary) {
            auto& worker = primary.fork({.data = table{"squares", std::move(numbers)}});
            worker.on_message([&](const seen& message) {
                got = message;
                worker.disconnect();
            });
        },
        [](auto& self) {
            const auto& data = self.template data<table>();
            self.send(seen{data.name, reinterpret_cast<std::uint64_t>(data.numbers.data())});
        });
    CHECK(got.name == "squares");
    CHECK(got.at == reinterpret_cast<std::uint64_t>(first));
}

TEST_CASE("options that only a process can have fail the start of a thread") {
    const std::vector<cluster::fork_options> impossible{
        {.executable = "/bin/true"},
        {.arguments = {"other"}},
        {.environment = {{"A", "1"}}},
        {.directory = "/"},
        {.silent = true},
        {.extra = {cluster::stdio::pipe}},
        {.user = 1U},
        {.limits = {{0, 1, 1}}},
        {.umask = 0U},
        {.recycle = cluster::recycle_limits{.max_memory = 1}}};
    std::size_t errors = 0;
    std::size_t exits = 0;
    run_threads<threads<>>(
        [&](auto& primary) {
            primary.on(cluster::event::error, [&](auto&, const std::error_code& error) {
                errors += error == cluster::errc::not_supported ? 1U : 0U;
            });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                exits += status.reason() == cluster::exit_reason::spawn_failed ? 1U : 0U;
            });
            for (const auto& each : impossible) {
                primary.fork(each);
            }
        },
        [](auto&) {});
    CHECK(errors == impossible.size());
    CHECK(exits == impossible.size());
}

TEST_CASE("threads that die are replaced and keep the data") {
    std::vector<int> starts;
    run_threads<threads<cluster::restart::always>>(
        [&](auto& primary) {
            primary.on_message([&](auto& from, const task& message) {
                starts.push_back(message.n);
                if (starts.size() == 4) {
                    primary.disconnect();
                } else {
                    from.send(task{});
                }
            });
            primary.fork({.data = 5});
        },
        [](auto& self) {
            self.send(task{self.template data<int>()});
            self.on_message([](const task&) { throw 1; });
        });
    CHECK(starts == std::vector<int>{5, 5, 5, 5});
}

TEST_CASE("threads share a port whoever accepts") {
    auto serve = [](auto tag, const char* what) {
        INFO(what);
        using cluster_type = typename decltype(tag)::type;
        std::set<std::string> served;
        std::size_t answers = 0;
        int code = run_threads<cluster_type>(
            [&](auto& primary) {
                primary.on(cluster::event::listening, [&](auto&, const cluster::address& at) {
                    for (auto& each : primary.workers()) {
                        if (each.state() != cluster::worker_state::listening) {
                            return;
                        }
                    }
                    scenario::ask_in_turn(primary, at, 40, [&](const auto& all) {
                        for (const auto& each : all) {
                            answers += each != "refused" && !each.empty() ? 1U : 0U;
                            served.insert(each);
                        }
                        primary.shutdown();
                    });
                });
                primary.fork(3);
            },
            [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
        CHECK(code == 0);
        CHECK(answers == 40);
        CHECK(served.size() >= 1);
    };
    serve(std::type_identity<threads<>>{}, "round_robin");
    serve(std::type_identity<threads<cluster::scheduling::shared_socket>>{}, "shared_socket");
    serve(std::type_identity<threads<cluster::scheduling::reuse_port>>{}, "reuse_port");
    serve(std::type_identity<threads<cluster::scheduling::least_loaded_kernel>>{}, "kernel");
    serve(std::type_identity<threads<cluster::scheduling::sticky<>>>{}, "sticky");
}

TEST_CASE("a reload replaces threads by fresh ones of the next generation") {
    std::set<std::uint32_t> generations;
    cluster::reload_report report;
    run_threads<threads<>>(
        [&](auto& primary) {
            primary.on_message([&](auto&, const task& message) {
                generations.insert(static_cast<std::uint32_t>(message.n));
            });
            primary.when_ready([&] {
                primary.reload({}, [&](const cluster::reload_report& how) {
                    report = how;
                    primary.shutdown();
                });
            });
            primary.fork(2);
        },
        [](auto& self) {
            self.send(task{static_cast<int>(self.generation())});
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
        });
    CHECK_MESSAGE(report.ok(), report.reason());
    CHECK(report.replaced() == 2);
    CHECK(generations == std::set<std::uint32_t>{1, 2});
}

TEST_CASE("a thread that does not answer is given up and replaced while it goes on") {
    std::atomic<bool> release{false};
    std::atomic<int> left{0};
    bool replaced = false;
    cluster::exit_status end;
    run_threads<threads<cluster::restart::always>>(
        [&](auto& primary) {
            primary.supervise({.stalled_after = 100ms, .replaced_after = 300ms});
            primary.on(cluster::event::exit, [&](auto& one, const cluster::exit_status& status) {
                if (one.id() == 1) {
                    end = status;
                }
            });
            primary.on_message([&](auto& from, const task&) {
                if (from.id() != 1) {
                    replaced = true;
                    release = true;
                    primary.shutdown();
                }
            });
            primary.fork();
        },
        [&release, &left](auto& self) {
            self.send(task{});
            if (self.id() == 1) {
                self.after(1ms, [&] {
                    while (!release) { // deaf to its token, too
                        std::this_thread::yield();
                    }
                    ++left;
                });
            }
        });
    CHECK(replaced);
    CHECK(end.reason() == cluster::exit_reason::unresponsive);
    CHECK(scenario::eventually([&] { return left == 1; }));
}

TEST_CASE("a primary that ends stops its threads and waits for them") {
    std::atomic<int> stopped{0};
    int code = run_threads<threads<>>(
        [&](auto& primary) {
            primary.on_message([&primary](auto&, const task&) { primary.stop(3); });
            primary.fork(2);
        },
        [&stopped](auto& self) {
            struct leaving {
                std::atomic<int>& count;
                ~leaving() { ++count; }
            } guard{stopped};
            self.send(task{});
            self.flush();
            while (!self.stop_token().stop_requested()) {
                std::this_thread::yield();
            }
        });
    CHECK(code == 3);
    CHECK(stopped == 2);
}

TEST_CASE("stats tell the processor time of each thread and no memory") {
    bool seen = false;
    run_threads<threads<>>(
        [&](auto& primary) {
            primary.on_message([&](auto&, const task&) {
                auto now = primary.stats();
                REQUIRE(now.workers.size() == 1);
                CHECK(now.workers[0].resident_bytes == 0);
                CHECK(now.workers[0].cpu_time > 0ns);
                seen = true;
                primary.shutdown();
            });
            primary.fork();
        },
        [](auto& self) {
            timespec used{};
            while (used.tv_nsec < 30'000'000 && used.tv_sec == 0) { // its own processor time
                ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
            }
            self.send(task{});
        });
    CHECK(seen);
}

TEST_CASE("a message to a thread is the object itself") {
    struct picture {
        explicit picture(std::size_t size) : pixels(new char[size]), at(pixels.get()) {}
        std::unique_ptr<char[]> pixels; // neither copied nor encoded
        const char* at;
    };
    const char* sent = nullptr;
    const char* returned = nullptr;
    run_threads<threads<>>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            primary.on_message([&](auto& from, const std::shared_ptr<picture>& back) {
                returned = back->pixels.get();
                from.disconnect();
            });
            picture one{1000};
            sent = one.at;
            CHECK(worker.send(std::move(one)) == cluster::send_result::ok);
        },
        [](auto& self) {
            self.on_message(
                [&self](picture&& got) { self.send(std::make_shared<picture>(std::move(got))); });
        });
    CHECK(sent != nullptr);
    CHECK(returned == sent);
}

TEST_CASE("ten thousand messages each way between threads keep their order") {
    struct tick {
        int n = 0;
    };
    const int count = 10'000;
    auto run = [count](auto tag) {
        using cluster_type = typename decltype(tag)::type;
        int expected = 0;
        bool in_order = true;
        run_threads<cluster_type>(
            [&](auto& primary) {
                auto& worker = primary.fork();
                worker.on_message([&](const tick& got) {
                    in_order = in_order && got.n == expected;
                    if (++expected == count) {
                        worker.disconnect();
                    }
                });
                for (int i = 0; i != count; ++i) {
                    worker.send(tick{i});
                }
            },
            [](auto& self) { self.on_message([&self](const tick& got) { self.send(got); }); });
        CHECK(expected == count);
        CHECK(in_order);
    };
    run(std::type_identity<threads<>>{});
    run(std::type_identity<cluster::compose<cluster::backend::serializing_thread>>{});
}

TEST_CASE("a thread that does not read holds its primary up at the marks and loses nothing") {
    std::atomic<bool> go{false};
    std::size_t sent = 0;
    std::size_t got = 0;
    bool drained = false;
    std::string text(60'000, 'x');
    run_threads<threads<>>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::drain, [&] {
                if (!std::exchange(drained, true)) {
                    worker.send(std::string{"end"});
                }
            });
            worker.on_message([&](const std::size_t& count) {
                got = count;
                worker.disconnect();
            });
            while (worker.send(text) == cluster::send_result::ok) {
                ++sent;
            }
            ++sent; // that one was queued
            CHECK(sent < 20);
            go = true;
        },
        [&go](auto& self) {
            while (!go) {
                std::this_thread::yield();
            }
            auto count = std::make_shared<std::size_t>(0);
            self.on_message([&self, count](const std::string& arrived) {
                if (arrived == "end") {
                    self.send(*count);
                } else {
                    ++*count;
                }
            });
        });
    CHECK(drained);
    CHECK(got == sent);
}

TEST_CASE("a descriptor goes to a thread and back") {
    std::string seen;
    run_threads<threads<>>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on_message([&](const task&, cluster::handle back) {
                seen = back.is_connection() ? "a connection" : "nothing";
                worker.disconnect();
            });
            scenario::socket_pair pair;
            worker.send(task{1}, cluster::handle{std::move(pair.first)});
        },
        [](auto& self) {
            self.on_message([&self](const task& work, cluster::handle passed) {
                self.send(work, std::move(passed));
            });
        });
    CHECK(seen == "a connection");
}
