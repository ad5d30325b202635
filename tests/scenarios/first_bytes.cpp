// SPDX-License-Identifier: MIT
// Policies that look at the first bytes of a connection, and clients that keep them waiting.
#include "../fixtures/blocking_clients.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;
namespace scheduling = cluster::scheduling;
namespace sticky_key = cluster::scheduling::sticky_key;
using scenario::beside_clients;
using scenario::blocking_client;

namespace {

constexpr std::uint32_t workers = 4;

/// Where the rendezvous hash sends this address.
int home_of(const cluster::address& client) {
    std::uint32_t best = 0;
    auto score = [hash = cluster::detail::client_hash(client)](std::uint32_t slot) {
        return cluster::detail::rendezvous_score(hash, slot);
    };
    for (std::uint32_t slot = 1; slot != workers; ++slot) {
        best = score(slot) > score(best) ? slot : best;
    }
    return static_cast<int>(best);
}

cluster::address proxied(std::uint8_t last) {
    return cluster::address::ipv4({10, 1, 2, last}, 0);
}
/// A proxied client whose home is not where the proxy's own address belongs.
std::uint8_t one_far_from_home() {
    std::uint8_t last = 1;
    while (home_of(proxied(last)) == home_of(scenario::loopback_number(1))) {
        ++last;
    }
    return last;
}

std::string version_1(std::uint8_t last) {
    return "PROXY TCP4 10.1.2." + std::to_string(last) + " 10.0.0.1 1234 80\r\n";
}
std::string version_2(std::uint8_t last) {
    std::string header{"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\1\2?\x0a\0\0\1\4\xd2\0\x50", 28};
    header[19] = static_cast<char>(last);
    return header;
}

using behind_proxy = cluster::compose<scheduling::sticky<sticky_key::proxy_address>>;

/// Tries until an attempt was quick enough for a time limit of a second not to matter.
template <typename F>
auto quick_enough(F attempt) {
    auto give_up = std::chrono::steady_clock::now() + patience();
    for (;;) {
        auto start = std::chrono::steady_clock::now();
        auto result = attempt();
        auto now = std::chrono::steady_clock::now();
        if (now - start < std::chrono::milliseconds{900} || now > give_up) {
            return result;
        }
    }
}

} // namespace

TEST_CASE("behind a proxy the client's address decides and the worker reads the header") {
    beside_clients<behind_proxy>(
        "behind a proxy the client's address decides and the worker reads the header",
        workers,
        [](auto& clients) {
            for (std::uint8_t last = 1; last != 40; ++last) {
                for (const auto& header : {version_1(last), version_2(last)}) {
                    auto sent = header + "hello";
                    std::string echo;
                    CHECK(quick_enough([&] {
                              auto client = clients.connect();
                              client.send(sent);
                              int place = client.place();
                              echo = client.read(sent.size());
                              return place;
                          }) == home_of(proxied(last)));
                    CHECK(echo == sent);
                }
            }
        });
}

TEST_CASE("a header that comes in pieces is waited for and others are served meanwhile") {
    auto far = one_far_from_home();
    beside_clients<behind_proxy>(
        "a header that comes in pieces is waited for and others are served meanwhile",
        workers,
        [far](auto& clients) {
            for (const auto& header : {version_1(far), version_2(far)}) {
                CHECK(quick_enough([&] {
                          auto client = clients.connect();
                          client.send(header.substr(0, 13));
                          CHECK(clients.when_waiting(1));
                          auto other = clients.connect();
                          other.send(version_1(9));
                          CHECK(other.place() >= 0);
                          client.send(header.substr(13, 2));
                          auto again = clients.connect();
                          again.send(version_2(9));
                          CHECK(again.place() >= 0);
                          client.send(header.substr(15));
                          int place = client.place();
                          CHECK(client.read(header.size()) == header);
                          return place;
                      }) == home_of(proxied(far)));
            }
        });
}

TEST_CASE("what is no header leaves the decision to the client's address") {
    beside_clients<behind_proxy>("what is no header leaves the decision to the client's address",
                                 workers,
                                 [](auto& clients) {
                                     int home = home_of(scenario::loopback_number(1));
                                     for (std::string sent :
                                          {std::string{"GET / HTTP/1.1\r\n"},
                                           std::string{"PROXY UNKNOWN\r\n"},
                                           std::string{"PROXY TCP4 1.2.3.4.5 x\r\n"},
                                           "PROXY TCP4 " + std::string(200, '1'),
                                           std::string{"\r\n\r\n\0x", 6},
                                           version_2(1).replace(12, 1, "\x20"),
                                           std::string(30000, 'x')}) {
                                         auto client = clients.connect();
                                         client.send(sent);
                                         CHECK(client.place() == home);
                                         CHECK(client.read(sent.size()) == sent);
                                     }
                                     CHECK(clients.when_waiting(0));
                                 });
}

TEST_CASE("a client that says too little is served by its address when its time is over") {
    beside_clients<behind_proxy>(
        "a client that says too little is served by its address when its time is over",
        workers,
        [](auto& clients) {
            auto silent = clients.connect(1);
            auto slow = clients.connect(2);
            slow.send("PROX");
            auto ended = clients.connect(3); // no need to wait for that one
            ended.send("PROXY");
            ended.end();
            CHECK(ended.place() == home_of(scenario::loopback_number(3)));
            CHECK(ended.read(5) == "PROXY");
            CHECK(silent.place() == home_of(scenario::loopback_number(1)));
            CHECK(slow.place() == home_of(scenario::loopback_number(2)));
            slow.send("Y");
            CHECK(slow.read(5) == "PROXY");
        });
}

TEST_CASE("a client that goes before it has said anything bothers no worker") {
    beside_clients<behind_proxy>("a client that goes before it has said anything bothers no worker",
                                 workers,
                                 [](auto& clients) {
                                     bool neither_came = quick_enough([&] {
                                         auto accepted = [&clients] {
                                             return clients.ask([](auto& primary) {
                                                 std::uint64_t sum = 0;
                                                 for (const auto& each : primary.stats().workers) {
                                                     sum += each.connections_accepted;
                                                 }
                                                 return sum;
                                             });
                                         };
                                         auto before = accepted();
                                         auto one = clients.connect();
                                         auto other = clients.connect();
                                         CHECK(clients.when_waiting(2));
                                         one.close();
                                         other.reset();
                                         CHECK(clients.when_waiting(0));
                                         return accepted() == before;
                                     });
                                     CHECK(neither_came);
                                 });
}

TEST_CASE("clients that say nothing hold up nobody however many they are") {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    beside_clients<behind_proxy>(
        "clients that say nothing hold up nobody however many they are",
        workers,
        [](auto& clients) {
            std::vector<blocking_client> silent;
            std::uint64_t most = 0;
            for (int i = 0; i != 1100; ++i) {
                silent.push_back(clients.connect(1));
                if (i % 50 == 0) {
                    most = std::max(most, clients.ask([](auto& primary) {
                        return primary.stats().listeners[0].waiting;
                    }));
                }
            }
            auto talking = clients.connect(2);
            talking.send(version_1(7));
            int place = talking.place(); // by its address where nobody more can wait
            CHECK((place == home_of(proxied(7)) || place == home_of(scenario::loopback_number(2))));
            for (auto& each : silent) {
                CHECK(each.place() == home_of(scenario::loopback_number(1)));
            }
            CHECK(most <= 1024);
            CHECK(clients.when_waiting(0));
        });
}

TEST_CASE("a client that still says who it is survives the death of its worker") {
    auto far = one_far_from_home();
    beside_clients<behind_proxy>(
        "a client that still says who it is survives the death of its worker",
        workers,
        [far](auto& clients) {
            auto header = version_1(far);
            auto client = clients.connect();
            client.send(header.substr(0, 10));
            clients.ask([home = home_of(proxied(far))](auto& primary) {
                for (auto& each : primary.workers()) {
                    if (static_cast<int>(each.slot()) == home) {
                        each.kill(SIGKILL);
                    }
                }
            });
            CHECK(clients.when([](auto& primary) { return primary.workers().size() == 3; }));
            client.send(header.substr(10));
            int place = client.place();
            CHECK(place >= 0);
            CHECK(place != home_of(proxied(far)));
            CHECK(client.read(header.size()) == header);
        });
}

namespace {

/// A key of one's own: the first word of the first line.
struct user_name {
    static constexpr std::size_t peeks = 256;
    sticky_key::value operator()(const cluster::connection_info& from) const {
        std::string_view text{reinterpret_cast<const char*>(from.first_bytes.data()),
                              from.first_bytes.size()};
        auto end = text.find_first_of(" \n");
        return end == text.npos ? sticky_key::value{sticky_key::more}
                                : sticky_key::value{text.substr(0, end)};
    }
};

} // namespace

TEST_CASE("a key of one's own keeps a user's connections together whatever the address") {
    beside_clients<cluster::compose<scheduling::sticky<user_name>>>(
        "a key of one's own keeps a user's connections together whatever the address",
        workers,
        [](auto& clients) {
            auto place_of = [&clients](const std::string& user, std::uint8_t last) {
                return quick_enough([&] {
                    auto client = clients.connect(last);
                    client.send(user.substr(0, 1));
                    client.send(user.substr(1) + " hello\n");
                    return client.place();
                });
            };
            std::vector<int> seen;
            for (int i = 0; i != 20; ++i) {
                auto user = "user" + std::to_string(i);
                seen.push_back(place_of(user, 1));
                CHECK(place_of(user, 2) == seen.back());
            }
            std::sort(seen.begin(), seen.end());
            seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
            CHECK(seen.size() == workers);
        });
}
