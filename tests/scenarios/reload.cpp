// SPDX-License-Identifier: MIT
// Replacing every worker while the cluster serves.
#include "../fixtures/scenario.hpp"
#include "../support/client.hpp"
#include "../support/every_backend.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

// Clients one after the other, each with a connection of its own, until told to stop.
template <typename Primary>
class steady_clients : public std::enable_shared_from_this<steady_clients<Primary>> {
public:
    explicit steady_clients(Primary& primary) : primary_{primary} {}

    void start(const cluster::address& at, int count) {
        at_ = at;
        for (int i = 0; i != count; ++i) {
            next();
        }
    }
    /// Ends with the answers to those that are under way.
    template <typename F>
    void stop(F done) {
        done_ = std::move(done);
    }

    std::size_t served = 0;
    std::size_t lost = 0;

private:
    void next() {
        if (done_) {
            if (under_way_ == 0) {
                done_();
            }
            return;
        }
        ++under_way_;
        ask(primary_, at_, "", [self = this->shared_from_this()](const std::string& text, auto) {
            ++(text.starts_with("worker ") ? self->served : self->lost);
            --self->under_way_;
            self->next();
        });
    }

    Primary& primary_;
    cluster::address at_;
    std::function<void()> done_;
    int under_way_ = 0;
};

std::string listed(const std::vector<std::string>& all) {
    std::string text;
    for (const auto& each : all) {
        text += each + "; ";
    }
    return text;
}

void say(std::string_view text) {
    [[maybe_unused]] auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

template <typename Self>
void serve(Self& self) {
    self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
        self.attach(std::move(client)).end("worker " + std::to_string(self.id()));
    });
}

// A cluster of two that is reloaded `times` times under clients; what workers of a later generation
// do is `fresh`.
template <typename Cluster>
struct outcome {
    std::vector<cluster::reload_report> reports;
    std::set<std::uint32_t> living;
    std::vector<std::string> ends;
    std::size_t served = 0;
    std::size_t lost = 0;
    std::size_t fewest = 100;
    int code = -1;
};

template <typename Cluster, typename Fresh>
outcome<Cluster> reload_under_load(const char* name,
                                   int times,
                                   const cluster::reload_options& options,
                                   Fresh fresh) {
    outcome<Cluster> result;
    std::shared_ptr<void> kept;
    std::function<void()> again;
    result.code = run_case<Cluster>(
        name,
        [&](auto& primary) {
            using primary_type = std::remove_reference_t<decltype(primary)>;
            auto clients = std::make_shared<steady_clients<primary_type>>(primary);
            kept = clients;
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                result.ends.push_back(status.to_string());
            });
            again = [&, clients, left = times]() mutable {
                if (left-- == 0) {
                    for (auto& each : primary.workers()) {
                        if (each.is_connected()) {
                            result.living.insert(each.id());
                        }
                    }
                    clients->stop([&] { primary.shutdown(); });
                    return;
                }
                primary.reload(options, [&](const cluster::reload_report& report) {
                    result.reports.push_back(report);
                    again();
                });
            };
            primary.on(cluster::event::ready, [&] {
                std::size_t serving = 0;
                for (auto& each : primary.workers()) {
                    serving += each.is_ready() && each.is_connected() ? 1U : 0U;
                }
                if (result.served != 0 || serving == 2) {
                    result.fewest = std::min(result.fewest, serving);
                }
            });
            primary.once(
                cluster::event::listening,
                [&, clients](auto&, const cluster::address& at) { clients->start(at, 4); });
            primary.fork(2);
            primary.when_ready([&] { again(); });
        },
        [fresh](auto& self) {
            if (self.generation() > 1) {
                fresh(self);
            } else {
                serve(self);
            }
        });
    auto& clients = *static_cast<steady_clients<typename Cluster::primary_type>*>(kept.get());
    result.served = clients.served;
    result.lost = clients.lost;
    return result;
}

} // namespace

namespace {

template <typename Backend, typename Scheduling>
void lose_nobody() {
    auto result = reload_under_load<cluster::compose<Backend, Scheduling>>(
        running_case(), 5, {}, [](auto& self) { serve(self); });
    CHECK(result.code == 0);
    REQUIRE(result.reports.size() == 5);
    std::uint32_t generation = 1;
    for (const auto& each : result.reports) {
        CHECK(each.ok());
        CHECK(each.reason() == "");
        CHECK(each.replaced() == 2);
        CHECK(each.generation() == ++generation);
    }
    CHECK(result.living == std::set<std::uint32_t>{11, 12});
    CHECK(result.served > 10);
    CHECK(result.lost == 0);
    CHECK(result.fewest >= 2);
    REQUIRE(result.ends.size() == 12);
    CAPTURE(listed(result.ends));
    CHECK(std::count(result.ends.begin(), result.ends.end(), "recycled: exit code 0") == 10);
}

} // namespace

CLUSTER_CASE("reloads under load lose nobody: round_robin") {
    lose_nobody<Backend, cluster::scheduling::round_robin>();
}
CLUSTER_CASE("reloads under load lose nobody: shared_socket") {
    lose_nobody<Backend, cluster::scheduling::shared_socket>();
}
CLUSTER_CASE("reloads under load lose nobody: reuse_port") {
    lose_nobody<Backend, cluster::scheduling::reuse_port>();
}
CLUSTER_CASE("reloads under load lose nobody: least_connections") {
    lose_nobody<Backend, cluster::scheduling::least_connections>();
}
CLUSTER_CASE("reloads under load lose nobody: sticky") {
    lose_nobody<Backend, cluster::scheduling::sticky<>>();
}

TEST_CASE("a generation that dies at boot is given up and the old one serves on") {
    auto result = reload_under_load<cluster::compose<cluster::restart::always>>(
        "a generation that dies at boot is given up and the old one serves on", 3, {}, [](auto&) {
            say("reading the configuration\nno such table: \x1b[31musers\n");
            std::exit(3);
        });
    REQUIRE(result.reports.size() == 3);
    std::uint32_t id = 3;
    for (const auto& each : result.reports) {
        CHECK_FALSE(each.ok());
        CHECK(each.replaced() == 0);
        CHECK(each.reason() == "worker " + std::to_string(id++) +
                                   " ended before it was ready: exit code 3\n"
                                   "reading the configuration\nno such table: \\x1b[31musers");
    }
    CHECK(result.living == std::set<std::uint32_t>{1, 2});
    CHECK(result.lost == 0);
}

CLUSTER_CASE("a generation that hangs at boot is given up in time") {
    auto limit = unless_sanitized(300ms, 4000ms); // by then it has said what it waits for
    auto result = reload_under_load<cluster::compose<Backend>>(
        running_case(), 1, {.ready_timeout = limit}, [](auto& self) {
            say("waiting for the database\n");
            self.defer_ready();
            serve(self);
        });
    REQUIRE(result.reports.size() == 1);
    CHECK(result.reports[0].reason() ==
          std::string{"worker 3 was not ready after "} + unless_sanitized("0.30 s", "4.00 s") +
              (Backend::separate_memory ? "\nwaiting for the database" : ""));
    CHECK(result.living == std::set<std::uint32_t>{1, 2});
    CHECK(result.lost == 0);
}

CLUSTER_CASE("requests during a reload become one more reload") {
    std::vector<std::uint32_t> generations;
    std::size_t events = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.on(cluster::event::reload, [&](const cluster::reload_report& report) {
                ++events;
                CHECK(report.ok());
            });
            primary.fork(2);
            primary.when_ready([&] {
                auto done = [&](const cluster::reload_report& report) {
                    CHECK(report.replaced() == 2);
                    generations.push_back(report.generation());
                    if (generations.size() == 4) {
                        primary.shutdown();
                    }
                };
                for (int i = 0; i != 4; ++i) {
                    primary.reload({.max_surge = 2}, done);
                }
            });
        },
        [](auto& self) { serve(self); });
    CHECK(generations == std::vector<std::uint32_t>{2, 3, 3, 3});
    CHECK(events == 2);
}

TEST_CASE("workers that never say that they are ready are replaced when their loop runs") {
    bool ok = false;
    run_case<cluster::process_cluster>(
        "workers that never say that they are ready are replaced when their loop runs",
        [&](auto& primary) {
            primary.fork(2);
            primary.reload({}, [&](const cluster::reload_report& report) {
                ok = report.ok() && report.replaced() == 2;
                primary.shutdown();
            });
        },
        [](auto&) {});
    CHECK(ok);
}

TEST_CASE("a reload takes the settings as they are now") {
    std::string seen;
    run_case<cluster::process_cluster>(
        "a reload takes the settings as they are now",
        [&](auto& primary) {
            primary.on_message([&](auto& from, const std::string& text) {
                if (from.generation() == 2) {
                    seen = text;
                    primary.shutdown();
                } else {
                    primary.setup({.environment = {{"RELEASE", "new"}}});
                    primary.reload();
                }
            });
            primary.setup({.environment = {{"RELEASE", "old"}}});
            primary.fork({.environment = {{"PLACE", "here"}}});
        },
        [](auto& self) {
            self.send(std::string{std::getenv("RELEASE")} + " " + std::getenv("PLACE"));
        });
    CHECK(seen == "new here");
}

TEST_CASE("a shutdown ends a reload") {
    std::string reason;
    int code = run_case<cluster::process_cluster>(
        "a shutdown ends a reload",
        [&](auto& primary) {
            primary.fork(2);
            primary.when_ready([&] {
                primary.reload(
                    {}, [&](const cluster::reload_report& report) { reason = report.reason(); });
                primary.shutdown();
            });
        },
        [](auto& self) { serve(self); });
    CHECK(code == 0);
    CHECK(reason == "the cluster shuts down");
}

TEST_CASE("reloads leave no descriptor behind in the primary") {
    std::vector<std::size_t> open;
    run_case<cluster::process_cluster>(
        "reloads leave no descriptor behind in the primary",
        [&](auto& primary) {
            auto again = std::make_shared<std::function<void()>>();
            *again = [&, again = std::weak_ptr{again}] {
                auto settled = [&] {
                    return primary.workers().size() == 2 && primary.workers().at(0).is_ready() &&
                           primary.workers().at(1).is_ready() &&
                           (open.empty() || scenario::open_descriptors() == open[0]);
                };
                scenario::when(primary, settled, [&, go_on = again.lock()] {
                    open.push_back(scenario::open_descriptors());
                    if (open.size() == 5) {
                        primary.shutdown();
                    } else {
                        primary.reload({}, [go_on](const cluster::reload_report& report) {
                            CHECK(report.ok());
                            (*go_on)();
                        });
                    }
                });
            };
            primary.fork(2);
            (*again)();
        },
        [](auto& self) { serve(self); });
    CHECK(open.size() == 5); // else it waited for one that never closed
}

TEST_CASE("a reload while the cluster is scaled to nothing fails and leaves the program as it is") {
    cluster::reload_report while_empty, later;
    std::vector<std::uint32_t> generations;
    int code = run_case<cluster::process_cluster>(
        "a reload while the cluster is scaled to nothing fails and leaves the program as it is",
        [&](auto& primary) {
            auto reload_again = [&](const cluster::reload_report& report) {
                while_empty = report;
                primary.scale(1);
                primary.when_ready([&] {
                    primary.reload({}, [&](const cluster::reload_report& second) {
                        later = second;
                        primary.shutdown();
                    });
                });
            };
            primary.on(cluster::event::ready,
                       [&](auto& worker) { generations.push_back(worker.generation()); });
            primary.fork();
            primary.when_ready([&, reload_again] {
                primary.scale(0);
                scenario::when(
                    primary,
                    [&] { return primary.workers().empty(); },
                    [&, reload_again] { primary.reload({}, reload_again); });
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(code == 0);
    CHECK_FALSE(while_empty.ok());
    CHECK(while_empty.reason().find("scaled to nothing") != std::string::npos);
    CHECK(later.ok());
    CHECK(later.replaced() == 1);
    CHECK(generations == std::vector<std::uint32_t>{1, 1, later.generation()});
}
