// SPDX-License-Identifier: MIT
// Descriptors that go from process to process, and primaries that are programs of their own.
#include "../support/client.hpp"
#include "../support/every_model.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

using namespace cluster_test;
namespace os = cluster::detail::os;

namespace {

cluster::listener make_listener() {
    auto fd = os::open_stream_socket(cluster::address_family::ipv4);
    bool made = os::bind_to(fd.get(), loopback(0)) && os::listen_on(fd.get(), 16);
    return cluster::listener{made ? std::move(fd) : cluster::unique_fd{}};
}

/// Reads what comes until it contains `last`, or to the end. Blocks.
std::string read_until(int fd, std::string_view last) {
    std::string text;
    char some[256];
    auto limit = std::chrono::milliseconds{patience()}.count();
    while (text.find(last) == std::string::npos &&
           os::wait_for(fd, false, static_cast<int>(limit))) {
        auto got = ::read(fd, some, sizeof some);
        if (got <= 0) {
            break;
        }
        text.append(some, static_cast<std::size_t>(got));
    }
    return text;
}
std::string read_all(int fd) {
    return read_until(fd, "\n(never)");
}

/// This program once more, in the middle of one of its skipped cases. Its standard output and that
/// of its workers is a pipe; `descriptor`, if any, is its descriptor 3.
struct own_program {
    os::child_process child;
    cluster::unique_fd output;

    explicit own_program(const std::string& skipped_case, int descriptor = -1) {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        output.reset(ends[0]);
        cluster::unique_fd theirs{ends[1]};
        auto filter = "--test-case=" + skipped_case;
        const char* arguments[] = {program::argv[0], "--no-skip", filter.c_str(), nullptr};
        int descriptors[] = {-1, theirs.get(), 2, descriptor};
        auto image = os::open_running_program();
        os::spawn_request request;
        request.executable = image.get();
        request.arguments = arguments;
        request.environment = os::environment();
        request.descriptors = descriptors;
        std::error_code error;
        child = os::spawn(request, error);
        REQUIRE_MESSAGE(!error, error.message());
    }
};

} // namespace

template <typename Backend>
int main_that_throws() {
    cluster::compose<Backend> app{program::argc, program::argv};
    try {
        return app.run(
            [](auto& primary) {
                primary.fork().on(cluster::event::online,
                                  [] { throw std::runtime_error("on purpose"); });
            },
            [](auto&) {});
    } catch (const std::runtime_error& thrown) {
        return std::string_view{thrown.what()} == "on purpose" ? 42 : 43;
    }
}
TEST_CASE("main() of test-cluster-uncaught-exception" * doctest::skip()) {
    std::exit(main_that_throws<cluster::backend::process>());
}

// Node.js: test/parallel/test-cluster-uncaught-exception.js
// Here an exception leaves run(), and whoever catches it decides.
TEST_CASE("test-cluster-uncaught-exception") {
    own_program other{"main() of test-cluster-uncaught-exception"};
    read_all(other.output.get()); // to the end: the worker is gone as well
    CHECK(cluster::detail::to_exit_status(other.child.wait()) == cluster::exit_status::exited(42));
}
TEST_CASE("test-cluster-uncaught-exception on threads") {
    CHECK(main_that_throws<cluster::backend::thread>() == 42);
}

// Node.js: test/sequential/test-cluster-send-handle-large-payload.js
CLUSTER_CASE("test-cluster-send-handle-large-payload") {
    static const std::string payload(800'004, 'a');
    std::vector<int> numbers;
    int payloads = 0;
    std::string through;
    cluster::server* server = nullptr;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            server = &primary.listen({.host = "127.0.0.1"}, [&](cluster::connection peer) {
                primary.attach(std::move(peer)).on_data([&](cluster::stream::bytes bytes) {
                    through += text_of(bytes);
                });
                server->close(); // not before: who still waits there would be reset
            });
            worker.on_message([&](int number, cluster::handle none) {
                CHECK_FALSE(none);
                numbers.push_back(number);
            });
            worker.on_message([&](const std::string& text, cluster::handle passed) {
                ++payloads;
                CHECK((text == payload)); // not shown
                CHECK(passed.is_connection());
                primary.attach(passed.to_connection()).end("it is the same");
            });
            worker.on(cluster::event::exit, [](const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
            worker.send(1);
            worker.send(payload, connect_to(server->address()));
            worker.send(2);
        },
        [](auto& self) {
            self.on_message([&self](int number, cluster::handle none) {
                expect_in_worker(!none, 3);
                self.send(number);
                if (number == 2) { // the last
                    self.loop().defer([&self] { self.keep_alive(false); });
                }
            });
            self.on_message([&self](const std::string& text, cluster::handle passed) {
                expect_in_worker(text == payload && passed.is_connection(), 4);
                self.send(text, std::move(passed));
            });
        });
    CHECK(numbers == std::vector<int>{1, 2});
    CHECK(payloads == 1);
    CHECK(through == "it is the same");
}

// Node.js: test/parallel/test-child-process-fork-closed-channel-segfault.js
CLUSTER_CASE("test-child-process-fork-closed-channel-segfault") {
    constexpr std::size_t handles = 64;
    std::vector<std::error_code> results;
    int accepted = 0;
    int ended = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& server = primary.listen({.host = "127.0.0.1"}, [&](cluster::connection peer) {
                ++accepted;
                auto& stream = primary.attach(std::move(peer));
                stream.on_data([](cluster::stream::bytes) {});
                stream.on_close([&](std::error_code) { ++ended; }); // no owner is left
            });
            auto& worker = primary.fork();
            auto send = [&] {
                return worker.send(0, connect_to(server.address()), [&](std::error_code error) {
                    results.push_back(error);
                });
            };
            worker.on(cluster::event::online, [&, send] {
                for (std::size_t i = 0; i != handles; ++i) {
                    send();
                }
            });
            worker.on(cluster::event::exit, [&, send](const cluster::exit_status& status) {
                CHECK(status == cluster::exit_status::exited(1));
                CHECK_FALSE(worker.is_connected());
                CHECK(send() == cluster::send_result::closed);
                server.close();
            });
        },
        [](auto& self) {
            self.on_message([](auto& me, int, cluster::handle) { exit_worker(me, 1); });
        });
    REQUIRE(results.size() == handles + 1);
    CHECK_FALSE(results.front());
    CHECK(results.back() == cluster::errc::channel_closed);
    for (const auto& each : results) {
        CHECK((!each || each == cluster::errc::channel_closed));
    }
    CHECK(accepted == ended);
}

// Node.js: test/parallel/test-net-listen-handle-in-cluster-1.js
CLUSTER_CASE("test-net-listen-handle-in-cluster-1") {
    std::string answer;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::online, [&] {
                auto socket = make_listener();
                auto at = socket.address();
                worker.send(std::string{"a server"}, std::move(socket));
                ask(primary, at, "", [&](std::string text, std::error_code) {
                    answer = std::move(text);
                    worker.disconnect();
                });
            });
            worker.on(cluster::event::listening, [] { FAIL_CHECK("the primary was asked"); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            self.on_message([&self](const std::string&, cluster::handle passed) {
                self.listen(passed.to_listener(), [&self](cluster::connection client) {
                    self.attach(std::move(client)).end("hello from the worker");
                });
            });
        });
    CHECK(answer == "hello from the worker");
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-net-listen-handle-in-cluster-2.js
CLUSTER_CASE("test-net-listen-handle-in-cluster-2") {
    std::string answer;
    int exits = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on_message([&](std::uint16_t port) {
                ask(primary, loopback(port), "", [&](std::string text, std::error_code) {
                    answer = std::move(text);
                    worker.disconnect();
                });
            });
            worker.on(cluster::event::listening, [] { FAIL_CHECK("the primary was asked"); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto& server = self.listen(make_listener(), [&self](cluster::connection client) {
                self.attach(std::move(client)).end("hello from the worker");
            });
            self.send(server.address().port());
        });
    CHECK(answer == "hello from the worker");
    CHECK(exits == 1);
}

TEST_CASE("main() of test-listen-fd-cluster" * doctest::skip()) {
    auto main = [] {
        cluster::process_cluster app{program::argc, program::argv};
        return app.run(
            [](auto& primary) {
                primary.fork().on(cluster::event::listening, [] {
                    std::string_view ready = "the worker listens";
                    CHECK(::write(1, ready.data(), ready.size()) > 0);
                });
            },
            [](auto& self) { // 3 is the primary's; its own is the channel
                self.listen({.fd = 3}, [&self](cluster::connection client) {
                    self.attach(std::move(client)).end("hello from the worker");
                });
            });
    };
    std::exit(main());
}

// Node.js: test/parallel/test-listen-fd-cluster.js
TEST_CASE("test-listen-fd-cluster") {
    auto inherited = make_listener();
    auto at = inherited.address();
    own_program other{"main() of test-listen-fd-cluster", inherited.native_handle()};
    inherited = {}; // from here on the other one alone has it
    read_until(other.output.get(), "the worker listens");
    auto client = connect_to(at);
    REQUIRE(client);
    CHECK(read_all(client.native_handle()) == "hello from the worker");

    CHECK_FALSE(other.child.signal(SIGTERM));
    read_all(other.output.get()); // to the end: the worker is gone as well
    CHECK(cluster::detail::to_exit_status(other.child.wait()) ==
          cluster::exit_status::signaled(SIGTERM));
    CHECK_FALSE(connect_to(at));
}

namespace {

struct round_trip {};

/// Calls `done` when the worker has answered three requests, so that it has had every chance to do
/// what it should not.
template <typename Worker, typename F>
void after_three_turns(Worker& worker, F done, int left = 3) {
    worker.template request<int>(round_trip{}, [&worker, done, left](cluster::result<int> answer) {
        CHECK(answer.has_value());
        if (left == 1) {
            done();
        } else {
            after_three_turns(worker, done, left - 1);
        }
    });
}

} // namespace

// Node.js: test/parallel/test-http-server-drop-connections-in-cluster.js
// And what the limit does without dropping: connections wait, also beyond a limit of none. Each for
// connections that the primary hands over and for a worker's own socket.
EVERY_MODEL_CASE("test-http-server-drop-connections-in-cluster") {
    using ports = std::array<std::uint16_t, 2>;
    struct all_ports {
        ports dropping;
        ports one_at_a_time;
        ports none;
    };
    std::vector<std::string> dropped;
    int steps = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            auto done = [&] {
                if (++steps == 6) {
                    primary.disconnect();
                }
            };
            auto drops = [&, done](std::uint16_t port) {
                ask(primary, loopback(port), "", [done](const std::string& text, std::error_code) {
                    CHECK(text.empty());
                    done();
                });
            };
            auto lets_wait = [&, done](std::uint16_t port) {
                auto& client = primary.attach(connect_to(loopback(port)));
                auto closed = std::make_shared<bool>(false);
                client.on_data([](cluster::stream::bytes) { FAIL_CHECK("it was served"); });
                client.on_close([closed](std::error_code) { *closed = true; });
                after_three_turns(worker, [closed, done] {
                    CHECK_FALSE(*closed);
                    done();
                });
            };
            auto serves_one = [&, done](std::uint16_t port) {
                auto& first = primary.attach(connect_to(loopback(port)));
                first.on_data([&, port, done](cluster::stream::bytes) {
                    auto& second = primary.attach(connect_to(loopback(port)));
                    after_three_turns(worker, [&first, &second, done] {
                        second.on_data([&second, done](cluster::stream::bytes) {
                            second.end();
                            done();
                        });
                        first.end();
                    });
                });
            };
            worker.on_message([=](const all_ports& of) {
                for (std::size_t i = 0; i != 2; ++i) {
                    drops(of.dropping[i]);
                    lets_wait(of.none[i]);
                    serves_one(of.one_at_a_time[i]);
                }
            });
            worker.on_message([&](const std::string& who) { dropped.push_back(who); });
            worker.on(cluster::event::exit, [](const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            all_ports made{};
            for (std::size_t i = 0; i != 2; ++i) {
                bool own = i == 1;
                auto never = [](cluster::connection) { fail_worker(3); };
                auto& dropping = self.listen({.host = "127.0.0.1",
                                              .exclusive = own,
                                              .max_connections = 0,
                                              .drop_beyond_max = true},
                                             never);
                dropping.on_drop([&self, own](const cluster::connection& client) {
                    if (client) {
                        self.send(std::string{own ? "own" : "handed"});
                    }
                });
                auto& none = self.listen(
                    {.host = "127.0.0.1", .exclusive = own, .max_connections = 0}, never);
                auto open = std::make_shared<int>(0);
                auto& one =
                    self.listen({.host = "127.0.0.1", .exclusive = own, .max_connections = 1},
                                [&self, open](cluster::connection client) {
                                    expect_in_worker(++*open == 1, 4);
                                    auto& stream = self.attach(std::move(client));
                                    stream.on_data([](cluster::stream::bytes) {});
                                    stream.on_end([&stream, open] {
                                        --*open;
                                        stream.end();
                                    });
                                    stream.write("served");
                                });
                made.dropping[i] = dropping.address().port();
                made.none[i] = none.address().port();
                made.one_at_a_time[i] = one.address().port();
            }
            self.on_request([](const round_trip&) { return 0; });
            self.send(made);
        });
    CHECK(steps == 6);
    REQUIRE(dropped.size() == 2);
    CHECK(dropped[0] != dropped[1]);
}

// Node.js: test/parallel/test-tls-ticket-cluster.js
// There the first worker's ticket keys go with listen(); here it is a request to the primary.
CLUSTER_CASE("test-tls-ticket-cluster") {
    struct proposal {
        std::string key;
    };
    constexpr std::size_t workers = 4;
    constexpr int connections = 16;
    std::string key;
    int reused = 0;
    int asked = 0;
    std::set<std::string> served_by;
    run_on<Backend>(
        [&](auto& primary) {
            primary.on_request([&](const proposal& offered) {
                key = key.empty() ? offered.key : key;
                return key;
            });
            std::size_t listening = 0;
            auto connect = [&](auto again, const cluster::address& at, std::string ticket) -> void {
                ask(primary,
                    at,
                    ticket + '\n',
                    [&, again, at](const std::string& answer, std::error_code) {
                        auto space = answer.find(' '); // "reused|new <worker> <ticket>"
                        auto second = answer.find(' ', space + 1);
                        REQUIRE(second != std::string::npos);
                        reused += answer.substr(0, space) == "reused" ? 1 : 0;
                        served_by.insert(answer.substr(space + 1, second - space - 1));
                        if (++asked == connections) {
                            primary.disconnect();
                        } else {
                            again(again, at, answer.substr(second + 1));
                        }
                    });
            };
            primary.fork(workers);
            primary.on(cluster::event::listening,
                       [&, listening, connect](auto&, const cluster::address& at) mutable {
                           if (++listening == workers) {
                               connect(connect, at, "none");
                           }
                       });
            primary.on(cluster::event::exit, [](auto&, const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto serve = [&self](const std::string& shared, cluster::connection client) {
                auto& stream = self.attach(std::move(client));
                stream.on_data([&self, &stream, shared](cluster::stream::bytes bytes) {
                    bool known = text_of(bytes) == "ticket of " + shared + '\n';
                    stream.end((known ? "reused " : "new ") + std::to_string(self.id()) +
                               " ticket of " + shared);
                });
            };
            proposal mine{"key " + std::to_string(self.id())};
            self.template request<std::string>(mine, [&self, serve](auto answer) {
                self.listen({.host = "127.0.0.1"},
                            [serve, shared = answer.value()](cluster::connection client) {
                                serve(shared, std::move(client));
                            });
            });
        });
    CHECK(asked == connections);
    CHECK(reused == connections - 1);
    CHECK(served_by.size() == workers);
}

// Node.js: test/parallel/test-net-socket-constructor.js
// A worker's piped descriptors are sockets, to be read and written on both sides.
TEST_CASE("test-net-socket-constructor") {
    std::array<std::string, 3> answers;
    int exits = 0;
    run_case<cluster::process_cluster>(
        "test-net-socket-constructor",
        [&](auto& primary) {
            using cluster::stdio;
            auto& worker = primary.fork({.extra = {stdio::pipe, stdio::pipe, stdio::pipe}});
            for (int number = 4; number != 7; ++number) {
                auto& answer = answers[static_cast<std::size_t>(number - 4)];
                auto& pipe = worker.pipe(number);
                pipe.on_data([&](cluster::stream::bytes bytes) { answer += text_of(bytes); });
                pipe.on_close([](std::error_code error) { CHECK_FALSE(error); });
                pipe.write("to " + std::to_string(number));
                pipe.end();
            }
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
            worker.disconnect(); // it ends when its streams have
        },
        [](auto& self) {
            for (int number = 4; number != 7; ++number) {
                cluster::connection pipe{cluster::unique_fd{number}};
                auto& stream = self.attach(std::move(pipe));
                stream.on_data([&stream, number](cluster::stream::bytes bytes) {
                    stream.write(std::to_string(number) + " got: " + text_of(bytes));
                });
            }
        });
    CHECK(answers == std::array<std::string, 3>{"4 got: to 4", "5 got: to 5", "6 got: to 6"});
    CHECK(exits == 1);
}
