// SPDX-License-Identifier: MIT
#include "../support/every_model.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using namespace cluster_test;

namespace {

struct introduction {
    std::uint32_t id;
    int pid;
};

} // namespace

EVERY_MODEL_CASE_ON(all_backends, "test-cluster-basic") {
    std::vector<std::string> events;
    int code = run_on<Backend, any_model>(
        [&](auto& primary) {
            CHECK(primary.workers().empty());
            auto& worker = primary.fork();
            CHECK(worker.id() == 1);
            CHECK(worker.pid() > 0);
            CHECK(worker.state() == cluster::worker_state::none);
            CHECK(worker.is_connected());
            CHECK_FALSE(worker.is_dead());
            CHECK_FALSE(worker.exited_after_disconnect());
            CHECK(primary.workers().find(1) == &worker);
            CHECK(std::getenv("CLUSTER_WORKER") == nullptr); // our own environment is untouched
            worker.on(cluster::event::online, [&] { events.push_back("worker online"); });
            worker.on(cluster::event::listening, [&](const cluster::address& at) {
                events.push_back("worker listening");
                CHECK(at.family() == cluster::address_family::ipv4);
                CHECK(at.host() == "127.0.0.1");
                CHECK(at.port() != 0);
                CHECK(worker.state() == cluster::worker_state::listening);
            });
            worker.on(cluster::event::disconnect, [&] {
                events.push_back("worker disconnect");
                CHECK(worker.state() == cluster::worker_state::disconnected);
            });
            worker.on(cluster::event::exit, [&] { events.push_back("worker exit"); });
            worker.on_message([&](auto& from, const introduction& said) {
                CHECK(&from == &worker);
                CHECK(said.id == worker.id());
                CHECK(said.pid == worker.pid());
                worker.disconnect();
            });
            primary.on(cluster::event::fork, [&](auto& which) {
                events.push_back("fork");
                CHECK(&which == &worker);
                CHECK(which.state() == cluster::worker_state::none);
            });
            primary.on(cluster::event::online, [&](auto& which) {
                events.push_back("online");
                CHECK(&which == &worker);
                CHECK(which.state() == cluster::worker_state::online);
            });
            primary.on(cluster::event::listening, [&](auto& which, const cluster::address& at) {
                events.push_back("listening");
                CHECK(&which == &worker);
                CHECK(at.host() == "127.0.0.1");
            });
            primary.on(cluster::event::disconnect, [&](auto& which) {
                events.push_back("disconnect");
                CHECK(&which == &worker);
                CHECK_FALSE(which.is_connected());
            });
            primary.on(cluster::event::exit, [&](auto& which, const cluster::exit_status& status) {
                events.push_back("exit");
                CHECK(&which == &worker);
                CHECK(status == worker.status());
                CHECK(status.success());
                CHECK(which.is_dead());
                CHECK(which.state() == cluster::worker_state::dead);
                CHECK(primary.workers().empty());
            });
        },
        [](auto& self) {
            expect_in_worker(std::getenv("CLUSTER_WORKER") == nullptr, 2);
            expect_in_worker(self.is_connected() && !self.exited_after_disconnect(), 3);
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            self.send(introduction{self.id(), self.pid()});
        });
    CHECK(code == 0);
    CHECK(events == std::vector<std::string>{"fork",
                                             "worker online",
                                             "online",
                                             "worker listening",
                                             "listening",
                                             "worker disconnect",
                                             "disconnect",
                                             "worker exit",
                                             "exit"});
}
