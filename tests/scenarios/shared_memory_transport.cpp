// SPDX-License-Identifier: MIT
// What only transport::shared_memory has: rings that outlive their writer, and a system without the
// memory. That messages are otherwise as they are through the socket is in messages.cpp, handles.cpp
// and tests/node.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"
#include "../support/socket_pair.hpp"

#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

using by_memory = cluster::backend::basic_process<cluster::transport::shared_memory>;
using by_forked_memory = cluster::backend::basic_fork<cluster::transport::shared_memory>;
using looking_out = cluster::backend::basic_process<cluster::transport::basic_shared_memory<
    cluster::transport::shared_memory_options{.spin_microseconds = 50}>>;

struct payload {
    std::uint32_t number = 0;
    std::string bytes;
};
struct is_mapped {
    bool yes = false;
};

// Whether this process has the rings of a transport: memory of our name that is mapped more than the
// one page of the control page.
bool has_rings() {
    std::ifstream maps{"/proc/self/maps"};
    int mappings = 0;
    for (std::string line; std::getline(maps, line);) {
        mappings += line.find("memfd:cluster") != std::string::npos ? 1 : 0;
    }
    return mappings > 2;
}

/// 10,000 messages each way at a time, of changing sizes, in order.
template <typename Backend>
void exchange_many() {
    constexpr std::uint32_t messages = 10'000;
    std::uint32_t there = 0;
    std::uint32_t back = 0;
    bool mapped = false;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            for (std::uint32_t i = 0; i != messages; ++i) {
                worker.send(payload{i, std::string(i % 500, 'p')});
            }
            primary.on_message([&](const payload& message) {
                CHECK(message.number == back++);
                CHECK(message.bytes.size() == message.number % 700);
            });
            primary.on_message([&](auto& from, const is_mapped& said) {
                mapped = said.yes;
                there = messages;
                from.disconnect();
            });
        },
        [](auto& self) {
            for (std::uint32_t i = 0; i != messages; ++i) {
                self.send(payload{i, std::string(i % 700, 'w')});
            }
            auto expected = std::make_shared<std::uint32_t>(0);
            self.on_message([&self, expected](const payload& message) {
                expect_in_worker(message.number == *expected, 1);
                expect_in_worker(message.bytes.size() == message.number % 500, 2);
                if (++*expected == messages) {
                    self.send(is_mapped{has_rings()});
                }
            });
        });
    CHECK(there == messages);
    CHECK(back == messages);
    CHECK(mapped);
}

} // namespace

TEST_CASE("ten thousand messages each way through shared memory arrive in order") {
    exchange_many<by_memory>();
}
TEST_CASE("ten thousand messages each way through shared memory arrive in order on forks") {
    exchange_many<by_forked_memory>();
}
TEST_CASE("ten thousand messages each way arrive in order for loops that look out for them") {
    exchange_many<looking_out>();
}

// It is dead before the primary reads: nobody has rung, and the ring is full.
TEST_CASE("what a killed worker has written to its ring arrives before its exit") {
    constexpr std::uint32_t messages = 200;
    std::vector<std::string> seen;
    run_on<by_memory>(
        [&](auto& primary) {
            primary.on(cluster::event::online, [&](auto& worker) {
                auto dead = [&] { return scenario::is_gone(worker.pid()); };
                CHECK(scenario::eventually(dead, patience() / 4)); // nothing is read meanwhile
            });
            primary.on_message([&](const payload& message) {
                seen.push_back(std::to_string(message.number) + ':' +
                               std::to_string(message.bytes.size()));
            });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                seen.push_back(status.to_string());
            });
            primary.fork();
        },
        [](auto& self) {
            for (std::uint32_t i = 0; i != messages; ++i) {
                self.send(payload{i, std::string(1000, 'x')});
            }
            self.flush();
            ::raise(SIGKILL);
        });
    std::vector<std::string> expected;
    for (std::uint32_t i = 0; i != messages; ++i) {
        expected.push_back(std::to_string(i) + ":1000");
    }
    expected.push_back("killed by SIGKILL");
    CHECK(seen == expected);
}

TEST_CASE("a stopped worker with a full ring slows its primary down and loses nothing") {
    constexpr std::uint32_t messages = 100;
    std::uint32_t received = 0;
    bool drained = false;
    auto result = cluster::send_result::ok;
    run_on<by_memory>(
        [&](auto& primary) {
            primary.on(cluster::event::drain, [&](auto&) { drained = true; });
            primary.on(cluster::event::ready, [&](auto& worker) {
                worker.kill(SIGSTOP);
                auto stopped = [&worker] { return scenario::process_state(worker.pid()) == 'T'; };
                scenario::when(primary, stopped, [&] {
                    for (std::uint32_t i = 0; i != messages; ++i) {
                        result = worker.send(payload{i, std::string(50'000, 'x')});
                    }
                    CHECK_FALSE(drained);
                    worker.kill(SIGCONT);
                });
            });
            primary.on_message([&](auto& worker, const payload& message) {
                CHECK(message.number == received);
                if (++received == messages) {
                    worker.disconnect();
                }
            });
            primary.fork();
        },
        [](auto& self) {
            self.on_message([&self](const payload& message) { self.send(message); });
            self.ready();
        });
    CHECK(result == cluster::send_result::queued);
    CHECK(received == messages);
    CHECK(drained);
}

TEST_CASE("sixteen workers have rings of their own") {
    constexpr std::uint32_t workers = 16;
    constexpr std::uint32_t rounds = 100;
    std::map<std::uint32_t, std::uint32_t> answers;
    auto before = scenario::open_descriptors();
    run_on<by_memory>(
        [&](auto& primary) {
            primary.on_message([&](auto& worker, const payload& message) {
                CHECK(message.bytes == std::to_string(worker.id()));
                if (++answers[worker.id()] == rounds) {
                    worker.disconnect();
                } else {
                    worker.send(payload{message.number + 1, message.bytes});
                }
            });
            for (std::uint32_t i = 0; i != workers; ++i) {
                auto& worker = primary.fork();
                worker.send(payload{0, std::to_string(worker.id())});
            }
        },
        [](auto& self) {
            self.on_message([&self](const payload& message) {
                expect_in_worker(message.bytes == std::to_string(self.id()), 1);
                self.send(message);
            });
        });
    CHECK(answers.size() == workers);
    for (const auto& [id, count] : answers) {
        CHECK(count == rounds);
    }
    CHECK(scenario::open_descriptors() == before);
}

// A file may have no more than the control page needs.
TEST_CASE("without the memory the socket carries everything and capabilities say why") {
    bool mapped = true;
    std::uint32_t received = 0;
    run_on<by_memory>(
        [&](auto& primary) {
            CHECK_FALSE(cluster::capabilities().shared_memory);
            rlimit before{};
            ::getrlimit(RLIMIT_FSIZE, &before);
            rlimit little{64 * 1024, before.rlim_max};
            ::setrlimit(RLIMIT_FSIZE, &little);
            CHECK(cluster::capabilities().shared_memory == std::errc::file_too_large);
            primary.fork();
            ::setrlimit(RLIMIT_FSIZE, &before);
            primary.on_message([&](const payload&) { ++received; });
            primary.on_message([&](auto& worker, const is_mapped& said) {
                mapped = said.yes;
                worker.disconnect();
            });
        },
        [](auto& self) {
            for (std::uint32_t i = 0; i != 1000; ++i) {
                self.send(payload{i, "x"});
            }
            self.send(is_mapped{has_rings()});
        });
    CHECK(received == 1000);
    CHECK_FALSE(mapped);
}

// Each cuts itself off; the honest worker beside them does not notice.
TEST_CASE("a worker that breaks the rules of its memory costs its own channel and nobody else") {
    const std::vector<std::string> ways{"ring-written",
                                        "ring-read",
                                        "ring-garbage",
                                        "ring-length",
                                        "ring-descriptors",
                                        "ring-bells",
                                        "ring-socket-frame"};
    std::map<std::string, std::size_t> errors;
    std::map<std::string, std::string> ends;
    std::uint32_t answers = 0;
    run_on<by_memory>(
        [&](auto& primary) {
            primary.on(cluster::event::error,
                       [&](auto& worker, const std::error_code&) { ++errors[worker.name()]; });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ends[worker.name()] = status.to_string();
                if (ends.size() == ways.size()) {
                    primary.workers().at(0).disconnect();
                }
            });
            primary.on_message([&](auto& worker, const payload& message) {
                ++answers;
                worker.send(message);
            });
            auto& honest = primary.fork({.name = "honest"});
            honest.send(payload{1, "there and back"});
            for (const auto& each : ways) {
                primary.fork(
                    {.executable = FIXTURE_HOSTILE_WORKER, .arguments = {each}, .name = each});
            }
        },
        [](auto& self) {
            self.on_message([&self](const payload& message) { self.send(message); });
        });
    for (const auto& each : ways) {
        CAPTURE(each);
        CHECK(errors[each] == 1);
        CHECK(ends[each] == "killed by SIGKILL");
    }
    CHECK(ends["honest"] == "exit code 0");
    CHECK(answers > 0);
}
