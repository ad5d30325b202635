// SPDX-License-Identifier: MIT
// Fault matrix, rows 56, 66, 72, 74 and 76: what the primary watches over its listeners and workers.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

/// Runs the fixture listen_accept with one worker and 20 clients while every accept4() fails.
void rests_while_accept_fails(const std::string& mode, int error) {
    auto command = std::string{"'"} + FIXTURE_LISTEN_ACCEPT + "' " + mode + " 1 20 hold " +
                   std::to_string(error) + " 2>&1";
    std::FILE* pipe = ::popen(command.c_str(), "re");
    REQUIRE(pipe != nullptr);
    std::string output(4096, '\0');
    output.resize(std::fread(output.data(), 1, output.size(), pipe));
    INFO(mode, ' ', error, ": ", output);
    CHECK(::pclose(pipe) == 0);
    auto number = [&output](const std::string& name) {
        auto at = output.find(name + '=');
        return at == std::string::npos ? -1 : std::atol(output.c_str() + at + name.size() + 1);
    };
    CHECK(number("answered") == 20);
    CHECK(number("window_calls") > 0);
    // Some in a row, then a pause of 50 ms that doubles up to 500 ms.
    CHECK(number("window_calls") <= 128 * (6 + number("window_ms") / 500));
    CHECK(number("window_cpu_us") < number("window_ms") * 250); // a quarter of a core
}

} // namespace

TEST_CASE("fault_56_an_error_that_never_ends_does_not_keep_a_processor_busy") {
    for (const std::string mode : {"handed", "shared", "own"}) {
        rests_while_accept_fails(mode, EPERM);
    }
    rests_while_accept_fails("handed", EPROTO);
    rests_while_accept_fails("shared", ECONNABORTED);
}

namespace {

/// Asks `count` clients at a time; `done` is called when all have been answered or cut.
template <typename Primary, typename F>
void crowd(Primary& primary,
           const cluster::address& at,
           std::size_t count,
           std::vector<std::string>& answers,
           F done) {
    auto before = answers.size();
    for (std::size_t i = 0; i != count; ++i) {
        scenario::ask(
            primary, at, "?", [&answers](const std::string& text) { answers.push_back(text); });
    }
    scenario::when(
        primary, [&answers, before, count] { return answers.size() == before + count; }, done);
}

bool none_is(const std::vector<std::string>& answers, const std::string& wrong) {
    return std::none_of(answers.begin(), answers.end(), [&](const auto& each) {
        return each == wrong || each.empty() || each == "refused";
    });
}

} // namespace

namespace {

/// Asks until each of so many workers has answered.
template <typename Primary, typename F>
void until_all_serve(Primary& primary,
                     const cluster::address& at,
                     std::size_t workers,
                     std::vector<std::string>& answers,
                     F done) {
    crowd(primary, at, 10, answers, [&primary, at, workers, &answers, done] {
        std::set<std::string> who{answers.begin(), answers.end()};
        if (who.count("refused") != 0 || who.size() >= workers) {
            CHECK(none_is(answers, ""));
            answers.clear();
            done();
        } else {
            until_all_serve(primary, at, workers, answers, done);
        }
    });
}

/// Asks until that worker has answered.
template <typename Primary, typename F>
void until_serves(Primary& primary,
                  const cluster::address& at,
                  const std::string& worker,
                  std::vector<std::string>& answers,
                  F done) {
    crowd(primary, at, 10, answers, [&primary, at, worker, &answers, done] {
        if (std::find(answers.begin(), answers.end(), worker) != answers.end()) {
            done();
        } else {
            until_serves(primary, at, worker, answers, done);
        }
    });
}

} // namespace

// A healthy worker may be late on a busy machine: it stalls and recovers, and nobody minds.
TEST_CASE("fault_66_the_queue_of_a_stopped_worker_of_a_reuse_port_group_is_served_by_others") {
    constexpr std::size_t clients = 60;
    std::vector<std::string> queued, later, afterwards;
    bool recovered = false;
    run_case<cluster::compose<cluster::scheduling::reuse_port>>(
        "fault_66_the_queue_of_a_stopped_worker_of_a_reuse_port_group_is_served_by_others",
        [&](auto& primary) {
            primary.supervise({.stalled_after = 600ms, .replaced_after = 0s});
            auto at = std::make_shared<cluster::address>();
            auto& first = primary.fork();
            primary.fork(2);
            primary.on(cluster::event::listening,
                       [at](const cluster::address& where) { *at = where; });
            first.on(cluster::event::recovered, [&recovered] { recovered = true; });
            auto wake = [&, at] {
                recovered = false;
                first.kill(SIGCONT);
                scenario::when(
                    primary,
                    [&] { return recovered; },
                    [&, at] {
                        until_serves(primary, *at, "1", afterwards, [&] { primary.shutdown(); });
                    });
            };
            auto stop = [&, at, wake] {
                first.kill(SIGSTOP);
                auto stopped = [&first] { return scenario::process_state(first.pid()) == 'T'; };
                scenario::when(primary, stopped, [&, at, wake] {
                    crowd(primary, *at, clients, queued, [&, at, wake] { // waits for the watch
                        crowd(primary, *at, clients, later, wake);
                    });
                });
            };
            primary.when_ready([&, at, stop] { // and the loop of each has turned more than once
                until_all_serve(primary, *at, 3, afterwards, [&, at, stop] {
                    until_all_serve(primary, *at, 3, afterwards, stop);
                });
            });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    CHECK(queued.size() == clients);
    CHECK(none_is(queued, "1"));
    CHECK(later.size() == clients);
    CHECK(none_is(later, "1"));
    CHECK(none_is(afterwards, ""));
    CHECK(std::count(afterwards.begin(), afterwards.end(), "1") > 0);
}

namespace {

enum class harm { shut_down, make_blocking };

/// Does it to every listening socket of this process.
void do_harm(harm what) {
    for (int fd = 0; fd != 256; ++fd) {
        int listens = 0;
        socklen_t size = sizeof listens;
        if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) {
            continue;
        }
        if (what == harm::shut_down) {
            ::shutdown(fd, SHUT_RDWR);
        } else {
            ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        }
    }
}

struct break_it {
    harm what = harm::shut_down;
};
struct broken {};

/// A worker breaks its listening socket; it is repaired, and every worker serves.
template <typename Scheduling>
void breaks_listener(const char* name, harm what, bool local = false) {
    constexpr std::size_t workers = 3;
    scenario::temporary_directory directory;
    std::vector<std::string> answers;
    std::string repaired_at, at_text;
    std::uint64_t repaired = 0;
    std::size_t left = 0;
    bool all_served = false;
    run_case<cluster::compose<Scheduling>>(
        name,
        [&, what](auto& primary) {
            auto at = std::make_shared<cluster::address>();
            primary.on(cluster::event::listening,
                       [at](const cluster::address& where) { *at = where; });
            primary.once(cluster::event::listener_repaired, [&, at](const cluster::address& where) {
                repaired_at = where.to_string();
                at_text = at->to_string();
                until_all_serve(primary, *at, workers, answers, [&] {
                    all_served = true;
                    repaired = primary.stats().listeners.at(0).repaired;
                    left = primary.workers().size();
                    primary.shutdown();
                });
            });
            if (local) {
                primary.setup({.environment = {{"SOCKET_PATH", directory / "server"}}});
            }
            auto& first = primary.fork();
            primary.fork(workers - 1);
            primary.when_ready([&, at, what] { // not while a worker still makes it ready for itself
                until_all_serve(
                    primary, *at, workers, answers, [&first, what] { first.send(break_it{what}); });
            });
        },
        [](auto& self) {
            self.on_message([](const break_it& order) { do_harm(order.what); });
            const char* path = std::getenv("SOCKET_PATH");
            self.listen({.host = "127.0.0.1", .path = path == nullptr ? "" : path},
                        scenario::answer_with_id(self));
        });
    CHECK(repaired_at == at_text);
    CHECK_FALSE(at_text.empty());
    CHECK(all_served);
    CHECK(repaired >= 1);
    CHECK(left == workers);
}

} // namespace

TEST_CASE("fault_72_a_shared_socket_that_a_worker_shuts_down_is_repaired") {
    breaks_listener<cluster::scheduling::shared_socket>(
        "fault_72_a_shared_socket_that_a_worker_shuts_down_is_repaired", harm::shut_down);
}
TEST_CASE("fault_72_a_shared_socket_that_a_worker_makes_blocking_is_repaired") {
    breaks_listener<cluster::scheduling::shared_socket>(
        "fault_72_a_shared_socket_that_a_worker_makes_blocking_is_repaired", harm::make_blocking);
}
TEST_CASE("fault_72_a_socket_of_a_group_that_its_worker_shuts_down_is_repaired") {
    breaks_listener<cluster::scheduling::reuse_port>(
        "fault_72_a_socket_of_a_group_that_its_worker_shuts_down_is_repaired", harm::shut_down);
}
TEST_CASE("fault_72_a_socket_of_a_group_that_its_worker_makes_blocking_is_repaired") {
    breaks_listener<cluster::scheduling::reuse_port>(
        "fault_72_a_socket_of_a_group_that_its_worker_makes_blocking_is_repaired",
        harm::make_blocking);
}

TEST_CASE("fault_72_a_shared_unix_socket_that_a_worker_shuts_down_is_replaced") {
    breaks_listener<cluster::scheduling::shared_socket>(
        "fault_72_a_shared_unix_socket_that_a_worker_shuts_down_is_replaced",
        harm::shut_down,
        true);
}
TEST_CASE("fault_72_a_shared_unix_socket_that_a_worker_makes_blocking_is_repaired") {
    breaks_listener<cluster::scheduling::shared_socket>(
        "fault_72_a_shared_unix_socket_that_a_worker_makes_blocking_is_repaired",
        harm::make_blocking,
        true);
}

// Under round robin no worker has the socket.
TEST_CASE("fault_72_a_worker_that_is_handed_its_connections_has_no_socket_to_break") {
    std::vector<std::string> answers;
    bool repaired = false, told = false;
    run_case<cluster::process_cluster>(
        "fault_72_a_worker_that_is_handed_its_connections_has_no_socket_to_break",
        [&](auto& primary) {
            auto at = std::make_shared<cluster::address>();
            primary.on(cluster::event::listening,
                       [at](const cluster::address& where) { *at = where; });
            primary.on(cluster::event::listener_repaired, [&] { repaired = true; });
            primary.on_message([&, at](const broken&) {
                told = true;
                crowd(primary, *at, 20, answers, [&] { primary.shutdown(); });
            });
            auto& first = primary.fork();
            primary.fork();
            primary.when_ready([&first] { first.send(break_it{}); });
        },
        [](auto& self) {
            self.on_message([&self](const break_it& order) {
                do_harm(order.what);
                self.send(broken{});
            });
            self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self));
        });
    CHECK(told);
    CHECK_FALSE(repaired);
    CHECK(none_is(answers, ""));
}

namespace {

struct listen_order {
    int backlog = 0;
};

/// \returns the figures of the only listener, while `clients` wait in its queue.
template <typename Scheduling>
cluster::listener_stats listener_figures(const char* name,
                                         int backlog,
                                         std::size_t clients,
                                         std::vector<std::string>& answers) {
    cluster::listener_stats seen;
    run_case<cluster::compose<Scheduling>>(
        name,
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.send(listen_order{backlog});
            worker.on(cluster::event::listening, [&](const cluster::address& at) {
                crowd(primary, at, clients, answers, [&] { primary.shutdown(); });
                auto queued = [&, clients] {
                    auto all = primary.stats().listeners;
                    return all.size() == 1 && all[0].queue == clients;
                };
                scenario::when(primary, queued, [&] {
                    seen = primary.stats().listeners.at(0);
                    worker.send(listen_order{}); // begins to accept
                });
            });
        },
        [](auto& self) {
            self.defer_ready();
            self.on_message([&self](const listen_order& order) {
                if (order.backlog == 0) {
                    self.ready();
                } else {
                    self.listen({.host = "127.0.0.1", .backlog = order.backlog},
                                scenario::answer_with_id(self));
                }
            });
        });
    return seen;
}

template <typename Scheduling>
void clipped_backlog(const char* name) {
    std::uint32_t most = 0;
    std::ifstream{"/proc/sys/net/core/somaxconn"} >> most;
    constexpr int backlog = 1 << 30;
    constexpr std::size_t clients = 7;
    std::vector<std::string> answers;
    auto seen = listener_figures<Scheduling>(name, backlog, clients, answers);
    REQUIRE(most > 0);
    CHECK(seen.backlog == backlog);
    CHECK(seen.queue_limit < seen.backlog);
    CHECK(seen.queue_limit == most);
    CHECK(seen.queue == clients);
    CHECK(answers == std::vector<std::string>(clients, "1"));
}

} // namespace

TEST_CASE("fault_74_a_backlog_that_the_system_clips_is_seen_round_robin") {
    clipped_backlog<cluster::scheduling::round_robin>(
        "fault_74_a_backlog_that_the_system_clips_is_seen_round_robin");
}
TEST_CASE("fault_74_a_backlog_that_the_system_clips_is_seen_shared_socket") {
    clipped_backlog<cluster::scheduling::shared_socket>(
        "fault_74_a_backlog_that_the_system_clips_is_seen_shared_socket");
}
TEST_CASE("fault_74_a_backlog_that_the_system_clips_is_seen_reuse_port") {
    clipped_backlog<cluster::scheduling::reuse_port>(
        "fault_74_a_backlog_that_the_system_clips_is_seen_reuse_port");
}
TEST_CASE("fault_74_a_backlog_that_is_not_clipped_is_what_was_asked_for") {
    std::vector<std::string> answers;
    auto seen = listener_figures<cluster::scheduling::round_robin>(
        "fault_74_a_backlog_that_is_not_clipped_is_what_was_asked_for", 16, 5, answers);
    CHECK(seen.backlog == 16);
    CHECK(seen.queue_limit == 16);
    CHECK(answers.size() == 5);
}

namespace {

/// Three workers, none, and then two: whose sockets are those of three, where each has its own.
template <typename Scheduling>
void scale_to_nothing(const char* name) {
    constexpr std::size_t clients = 30;
    std::vector<std::string> before, waited, after;
    std::size_t answered_by_nobody = 1, left = 0;
    std::vector<std::string> ends;
    int code = run_case<cluster::compose<Scheduling>>(
        name,
        [&](auto& primary) {
            auto at = std::make_shared<cluster::address>();
            primary.on(cluster::event::listening,
                       [at](const cluster::address& where) { *at = where; });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ends.push_back(status.to_string());
            });
            auto resume = [&, at] {
                answered_by_nobody = waited.size();
                ends.clear();
                primary.scale(2);
                auto served = [&] { return waited.size() == clients; };
                scenario::when(primary, served, [&, at] {
                    left = primary.workers().size();
                    crowd(primary, *at, clients, after, [&] { primary.shutdown(); });
                });
            };
            primary.fork(3);
            primary.when_ready([&, at, resume] {
                crowd(primary, *at, clients, before, [&, at, resume] {
                    primary.scale(0);
                    auto empty = [&primary] { return primary.workers().empty(); };
                    scenario::when(primary, empty, [&, at, resume] {
                        crowd(primary, *at, clients, waited, [] {});
                        primary.after(300ms, resume); // they had every chance to be refused
                    });
                });
            });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    CHECK(code == 0);
    CHECK(none_is(before, ""));
    CHECK(answered_by_nobody == 0);
    CHECK(waited.size() == clients);
    CHECK(none_is(waited, ""));
    CHECK(left == 2);
    CHECK(after.size() == clients);
    CHECK(none_is(after, ""));
    CHECK(ends == std::vector<std::string>(2, "exit code 0"));
}

} // namespace

TEST_CASE("fault_76_connections_wait_while_there_are_no_workers_round_robin") {
    scale_to_nothing<cluster::scheduling::round_robin>(
        "fault_76_connections_wait_while_there_are_no_workers_round_robin");
}
TEST_CASE("fault_76_connections_wait_while_there_are_no_workers_shared_socket") {
    scale_to_nothing<cluster::scheduling::shared_socket>(
        "fault_76_connections_wait_while_there_are_no_workers_shared_socket");
}
TEST_CASE("fault_76_connections_wait_while_there_are_no_workers_reuse_port") {
    scale_to_nothing<cluster::scheduling::reuse_port>(
        "fault_76_connections_wait_while_there_are_no_workers_reuse_port");
}
