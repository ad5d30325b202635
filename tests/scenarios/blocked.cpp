// SPDX-License-Identifier: MIT
// While one worker does nothing but block, the models that know its load leave it alone.
#include "../fixtures/blocking_clients.hpp"
#include "../support/every_model.hpp"
#include "../support/full_size.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

using namespace cluster_test;
using scenario::beside_clients;
using scenario::blocking_client;

namespace {

/// Of the models of any_model.
constexpr auto load_aware = {
    "least_connections", "power_of_two", "least_loaded_kernel", "shared_socket"};

constexpr auto place_variable = "CLUSTER_TEST_PLACE";

/// Files by which a worker says that it blocks, and is told to go on.
std::string blocks_file(const std::string& place) {
    return place + "/blocks";
}
std::string go_on_file(const std::string& place) {
    return place + "/go_on";
}
void touch(const std::string& path) {
    cluster::unique_fd{::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)};
}
bool exists(const std::string& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

/// A worker's handler: what a client sends blocks the worker until it is told to go on.
template <typename Self>
void block_when_told(Self& self, cluster::connection client) {
    auto& connected = self.attach(std::move(client));
    connected.write(std::to_string(self.slot()) + "\n");
    connected.on_data([&connected](cluster::stream::bytes bytes) {
        const std::string place = std::getenv(place_variable);
        touch(blocks_file(place));
        while (!exists(go_on_file(place))) {
            ::usleep(2000);
        }
        connected.write(bytes);
    });
}

/// Blocks one of the workers for as long as it lives.
class blocked_worker {
public:
    template <typename Clients>
    blocked_worker(const Clients& clients, std::string place)
        : place_{std::move(place)}, client_{clients.connect()}, slot_{client_.place()} {
        ::unlink(blocks_file(place_).c_str());
        ::unlink(go_on_file(place_).c_str());
        client_.send("block");
        CHECK(scenario::eventually([this] { return exists(blocks_file(place_)); }));
    }
    blocked_worker(blocked_worker&&) = delete;
    ~blocked_worker() {
        touch(go_on_file(place_));
        CHECK(client_.read(5) == "block");
    }
    [[nodiscard]] int slot() const { return slot_; }

private:
    std::string place_;
    blocking_client client_;
    int slot_;
};

/// Waits until so many connections are open, which those that have just ended are not.
template <typename Clients>
bool when_open(const Clients& clients, std::size_t count) {
    return clients.when([count](auto& primary) {
        std::size_t all = 0;
        for (auto& each : primary.workers()) {
            all += each.connections();
        }
        return all == count;
    });
}

template <typename Script>
void beside_four(const char* name, Script script) {
    temporary_directory directory;
    const char* told = std::getenv(place_variable); // to a worker
    const std::string place = told == nullptr ? directory.path() : told;
    cluster::fork_options each{.environment = {{place_variable, place}}};
    beside_clients<cluster::compose<any_model>>(
        name,
        std::vector<cluster::fork_options>(4, each),
        [&](auto& clients) { script(clients, place); },
        [](auto& self, cluster::connection client) { block_when_told(self, std::move(client)); });
}

void leave_blocked_one_out() {
    beside_four("a worker that blocks gets no connection", [](auto& clients, const auto& place) {
        blocked_worker blocked{clients, place};
        for (int i = 0; i != 50; ++i) {
            auto other = clients.connect();
            CHECK(other.place() != blocked.slot());
            other.close();
            CHECK(when_open(clients, 1));
        }
    });
}

using duration = std::chrono::steady_clock::duration;

/// How long it takes to be served, for all but a twentieth of the clients who come one after the
/// other; for so long at least, and so many at least.
template <typename Clients>
duration slow_answer(const Clients& clients, duration at_least) {
    constexpr std::size_t fewest = 200;
    using clock = std::chrono::steady_clock;
    std::vector<duration> taken;
    auto end = clock::now() + at_least;
    while (taken.size() < fewest || clock::now() < end) {
        auto begin = clock::now();
        if (clients.visit() < 0) {
            return duration::max();
        }
        taken.push_back(clock::now() - begin);
    }
    auto at = taken.begin() + static_cast<std::ptrdiff_t>(taken.size() * 95 / 100);
    std::nth_element(taken.begin(), at, taken.end());
    return *at;
}

// On a machine that does other things a measurement may be of those: one that holds is enough.
void answer_as_quickly() {
    beside_four("while a worker blocks the others answer as quickly",
                [](auto& clients, const auto& place) {
                    constexpr int attempts = 10;
                    duration before{};
                    duration meanwhile{};
                    for (int i = 0; i != attempts; ++i) {
                        before = slow_answer(clients, {});
                        CHECK(when_open(clients, 0));
                        {
                            blocked_worker blocked{clients, place};
                            using std::chrono::seconds;
                            meanwhile = slow_answer(clients, sized(seconds{0}, seconds{12}));
                        }
                        CHECK(when_open(clients, 0));
                        if (meanwhile <= 2 * before) {
                            return;
                        }
                    }
                    FAIL_CHECK("p95 was ", before.count(), " ns and became ", meanwhile.count());
                });
}

} // namespace

TEST_CASE("a worker that blocks gets no connection") {
    for (const auto* model : load_aware) {
        on_model(model, leave_blocked_one_out);
    }
}

TEST_CASE("while a worker blocks the others answer as quickly") {
    for (const auto* model : load_aware) {
        on_model(model, answer_as_quickly);
    }
}
