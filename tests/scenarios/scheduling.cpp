// SPDX-License-Identifier: MIT
// Acceptance scenarios 40 and 46 to 48: who gets a connection, model by model.
#include "../fixtures/blocking_clients.hpp"
#include "../support/every_backend.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using namespace cluster_test;
namespace scheduling = cluster::scheduling;
using scenario::beside_clients;
using scenario::blocking_client;

namespace {

using shares = std::map<int, int>;

/// How many of so many short connections each place gets.
template <typename Clients>
shares spread(Clients& clients, int count) {
    shares result;
    for (int i = 0; i != count; ++i) {
        ++result[clients.visit()];
    }
    return result;
}

/// The place of each of the clients 127.0.0.1 to 127.0.0.`count`.
template <typename Clients>
std::vector<int> places(Clients& clients, std::uint8_t count) {
    std::vector<int> result;
    for (std::uint8_t last = 1; last <= count; ++last) {
        result.push_back(clients.visit(last));
    }
    return result;
}

/// Kills the worker of this place and waits until it is gone.
template <typename Backend, typename Clients>
void kill_place(Clients& clients, int place) {
    clients.ask([place](auto& primary) {
        for (auto& each : primary.workers()) {
            if (static_cast<int>(each.slot()) == place) {
                if constexpr (Backend::separate_memory) {
                    each.kill(SIGKILL);
                } else {
                    each.kill();
                }
            }
        }
    });
    CHECK(clients.when([place](auto& primary) {
        auto all = primary.workers();
        return std::none_of(all.begin(), all.end(), [place](auto& each) {
            return static_cast<int>(each.slot()) == place;
        });
    }));
}

template <typename Clients>
void fill_place(Clients& clients) {
    auto id = clients.ask([](auto& primary) { return primary.fork().id(); });
    CHECK(clients.when([id](auto& primary) { return primary.workers().find(id)->is_ready(); }));
}

template <typename Backend, typename Scheduling>
using only = cluster::compose<Backend, Scheduling>;

struct served_one {};

} // namespace

CLUSTER_CASE("scenario 48: a thousand connections are counted by messages and in shared memory") {
    beside_clients<only<Backend, scheduling::round_robin>>(
        running_case(),
        std::vector<cluster::fork_options>(4),
        [](auto& clients) {
            shares told;
            clients.ask([&told](auto& primary) {
                primary.on_message([&told](auto& from, const served_one&) {
                    ++told[static_cast<int>(from.slot())];
                });
            });
            shares even{{0, 250}, {1, 250}, {2, 250}, {3, 250}};
            CHECK(spread(clients, 1000) == even);
            CHECK(clients.when([&](auto&) { return told == even; }));
            auto counted = clients.ask([](auto& primary) {
                std::vector<std::uint64_t> result;
                for (const auto& each : primary.stats().workers) {
                    result.push_back(each.connections_accepted);
                }
                return result;
            });
            CHECK(counted == std::vector<std::uint64_t>{250, 250, 250, 250});
        },
        [](auto& self, cluster::connection client) {
            self.send(served_one{});
            scenario::say_place_and_echo(self, std::move(client));
        });
}

CLUSTER_CASE("scenario 47: least_connections keeps open connections even") {
    beside_clients<only<Backend, scheduling::least_connections>>(
        running_case(), 4, [](auto& clients) {
            std::vector<std::pair<int, blocking_client>> open;
            shares count;
            auto unevenness = [&count] {
                auto [least, most] = std::minmax_element(
                    count.begin(), count.end(), [](const auto& one, const auto& other) {
                        return one.second < other.second;
                    });
                return most->second - least->second;
            };
            auto connect = [&] {
                auto client = clients.connect();
                int place = client.place();
                ++count[place];
                open.emplace_back(place, std::move(client));
            };
            for (int i = 0; i != 4; ++i) {
                connect();
            }
            CHECK(count.size() == 4);
            for (int i = 0; i != 98; ++i) {
                connect();
                CHECK(unevenness() <= 1);
            }
            std::erase_if(open, [](const auto& each) { return each.first == 2; });
            CHECK(clients.when([](auto& primary) {
                auto all = primary.workers();
                return std::any_of(
                    all.begin(), all.end(), [](auto& each) { return each.connections() == 0; });
            }));
            int missing = std::exchange(count[2], 0);
            for (int i = 0; i != missing; ++i) {
                connect(); // all of them to the one that has few
            }
            CHECK(unevenness() <= 1);
            auto known = clients.connections();
            CHECK(*std::max_element(known.begin(), known.end()) -
                      *std::min_element(known.begin(), known.end()) <=
                  1);
        });
}

CLUSTER_CASE("weighted_round_robin gives each worker what its weight says") {
    beside_clients<only<Backend, scheduling::weighted_round_robin>>(
        running_case(),
        {{.weight = 3}, {.weight = 0}, {.weight = 1}},
        [](auto& clients) {
            CHECK(spread(clients, 100) == shares{{0, 75}, {2, 25}});
            kill_place<Backend>(clients, 0);
            CHECK(spread(clients, 10) == shares{{2, 10}});
            kill_place<Backend>(clients, 2);
            CHECK(spread(clients, 10) == shares{{1, 10}});
        },
        [](auto& self, cluster::connection client) {
            scenario::say_place_and_echo(self, std::move(client));
        });
}

CLUSTER_CASE("scenario 40: an address keeps its worker and only a dead worker's clients move") {
    beside_clients<only<Backend, scheduling::sticky<>>>(running_case(), 4, [](auto& clients) {
        auto before = places(clients, 40);
        for (int i = 0; i != 195; ++i) {
            auto last = static_cast<std::uint8_t>(i % 5 + 1);
            CHECK(clients.visit(last) == before[last - 1U]);
        }
        int victim = before[0];
        kill_place<Backend>(clients, victim);
        auto without = places(clients, 40);
        for (std::size_t i = 0; i != before.size(); ++i) {
            CHECK((without[i] == before[i]) == (before[i] != victim));
            CHECK(without[i] != victim);
        }
        fill_place(clients);
        CHECK(places(clients, 40) == before);
    });
}

CLUSTER_CASE("scenario 40: a client that sends at once keeps its bytes under sticky_modulo") {
    beside_clients<only<Backend, scheduling::sticky_modulo>>(running_case(), 4, [](auto& clients) {
        for (std::uint8_t last = 1; last != 20; ++last) {
            auto text = "127.0.0." + std::to_string(last);
            auto client = clients.connect(last);
            client.send(text);
            CHECK(client.place() == static_cast<int>(scheduling::sticky_modulo::hash(text) % 4));
            CHECK(client.read(text.size()) == text);
        }
    });
}

namespace {

/// Limits every worker to two connections: one of one's own, with state.
struct two_each {
    static constexpr auto accepts_in = cluster::accept_site::primary;
    template <class Candidates>
    cluster::choice pick(const Candidates& ready, const cluster::connection_info&) {
        for (std::size_t i = 0; i != ready.size(); ++i) {
            if (ready[i].connections() < 2) {
                return i;
            }
        }
        return cluster::refusal::hold;
    }
};

/// 127.0.0.2 is not wanted, 127.0.0.3 may go anywhere, all others go to the last place.
struct doorman {
    static constexpr auto accepts_in = cluster::accept_site::primary;
    template <class Candidates>
    cluster::choice pick(const Candidates& ready, const cluster::connection_info& from) {
        auto last = from.remote.bytes()[3];
        if (last == 2) {
            return cluster::refusal::close;
        }
        if (last == 3) {
            return cluster::refusal::fallback;
        }
        std::size_t at = 0;
        while (ready[at].slot() != 2) {
            ++at;
        }
        return at;
    }
};

} // namespace

CLUSTER_CASE("scenario 47: a policy may hold connections until a worker can have them") {
    beside_clients<only<Backend, two_each>>(running_case(), 3, [](auto& clients) {
        std::vector<blocking_client> open;
        shares count;
        for (int i = 0; i != 6; ++i) {
            open.push_back(clients.connect());
            ++count[open.back().place()];
        }
        CHECK(count == shares{{0, 2}, {1, 2}, {2, 2}});
        auto seventh = clients.connect();
        CHECK(clients.when_waiting(1));
        auto eighth = clients.connect();
        open.erase(open.begin());
        int place = seventh.place();
        CHECK(place >= 0);
        CHECK(clients.connections() == std::vector<std::uint64_t>{2, 2, 2});
        seventh.close();
        CHECK(eighth.place() == place);
    });
}

CLUSTER_CASE("scenario 47: a policy may close a connection or have no opinion") {
    beside_clients<only<Backend, doorman>>(running_case(), 3, [](auto& clients) {
        for (int i = 0; i != 10; ++i) {
            CHECK(clients.visit(2) == -1);
            CHECK(clients.visit(1) == 2);
        }
        shares anywhere;
        for (int i = 0; i != 30; ++i) {
            ++anywhere[clients.visit(3)];
        }
        CHECK(anywhere == shares{{0, 10}, {1, 10}, {2, 10}});
    });
}

namespace {

using any = scheduling::
    from_environment<scheduling::round_robin, scheduling::shared_socket, scheduling::sticky<>>;

/// What the environment says while the primary is made.
struct in_environment {
    explicit in_environment(const char* policy) { ::setenv(any::variable, policy, 1); }
    in_environment(in_environment&&) = delete;
    ~in_environment() { ::unsetenv(any::variable); }
};

} // namespace

CLUSTER_CASE("scenario 46: the environment chooses the policy before the first fork") {
    in_environment chosen{"sticky"};
    beside_clients<only<Backend, any>>(running_case(), 3, [](auto& clients) {
        auto before = places(clients, 20);
        CHECK(places(clients, 20) == before);
        auto refused = clients.ask([](auto& primary) {
            try {
                primary.scheduling().choose("rr");
            } catch (const std::logic_error& error) {
                return std::string{error.what()};
            }
            return std::string{};
        });
        CHECK(refused == "the scheduling policy is in use");
        CHECK(places(clients, 20) == before);
    });
}

CLUSTER_CASE("scenario 46: what the program chooses comes before the environment") {
    in_environment chosen{"sticky"};
    std::string mode;
    run_on<Backend, any>(
        [&](auto& primary) {
            primary.scheduling().choose("none");
            primary.on(cluster::event::listening, [&] {
                mode = primary.stats().listeners.front().mode;
                primary.disconnect();
            });
            primary.fork();
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    CHECK(mode == "shared");
}

CLUSTER_CASE("scenario 46: a policy that is not known is refused before anything starts") {
    in_environment chosen{"garbage"};
    only<Backend, any> app{program::argc, program::argv};
    CHECK_THROWS_WITH_AS(
        app.run([](auto& primary) { primary.fork(); }, [](auto&) {}),
        "CLUSTER_SCHED_POLICY 'garbage' is not known; there is: round_robin, shared_socket, sticky",
        std::invalid_argument);
}
