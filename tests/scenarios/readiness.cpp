// SPDX-License-Identifier: MIT
// When a worker counts as up, and what happens to one that does not come up.
#include "../support/client.hpp"
#include "../support/cluster_test.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct go_on {
    int step = 0;
};

template <typename Self>
void greet(Self& self, cluster::connection client) {
    self.attach(std::move(client)).end("worker " + std::to_string(self.id()));
}

} // namespace

TEST_CASE("the first listen makes a worker ready") {
    std::vector<std::string> events;
    bool all_ready = false;
    int code = run_case<cluster::process_cluster>(
        "the first listen makes a worker ready",
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::online, [&] { events.emplace_back("online"); });
            worker.on(cluster::event::listening, [&] { events.emplace_back("listening"); });
            worker.on(cluster::event::ready, [&](auto& one) {
                events.emplace_back("ready");
                CHECK(one.is_ready());
            });
            CHECK_FALSE(worker.is_ready());
            primary.when_ready([&] {
                all_ready = true;
                primary.when_ready([&] { primary.disconnect(); }); // also when it is so already
            });
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {}); // not ready twice
        });
    CHECK(code == 0);
    CHECK(all_ready);
    CHECK(events == std::vector<std::string>{"online", "listening", "ready", "listening"});
}

TEST_CASE("a worker that says so itself is ready when it says so") {
    bool ready = false;
    run_case<cluster::process_cluster>(
        "a worker that says so itself is ready when it says so",
        [&](auto& primary) {
            auto& worker = primary.fork();
            primary.once(cluster::event::ready, [&](auto& one) {
                ready = true;
                one.disconnect();
            });
            worker.send(go_on{});
        },
        [](auto& self) { self.on_message([&self](const go_on&) { self.ready(); }); });
    CHECK(ready);
}

namespace {

template <typename Scheduling>
void accepts_nothing_early(const char* name) {
    std::string said;
    bool ready = false;
    bool too_early = false;
    run_case<cluster::compose<Scheduling>>(
        name,
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::ready, [&] { ready = true; });
            worker.on(cluster::event::listening, [&](auto& one, const cluster::address& at) {
                ask(primary, at, "", [&](const std::string& text, std::error_code) {
                    said = text;
                    too_early = !ready;
                    primary.disconnect();
                });
                one.template request<int>(go_on{1}, [&one](cluster::result<int> turns) {
                    CHECK(turns.value() == 0); // it had every chance to accept
                    one.send(go_on{2});
                });
            });
        },
        [](auto& self) {
            self.defer_ready();
            auto served = std::make_shared<int>(0);
            self.listen({.host = "127.0.0.1"}, [&self, served](cluster::connection client) {
                ++*served;
                greet(self, std::move(client));
            });
            self.on_request(
                [&self, served](
                    const go_on&,
                    cluster::basic_responder<int, cluster::serialization::binary> answer) mutable {
                    self.after(100ms,
                               [served, later = std::move(answer)]() mutable { later(*served); });
                });
            self.on_message([&self](const go_on&) { self.ready(); });
        });
    CHECK(said == "worker 1");
    CHECK_FALSE(too_early);
}

} // namespace

TEST_CASE("a server accepts nothing before its worker is ready: round_robin") {
    accepts_nothing_early<cluster::scheduling::round_robin>(
        "a server accepts nothing before its worker is ready: round_robin");
}
TEST_CASE("a server accepts nothing before its worker is ready: shared_socket") {
    accepts_nothing_early<cluster::scheduling::shared_socket>(
        "a server accepts nothing before its worker is ready: shared_socket");
}
TEST_CASE("a server accepts nothing before its worker is ready: reuse_port") {
    accepts_nothing_early<cluster::scheduling::reuse_port>(
        "a server accepts nothing before its worker is ready: reuse_port");
}

TEST_CASE("a worker that ends before it is as ready as it wanted to be has failed to boot") {
    std::vector<cluster::exit_report> reports;
    run_case<cluster::process_cluster>(
        "a worker that ends before it is as ready as it wanted to be has failed to boot",
        [&](auto& primary) {
            primary.on(cluster::event::exit,
                       [&](auto& worker) { reports.push_back(worker.report()); });
            primary.fork({.environment = {{"FAIL", "early"}}});
            primary.fork({.environment = {{"FAIL", "late"}}});
        },
        [](auto& self) {
            if (std::getenv("FAIL") == std::string{"early"}) {
                self.defer_ready();
                std::exit(7);
            }
            self.stop(8);
        });
    REQUIRE(reports.size() == 2);
    for (const auto& each : reports) {
        CHECK_FALSE(each.was_ready);
        CHECK(each.generation == 1);
        bool early = each.worker_id == 1;
        CHECK(each.status.code() == (early ? 7 : 8));
        CHECK(each.status.reason() ==
              (early ? cluster::exit_reason::boot_failed : cluster::exit_reason::exited));
    }
}

TEST_CASE("a worker that does not come up in time is ended and replaced") {
    std::vector<std::string> ends;
    run_case<cluster::compose<cluster::restart::always>>(
        "a worker that does not come up in time is ended and replaced",
        [&](auto& primary) {
            primary.supervise({.boot_timeout = 300ms});
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ends.push_back(status.to_string());
            });
            primary.on(cluster::event::ready, [&](auto& worker) {
                CHECK(worker.id() >= 2);
                primary.shutdown();
            });
            primary.fork();
        },
        [](auto& self) {
            self.defer_ready();
            if (self.id() > 1) { // the first one never says that it is ready
                self.ready();
            }
        });
    REQUIRE_FALSE(ends.empty());
    CHECK(ends.front() == "boot failed: killed by SIGTERM");
}
