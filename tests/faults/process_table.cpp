// SPDX-License-Identifier: MIT
// Faults 20 and 22 to 25: threads, process numbers, and a host that has children of its own.
#include "../fixtures/scenario.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/syscall.h>
#include <sys/utsname.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

using replacing = cluster::compose<cluster::restart::always>;

struct question {
    std::uint32_t number = 0;
};

bool in_worker() {
    return program::argc > 1 && std::strcmp(program::argv[1], "--worker-case") == 0;
}

/// Whether the kernel tells the holder of a pidfd a status that somebody else has taken.
bool kernel_remembers() {
    utsname system{};
    int major = 0;
    int minor = 0;
    ::uname(&system);
    return std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 15));
}

/// The same end, or, where it cannot be known, that it is unknown.
bool is_told_right(const cluster::exit_status& told, const cluster::exit_status& real) {
    return told == real || (!kernel_remembers() && told == cluster::exit_status::unknown());
}

class disposition {
public:
    disposition(int signal, void (*handler)(int)) : signal_{signal} {
        struct sigaction wanted {};
        wanted.sa_handler = handler;
        ::sigaction(signal, &wanted, &before_);
    }
    ~disposition() { ::sigaction(signal_, &before_, nullptr); }
    disposition(disposition&&) = delete;

private:
    int signal_;
    struct sigaction before_ {};
};

/// Waits for every child of this process that it can get, whoever started it.
class stealing_thread {
public:
    stealing_thread()
        : thread_{[this] {
              while (!done_) {
                  if (::waitpid(-1, nullptr, WNOHANG) > 0) {
                      ++stolen_;
                  } else {
                      std::this_thread::yield();
                  }
              }
          }} {}
    ~stealing_thread() {
        done_ = true;
        thread_.join();
    }
    stealing_thread(stealing_thread&&) = delete;

    [[nodiscard]] int stolen() const { return stolen_; }

private:
    std::atomic<bool> done_{false};
    std::atomic<int> stolen_{0};
    std::thread thread_;
};

/// Starts a child with this very process number; -1 where the system does not let us.
pid_t start_stranger(pid_t number) {
    struct clone_arguments { // struct clone_args of the kernel, as of 5.5
        std::uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
        std::uint64_t set_tid, set_tid_size;
    } arguments{};
    arguments.exit_signal = SIGCHLD;
    arguments.set_tid = reinterpret_cast<std::uint64_t>(&number);
    arguments.set_tid_size = 1;
    const char* const words[] = {FIXTURE_CHILD, "hang", nullptr};
    constexpr long clone3 = 435; // on every architecture
    auto child = static_cast<pid_t>(::syscall(clone3, &arguments, sizeof arguments));
    if (child == 0) {
        ::syscall(SYS_execve, FIXTURE_CHILD, words, environ);
        ::syscall(SYS_exit_group, 127);
    }
    return child;
}

} // namespace

// Started by the thread that runs the cluster, whichever that is; other threads come and go.
TEST_CASE("fault_20_threads_of_the_host_that_end_take_no_worker_with_them") {
    constexpr std::uint32_t all = 8;
    std::uint32_t answered = 0;
    std::map<std::string, int> ends;
    int code = -1;
    auto run = [&] {
        code = run_case<cluster::process_cluster>(
            "fault_20_threads_of_the_host_that_end_take_no_worker_with_them",
            [&](auto& primary) {
                auto& worker = primary.fork();
                primary.fork();
                primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                    ++ends[status.to_string()];
                });
                worker.on(cluster::event::online, [&] {
                    for (std::uint32_t i = 0; i != all; ++i) {
                        std::thread{[&] {
                            primary.post([&] {
                                worker.template request<int>(question{}, [&](auto answer) {
                                    answered += answer ? 1U : 0U;
                                    if (answered == all) {
                                        CHECK(ends.empty());
                                        primary.shutdown();
                                    }
                                });
                            });
                        }}.join();
                    }
                });
            },
            [](auto& self) { self.on_request([](const question&) { return 1; }); });
    };
    if (in_worker()) {
        run();
    }
    std::thread{run}.join();
    CHECK(code == 0);
    CHECK(answered == all);
    CHECK(ends == std::map<std::string, int>{{"exit code 0", 2}});
}

// The matrix wants a thread that starts all workers and lives as long as the cluster. This library
// has no thread of its own: whoever runs the loop starts them, and has to live. This is what happens
// to a host that breaks that rule: it is told, and what the loop's thread starts anew stays.
TEST_CASE("fault_20_workers_that_end_with_the_thread_that_started_them_are_told_and_replaced") {
    const char* name =
        "fault_20_workers_that_end_with_the_thread_that_started_them_are_told_and_replaced";
    std::vector<std::string> seen;
    auto worker = [](auto& self) { self.send(question{self.id()}); };
    if (in_worker()) {
        run_case<replacing>(
            name, [](auto&) {}, worker);
    }
    run_case<replacing>(
        name,
        [&](auto& primary) {
            std::thread{[&] { primary.fork(); }}.join();
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                seen.push_back(status.to_string());
            });
            primary.on_message([&](auto& from, const question& message) {
                if (from.id() == 2) { // the first one may have had the time to say something
                    seen.push_back("from " + std::to_string(message.number));
                    primary.shutdown();
                }
            });
        },
        worker);
    CHECK(seen == std::vector<std::string>{"killed by SIGKILL", "from 2", "exit code 0"});
}

// `channel_closed` in the matrix: a signal that cannot be sent is ESRCH here, as of the system.
TEST_CASE("fault_22_a_signal_never_reaches_a_stranger_with_the_number_of_a_dead_worker") {
    std::vector<pid_t> strangers;
    bool possible = true;
    std::size_t exits = 0;
    run_case<cluster::process_cluster>(
        "fault_22_a_signal_never_reaches_a_stranger_with_the_number_of_a_dead_worker",
        [&](auto& primary) {
            auto attack = [&](auto& dead) {
                strangers.push_back(start_stranger(dead.pid()));
                possible = possible && strangers.back() == dead.pid();
                // Ignored by default: a library that is wrong here fails the test and harms nobody.
                for (int signal : {SIGWINCH, SIGURG, 0}) {
                    CHECK(dead.kill(signal) == std::errc::no_such_process);
                }
                dead.disconnect();
                dead.close();
            };
            auto& told = primary.fork({.executable = FIXTURE_CHILD, .arguments = {"hang"}});
            auto& stolen = primary.fork({.executable = FIXTURE_CHILD, .arguments = {"hang"}});
            primary.on(cluster::event::exit, [&, attack](auto& worker) {
                ++exits;
                if (worker.id() == 1) { // the primary knows of its end
                    attack(worker);
                }
            });
            told.kill(SIGKILL);
            // This one was taken by somebody else before the primary could see its end.
            stolen.kill(SIGKILL);
            CHECK(::waitpid(stolen.pid(), nullptr, 0) == stolen.pid());
            attack(stolen);
        },
        [](auto&) {});
    CHECK(exits == 2);
    for (pid_t each : strangers) {
        if (each > 0) {
            CHECK_FALSE(scenario::is_gone(each));
            ::kill(each, SIGKILL);
            int status = 0;
            CHECK(::waitpid(each, &status, 0) == each); // nor has the primary reaped it
            CHECK(WIFSIGNALED(status));
        }
    }
    if (!possible) {
        MESSAGE("processes cannot be given a number here");
    }
}

namespace {

// Workers that end in every way while `disturbance` is there; each place is filled several times.
template <typename Disturbance>
void every_exit_is_told(const char* name, Disturbance disturb) {
    constexpr std::size_t all = 48;
    std::map<std::uint32_t, cluster::exit_status> real, told;
    std::size_t forked = 0, twice = 0;
    bool answered = false;
    std::shared_ptr<void> disturbance;
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            disturbance = disturb();
            auto start = [&] {
                int number = static_cast<int>(++forked);
                bool signaled = number % 3 == 0;
                auto value =
                    signaled ? (number % 2 == 0 ? SIGKILL : SIGTERM) : static_cast<int>(number);
                auto& worker = primary.fork(
                    {.executable = FIXTURE_CHILD,
                     .arguments = {signaled ? "signal" : "exit", std::to_string(value)}});
                real[worker.id()] = signaled ? cluster::exit_status::signaled(value)
                                             : cluster::exit_status::exited(value);
            };
            primary.on(cluster::event::exit,
                       [&, start](auto& worker, const cluster::exit_status& status) {
                           twice += told.count(worker.id());
                           told[worker.id()] = status;
                           if (forked != all) {
                               start();
                           } else if (told.size() == all) { // and it still works
                               auto& last = primary.fork();
                               real[last.id()] = cluster::exit_status::exited(0);
                               last.template request<int>(question{}, [&](auto answer) {
                                   answered = answer && *answer == 1;
                                   last.disconnect();
                               });
                           }
                       });
            for (int i = 0; i != 8; ++i) {
                start();
            }
        },
        [](auto& self) { self.on_request([](const question&) { return 1; }); });
    CHECK(answered);
    CHECK(twice == 0);
    CHECK(told.size() == all + 1);
    for (const auto& [id, status] : told) {
        CAPTURE(id);
        CHECK_MESSAGE(is_told_right(status, real[id]), status.to_string());
    }
    CHECK_FALSE(scenario::has_children());
}

} // namespace

TEST_CASE("fault_23_exits_are_told_to_a_host_that_ignores_SIGCHLD") {
    every_exit_is_told("fault_23_exits_are_told_to_a_host_that_ignores_SIGCHLD",
                       [] { return std::make_shared<disposition>(SIGCHLD, SIG_IGN); });
}

TEST_CASE("fault_24_exits_are_told_to_a_host_that_waits_for_any_child") {
    std::shared_ptr<stealing_thread> thief;
    every_exit_is_told("fault_24_exits_are_told_to_a_host_that_waits_for_any_child",
                       [&] { return thief = std::make_shared<stealing_thread>(); });
    MESSAGE(thief->stolen(), " of 49 were taken");
}

TEST_CASE("fault_25_a_host_can_wait_for_every_child_of_its_own") {
    constexpr int all = 1000;
    constexpr int at_a_time = 8;
    std::vector<pid_t> running;
    int begun = 0, right = 0;
    std::size_t deaths = 0;
    run_case<replacing>(
        "fault_25_a_host_can_wait_for_every_child_of_its_own",
        [&](auto& primary) {
            primary.on(cluster::event::exit, [&] { ++deaths; });
            auto turn = [&] {
                for (pid_t each : std::exchange(running, {})) {
                    int status = 0;
                    right += ::waitpid(each, &status, 0) == each && WIFEXITED(status) &&
                                     WEXITSTATUS(status) == (right & 0xff)
                                 ? 1
                                 : 0;
                }
                for (int i = 0; i != at_a_time && begun != all; ++i) {
                    running.push_back(::fork());
                    if (running.back() == 0) {
                        ::_exit(begun & 0xff);
                    }
                    ++begun;
                }
                if (running.empty() && deaths > 20) {
                    primary.stop();
                }
            };
            primary.every(1ms, turn);
            primary.fork(4, {.executable = FIXTURE_CHILD, .arguments = {"exit", "3"}});
        },
        [](auto&) {});
    CHECK(begun == all);
    CHECK(right == all);
    CHECK(deaths > 20);
}
