// SPDX-License-Identifier: MIT
// Faults 6, 7, 8 and 29: the channel and the process of a worker do not end together.
#include "../fixtures/scenario.hpp"
#include "../support/sanitized.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

using replacing = cluster::compose<cluster::restart::always>;

struct payload {
    std::uint32_t number = 0;
    std::string bytes;
};
struct child_of_mine {
    int pid = 0;
};
struct crash {};

constexpr bool sanitized = CLUSTER_TEST_SANITIZED;

} // namespace

// Orderly ends are scenario 9. Here the worker is dead before the primary reads its first message.
TEST_CASE("fault_06_what_a_dead_worker_sent_is_delivered_before_its_exit") {
    constexpr std::uint32_t messages = 200;
    std::map<std::string, std::vector<std::string>> seen;
    run_case<cluster::process_cluster>(
        "fault_06_what_a_dead_worker_sent_is_delivered_before_its_exit",
        [&](auto& primary) {
            primary.on(cluster::event::online, [&](auto& worker) {
                auto dead = [&] { return scenario::is_gone(worker.pid()); };
                CHECK(scenario::eventually(dead, patience() / 4)); // nothing is read meanwhile
            });
            primary.on_message([&](auto& from, const payload& message) {
                seen[from.name()].push_back(std::to_string(message.number) + ':' +
                                            std::to_string(message.bytes.size()));
            });
            primary.on(cluster::event::disconnect,
                       [&](auto& worker) { seen[worker.name()].push_back("disconnect"); });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                seen[worker.name()].push_back(status.to_string());
            });
            for (const char* way : {"_exit", "SIGKILL", "abort"}) {
                primary.fork({.name = way, .limits = {{RLIMIT_CORE, 0, 0}}});
            }
        },
        [](auto& self) {
            for (std::uint32_t i = 0; i != messages; ++i) {
                self.send(payload{i, std::string(1000, 'x')});
            }
            self.flush();
            if (self.name() == "_exit") {
                ::_exit(3);
            } else if (self.name() == "SIGKILL") {
                ::raise(SIGKILL);
            }
            std::abort();
        });
    CHECK(seen.size() == 3);
    for (const auto& [way, end] :
         std::map<std::string, std::string>{{"_exit", "exit code 3"},
                                            {"SIGKILL", "killed by SIGKILL"},
                                            {"abort", "killed by SIGABRT"}}) {
        CAPTURE(way);
        std::vector<std::string> expected;
        for (std::uint32_t i = 0; i != messages; ++i) {
            expected.push_back(std::to_string(i) + ":1000");
        }
        expected.insert(expected.end(), {"disconnect", end});
        CHECK(seen[way] == expected);
    }
}

TEST_CASE("fault_07_a_worker_without_its_channel_is_not_dead_and_is_ended_and_replaced") {
    std::map<std::string, std::vector<std::string>> seen;
    std::size_t replaced = 0, ended = 0;
    run_case<replacing>(
        "fault_07_a_worker_without_its_channel_is_not_dead_and_is_ended_and_replaced",
        [&](auto& primary) {
            primary.on(cluster::event::disconnect, [&](auto& worker) {
                CHECK_FALSE(worker.is_dead());
                CHECK_FALSE(worker.is_connected());
                CHECK_FALSE(scenario::is_gone(worker.pid()));
                CHECK(worker.send(crash{}) == cluster::send_result::closed);
                seen[worker.name()].push_back("disconnect");
            });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                seen[worker.name()].push_back(status.to_string());
                if (++ended == 2) {
                    CHECK(replaced == 2);
                    primary.stop();
                }
            });
            primary.on(cluster::event::restart, [&](auto& worker) {
                CHECK(worker.report().status.reason() == cluster::exit_reason::unknown);
            });
            primary.on(cluster::event::listening, [&](auto& worker) {
                ++replaced;
                if (worker.slot() == 1) {
                    seen[worker.name()].push_back("replacement");
                }
            });
            primary.fork({.name = "polite"});
            primary.fork({.name = "stubborn"});
        },
        [](auto& self) {
            if (self.id() > 2) {
                self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
                return;
            }
            if (self.name() == "stubborn") {
                std::signal(SIGTERM, SIG_IGN);
            }
            ::close(3);
            for (;;) {
                ::pause();
            }
        });
    CHECK(seen == std::map<std::string, std::vector<std::string>>{
                      {"polite", {"disconnect", "killed by SIGTERM"}},
                      {"stubborn", {"disconnect", "replacement", "killed by SIGKILL"}}});
}

namespace {

struct notes_reports {
    std::vector<std::string> seen;
    cluster::restart_decision decide(const cluster::exit_report& report) {
        seen.push_back(report.status.to_string());
        return report.status.success() ? cluster::leave_dead : cluster::restart_now;
    }
};

} // namespace

// It has not lost its channel: the cluster is gone, and main() is not over.
TEST_CASE("fault_07_a_worker_that_cleans_up_behind_its_cluster_has_not_lost_its_channel") {
    const char* name =
        "fault_07_a_worker_that_cleans_up_behind_its_cluster_has_not_lost_its_channel";
    auto app = std::make_unique<cluster::compose<notes_reports>>(program::argc, program::argv);
    if (app->is_worker()) {
        std::signal(SIGTERM, SIG_IGN); // on a machine so slow that it would get one
        app->run([](auto&) {}, [](auto& self) { self.stop(); });
        app.reset();
        ::usleep(700'000); // the primary waits a quarter of a second for the end
        std::exit(0);
    }
    auto& primary = app->primary();
    bool late = false;
    primary.after(patience(), [&] { late = true, primary.stop(-1); }).unref();
    primary.setup({.arguments = {"--worker-case", name}});
    primary.fork();
    app->run();
    CHECK_FALSE(late);
    CHECK(primary.restart().seen == std::vector<std::string>{"exit code 0"});
}

TEST_CASE("fault_08_a_channel_that_a_grandchild_holds_open_does_not_hide_the_worker's_death") {
    std::vector<std::string> seen;
    int grandchild = 0;
    run_case<replacing>(
        "fault_08_a_channel_that_a_grandchild_holds_open_does_not_hide_the_worker's_death",
        [&](auto& primary) {
            auto& first = primary.fork();
            first.on_message([&](const child_of_mine& message) {
                grandchild = message.pid;
                seen.push_back("message");
            });
            first.on(cluster::event::disconnect, [&] { seen.push_back("disconnect"); });
            first.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                seen.push_back(status.to_string());
                CHECK_FALSE(
                    scenario::is_gone(grandchild)); // no end of the channel can have told us
            });
            primary.on(cluster::event::online, [&](auto& worker) {
                if (worker.id() == 2) {
                    seen.push_back("replacement");
                    primary.stop();
                }
            });
        },
        [](auto& self) {
            if (self.id() != 1) {
                return;
            }
            auto child = ::fork();
            if (child == 0) {
                ::alarm(300); // if nobody ends it
                for (;;) {
                    ::pause();
                }
            }
            self.send(child_of_mine{child});
            self.flush();
            ::_exit(5);
        });
    CHECK(seen == std::vector<std::string>{"message", "disconnect", "exit code 5", "replacement"});
    if (grandchild > 0) {
        ::kill(grandchild, SIGKILL);
    }
}

// The replacement starts at the exit, when the dump is written, or 2 s after the dead process closed
// its descriptors, if its end takes so long. Meanwhile the others serve, also what the dead one was about to get.
TEST_CASE("fault_29_a_worker_that_dumps_core_is_told_and_holds_up_nobody") {
    scenario::temporary_directory directory;
    constexpr std::size_t clients = 6;
    std::vector<std::string> answers;
    cluster::exit_status end;
    bool replaced = false, exited = false;
    rlimit limit{};
    ::getrlimit(RLIMIT_CORE, &limit);
    run_case<replacing>(
        "fault_29_a_worker_that_dumps_core_is_told_and_holds_up_nobody",
        [&](auto& primary) {
            auto finish = [&] {
                if (replaced && exited && answers.size() == clients) {
                    primary.stop();
                }
            };
            primary.on(cluster::event::exit,
                       [&, finish](auto&, const cluster::exit_status& status) {
                           end = status;
                           exited = true;
                           finish();
                       });
            primary.on(
                cluster::event::listening, [&, finish](auto& worker, const cluster::address& at) {
                    if (worker.id() == 3) {
                        replaced = true;
                        finish();
                    }
                    if (worker.id() == 3 ||
                        primary.workers().at(0).state() != primary.workers().at(1).state()) {
                        return;
                    }
                    primary.workers().find(2)->send(crash{});
                    for (std::size_t i = 0; i != clients; ++i) {
                        scenario::ask(primary, at, "?", [&, finish](const std::string& answer) {
                            answers.push_back(answer);
                            finish();
                        });
                    }
                });
            primary.fork(2,
                         {.directory = directory.path(),
                          .limits = {{RLIMIT_CORE, limit.rlim_max, limit.rlim_max}}});
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self));
            self.on_message([](const crash&) {
                constexpr std::size_t mebibyte = 1024 * 1024;
                std::vector<char> heap(sanitized ? 1 : sized(128 * mebibyte, 2048 * mebibyte), 'x');
                if (heap.back() == 'x') {
                    std::abort();
                }
            });
        });
    CHECK_MESSAGE(end.signal() == SIGABRT, end.to_string());
    CHECK(replaced);
    CHECK(answers.size() == clients);
    for (const auto& each : answers) {
        CHECK_MESSAGE((each == "1" || each == "3"), each);
    }
    char pattern[2] = "";
    cluster::unique_fd file{::open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC)};
    bool to_directory = file && ::read(file.get(), pattern, 1) == 1 && pattern[0] != '|' &&
                        pattern[0] != '/' && pattern[0] != '\n';
    if (sanitized || limit.rlim_max == 0 || !to_directory) {
        MESSAGE("no core dump is made here");
        return;
    }
    CHECK(end.core_dumped());
    CHECK(scenario::entries_of(directory.path()) == 1);
}
