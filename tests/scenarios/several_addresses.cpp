// SPDX-License-Identifier: MIT
// One server that listens on several addresses, with every scheduling model.
#include "../fixtures/scenario.hpp"
#include "../support/every_model.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

using namespace cluster_test;

namespace {

using texts = std::vector<std::string>;

texts network_and_path(const std::string& path) {
    texts result{"127.0.0.1:0", "unix:" + path};
    if (has_ipv6()) {
        result.insert(result.begin() + 1, "[::1]:0");
    }
    return result;
}

struct close_now {};

struct free_and_taken {
    std::string path;
    std::string taken;
};

} // namespace

EVERY_MODEL_CASE("a server on several addresses serves all and closes all") {
    constexpr std::size_t workers = 2;
    std::optional<temporary_directory> place;
    std::vector<texts> told; // by each worker: the addresses of its server
    std::vector<cluster::address> announced;
    std::size_t served = 0;
    std::size_t closed = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            place.emplace();
            auto path = *place / "socket";
            primary.fork(workers, {.data = path});
            primary.on(cluster::event::listening, [&](auto&, const cluster::address& at) {
                if (std::find(announced.begin(), announced.end(), at) == announced.end()) {
                    announced.push_back(at);
                }
            });
            auto ask_all = [&] {
                for (const auto& at : announced) {
                    ask(primary, at, "", [&](const std::string& answer, std::error_code) {
                        CHECK(answer == "served");
                        if (++served == announced.size()) {
                            primary.broadcast(close_now{});
                        }
                    });
                }
            };
            primary.on_message([&, ask_all](auto&, const texts& addresses) {
                told.push_back(addresses);
                if (told.size() == workers) {
                    ask_all();
                }
            });
            primary.on_message([&, path](auto&, const std::string&) {
                if (++closed == workers) {
                    CHECK(primary.stats().listeners.empty());
                    CHECK_FALSE(std::filesystem::exists(path));
                    primary.disconnect();
                }
            });
            primary.on(cluster::event::exit, [](auto&, const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto& server =
                self.listen({.addresses = network_and_path(self.template data<std::string>())},
                            [&self](cluster::connection client) {
                                self.attach(std::move(client)).end("served");
                            });
            texts where;
            for (const auto& each : server.addresses()) {
                where.push_back(each.to_string());
            }
            expect_in_worker(where.front() == server.address().to_string(), 3);
            self.send(where);
            self.on_message([&server](const close_now&) { server.close(); });
            server.on_close([&self] { self.send(std::string{"closed"}); });
        });
    REQUIRE(told.size() == workers);
    CHECK(told[0] == told[1]);
    CHECK(told[0].size() == (has_ipv6() ? 3 : 2));
    texts texts_announced;
    for (const auto& each : announced) {
        texts_announced.push_back(each.to_string());
    }
    CHECK(texts_announced == told[0]);
    CHECK(served == told[0].size());
    CHECK(closed == workers);
}

namespace {

/// A worker tries to listen on two addresses of which the second is taken; then nothing is left of
/// the first, and another server can have it.
template <typename Self>
void fail_on_the_second(Self& self, bool exclusive) {
    auto never = [](cluster::connection) { fail_worker(3); };
    const auto& [path, taken] = self.template data<free_and_taken>();
    cluster::listen_options both{.addresses = {path, taken}, .exclusive = exclusive};
    std::error_code error;
    auto& failed = self.listen(both, never, error);
    bool nothing_left = !failed.is_listening() && failed.addresses().empty() &&
                        failed.address() == cluster::address{};
    expect_in_worker(error == std::errc::address_in_use && nothing_left && !self.is_ready(), 4);
    try {
        self.listen(both, never);
        fail_worker(5);
    } catch (const std::system_error& thrown) {
        std::string text = thrown.what();
        expect_in_worker(text.find(path) != text.npos && text.find(taken) != text.npos, 6);
    }
    self.listen(
        {.path = path, .exclusive = exclusive, .mode = 0600}, // other options: it is anew
        [&self](cluster::connection client) { self.attach(std::move(client)).end("served"); });
    self.send(path);
}

} // namespace

EVERY_MODEL_CASE("a server on several addresses has all of them or none") {
    std::optional<temporary_directory> place;
    int answers = 0;
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            place.emplace();
            auto& owner = primary.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            for (const char* name : {"shared", "exclusive"}) {
                auto taken = owner.address().to_string();
                primary.fork({.name = name, .data = free_and_taken{*place / name, taken}});
            }
            primary.on_message([&](auto& from, const std::string& path) {
                auto at = cluster::address::local(path);
                ask(primary, at, "", [&](const std::string& answer, std::error_code) {
                    CHECK(answer == "served");
                    ++answers;
                    from.disconnect();
                });
            });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
                if (++exits == 2) {
                    owner.close();
                }
            });
        },
        [](auto& self) { fail_on_the_second(self, self.name() == "exclusive"); });
    CHECK(answers == 2);
}

TEST_CASE("the primary may listen on several addresses as well") {
    temporary_directory place;
    int answers = 0;
    run_case<cluster::compose<any_model>>(
        "the primary may listen on several addresses as well",
        [&](auto& primary) {
            std::error_code error;
            auto path = place / "socket";
            auto serve = [&](cluster::connection client) {
                primary.attach(std::move(client)).end("served");
            };
            auto& server = primary.listen({.addresses = {"127.0.0.1:0", path}}, serve);
            auto all = server.addresses();
            REQUIRE(all.size() == 2);
            auto& taken =
                primary.listen({.addresses = {place / "other", all[0].to_string()}}, serve, error);
            CHECK(error == std::errc::address_in_use);
            CHECK_FALSE(taken.is_listening());
            CHECK_FALSE(std::filesystem::exists(place / "other"));
            CHECK_THROWS_AS(primary.listen({.addresses = {"nonsense"}}, serve), std::system_error);
            for (const auto& each : all) {
                ask(primary, each, "", [&, path](const std::string& answer, std::error_code) {
                    CHECK(answer == "served");
                    if (++answers == 2) {
                        server.close();
                        CHECK_FALSE(std::filesystem::exists(path));
                    }
                });
            }
        },
        [](auto&) {});
    CHECK(answers == 2);
}
