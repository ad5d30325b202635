// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_ADAPTERS_SUPPORT_TWO_HOSTS_HPP
#define CLUSTER_TESTS_ADAPTERS_SUPPORT_TWO_HOSTS_HPP

/// \file
/// Two clusters that reach each other by a bus only, each in a network of its own where the test may
/// make some, else on this host.

#include "foreign_server.hpp"

#include <cluster.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace two_hosts {

using namespace std::chrono_literals;

struct news {
    static constexpr std::string_view message_name = "news";
    std::string text;
};
struct heard { // a worker tells its primary
    static constexpr std::string_view message_name = "heard";
    std::string text;
};
struct question {
    static constexpr std::string_view message_name = "question";
    int number = 0;
};
struct finish {
    static constexpr std::string_view message_name = "finish";
};

/// Two networks with a cable between them; the server's end is `server_address`.
class networks {
public:
    networks() {
        auto base = "bus" + std::to_string(::getpid());
        left_ = base + "l";
        right_ = base + "r";
        auto cable = base.substr(base.size() > 11 ? base.size() - 11 : 0);
        real_ = ::geteuid() == 0 && run("ip netns add " + left_) && run("ip netns add " + right_) &&
                run("ip -n " + left_ + " link add " + cable + " type veth peer name " + cable +
                    "p netns " + right_) &&
                up(left_, cable, "10.77.0.1/24") && up(right_, cable + "p", "10.77.0.2/24");
        if (!real_) {
            remove();
        }
        INFO("in two networks: ", real_);
    }
    networks(networks&&) = delete;
    ~networks() { remove(); }

    [[nodiscard]] std::string left() const { return real_ ? left_ : std::string{}; }
    [[nodiscard]] std::string right() const { return real_ ? right_ : std::string{}; }
    [[nodiscard]] std::string server_address() const { return real_ ? "10.77.0.1" : "127.0.0.1"; }

private:
    static bool run(const std::string& command) {
        return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
    }
    static bool up(const std::string& name, const std::string& device, const std::string& address) {
        return run("ip -n " + name + " addr add " + address + " dev " + device) &&
               run("ip -n " + name + " link set " + device + " up") &&
               run("ip -n " + name + " link set lo up");
    }
    void remove() const {
        run("ip netns del " + left_);
        run("ip netns del " + right_);
    }

    std::string left_;
    std::string right_;
    bool real_ = false;
};

/// One of the two clusters; `make_bus(node)` connects it.
template <typename MakeBus>
void run_cluster(const char* test_case, bool left, MakeBus make_bus) {
    cluster_test::run_case<cluster::process_cluster>(
        test_case,
        [&](auto& primary) {
            auto& bridge = cluster::connect_bus(primary, make_bus(left ? "left" : "right"));
            if (left) {
                auto lines = std::make_shared<std::set<std::string>>();
                bridge.on_message([&bridge](const std::string& said) {
                    scenario::say(said);
                    bridge.broadcast(news{"hello"});
                });
                bridge.on_message([&, lines](auto& from, const heard& said) {
                    lines->insert(said.text + " from " + std::string{from.node()});
                    if (lines->size() != 2) {
                        return;
                    }
                    for (const auto& each : *lines) {
                        scenario::say(each);
                    }
                    bridge.template request_all<int>(
                        question{21}, {.expected = 1, .timeout = 30s}, [&](const auto& got) {
                            scenario::say("answer " +
                                          std::to_string(got.answers.at(0).reply.value_or(-1)));
                            bridge.publish(finish{});
                            bridge.registry().claim("session");
                        });
                });
                bridge.on_node([&](std::string_view, bool here) {
                    if (!here) { // it has ended, so it has got everything
                        primary.disconnect();
                    }
                });
            } else {
                bridge.template relay<heard>();
                bridge.on_request([](const question& asked) { return asked.number * 2; });
                bridge.registry().on_change([&](std::string_view key, std::string_view owner) {
                    scenario::say(std::string{key} + " is of " + std::string{owner});
                    primary.disconnect();
                });
                bridge.on_node([&, ready = std::make_shared<int>(0)](auto, bool here) {
                    if (here && ++*ready == 1) {
                        primary.when_ready([&] { bridge.publish("ready"); });
                    }
                });
            }
            primary.fork(2);
        },
        [](auto& self) {
            self.on_message([&self](const news& arrived) {
                self.send(heard{std::to_string(self.id()) + ':' + arrived.text});
            });
            self.ready();
        });
}

/// Enters the network that the test has made for this part.
inline void enter(const std::string& name_space) {
    if (!name_space.empty()) {
        auto path = "/run/netns/" + name_space;
        cluster::unique_fd net{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
        if (::setns(net.get(), CLONE_NEWNET) != 0) {
            std::abort();
        }
    }
}

/// What both clusters together must say.
inline void check_story(scenario::another_primary& left, scenario::another_primary& right) {
    CHECK(left.line() == "ready");
    CHECK(left.line() == "1:hello from right");
    CHECK(left.line() == "2:hello from right");
    CHECK(left.line() == "answer 42");
    CHECK(right.line() == "session is of left");
    CHECK(right.wait() == 0);
    CHECK(left.wait() == 0);
}

} // namespace two_hosts

#endif // CLUSTER_TESTS_ADAPTERS_SUPPORT_TWO_HOSTS_HPP
