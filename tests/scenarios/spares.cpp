// SPDX-License-Identifier: MIT
// Processes that are started ahead of need: supervision_options::spares.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"
#include "../support/sanitized.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

bool descends_from(int primary, int pid) {
    while (pid > 1 && pid != primary) {
        pid = scenario::line_of(pid).parent;
    }
    return pid == primary;
}

/// The processes below this one that call themselves "spare".
std::set<int> spares() {
    std::set<int> found;
    DIR* all = ::opendir("/proc");
    while (const dirent* each = all == nullptr ? nullptr : ::readdir(all)) {
        int pid = std::atoi(each->d_name);
        auto line = pid > 0 ? scenario::line_of(pid) : scenario::process_line{};
        if (line.name == "spare" && line.state != 'Z' && line.state != 'X' &&
            descends_from(::getpid(), pid)) {
            found.insert(pid);
        }
    }
    if (all != nullptr) {
        ::closedir(all);
    }
    return found;
}
/// Calls `then(std::set<int>)` with the spares once as many wait.
template <typename Primary, typename F>
void when_waiting(Primary& primary, std::size_t count, F then) {
    scenario::when(
        primary,
        [&primary, count] { return primary.stats().spares == count; },
        [then, count]() mutable {
            auto found = spares();
            CHECK(found.size() == count);
            then(found);
        });
}

struct who {
    std::uint32_t id = 0, slot = 0, generation = 0;
    int pid = 0;
    bool marked = false; // as a worker: in its environment, or by what it was started with
    std::string variable;
};

template <typename Self>
void tell_who(Self& self) {
    const char* variable = std::getenv("SPARE_TEST");
    self.send(who{self.id(),
                  self.slot(),
                  self.generation(),
                  ::getpid(),
                  std::getenv("CLUSTER_WORKER") != nullptr,
                  variable == nullptr ? "" : variable});
    self.ready();
}

/// Kills the one worker when a spare waits, and notes what happens.
template <typename Backend>
struct promotion {
    std::vector<std::string> events;
    std::vector<who> told;
    int spare = 0, second_spare = 0;
    std::size_t workers_beside = 0;
    int code = -1;

    void run() {
        code = run_on<Backend, cluster::restart::always>(
            [&](auto& primary) {
                auto note = [&](const char* what) {
                    return
                        [&, what](auto& one) { events.push_back(what + std::to_string(one.id())); };
                };
                primary.on(cluster::event::fork, note("fork "));
                primary.on(cluster::event::online, note("online "));
                primary.on(cluster::event::exit, note("exit "));
                primary.on_message([&](const who& message) {
                    told.push_back(message);
                    when_waiting(primary, 1, [&](const std::set<int>& found) {
                        told.size() == 1 ? strike(primary, *found.begin())
                                         : finish(primary, *found.begin());
                    });
                });
                primary.supervise({.spares = 1});
                primary.fork();
            },
            [](auto& self) { tell_who(self); });
    }
    template <typename Primary>
    void strike(Primary& primary, int waiting) {
        spare = waiting;
        workers_beside = primary.workers().size();
        primary.workers().at(0).kill(SIGKILL);
    }
    template <typename Primary>
    void finish(Primary& primary, int waiting) {
        second_spare = waiting;
        events.push_back("pid " + std::to_string(primary.workers().at(0).pid()));
        primary.shutdown();
    }

    void check() const {
        CHECK(code == 0);
        CHECK(workers_beside == 1); // a spare is nobody's worker
        REQUIRE(told.size() == 2);
        CHECK(told[0].id == 1);
        CHECK(told[1].id == 2);
        CHECK(told[1].slot == 0);
        CHECK_FALSE(told[1].marked);
        CHECK(told[1].pid == spare); // which was there before the death
        CHECK(second_spare != spare);
        auto pid = "pid " + std::to_string(spare);
        CHECK(events == std::vector<std::string>{
                            "fork 1", "online 1", "exit 1", "fork 2", "online 2", pid, "exit 2"});
        CHECK(spares().empty());
    }
};

template <typename Backend>
void replaces_by_a_spare() {
    promotion<Backend> seen;
    seen.run();
    seen.check();
    CHECK_FALSE(scenario::has_children());
}

} // namespace

CLUSTER_CASE_ON(processes_and_forks, "a killed worker is replaced by a process that waited") {
    replaces_by_a_spare<Backend>();
}
TEST_CASE("a killed worker is replaced by a process that waited through shared memory") {
    replaces_by_a_spare<cluster::backend::basic_process<cluster::transport::shared_memory>>();
}

TEST_CASE("threads have no spares") {
    std::size_t waiting = 1;
    run_on<cluster::backend::thread>(
        [&](auto& primary) {
            primary.supervise({.spares = 2});
            primary.fork();
            primary.when_ready([&] {
                primary.after(50ms, [&] {
                    waiting = primary.stats().spares;
                    primary.shutdown();
                });
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(waiting == 0);
}

CLUSTER_CASE_ON(processes_and_forks, "a spare that is killed is replaced and nobody hears of it") {
    std::vector<std::uint32_t> forks;
    std::size_t exits = 0;
    int first = 0, second = 0;
    run_on<Backend, cluster::restart::always>(
        [&](auto& primary) {
            primary.on(cluster::event::fork, [&](auto& one) { forks.push_back(one.id()); });
            primary.on(cluster::event::exit, [&] { ++exits; });
            primary.supervise({.spares = 1});
            primary.fork();
            when_waiting(primary, 1, [&](const std::set<int>& found) {
                first = *found.begin();
                ::kill(first, SIGKILL);
                auto another = [&] {
                    auto now = spares();
                    return primary.stats().spares == 1 && now.size() == 1 && now.count(first) == 0;
                };
                scenario::when(primary, another, [&] {
                    second = *spares().begin();
                    CHECK(exits == 0);
                    primary.shutdown();
                });
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(first != second);
    CHECK(forks == std::vector<std::uint32_t>{1});
}

CLUSTER_CASE_ON(processes_and_forks, "a spare that was stopped is passed over and goes") {
    int stopped = 0;
    std::vector<who> told;
    run_on<Backend, cluster::restart::always>(
        [&](auto& primary) {
            primary.on_message([&](const who& message) {
                told.push_back(message);
                if (told.size() == 2) {
                    scenario::when(
                        primary,
                        [&] { return scenario::is_gone(stopped); },
                        [&] { primary.shutdown(); });
                }
            });
            primary.supervise({.spares = 1});
            primary.fork();
            when_waiting(primary, 1, [&](const std::set<int>& found) {
                stopped = *found.begin();
                ::kill(stopped, SIGSTOP);
                scenario::when(
                    primary,
                    [&] { return scenario::process_state(stopped) == 'T'; },
                    [&] { primary.workers().at(0).kill(SIGKILL); });
            });
        },
        [](auto& self) { tell_who(self); });
    REQUIRE(told.size() == 2);
    CHECK(told[1].id == 2);
    CHECK(told[1].pid != stopped);
}

TEST_CASE("spares that die as they start are started ever less often") {
    namespace detail = cluster::detail;
    if (detail::begins_with(detail::frame_kind::reserve, detail::channel_descriptor)) {
        [[maybe_unused]] auto written = ::write(detail::channel_descriptor + 1, "x", 1);
        ::_exit(7);
    }
    using clock = std::chrono::steady_clock;
    int ends[2] = {-1, -1};
    std::size_t starts = 0, alive = 0;
    clock::duration elapsed{};
    run_case<cluster::compose<cluster::restart::always>>(
        "spares that die as they start are started ever less often",
        [&](auto& primary) {
            REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
            primary.setup({.extra = {cluster::stdio::descriptor(ends[1])}});
            primary.supervise({.spares = 3});
            primary.fork();
            primary.after(2s, [&, begin = clock::now()] {
                elapsed = clock::now() - begin;
                char bytes[1000];
                auto got = ::read(ends[0], bytes, sizeof bytes);
                starts = got > 0 ? static_cast<std::size_t>(got) : 0;
                alive = primary.workers().size();
                primary.shutdown();
            });
        },
        [](auto& self) { self.ready(); });
    ::close(ends[0]);
    ::close(ends[1]);
    // The pauses: 100, 200, 400, 800 ms and so on.
    auto most = 4U + static_cast<std::size_t>(elapsed / 800ms);
    MESSAGE(starts, " starts, at most ", most);
    CHECK(starts >= 2);
    CHECK(starts <= most);
    CHECK(alive == 1);
}

namespace {

/// Forks with each of the options when a spare waits; `used[i]` tells who became a spare's.
template <typename Backend>
struct with_options {
    std::vector<cluster::fork_options> options;
    cluster::fork_options settings;
    std::vector<bool> used;
    std::vector<who> told;

    void run() {
        run_on<Backend>(
            [&](auto& primary) {
                primary.setup(settings);
                primary.supervise({.spares = 1});
                primary.on_message([&](const who& message) {
                    told.push_back(message);
                    next(primary);
                });
                primary.fork();
            },
            [](auto& self) { tell_who(self); });
    }
    template <typename Primary>
    void next(Primary& primary) {
        when_waiting(primary, 1, [&](const std::set<int>& found) {
            if (used.size() == options.size()) {
                primary.shutdown();
                return;
            }
            auto& made = primary.fork(options[used.size()]);
            used.push_back(found.count(made.pid()) != 0);
        });
    }
};

} // namespace

CLUSTER_CASE_ON(processes_and_forks, "a fork with options of its own takes no spare") {
    with_options<Backend> seen;
    seen.settings = {.environment = {{"SPARE_TEST", "all"}}};
    seen.options = {{},
                    {.environment = {{"SPARE_TEST", "mine"}}},
                    {.umask = 077},
                    {.name = "is told later", .weight = 3, .data = 7}};
    seen.run();
    CHECK(seen.used == std::vector<bool>{true, false, false, true});
    REQUIRE(seen.told.size() == 5);
    CHECK(seen.told[1].variable == "all");
    CHECK(seen.told[2].variable == "mine");
}

TEST_CASE("new settings make new spares") {
    std::vector<who> told;
    int old = 0, fresh = 0;
    run_on<cluster::backend::process>(
        [&](auto& primary) {
            primary.on_message([&](const who& message) {
                told.push_back(message);
                if (told.size() == 2) {
                    primary.shutdown();
                }
            });
            primary.supervise({.spares = 1});
            primary.fork();
            when_waiting(primary, 1, [&](const std::set<int>& found) {
                old = *found.begin();
                primary.setup({.environment = {{"SPARE_TEST", "new"}}});
                auto renewed = [&] {
                    return scenario::is_gone(old) && primary.stats().spares == 1;
                };
                scenario::when(primary, renewed, [&] { fresh = primary.fork().pid(); });
            });
        },
        [](auto& self) { tell_who(self); });
    REQUIRE(told.size() == 2);
    CHECK(told[1].variable == "new");
    CHECK(told[1].pid == fresh);
}

TEST_CASE("no spare waits for a program of its own nor for a file that it would empty") {
    scenario::temporary_directory place;
    std::vector<std::uint64_t> waiting;
    run_on<cluster::backend::process>(
        [&](auto& primary) {
            auto look = [&](auto then) {
                primary.after(600ms, [&, then]() mutable {
                    waiting.push_back(primary.stats().spares);
                    then();
                });
            };
            primary.setup({.standard_error = cluster::stdio::write_to(place / "errors")});
            primary.supervise({.spares = 1});
            primary.fork();
            primary.when_ready([&, look]() mutable {
                look([&] {
                    primary.setup({.standard_error = cluster::stdio::append_to(place / "errors")});
                    when_waiting(primary, 1, [&](const auto&) { primary.shutdown(); });
                });
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(waiting == std::vector<std::uint64_t>{0});
}

TEST_CASE("the pipes of a spare are its worker's") {
    std::string said;
    run_on<cluster::backend::process>(
        [&](auto& primary) {
            primary.setup({.silent = true});
            primary.supervise({.spares = 1});
            primary.fork();
            when_waiting(primary, 1, [&](const std::set<int>& found) {
                auto& promoted = primary.fork();
                CHECK(found.count(promoted.pid()) == 1);
                promoted.standard_output().on_data([&](cluster::stream::bytes bytes) {
                    said += text_of(bytes);
                    if (said.find('\n') != std::string::npos) {
                        primary.shutdown();
                    }
                });
            });
        },
        [](auto& self) {
            auto line = "worker " + std::to_string(self.id()) + "\n";
            [[maybe_unused]] auto written = ::write(STDOUT_FILENO, line.data(), line.size());
            self.ready();
        });
    CHECK(said == "worker 2\n");
}

CLUSTER_CASE_ON(processes_and_forks, "a reload lets the spares of the generation before go") {
    std::set<int> before, after;
    who last;
    run_on<Backend, cluster::restart::always>(
        [&](auto& primary) {
            primary.on_message([&](const who& message) {
                last = message;
                if (message.id == 5) {
                    primary.shutdown();
                }
            });
            primary.supervise({.spares = 2});
            primary.fork(2);
            when_waiting(primary, 2, [&](const std::set<int>& found) {
                before = found;
                primary.reload({}, [&](const cluster::reload_report& report) {
                    CHECK(report.ok());
                    auto others = [&] {
                        return primary.stats().spares == 2 && primary.workers().size() == 2 &&
                               std::all_of(before.begin(), before.end(), scenario::is_gone);
                    };
                    scenario::when(primary, others, [&] {
                        after = spares();
                        primary.workers().at(0).kill(SIGKILL);
                    });
                });
            });
        },
        [](auto& self) { tell_who(self); });
    CHECK(before.size() == 2);
    CHECK(after.size() == 2);
    CHECK(last.id == 5);
    CHECK(last.generation == 2);
    CHECK(after.count(last.pid) == 1);
}

TEST_CASE("a reload that fails keeps the spares") {
    std::set<int> before, after;
    run_on<cluster::backend::process, cluster::restart::always>(
        [&](auto& primary) {
            primary.supervise({.spares = 1});
            primary.fork();
            when_waiting(primary, 1, [&](const std::set<int>& found) {
                before = found;
                primary.reload({}, [&](const cluster::reload_report& report) {
                    CHECK_FALSE(report.ok());
                    after = spares();
                    primary.shutdown();
                });
            });
        },
        [](auto& self) {
            if (self.generation() > 1) {
                std::exit(3);
            }
            self.ready();
        });
    CHECK(before.size() == 1);
    CHECK(before == after);
}

TEST_CASE("scaling up takes the spares and scaling to nothing keeps them") {
    std::set<int> waiting, workers;
    run_on<cluster::backend::process>(
        [&](auto& primary) {
            primary.supervise({.spares = 2});
            primary.fork();
            when_waiting(primary, 2, [&](const auto&) {
                primary.scale(0);
                scenario::when(
                    primary,
                    [&] { return primary.workers().empty(); },
                    [&] {
                        CHECK(primary.stats().spares == 2);
                        waiting = spares();
                        primary.scale(2);
                        for (auto& each : primary.workers()) {
                            workers.insert(each.pid());
                        }
                        primary.when_ready([&] { primary.shutdown(); });
                    });
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(waiting.size() == 2);
    CHECK(waiting == workers);
}

TEST_CASE("without a restart policy an exit handler that forks gets a spare") {
    int spare = 0, second = 0;
    int code = run_on<cluster::backend::process>(
        [&](auto& primary) {
            primary.once(cluster::event::exit, [&] {
                auto& made = primary.fork();
                second = made.pid();
                made.once(cluster::event::ready, [&] { primary.disconnect(); });
            });
            primary.supervise({.spares = 1});
            primary.fork();
            when_waiting(primary, 1, [&](const std::set<int>& found) {
                spare = *found.begin();
                primary.workers().at(0).kill(SIGKILL);
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(code == 0); // the spares keep no loop alive
    CHECK(second == spare);
    CHECK_FALSE(scenario::has_children());
}

CLUSTER_CASE_ON(processes_and_forks, "no spare outlives its cluster however that ends") {
    std::set<int> waiting;
    run_on<Backend>(
        [&](auto& primary) {
            primary.supervise({.spares = 2});
            primary.fork();
            when_waiting(primary, 2, [&](const std::set<int>& found) {
                waiting = found;
                ::kill(*found.begin(), SIGSTOP);
                scenario::when(
                    primary,
                    [&] { return scenario::process_state(*waiting.begin()) == 'T'; },
                    [&] { primary.stop(); });
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(waiting.size() == 2);
    CHECK(std::all_of(waiting.begin(), waiting.end(), scenario::is_gone));
    CHECK_FALSE(scenario::has_children());
}

namespace {

// Says its spares, the first of which is stopped, and waits to be killed.
template <typename Backend>
void primary_with_spares() {
    run_on<Backend>(
        [&](auto& primary) {
            primary.supervise({.spares = 2});
            primary.fork();
            when_waiting(primary, 2, [&](const std::set<int>& found) {
                ::kill(*found.begin(), SIGSTOP);
                auto stopped = [pid = *found.begin()] {
                    return scenario::process_state(pid) == 'T';
                };
                scenario::when(primary, stopped, [found] {
                    for (int each : found) {
                        scenario::say(std::to_string(each));
                    }
                });
            });
        },
        [](auto& self) { self.ready(); });
}

} // namespace

CLUSTER_CASE_ON(processes_and_forks, "spares end with a primary that is killed") {
    if (scenario::part() != nullptr) {
        primary_with_spares<Backend>();
        return;
    }
    scenario::another_primary other{running_case(), "killed"};
    int pids[] = {std::atoi(other.line().c_str()), std::atoi(other.line().c_str())};
    for (int each : pids) {
        REQUIRE(each > 0);
        CHECK_FALSE(scenario::is_gone(each));
    }
    other.kill(SIGKILL);
    CHECK(scenario::eventually(
        [&] { return scenario::is_gone(pids[0]) && scenario::is_gone(pids[1]); }));
    CHECK(other.wait() != -1);
}

namespace {

int loaded = 0; // what a process has warmed up

struct number {
    int value = 0;
};

} // namespace

TEST_CASE("spares are copies of the worker that was taken as the next zygote") {
    if (CLUSTER_TEST_THREAD_SANITIZED) {
        return; // no worker is without threads there, and such a one is not taken
    }
    loaded = 1;
    std::vector<int> got;
    bool was_spare = false;
    run_on<cluster::backend::fork>(
        [&](auto& primary) {
            primary.on_message([&](auto& from, const number& message) {
                got.push_back(message.value);
                if (got.size() == 2) {
                    primary.shutdown();
                    return;
                }
                auto before = spares();
                CHECK(before.size() == 1);
                CHECK_FALSE(primary.refork(from));
                auto renewed = [&primary, before] {
                    return primary.stats().spares == 1 && scenario::is_gone(*before.begin());
                };
                scenario::when(primary, renewed, [&] {
                    auto waiting = spares();
                    was_spare = waiting.count(primary.fork().pid()) == 1;
                });
            });
            primary.supervise({.spares = 1});
            auto& warmed = primary.fork({.data = 42});
            when_waiting(primary, 1, [&](const auto&) { warmed.send(number{42}); });
        },
        [](auto& self) {
            if (self.id() == 1) {
                self.on_message([&self](const number& message) {
                    loaded = message.value;
                    self.send(number{loaded});
                });
            } else {
                self.send(number{loaded});
            }
            self.ready();
        });
    CHECK(got == std::vector<int>{42, 42});
    CHECK(was_spare);
}
