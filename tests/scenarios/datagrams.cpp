// SPDX-License-Identifier: MIT
// Datagram sockets of whole clusters: who gets what, and what outlives whom.
#include "../fixtures/scenario.hpp"
#include "../support/datagram.hpp"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

constexpr auto local_host = "127.0.0.1";

using restarting_cluster = cluster::compose<cluster::restart::always>;

struct got {
    std::string text;
};
struct go_on {};
struct bound {
    std::uint16_t port;
};

void expect_in_worker(bool condition, int code) {
    if (!condition) {
        std::exit(code);
    }
}

/// Tells the primary every datagram that arrives.
template <typename Self>
auto tell(Self& self) {
    return [&self](auto bytes, const auto&) { self.send(got{text_of(bytes)}); };
}

template <typename Primary>
void expect_clean_exits(Primary& primary, int& exits) {
    primary.on(cluster::event::exit, [&exits](auto&, const cluster::exit_status& status) {
        ++exits;
        CHECK_MESSAGE(status.success(), status.to_string());
    });
}

/// Calls `then(address)` once `count` workers have bound their socket.
template <typename Primary, typename F>
void when_bound(Primary& primary, int count, F then) {
    primary.on(cluster::event::listening,
               [count, then, seen = 0](auto&, const cluster::address& at) mutable {
                   if (++seen == count) {
                       then(at);
                   }
               });
}

/// Sends numbers, some at a time: more when all of those have arrived.
struct steady_sender {
    cluster::address to;
    std::size_t count;
    udp_client client{};
    std::size_t sent = 0;
    std::map<std::string, int> arrived{};

    void send_some() {
        for (int i = 0; i != 50 && sent != count; ++i) {
            CHECK(client.send(to, std::to_string(sent++)));
        }
    }
    /// \returns whether all have arrived
    bool arrives(const std::string& text) {
        ++arrived[text];
        if (arrived.size() == sent) {
            send_some();
        }
        return arrived.size() == count;
    }
    void check() const {
        CHECK(arrived.size() == count);
        for (const auto& [text, times] : arrived) {
            CHECK_MESSAGE(times == 1, text);
        }
    }
};

} // namespace

TEST_CASE("each of many datagrams goes to exactly one of the workers who share the socket") {
    std::unique_ptr<steady_sender> sender;
    cluster::cluster_stats now;
    int exits = 0;
    run_case<cluster::process_cluster>(
        "each of many datagrams goes to exactly one of the workers who share the socket",
        [&](auto& primary) {
            primary.fork(4);
            when_bound(primary, 4, [&](const cluster::address& at) {
                sender = std::make_unique<steady_sender>(steady_sender{at, 2000});
                sender->send_some();
            });
            primary.on_message([&](const got& message) {
                if (sender->arrives(message.text)) {
                    now = primary.stats();
                    primary.disconnect();
                }
            });
            expect_clean_exits(primary, exits);
        },
        [](auto& self) { self.bind({.host = local_host}, tell(self)); });
    REQUIRE(sender);
    sender->check();
    CHECK(exits == 4);
    REQUIRE(now.datagrams.size() == 1);
    CHECK(now.datagrams[0].address == sender->to.to_string());
    CHECK(now.datagrams[0].workers == 4);
    CHECK(now.datagrams[0].queue_limit_bytes > 0);
    CHECK(now.datagrams[0].dropped == 0);
    std::uint64_t received = 0;
    for (const auto& each : now.workers) {
        received += each.datagrams_received;
        CHECK(each.datagrams_sent == 0);
        CHECK(now.slots[each.slot].datagrams_received == each.datagrams_received);
    }
    CHECK(received == 2000);
}

TEST_CASE("datagrams that arrive while no worker lives wait for its replacement") {
    std::vector<std::string> arrived;
    std::set<std::uint16_t> ports;
    int deaths = 0;
    udp_client client;
    run_case<restarting_cluster>(
        "datagrams that arrive while no worker lives wait for its replacement",
        [&](auto& primary) {
            primary.fork();
            primary.on(cluster::event::listening, [&](auto& worker, const cluster::address& at) {
                ports.insert(at.port());
                if (deaths == 0) {
                    worker.kill(SIGKILL);
                }
            });
            primary.on(cluster::event::exit, [&] {
                if (++deaths == 1) {
                    for (int i = 0; i != 10; ++i) {
                        CHECK(client.send(loopback(*ports.begin()), std::to_string(i)));
                    }
                }
            });
            primary.on_message([&](const got& message) {
                arrived.push_back(message.text);
                if (arrived.size() == 10) {
                    primary.shutdown();
                }
            });
        },
        [](auto& self) { self.bind({.host = local_host}, tell(self)); });
    CHECK(ports.size() == 1);
    CHECK(arrived == std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
}

TEST_CASE("a worker that dies takes no datagram along that it has not read") {
    std::unique_ptr<steady_sender> sender;
    int exits = 0;
    run_case<cluster::process_cluster>(
        "a worker that dies takes no datagram along that it has not read",
        [&](auto& primary) {
            auto& first = primary.fork();
            primary.fork();
            when_bound(primary, 2, [&](const cluster::address& at) {
                first.kill(SIGSTOP);
                scenario::when(
                    primary,
                    [&] { return scenario::process_state(first.pid()) == 'T'; },
                    [&, at] {
                        sender = std::make_unique<steady_sender>(steady_sender{at, 50});
                        sender->send_some();
                        first.kill(SIGKILL);
                    });
            });
            primary.on_message([&](auto& from, const got& message) {
                CHECK(from.id() == 2);
                if (sender->arrives(message.text)) {
                    primary.disconnect();
                }
            });
            primary.on(cluster::event::exit, [&] { ++exits; });
        },
        [](auto& self) { self.bind({.host = local_host}, tell(self)); });
    REQUIRE(sender);
    sender->check();
    CHECK(exits == 2);
}

TEST_CASE("a reload loses no datagram") {
    std::unique_ptr<steady_sender> sender;
    std::set<std::uint32_t> receivers;
    int reloads = 0;
    run_case<cluster::process_cluster>(
        "a reload loses no datagram",
        [&](auto& primary) {
            primary.fork(2);
            auto reload_again = std::make_shared<std::function<void()>>();
            *reload_again = [&, again = std::weak_ptr{reload_again}] {
                primary.reload({}, [&, again](const cluster::reload_report& report) {
                    CHECK(report.ok());
                    if (++reloads != 5) {
                        (*again.lock())();
                    } else {
                        sender->count = sender->sent; // what is on its way is the last
                        if (sender->arrived.size() == sender->count) {
                            primary.shutdown();
                        }
                    }
                });
            };
            when_bound(primary, 2, [&, reload_again](const cluster::address& at) {
                sender = std::make_unique<steady_sender>(steady_sender{at, 1'000'000});
                sender->send_some();
                (*reload_again)();
            });
            primary.on_message([&](auto& from, const got& message) {
                receivers.insert(from.id());
                if (sender->arrives(message.text)) {
                    primary.shutdown();
                }
            });
        },
        [](auto& self) { self.bind({.host = local_host}, tell(self)); });
    REQUIRE(sender);
    sender->check();
    CHECK(reloads == 5);
    CHECK(receivers.size() > 2);
}

TEST_CASE("a shutdown closes the datagram sockets of every role") {
    int code = -1;
    int exits = 0;
    bool closed = false;
    code = run_case<cluster::process_cluster>(
        "a shutdown closes the datagram sockets of every role",
        [&](auto& primary) {
            primary.fork(2);
            primary.bind({.host = local_host}, [](auto, const auto&) {}).on_close([&] {
                closed = true;
            });
            primary.when_ready([&] { primary.shutdown(); });
            expect_clean_exits(primary, exits);
        },
        [](auto& self) {
            auto& socket = self.bind({.host = local_host}, [](auto, const auto&) {});
            socket.on_close([&self, &socket] {
                expect_in_worker(!socket.is_open(), 3);
                self.send(go_on{});
            });
        });
    CHECK(code == 0);
    CHECK(exits == 2);
    CHECK(closed);
}

TEST_CASE("one address with other options is a conflict and asking twice is an address in use") {
    int exits = 0;
    run_case<cluster::process_cluster>(
        "one address with other options is a conflict and asking twice is an address in use",
        [&](auto& primary) {
            primary.fork();
            primary.once(cluster::event::listening, [&](auto&, const cluster::address& at) {
                primary.fork({.environment = {{"PORT", std::to_string(at.port())}}});
            });
            primary.on(cluster::event::exit, [&] {
                if (!primary.workers().empty()) {
                    primary.disconnect();
                }
            });
            expect_clean_exits(primary, exits);
        },
        [](auto& self) {
            const char* port = std::getenv("PORT");
            cluster::datagram_options options{.host = local_host};
            if (port == nullptr) {
                self.bind(options);
                return;
            }
            options.port = static_cast<std::uint16_t>(std::atoi(port));
            auto bind = [&](const cluster::datagram_options& wanted) {
                std::error_code error;
                self.bind(wanted, {}, error);
                return error;
            };
            auto other = options;
            other.receive_buffer = 100'000;
            expect_in_worker(bind(other) == cluster::errc::conflicting_options, 3);
            other = options;
            other.broadcast = true;
            expect_in_worker(bind(other) == cluster::errc::conflicting_options, 4);
            expect_in_worker(!bind(options), 5);
            expect_in_worker(bind(options) == std::errc::address_in_use, 6);
            auto tcp = std::error_code{}; // another address, though of the same number
            self.listen(
                {.host = local_host, .port = options.port}, [](cluster::connection) {}, tcp);
            expect_in_worker(!tcp || tcp == std::errc::address_in_use, 7); // a stranger's, perhaps
            other = options;
            other.fd = 0; // no datagram socket
            expect_in_worker(bind(other) == cluster::errc::bad_descriptor, 8);
            self.disconnect();
        });
    CHECK(exits == 2);
}

TEST_CASE("a worker that defers its readiness receives nothing until it is ready") {
    int exits = 0;
    int ready = 0;
    udp_client client;
    std::vector<std::string> arrived;
    run_case<cluster::process_cluster>(
        "a worker that defers its readiness receives nothing until it is ready",
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::listening, [&](const cluster::address& at) {
                CHECK(client.send(at, "early"));
                CHECK(ready == 0);
                worker.send(go_on{});
            });
            worker.on(cluster::event::ready, [&] { ++ready; });
            worker.on_message([&](const got& message) {
                CHECK(ready == 1);
                arrived.push_back(message.text);
                worker.disconnect();
            });
            expect_clean_exits(primary, exits);
        },
        [](auto& self) {
            self.defer_ready();
            self.bind({.host = local_host}, [&self](auto bytes, const auto&) {
                expect_in_worker(self.is_ready(), 3);
                self.send(got{text_of(bytes)});
            });
            self.on_message([&self](const go_on&) { self.ready(); });
        });
    CHECK(arrived == std::vector<std::string>{"early"});
    CHECK(exits == 1);
}

TEST_CASE("with reuse_port all datagrams of one client arrive at one worker") {
    constexpr std::size_t clients = 16;
    constexpr std::size_t each = 5; // so that all of them fit into one socket, read or not
    std::map<std::string, std::set<std::uint32_t>> receivers; // by client
    std::size_t arrived = 0;
    int exits = 0;
    run_case<cluster::process_cluster>(
        "with reuse_port all datagrams of one client arrive at one worker",
        [&](auto& primary) {
            primary.fork();
            primary.on_message([&](auto& from, const bound& message) {
                if (from.id() == 1) {
                    primary.fork({.environment = {{"PORT", std::to_string(message.port)}}});
                    return;
                }
                std::vector<udp_client> senders(clients);
                for (std::size_t i = 0; i != clients * each; ++i) {
                    CHECK(senders[i % clients].send(loopback(message.port), "x"));
                }
            });
            primary.on_message([&](auto& from, const got& message) {
                receivers[message.text].insert(from.id());
                if (++arrived == clients * each) {
                    primary.disconnect();
                }
            });
            expect_clean_exits(primary, exits);
        },
        [](auto& self) {
            const char* port = std::getenv("PORT");
            cluster::datagram_options options{.host = local_host, .reuse_port = true};
            options.port = static_cast<std::uint16_t>(port == nullptr ? 0 : std::atoi(port));
            auto& socket = self.bind(options, [&self](auto, const cluster::address& from) {
                self.send(got{from.to_string()});
            });
            self.send(bound{socket.address().port()});
        });
    CHECK(receivers.size() == clients);
    for (const auto& [client, workers] : receivers) {
        CHECK_MESSAGE(workers.size() == 1, client);
    }
    CHECK(exits == 2);
}

TEST_CASE("workers with datagram sockets that come and go leave no descriptor behind") {
    std::size_t before = 0;
    std::size_t after = 0;
    int rounds = 0;
    int exits = 0;
    run_case<cluster::process_cluster>(
        "workers with datagram sockets that come and go leave no descriptor behind",
        [&](auto& primary) {
            primary.fork();
            primary.on(cluster::event::listening, [](auto& worker, const cluster::address&) {
                worker.kill(worker.id() % 2 == 0 ? SIGKILL : SIGTERM);
            });
            primary.on(cluster::event::exit, [&] {
                ++exits;
                primary.loop().defer([&] {
                    auto now = scenario::open_descriptors();
                    before = rounds == 2 ? now : before;
                    after = now;
                    if (++rounds != 20) {
                        primary.fork();
                    }
                });
            });
        },
        [](auto& self) { self.bind({.host = local_host}, [](auto, const auto&) {}); });
    CHECK(exits == 20);
    CHECK(after == before);
}
