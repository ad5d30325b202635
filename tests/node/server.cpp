// SPDX-License-Identifier: MIT
#include "../support/client.hpp"
#include "../support/every_model.hpp"
#include "../support/temporary_directory.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace cluster_test;

EVERY_MODEL_CASE("test-cluster-child-index-net") {
    std::vector<std::uint16_t> ports;
    int exited = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::listening,
                      [&](const cluster::address& at) { ports.push_back(at.port()); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exited;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK_FALSE(worker.exited_after_disconnect());
            });
        },
        [](auto& self) {
            constexpr int servers = 2;
            auto count_down = [&self, open = std::make_shared<int>(2 * servers)] {
                if (--*open == 0) {
                    exit_worker(self, 0);
                }
            };
            for (int i = 0; i != servers; ++i) {
                auto& first = self.listen({}, [](cluster::connection) {});
                first.on_close(count_down);
                self.post([&self, &first, count_down] {
                    first.close();
                    auto& second = self.listen({}, [](cluster::connection) {});
                    second.on_close(count_down);
                    self.post([&second] { second.close(); });
                });
            }
        });
    REQUIRE(ports.size() == 4);
    CHECK(ports[0] != ports[1]); // they are open at the same time
    CHECK(exited == 1);
}

EVERY_MODEL_CASE("test-cluster-http-pipe") {
    std::optional<temporary_directory> place;
    std::string path;
    std::string answer;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            place.emplace();
            path = *place / "http";
            auto& worker = primary.fork({.data = path});
            worker.on(cluster::event::listening, [&](const cluster::address& at) {
                CHECK(at.family() == cluster::address_family::local);
                CHECK(at.port() == 0); // Node: -1
                ask(primary,
                    at,
                    "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n",
                    [&](std::string text, std::error_code error) {
                        CHECK_FALSE(error);
                        answer = std::move(text);
                        worker.disconnect();
                    });
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK_FALSE(std::filesystem::exists(path));
            });
        },
        [](auto& self) {
            self.listen(
                {.path = self.template data<std::string>()}, [&](cluster::connection client) {
                    bool anonymous = client.remote().family() == cluster::address_family::none;
                    auto& stream = self.attach(std::move(client));
                    stream.on_data([&stream, anonymous, text = std::string{}](auto bytes) mutable {
                        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                        if (text.ends_with("\r\n\r\n")) {
                            stream.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                            stream.end(anonymous ? "OK" : "a client with an address");
                        }
                    });
                });
        });
    CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(answer.ends_with("\r\n\r\nOK"));
}

// Two workers share a path and may have one and nine connections: each of the ten finds its place,
// whoever is asked first.
EVERY_MODEL_CASE("test-cluster-net-server-drop-connection") {
    constexpr int clients = 10;
    std::optional<temporary_directory> place;
    std::map<std::string, int> served;
    int answered = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            place.emplace();
            auto path = *place / "socket";
            for (const char* most : {"1", "9"}) {
                primary.fork({.name = most, .data = path});
            }
            primary.on(cluster::event::listening,
                       [&, listening = 0](auto&, const cluster::address& at) mutable {
                           ++listening;
                           for (int i = 0; listening == 2 && i != clients; ++i) {
                               auto& client = primary.attach(connect_to(at));
                               client.on_data([&](cluster::stream::bytes name) {
                                   ++served[text_of(name)];
                                   if (++answered == clients) {
                                       primary.shutdown(); // the connections are still open
                                   }
                               });
                           }
                       });
            primary.on(cluster::event::exit, [](auto&, const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto most = static_cast<std::size_t>(std::stoi(self.name()));
            self.listen({.path = self.template data<std::string>(), .max_connections = most},
                        [&self](cluster::connection client) {
                            auto& stream = self.attach(std::move(client));
                            stream.on_data([](cluster::stream::bytes) {}); // stays open
                            stream.write(self.name());
                            self.on(cluster::event::disconnect, [&stream] { stream.end(); });
                        });
        });
    CHECK(served == std::map<std::string, int>{{"1", 1}, {"9", 9}});
}
