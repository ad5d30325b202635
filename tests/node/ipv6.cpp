// SPDX-License-Identifier: MIT
// Servers that take no IPv4 clients.
#include "../support/client.hpp"
#include "../support/every_model.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

using namespace cluster_test;

namespace {

constexpr std::size_t workers = 3;

/// Three workers listen on [::] for IPv6 alone; the same port for IPv4 is somebody else's. That one
/// comes first here, so that the system chooses a port that is free for both.
template <typename Backend>
void listen_ipv6_only() {
    std::vector<cluster::address> addresses;
    std::vector<std::string> answers;
    std::size_t exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& other = primary.listen({.host = "0.0.0.0"}, [&](cluster::connection client) {
                primary.attach(std::move(client)).end("IPv4");
            });
            auto port = other.address().port();
            auto answered = [&](const std::string& text, std::error_code) {
                answers.push_back(text);
                if (answers.size() == 2) {
                    other.close();
                    primary.disconnect();
                }
            };
            primary.fork(workers, {.data = port});
            primary.on(cluster::event::listening,
                       [&, port, answered](auto&, const cluster::address& at) {
                           addresses.push_back(at);
                           if (addresses.size() == workers) {
                               auto over_ipv4 = loopback(port);
                               ask(primary, over_ipv4, "", answered);
                               ask(primary, at, "", answered);
                           }
                       });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
                if (primary.workers().empty()) {
                    other.close(); // also when they could not listen
                }
            });
        },
        [](auto& self) {
            auto port = self.template data<std::uint16_t>();
            self.listen({.host = "::", .port = port, .ipv6_only = true},
                        [&self](cluster::connection client) {
                            self.attach(std::move(client)).end("IPv6");
                        });
        });
    CHECK(exits == workers);
    REQUIRE(addresses.size() == workers);
    for (const auto& each : addresses) {
        CHECK(each == addresses.front());
        CHECK(each.family() == cluster::address_family::ipv6);
        CHECK(each.host() == "::");
        CHECK(each.port() != 0);
    }
    REQUIRE(answers.size() == 2);
    CHECK(answers[0] != answers[1]);
}

} // namespace

// Node.js: test/sequential/test-cluster-net-listen-ipv6only-none.js
CLUSTER_CASE("test-cluster-net-listen-ipv6only-none") {
    if (!has_ipv6()) {
        MESSAGE("skipped: no IPv6 here");
        return;
    }
    on_model("none", listen_ipv6_only<Backend>);
}

// Node.js: test/sequential/test-cluster-net-listen-ipv6only-rr.js
EVERY_MODEL_CASE("test-cluster-net-listen-ipv6only-rr") {
    if (!has_ipv6()) {
        MESSAGE("skipped: no IPv6 here");
        return;
    }
    listen_ipv6_only<Backend>();
}
