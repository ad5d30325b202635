// SPDX-License-Identifier: MIT
// Acceptance scenarios 24, 26, 41 and 42: connections and sockets on their way to a worker.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct note {
    std::uint32_t number = 0;
    std::string text;
};
struct close_server {};

bool write_text(int fd, const std::string& text) {
    return ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// What can be read at once or within the test's patience; "" at the end of the stream.
std::string read_text(int fd) {
    char buffer[256];
    pollfd ready{fd, POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(std::chrono::milliseconds{patience()}.count()));
    auto size = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    return size <= 0 ? std::string{} : std::string{buffer, static_cast<std::size_t>(size)};
}

} // namespace

// A process is frozen by a signal and killed by another; a thread hangs, and is given up for it.
CLUSTER_CASE_ON(
    all_transports,
    "scenario 24: a connection that a frozen worker never took is answered by another") {
    constexpr std::size_t clients = 6;
    std::vector<std::string> answers;
    bool ended = false;
    std::size_t baseline = 0;
    std::size_t answered_before_the_end = 0;
    side_sockets<Backend> beside;
    run_on<Backend>(
        [&](auto& primary) {
            if constexpr (!Backend::separate_memory) {
                primary.supervise({.stalled_after = 200ms, .replaced_after = 600ms});
            }
            auto connect = [&](const cluster::address& at) {
                for (std::size_t i = 0; i != clients; ++i) {
                    scenario::ask(primary, at, "?", [&](const std::string& answer) {
                        answers.push_back(answer);
                        if (answers.size() == clients / 2) {
                            answered_before_the_end = answers.size();
                            if constexpr (Backend::separate_memory) {
                                primary.workers().find(2)->kill(SIGKILL);
                            }
                        }
                    });
                }
                auto answered = [&] { return ended && answers.size() == clients; };
                auto nothing_left = [&] { return scenario::open_descriptors() == baseline; };
                scenario::when(primary, answered, [&, nothing_left] {
                    beside.write('!'); // a thread that was given up has to come to its end
                    scenario::when(primary, nothing_left, [&] { primary.disconnect(); });
                });
            };
            primary.on(cluster::event::listening,
                       [&, connect](auto& worker, const cluster::address& at) {
                           if (worker.id() == 1) {
                               baseline = scenario::open_descriptors();
                               primary.fork(beside.for_worker());
                           } else if constexpr (Backend::separate_memory) {
                               worker.kill(SIGSTOP);
                               auto stopped = [&worker] {
                                   return scenario::process_state(worker.pid()) == 'T';
                               };
                               scenario::when(primary, stopped, [connect, at] { connect(at); });
                           } else {
                               // It reads this before the connections, and sleeps in the handler.
                               worker.send(close_server{});
                               connect(at);
                           }
                       });
            primary.on(cluster::event::exit, [&](auto& worker) { ended |= worker.id() == 2; });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self));
            self.on_message([&self](const close_server&) {
                char byte = 0;
                expect_in_worker(::read(self.template data<int>(), &byte, 1) == 1, 3);
            });
        });
    CHECK(answered_before_the_end == clients / 2); // the healthy worker's own half
    CHECK(answers == std::vector<std::string>(clients, "1"));
}

CLUSTER_CASE_ON(all_transports,
                "scenario 26: a connection on its way to a closed server goes to another worker") {
    constexpr std::size_t clients = 6;
    std::vector<std::string> answers;
    std::size_t baseline = 0;
    bool closed = false;
    side_sockets<Backend> beside;
    run_on<Backend>(
        [&](auto& primary) {
            auto finish = [&] {
                scenario::when(
                    primary,
                    [&] { return closed && scenario::open_descriptors() == baseline; },
                    [&] { primary.disconnect(); });
            };
            auto go = [&, finish](const cluster::address& at) {
                // It reads this before the connections, and sleeps in the handler.
                primary.workers().find(2)->send(close_server{});
                for (std::size_t i = 0; i != clients; ++i) {
                    scenario::ask(primary, at, "?", [&, finish](const std::string& answer) {
                        answers.push_back(answer);
                        if (answers.size() == clients / 2) {
                            beside.write('!');
                        } else if (answers.size() == clients) {
                            finish();
                        }
                    });
                }
            };
            primary.on_message([&](const close_server&) { closed = true; });
            primary.on(cluster::event::listening,
                       [&, go, listening = 0](auto&, const cluster::address& at) mutable {
                           if (++listening == 2) {
                               baseline = scenario::open_descriptors();
                               go(at);
                           }
                       });
            primary.fork(2, beside.for_worker());
        },
        [](auto& self) {
            auto& server = self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self));
            self.on_message([&self, &server](const close_server& message) {
                char byte = 0;
                expect_in_worker(::read(self.template data<int>(), &byte, 1) == 1, 3);
                server.close();
                self.send(message);
            });
        });
    CHECK(answers == std::vector<std::string>(clients, "1"));
}

CLUSTER_CASE_ON(
    all_transports,
    "scenario 26: a connection on its way to the only server is refused when that is closed") {
    constexpr std::size_t clients = 3;
    std::vector<std::string> answers;
    std::size_t baseline = 0;
    bool closed = false;
    side_sockets<Backend> beside;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork(beside.for_worker());
            worker.on_message([&](const close_server&) { closed = true; });
            worker.on(cluster::event::listening, [&](const cluster::address& at) {
                baseline = scenario::open_descriptors();
                // It reads this before the connections, and sleeps in the handler.
                worker.send(close_server{});
                for (std::size_t i = 0; i != clients; ++i) {
                    scenario::ask(primary, at, "?", [&](const std::string& answer) {
                        answers.push_back(answer);
                    });
                }
                // Two descriptors of each connection here, the client's and the accepted one.
                auto accepted = [&] {
                    return scenario::open_descriptors() == baseline + 2 * clients;
                };
                // One less: the listening socket is closed.
                auto over = [&] {
                    return closed && answers.size() == clients &&
                           scenario::open_descriptors() == baseline - 1;
                };
                scenario::when(primary, accepted, [&, over] {
                    beside.write('!');
                    scenario::when(primary, over, [&] { primary.disconnect(); });
                });
            });
        },
        [](auto& self) {
            auto& server = self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self));
            self.on_message([&self, &server](const close_server& message) {
                char byte = 0;
                expect_in_worker(::read(self.template data<int>(), &byte, 1) == 1, 3);
                server.close();
                self.send(message);
            });
        });
    CHECK(answers == std::vector<std::string>(clients, ""));
}

CLUSTER_CASE_ON(
    all_transports,
    "scenario 41: a socket arrives with its message and what was sent before can be read") {
    std::vector<std::string> replies;
    std::string early, both;
    std::size_t baseline = 0;
    bool back_to_baseline = false;
    auto pair_of_sockets = std::make_shared<scenario::socket_pair>();
    auto kept = std::make_shared<scenario::socket_pair>();
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            auto& server = primary.listen({.host = "127.0.0.1"}, [&](cluster::connection accepted) {
                // Accepted and not read: it goes to the worker as it is.
                worker.send(note{1, "accepted"}, std::move(accepted));
                CHECK_FALSE(accepted);
            });
            worker.on(cluster::event::online, [&] {
                scenario::ask(
                    primary, server.address(), "early bytes", [&](const std::string& all) {
                        early = all;
                        cluster::connection other{std::move(kept->second)};
                        worker.send(note{2, "kept open"}, other.duplicate());
                        write_text(other.native_handle(), "primary ");
                        kept->second = other.release(cluster::io::blocking);

                        cluster::connection twice{std::move(pair_of_sockets->second)};
                        worker.send(note{3, "first"}, std::move(twice));
                        worker.send(note{4, "second"}, std::move(twice)); // it has been given away
                        baseline = scenario::open_descriptors();
                    });
            });
            worker.on_message([&](const note& message) {
                replies.push_back(std::to_string(message.number) + ' ' + message.text);
                if (replies.size() == 4) {
                    both = read_text(kept->first.get());
                    // The one that was given away is closed here: one descriptor less at least.
                    back_to_baseline = scenario::open_descriptors() < baseline;
                    server.close();
                    primary.disconnect();
                }
            });
        },
        [](auto& self) {
            self.on_message([&self](const note& message, cluster::handle passed) {
                if (message.number == 1) {
                    bool is_listener = static_cast<bool>(passed.to_listener()); // the wrong type
                    auto client = passed.to_connection();
                    auto text = read_text(client.native_handle());
                    self.attach(std::move(client)).end("got " + text);
                    self.send(note{1, is_listener ? "listener" : text});
                } else if (message.number == 2) {
                    write_text(passed.native_handle(), "worker");
                    self.send(note{2, "written"});
                } else {
                    self.send(note{message.number, passed ? "with" : "without"});
                }
            });
        });
    CHECK(early == "got early bytes");
    CHECK(both == "primary worker");
    CHECK(back_to_baseline);
    CHECK(replies == std::vector<std::string>{"1 early bytes", "2 written", "3 with", "4 without"});
}

CLUSTER_CASE_ON(all_transports,
                "scenario 42: sockets sent in both directions at once all arrive in order") {
    constexpr std::uint32_t count = 150;
    std::vector<std::uint32_t> got;
    std::vector<cluster::send_result> results;
    std::uint32_t good = 0;
    note at_worker;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on_message([&](const note& message, cluster::handle passed) {
                if (message.text == "result") {
                    at_worker = message;
                    worker.disconnect();
                    return;
                }
                got.push_back(message.number);
                bool has_one = message.number % 2 == 0;
                good += has_one == passed.is_connection() &&
                                (!has_one || read_text(passed.native_handle()) == message.text)
                            ? 1U
                            : 0U;
            });
            worker.on(cluster::event::online, [&] {
                worker.send(note{count, "go"});
                for (std::uint32_t i = 0; i != count; ++i) { // every second one without a socket
                    scenario::socket_pair pair;
                    auto text = "to worker " + std::to_string(i);
                    write_text(pair.first.get(), text);
                    auto handle = i % 2 == 0 ? std::move(pair.second) : cluster::unique_fd{};
                    results.push_back(worker.send(note{i, text}, std::move(handle)));
                }
            });
        },
        [](auto& self) {
            auto next = std::make_shared<std::uint32_t>(0);
            self.on_message([&self, next](const note& message, cluster::handle passed) {
                if (message.text == "go") {
                    for (std::uint32_t i = 0; i != message.number; ++i) {
                        scenario::socket_pair pair;
                        auto text = "to primary " + std::to_string(i);
                        write_text(pair.first.get(), text);
                        auto handle = i % 2 == 0 ? std::move(pair.second) : cluster::unique_fd{};
                        self.send(note{i, text}, std::move(handle));
                    }
                    return;
                }
                bool expects = message.number % 2 == 0;
                bool right = message.number == *next && expects == passed.is_connection() &&
                             (!expects || read_text(passed.native_handle()) == message.text);
                *next += right ? 1U : 0U;
                if (message.number == count - 1) {
                    self.send(note{*next, "result"});
                }
            });
        });
    CHECK(at_worker.number == count);
    CHECK(good == count);
    REQUIRE(got.size() == count);
    for (std::uint32_t i = 0; i != count; ++i) {
        CHECK(got[i] == i);
    }
    CHECK(std::all_of(results.begin(), results.end(), [](auto each) {
        return each == cluster::send_result::ok;
    }));
}

CLUSTER_CASE_ON(all_transports, "scenario 42: eighty workers pass one socket each") {
    constexpr std::size_t count = 80;
    std::vector<std::uint32_t> ids;
    std::vector<std::string> echoes;
    std::size_t before = scenario::open_descriptors();
    run_on<Backend>(
        [&](auto& primary) {
            primary.on_message([&](auto& from, const note& message, cluster::handle passed) {
                CHECK(message.number == from.id());
                ids.push_back(message.number);
                auto& stream = primary.attach(passed.to_connection());
                stream.on_data([&](cluster::stream::bytes data) {
                    echoes.emplace_back(reinterpret_cast<const char*>(data.data()), data.size());
                });
                stream.on_close([&from](std::error_code) { from.disconnect(); });
                stream.write("to " + std::to_string(from.id()));
            });
            primary.fork(count);
        },
        [](auto& self) {
            scenario::socket_pair pair;
            self.send(note{self.id(), ""}, std::move(pair.second));
            auto& stream = self.attach(cluster::connection{std::move(pair.first)});
            stream.on_data([&stream, &self](cluster::stream::bytes data) {
                std::string text{reinterpret_cast<const char*>(data.data()), data.size()};
                stream.end(text == "to " + std::to_string(self.id()) ? "right" : text);
            });
        });
    std::sort(ids.begin(), ids.end());
    REQUIRE(ids.size() == count);
    CHECK(ids.front() == 1);
    CHECK(ids.back() == count);
    CHECK(echoes == std::vector<std::string>(count, "right"));
    CHECK(scenario::open_descriptors() == before);
}
