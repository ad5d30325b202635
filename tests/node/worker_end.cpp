// SPDX-License-Identifier: MIT
// How workers end, and what keeps them from it.
#include "../support/client.hpp"
#include "../support/every_model.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include <signal.h>
#include <unistd.h>

using namespace cluster_test;

namespace {

bool is_alive(int pid) {
    return ::kill(pid, 0) == 0;
}

/// Collects what the worker's and the primary's handlers see of one worker's end.
struct ending {
    std::vector<std::string> events;
    cluster::worker_state state_at_disconnect = cluster::worker_state::none;
    bool asked_for = true;
    bool alive = true;
    std::size_t others = 1;
    cluster::exit_status status;

    template <typename Primary, typename Worker>
    void watch(Primary& primary, Worker& worker) {
        worker.on(cluster::event::disconnect, [this, &worker] {
            events.push_back("worker disconnect");
            state_at_disconnect = worker.state();
            asked_for = worker.exited_after_disconnect();
        });
        worker.on(cluster::event::exit, [this, &worker, &primary](const cluster::exit_status& how) {
            events.push_back("worker exit");
            status = how;
            alive = is_alive(worker.pid());
            others = primary.workers().size();
        });
        primary.on(cluster::event::disconnect, [this] { events.push_back("disconnect"); });
        primary.on(cluster::event::exit, [this](auto&, const cluster::exit_status& how) {
            events.push_back("exit");
            CHECK(how == status);
        });
    }

    template <typename Backend>
    void check_that_nobody_asked() const {
        CHECK(events ==
              std::vector<std::string>{"worker disconnect", "disconnect", "worker exit", "exit"});
        CHECK(state_at_disconnect == cluster::worker_state::disconnected);
        CHECK_FALSE(asked_for);
        CHECK(alive == !Backend::separate_memory);
        CHECK(others == 0);
    }
};

} // namespace

// Node.js: test/parallel/test-cluster-worker-disconnect-on-error.js
EVERY_MODEL_CASE("test-cluster-worker-disconnect-on-error") {
    int disconnects = 0;
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& owner = primary.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            auto& worker = primary.fork({.data = owner.address().port()});
            worker.on(cluster::event::listening, [] { FAIL_CHECK("the address was taken"); });
            worker.on(cluster::event::disconnect, [&] {
                ++disconnects;
                CHECK(worker.exited_after_disconnect());
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK_MESSAGE(status.success(), status.to_string());
                owner.close();
            });
        },
        [](auto& self) {
            auto port = self.template data<std::uint16_t>();
            std::error_code error;
            self.listen(
                {.host = "127.0.0.1", .port = port}, [](cluster::connection) {}, error);
            expect_in_worker(error == std::errc::address_in_use, 3);
            self.disconnect();
        });
    CHECK(disconnects == 1);
    CHECK(exits == 1);
}

// Node.js: test/parallel/test-cluster-worker-exit.js
EVERY_MODEL_CASE_ON(all_backends, "test-cluster-worker-exit") {
    ending end;
    run_on<Backend, any_model>([&](auto& primary) { end.watch(primary, primary.fork()); },
                               [](auto& self) {
                                   self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
                                   exit_worker(self, 42);
                               });
    end.check_that_nobody_asked<Backend>();
    CHECK(end.status == cluster::exit_status::exited(42));
}

// Node.js: test/parallel/test-cluster-worker-forced-exit.js
CLUSTER_CASE_ON(all_transports, "test-cluster-worker-forced-exit") {
    std::vector<int> codes(2, -1);
    run_on<Backend>(
        [&](auto& primary) {
            auto& unforced = primary.fork();
            unforced.on(cluster::event::online, [&] { unforced.disconnect(); });
            unforced.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                codes[0] = status.code();
                CHECK(unforced.exited_after_disconnect());
            });
            auto& forced = primary.fork();
            forced.on(cluster::event::online, [&] { forced.close(); });
            forced.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
                codes[1] = status.code();
                CHECK_FALSE(forced.exited_after_disconnect());
            });
        },
        [](auto& self) {
            self.on(cluster::event::disconnect, [&self] {
                self.after(std::chrono::milliseconds{10}, [&self] { exit_worker(self, 42); });
            });
            // Work that is lost when the end is forced.
            self.after(std::chrono::hours{1}, [] { fail_worker(43); });
        });
    CHECK(codes == std::vector<int>{42, 0});
}

namespace {

/// Sends every connection to the first worker that can take one, and tells of the first time.
struct first_come {
    static constexpr auto accepts_in = cluster::accept_site::primary;
    std::vector<std::uint32_t> picked;
    std::function<void()> on_pick;

    template <typename Candidates>
    std::size_t pick(const Candidates& ready, const cluster::connection_info&) {
        std::size_t first = 0;
        for (std::size_t i = 1; i != ready.size(); ++i) {
            first = ready[i].id() < ready[first].id() ? i : first;
        }
        picked.push_back(ready[first].id());
        if (picked.size() == 1) {
            on_pick();
        }
        return first;
    }
};

std::size_t open_descriptors() {
    std::filesystem::directory_iterator all{"/proc/self/fd"};
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

} // namespace

// Node.js: test/parallel/test-cluster-worker-handle-close.js
// The first worker closes its server while a connection for it waits unread in its channel. Here
// the connection is not lost, either: the second worker serves it.
CLUSTER_CASE_ON(all_transports, "test-cluster-worker-handle-close") {
    std::string answer;
    std::vector<std::string> notes;
    std::vector<std::uint32_t> picked;
    side_sockets<Backend> beside;
    run_on<Backend, first_come>(
        [&](auto& primary) {
            // The first one waits in a handler until the connection has been sent.
            auto& first = primary.fork(beside.for_worker());
            first.on(cluster::event::listening, [&] { primary.fork(); });
            primary.on(cluster::event::listening, [&](auto& worker, const cluster::address& at) {
                if (worker.id() == 2) {
                    first.send(std::string{"wait and close"});
                    ask(primary, at, "", [&](std::string text, std::error_code) {
                        answer = std::move(text);
                        first.send(std::string{"count"});
                    });
                }
            });
            primary.scheduling().on_pick = [&] {
                primary.loop().defer([&] { // the next message leaves behind the connection
                    first.send(std::string{"behind"}, [&](std::error_code) { beside.write('!'); });
                });
            };
            first.on_message([&](const std::string& note) {
                notes.push_back(note);
                if (note != "closed") {
                    picked = primary.scheduling().picked;
                    primary.disconnect();
                }
            });
            primary.on(cluster::event::exit, [](auto&, const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto before = open_descriptors();
            auto& server = self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                self.attach(std::move(client)).end("served by " + std::to_string(self.id()));
            });
            self.on_message([&, before](const std::string& what) {
                if (what == "count") { // a thread's are not its own
                    bool leaked = Backend::separate_memory && open_descriptors() != before;
                    self.send(std::string{leaked ? "leaked" : "none leaked"});
                    return;
                }
                if (what == "behind") {
                    return;
                }
                char byte = 0;
                expect_in_worker(::read(self.template data<int>(), &byte, 1) == 1, 3);
                server.on_close([&self] { self.send(std::string{"closed"}); });
                server.close();
            });
        });
    CHECK(answer == "served by 2");
    CHECK(picked == std::vector<std::uint32_t>{1, 2});
    CHECK(notes == std::vector<std::string>{"closed", "none leaked"});
}

// Node.js: test/parallel/test-cluster-worker-kill-signal.js
EVERY_MODEL_CASE_ON(processes_and_forks, "test-cluster-worker-kill-signal") {
    ending end;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            end.watch(primary, worker);
            worker.once(cluster::event::listening, [&] { CHECK_FALSE(worker.kill(SIGKILL)); });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, [](cluster::connection) {}); });
    end.check_that_nobody_asked<Backend>();
    CHECK(end.status == cluster::exit_status::signaled(SIGKILL));
}

// Node.js: test/parallel/test-cluster-worker-kill.js
// worker.process.kill() there; here somebody who knows the process's number and nothing else.
EVERY_MODEL_CASE_ON(processes, "test-cluster-worker-kill") {
    ending end;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            end.watch(primary, worker);
            worker.once(cluster::event::listening,
                        [&] { CHECK(::kill(worker.pid(), SIGKILL) == 0); });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, [](cluster::connection) {}); });
    end.check_that_nobody_asked<Backend>();
    CHECK(end.status == cluster::exit_status::signaled(SIGKILL));
}

// Node.js: test/parallel/test-cluster-worker-no-exit.js
CLUSTER_CASE_ON(all_transports, "test-cluster-worker-no-exit") {
    std::vector<std::string> events;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            auto& server = primary.listen({.host = "127.0.0.1"}, [&](cluster::connection client) {
                auto& stream = primary.attach(std::move(client));
                worker.disconnect();
                worker.once(cluster::event::disconnect, [&] {
                    events.push_back("disconnect");
                    primary.after(std::chrono::milliseconds{300}, [&] {
                        events.push_back("client closed");
                        CHECK_FALSE(worker.is_dead());
                        if constexpr (Backend::separate_memory) {
                            CHECK_FALSE(worker.kill(0)); // it is there
                        }
                        stream.close();
                    });
                });
            });
            worker.on(cluster::event::online, [&] { worker.send(server.address().port()); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                events.push_back("exit");
                CHECK_MESSAGE(status.success(), status.to_string());
                server.close();
            });
        },
        [](auto& self) {
            self.on_message([&self](std::uint16_t port) {
                auto to = cluster::address::ipv4({127, 0, 0, 1}, port);
                self.attach(connect_to(to)).on_data([](cluster::stream::bytes) {});
            });
        });
    CHECK(events == std::vector<std::string>{"disconnect", "client closed", "exit"});
}

// Node.js: test/parallel/test-cluster-worker-wait-server-close.js
EVERY_MODEL_CASE("test-cluster-worker-wait-server-close") {
    std::vector<std::string> events;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.once(cluster::event::listening, [&](const cluster::address& at) {
                auto& client = primary.attach(connect_to(at));
                client.on_data([&](cluster::stream::bytes) { // so the worker has the connection
                    events.push_back("greeted");
                    worker.disconnect();
                });
                worker.on_message([&](const std::string& note) {
                    events.push_back(note);
                    if (note == "leaving") {
                        client.end();
                    }
                });
            });
            worker.on(cluster::event::disconnect, [&] { events.push_back("disconnect"); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto& server = self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                auto& stream = self.attach(std::move(client));
                stream.on_data([](cluster::stream::bytes) {});
                stream.write(".");
            });
            server.on_close([&self] { self.send(std::string{"server closed"}); });
            self.on(cluster::event::disconnect, [&self] { self.send(std::string{"leaving"}); });
        });
    CHECK(events == std::vector<std::string>{"greeted", "leaving", "server closed", "disconnect"});
}
