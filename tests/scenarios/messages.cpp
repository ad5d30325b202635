// SPDX-License-Identifier: MIT
// Acceptance scenarios 3 to 11: messages.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;
using cluster::send_result;

namespace {

struct config {
    std::string type;
    std::uint16_t port = 0;
    bool operator==(const config&) const = default;
};
struct ready {
    std::string type;
    int pid = 0;
};
struct numbered {
    std::uint32_t number = 0;
};
struct news {
    std::string text;
};
struct tell {};
struct count_of {
    std::uint32_t number = 0;
    bool ordered = true;
};
struct payload {
    std::uint32_t number = 0;
    std::string bytes;
};

} // namespace

CLUSTER_CASE_ON(all_transports,
                "scenario 3: typed messages arrive once and in order in both directions") {
    constexpr std::uint32_t many = 10'000;
    std::vector<std::string> answers;
    std::vector<std::uint32_t> at_worker;
    std::vector<std::uint32_t> at_primary;
    count_of other_way;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::online, [&worker] {
                worker.send(config{"config", 3000});
                for (std::uint32_t i = 0; i != many; ++i) {
                    CHECK(worker.send(numbered{i}) <= send_result::queued);
                }
            });
            worker.on_message([&](const ready& message) {
                CHECK(message.pid == worker.pid());
                answers.push_back("worker " + message.type);
            });
            primary.on_message([&](auto& from, const ready& message) {
                CHECK(&from == &worker);
                answers.push_back("cluster " + message.type);
            });
            worker.on_message(
                [&](const numbered& message) { at_worker.push_back(message.number); });
            primary.on_message(
                [&](auto&, const numbered& message) { at_primary.push_back(message.number); });
            worker.on_message([&](const count_of& message) {
                other_way = message;
                worker.disconnect();
            });
        },
        [](auto& self) {
            self.on_message([&self](const config& message) {
                if (message == config{"config", 3000}) {
                    self.send(ready{"ready", self.pid()});
                }
            });
            self.on_message([&self, got = count_of{}](const numbered& message) mutable {
                got.ordered = got.ordered && message.number == got.number;
                self.send(message);
                if (++got.number == many) {
                    self.send(got);
                }
            });
        });
    std::sort(answers.begin(), answers.end());
    CHECK(answers == std::vector<std::string>{"cluster ready", "worker ready"});
    CHECK(other_way.number == many);
    CHECK(other_way.ordered);
    REQUIRE(at_primary.size() == many);
    for (std::uint32_t i = 0; i != many; ++i) {
        REQUIRE(at_primary[i] == i);
    }
    CHECK(at_worker == at_primary);
}

CLUSTER_CASE_ON(all_transports, "scenario 4: a broadcast reaches every worker exactly once") {
    std::map<std::uint32_t, std::uint32_t> copies;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork(4);
            primary.on(cluster::event::online, [&primary, online = 0]() mutable {
                if (++online == 4) {
                    primary.broadcast(news{"shutdown"});
                    primary.broadcast(tell{});
                }
            });
            primary.on_message([&](auto& from, const count_of& message) {
                copies[from.id()] += message.number;
                from.disconnect();
            });
        },
        [](auto& self) {
            auto copies_here = std::make_shared<std::uint32_t>(0);
            self.on_message([copies_here](const news& message) {
                *copies_here += message.text == "shutdown" ? 1U : 100U;
            });
            self.on_message(
                [&self, copies_here](const tell&) { self.send(count_of{*copies_here}); });
        });
    CHECK(copies == std::map<std::uint32_t, std::uint32_t>{{1, 1}, {2, 1}, {3, 1}, {4, 1}});
}

CLUSTER_CASE_ON(all_transports,
                "scenario 5: a worker's news reaches all the others and not itself") {
    std::map<std::uint32_t, std::uint32_t> by_handler;
    std::map<std::uint32_t, std::uint32_t> by_library;
    run_on<Backend>(
        [&](auto& primary) {
            primary.fork(4);
            primary.on(cluster::event::online, [&primary, online = 0]() mutable {
                if (++online == 4) {
                    primary.workers().find(2)->send(tell{}); // first tell: the second one speaks
                }
            });
            primary.on_message([&primary](auto& from, const news& message) {
                for (auto& each : primary.workers()) {
                    if (&each != &from) {
                        each.send(message);
                    }
                }
            });
            primary.on_message([&primary](const ready&) { primary.broadcast(tell{}); });
            primary.on_message([&](auto& from, const count_of& message) {
                by_handler[from.id()] += message.number % 100;
                by_library[from.id()] += message.number / 100;
                from.disconnect();
            });
        },
        [](auto& self) {
            auto got = std::make_shared<std::uint32_t>(0);
            self.on_message([got](const news& message) {
                *got += message.text == "by handler" ? 1U : 0U;
                *got += message.text == "by library" ? 100U : 0U;
            });
            self.on_message([&self, got, told = 0](const tell&) mutable {
                if (self.id() == 2 && told++ == 0) {
                    self.send(news{"by handler"});      // as in Node: the primary sends it on
                    self.broadcast(news{"by library"}); // the library does it
                    self.send(ready{});
                } else {
                    self.send(count_of{*got});
                }
            });
        });
    std::map<std::uint32_t, std::uint32_t> expected{{1, 1}, {2, 0}, {3, 1}, {4, 1}};
    CHECK(by_handler == expected);
    CHECK(by_library == expected);
}

CLUSTER_CASE_ON(all_transports,
                "scenario 6: a message sent before the worker is online waits for a late handler") {
    std::vector<std::string> got;
    run_on<Backend>(
        [&](auto& primary) {
            primary.on(cluster::event::fork, [](auto& worker) {
                CHECK(worker.send(news{"early"}) == send_result::ok);
                CHECK(worker.send(news{"bird"}) == send_result::ok);
            });
            primary.on_message([&](auto& from, const news& message) {
                got.push_back(message.text);
                if (got.size() == 2) {
                    from.disconnect();
                }
            });
            primary.fork();
        },
        [](auto& self) {
            auto unhandled = std::make_shared<int>(0);
            self.on(cluster::event::unhandled_message, [unhandled] { ++*unhandled; });
            self.after(200ms, [&self, unhandled] {
                self.on_message([&self, unhandled](const news& message) {
                    self.send(news{message.text + ' ' + std::to_string(*unhandled)});
                });
            });
        });
    CHECK(got == std::vector<std::string>{"early 2", "bird 2"});
}

CLUSTER_CASE_ON(all_transports,
                "scenario 7: payloads of every size and of every byte come back identical") {
    std::vector<std::string> sent;
    for (std::size_t size : std::initializer_list<std::size_t>{
             0, 1, 65'535, 65'536, 65'537, 800'004, 16 * 1024 * 1024, 2}) {
        sent.emplace_back(size, '\0');
        for (std::size_t i = 0; i != size; ++i) {
            sent.back()[i] = static_cast<char>(i * 31 + i / 256); // with NUL and newline
        }
    }
    sent.emplace_back();
    for (int i = 0; i != 256; ++i) {
        sent.back() += static_cast<char>(i);
    }
    std::vector<std::string> got;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            for (std::size_t i = 0; i != sent.size(); ++i) {
                worker.send(payload{static_cast<std::uint32_t>(i), sent[i]});
            }
            worker.on_message([&](const payload& message) {
                CHECK(message.number == got.size());
                got.push_back(message.bytes);
                if (got.size() == sent.size()) {
                    worker.disconnect();
                }
            });
        },
        [](auto& self) {
            self.on_message([&self](const payload& message) { self.send(message); });
        });
    REQUIRE(got.size() == sent.size());
    for (std::size_t i = 0; i != sent.size(); ++i) {
        CHECK(got[i] == sent[i]);
    }
}

CLUSTER_CASE_ON(all_transports,
                "scenario 8: a worker that does not read slows the sender down and loses nothing") {
    constexpr std::size_t size = 60'000;
    std::vector<send_result> results;
    std::uint32_t next = 0;
    int drains = 0;
    count_of end;
    auto send_some = [&](auto& worker, std::uint32_t most) {
        while (next != most) {
            results.push_back(worker.send(payload{next, std::string(size, 'x')}));
            if (results.back() != send_result::ok && results.back() != send_result::queued) {
                break; // not sent: the same number again at the drain event
            }
            ++next;
        }
    };
    std::uint32_t sent_before_drain = 0;
    side_sockets<Backend> beside;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork(beside.for_worker());
            worker.on_message([&](const ready&) { // it has gone to sleep in a handler
                send_some(worker, 100'000);
                sent_before_drain = next;
                beside.write('!');
            });
            worker.on(cluster::event::drain, [&] {
                if (++drains == 1) {
                    send_some(worker, next + 10);
                    worker.send(tell{});
                }
            });
            worker.on_message([&](const count_of& message) {
                end = message;
                worker.disconnect();
            });
        },
        [](auto& self) {
            auto got = std::make_shared<count_of>();
            self.on_message([got](const payload& message) {
                got->ordered = got->ordered && message.number == got->number &&
                               message.bytes == std::string(size, 'x');
                ++got->number;
            });
            self.on_message([&self, got](const tell&) { self.send(*got); });
            self.send(ready{});
            self.flush();
            char byte = 0;
            expect_in_worker(::read(self.template data<int>(), &byte, 1) == 1, 3);
        });
    REQUIRE(results.size() > sent_before_drain);
    CHECK(results.front() == send_result::ok);
    // All but what 128 KiB and the socket's buffer hold.
    CHECK(std::count(results.begin(), results.end(), send_result::queued) > 900);
    CHECK(results[sent_before_drain] == send_result::full);
    constexpr std::size_t limit = 64 * 1024 * 1024;
    CHECK(sent_before_drain * size > limit - size);
    CHECK(sent_before_drain * size <
          limit + 4'000'000); // what the socket's buffer takes comes on top
    CHECK(drains >= 1);
    CHECK(end.number == sent_before_drain + 10);
    CHECK(end.ordered);
}

TEST_CASE("scenario 9: what a worker sent before it ended arrives before its exit") {
    std::map<std::string, std::vector<std::string>> seen;
    run_case<cluster::process_cluster>(
        "scenario 9: what a worker sent before it ended arrives before its exit",
        [&](auto& primary) {
            primary.on_message([&](auto& from, const payload& message) {
                seen[from.name()].push_back(std::to_string(message.number) + ':' +
                                            std::to_string(message.bytes.size()));
            });
            primary.on(cluster::event::disconnect,
                       [&](auto& worker) { seen[worker.name()].push_back("disconnect"); });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                seen[worker.name()].push_back(status.to_string());
            });
            for (const char* way :
                 {"std::exit", "std::exit in a handler", "stop", "close", "kill"}) {
                primary.fork({.name = way}).send(tell{});
            }
        },
        [](auto& self) {
            auto send_all = [&self] {
                for (std::uint32_t i = 0; i != 1000; ++i) {
                    self.send(payload{i, std::string(1000, 'x')});
                }
                self.send(payload{1000, std::string(1'000'000, 'x')});
            };
            if (self.name() == "std::exit") {
                send_all();
                std::exit(0);
            }
            self.on_message([&self, send_all](const tell&) {
                send_all();
                if (self.name() == "stop") {
                    self.stop(0);
                } else if (self.name() == "close") {
                    self.close();
                } else if (self.name() == "kill") {
                    self.kill();
                } else {
                    std::exit(0);
                }
            });
        });
    std::vector<std::string> expected;
    for (int i = 0; i != 1000; ++i) {
        expected.push_back(std::to_string(i) + ":1000");
    }
    expected.insert(expected.end(), {"1000:1000000", "disconnect", "exit code 0"});
    CHECK(seen.size() == 5);
    for (const auto& [way, what] : seen) {
        CAPTURE(way);
        CHECK(what.size() == expected.size());
        CHECK(what == expected);
    }
}

// In C++ the user's handler for exceptions is the code around run(), which is called again.
TEST_CASE("scenario 10: handlers that throw lose no message") {
    cluster::process_cluster app{program::argc, program::argv};
    if (app.is_worker()) {
        auto& self = app.self();
        std::uint32_t thrown = 0;
        self.on_message([](const numbered&) { throw std::runtime_error("worker"); });
        self.on_message([&](const tell&) { self.send(count_of{thrown}); });
        self.on_message([&](const config&) {
            for (std::uint32_t i = 0; i != 10; ++i) {
                self.send(numbered{i});
            }
            self.send(tell{});
        });
        for (;;) {
            try {
                std::exit(app.run());
            } catch (const std::runtime_error&) {
                ++thrown;
            }
        }
    }
    auto& primary = app.primary();
    primary.setup(
        {.arguments = {"--worker-case", "scenario 10: handlers that throw lose no message"}});
    std::vector<std::uint32_t> got;
    std::uint32_t thrown = 0;
    count_of thrown_in_worker;
    auto& worker = primary.fork();
    for (std::uint32_t i = 0; i != 10; ++i) {
        worker.send(numbered{i});
    }
    worker.send(tell{});
    worker.on_message([&](const count_of& message) {
        thrown_in_worker = message;
        worker.send(config{});
    });
    worker.on_message([&](const numbered& message) {
        got.push_back(message.number);
        throw std::runtime_error("primary");
    });
    worker.on_message([&](const tell&) { worker.disconnect(); });
    bool late = false;
    primary.after(patience(), [&] { late = true, primary.stop(); }).unref();
    for (bool again = true; again;) {
        try {
            app.run();
            again = false;
        } catch (const std::runtime_error& error) {
            CHECK(std::string{error.what()} == "primary");
            ++thrown;
        }
    }
    CHECK_FALSE(late);
    CHECK(thrown_in_worker.number == 10);
    CHECK(thrown == 10);
    CHECK(got == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(worker.status().success());
}

// A thread whose handler throws has ended; what the primary's handlers throw is the same.
TEST_CASE("scenario 10: handlers that throw lose no message on threads") {
    cluster::compose<cluster::backend::thread> app{program::argc, program::argv};
    std::vector<std::uint32_t> got;
    std::uint32_t thrown = 0;
    auto primary_main = [&](auto& primary) {
        auto& worker = primary.fork();
        worker.on_message([&](const numbered& message) {
            got.push_back(message.number);
            throw std::runtime_error("primary");
        });
        worker.on_message([&](const tell&) { worker.disconnect(); });
        primary.after(patience(), [&] { primary.stop(-1); }).unref();
    };
    auto worker_main = [](auto& self) {
        for (std::uint32_t i = 0; i != 10; ++i) {
            self.send(numbered{i});
        }
        self.send(tell{});
    };
    for (int code = -2; code == -2;) {
        try {
            code = thrown == 0 ? app.run(primary_main, worker_main) : app.run();
            CHECK(code == 0);
        } catch (const std::runtime_error&) {
            ++thrown;
        }
    }
    CHECK(thrown == 10);
    CHECK(got == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("scenario 11: sending to a worker that leaves or is dead is a value and no catastrophe") {
    std::vector<std::string> told;
    int settled = 0;
    run_case<cluster::process_cluster>(
        "scenario 11: sending to a worker that leaves or is dead is a value and no catastrophe",
        [&](auto& primary) {
            auto& worker = primary.fork({.name = "leaves"});
            auto& killed = primary.fork({.name = "killed"});
            killed.on(cluster::event::online, [&] {
                killed.kill(SIGKILL); // it is dead long before the primary hears of it
                for (int i = 0; i != 100; ++i) {
                    killed.send(payload{0, std::string(10'000, 'x')},
                                [&](std::error_code) { ++settled; });
                }
            });
            worker.on(cluster::event::online, [&] {
                primary.disconnect();
                CHECK_FALSE(worker.is_connected());
                worker.send(news{"too late?"}, [&](std::error_code) { ++settled; });
            });
            primary.on(cluster::event::exit, [&](auto& dead) {
                std::string name = dead.name();
                auto result = dead.send(news{"hello?"}, [&told, name](std::error_code error) {
                    told.push_back(name + " message: " + error.message());
                });
                CHECK(result == send_result::closed);
                dead.template request<int>(
                    news{"hello?"}, [&told, name](cluster::result<int> answer) {
                        told.push_back(name + " request: " + answer.error().message());
                    });
                dead.disconnect();
                dead.close();
                CHECK(dead.kill(SIGKILL) == std::errc::no_such_process);
                primary.broadcast(news{"anybody?"});
            });
        },
        [](auto&) {});
    std::sort(told.begin(), told.end());
    CHECK(told == std::vector<std::string>{"killed message: the channel is closed",
                                           "killed request: the channel is closed",
                                           "leaves message: the channel is closed",
                                           "leaves request: the channel is closed"});
    CHECK(settled == 101); // each completion once, whatever became of the message
}

// Bytes are copied for the first handler that wants a string of its own, and for nobody else.
CLUSTER_CASE_ON(all_transports, "handlers may look at a text where it has arrived") {
    const std::string much(100'000, 'm');
    std::vector<std::string> got;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.send(much);
            worker.on_message([&](std::string_view text) { got.emplace_back(text.substr(0, 10)); });
            worker.on_message([&](std::string&& text) {
                got.push_back(std::move(text));
                text.clear();
            });
            worker.on_message([&](auto& from, const std::string_view& text) {
                got.emplace_back(text);
                if (got.size() == 3) {
                    from.disconnect();
                }
            });
        },
        [](auto& self) {
            self.on_message([&self](std::string_view text, cluster::handle passed) {
                self.send(std::string{text.substr(0, 1)} + std::to_string(text.size()) +
                          (passed ? " and more" : ""));
            });
        });
    // What the second has taken is gone for the third.
    CHECK(got == std::vector<std::string>{"m100000", "m100000", ""});
}
