// SPDX-License-Identifier: MIT
#include <cluster/backend/fork.hpp>

#include "../fixtures/scenario.hpp"
#include "../support/sanitized.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

template <typename... Policies>
using forks = cluster::compose<cluster::backend::fork, Policies...>;

struct word {
    std::string text;
};
struct number {
    int value = 0;
};

template <typename Cluster, typename PrimaryMain, typename WorkerMain>
int run_forks(PrimaryMain primary_main, WorkerMain worker_main) {
    int code = run_case<Cluster>("", std::move(primary_main), std::move(worker_main));
    CHECK_FALSE(scenario::has_children());
    return code;
}

int parent_of(int pid) {
    char text[512] = "";
    int fd = ::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
    auto size = fd == -1 ? -1 : ::read(fd, text, sizeof text - 1);
    ::close(fd);
    const char* name_end = size <= 0 ? nullptr : std::strrchr(text, ')');
    return name_end == nullptr ? -1 : std::atoi(name_end + 4);
}

/// The copy that the zygote of a worker keeps ready for the next one; -1 while there is none.
int copy_beside(int worker) {
    std::string parent = std::to_string(parent_of(worker));
    std::ifstream children{"/proc/" + parent + "/task/" + parent + "/children"};
    int found = -1;
    for (int pid = 0; children >> pid;) {
        found = pid != worker && !scenario::is_gone(pid) ? pid : found;
    }
    return found;
}

/// Does nothing for as long as it lives.
class second_thread {
public:
    second_thread() = default;
    second_thread(second_thread&&) = delete;
    second_thread& operator=(second_thread&&) = delete;
    ~second_thread() {
        ends_.test_and_set();
        ends_.notify_one();
        thread_.join();
    }

private:
    std::atomic_flag ends_;
    std::thread thread_{[this] { ends_.wait(false); }};
};

int loaded = 0; // what a program has loaded before its first worker

} // namespace

TEST_CASE("a worker is a copy of the primary with what it had loaded") {
    loaded = 41;
    std::set<int> pids;
    std::vector<int> got;
    run_forks<forks<>>(
        [&](auto& primary) {
            ++loaded;
            primary.on_message([&](auto& from, const number& message) {
                got.push_back(message.value);
                pids.insert(from.pid());
                from.disconnect();
            });
            primary.on(cluster::event::exit, [](auto& one, const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK(one.exited_after_disconnect());
            });
            primary.fork(3);
            loaded = 0; // too late for them
        },
        [](auto& self) { self.send(number{loaded}); });
    CHECK(got == std::vector<int>{42, 42, 42});
    CHECK(pids.size() == 3);
    CHECK(pids.count(::getpid()) == 0);
}

TEST_CASE("an exit code and a signal of a forked worker are told") {
    std::vector<cluster::exit_status> ends;
    run_forks<forks<>>(
        [&](auto& primary) {
            primary.on(cluster::event::exit,
                       [&](auto&, const cluster::exit_status& status) { ends.push_back(status); });
            primary.fork({.data = 7});
            primary.fork({.data = -1}).on_message([](auto& from, const number&) {
                CHECK_FALSE(from.kill(SIGKILL));
            });
        },
        [](auto& self) {
            if (int code = self.template data<int>(); code >= 0) {
                std::exit(code);
            }
            self.send(number{});
        });
    REQUIRE(ends.size() == 2);
    std::sort(ends.begin(), ends.end(), [](const auto& a, const auto& b) {
        return a.signal() < b.signal();
    });
    CHECK(ends[0] == cluster::exit_status::exited(7));
    CHECK(ends[1].signal() == SIGKILL);
}

TEST_CASE("a forked worker gets what its options say") {
    struct surroundings {
        std::string variable, directory;
        unsigned files = 0;
        int nice = 0;
    };
    surroundings seen;
    run_forks<forks<>>(
        [&](auto& primary) {
            auto& worker = primary.fork({.environment = {{"FORKED", "yes"}, {"HOME", {}}},
                                         .directory = "/tmp",
                                         .limits = {{RLIMIT_NOFILE, 123, 123}},
                                         .nice = 5});
            worker.on_message([&](const surroundings& message) {
                seen = message;
                worker.disconnect();
            });
        },
        [](auto& self) {
            rlimit files{};
            ::getrlimit(RLIMIT_NOFILE, &files);
            char here[4096];
            self.send(surroundings{std::string{std::getenv("FORKED")} +
                                       (std::getenv("HOME") == nullptr ? "" : " with a home"),
                                   ::getcwd(here, sizeof here),
                                   static_cast<unsigned>(files.rlim_cur),
                                   ::getpriority(PRIO_PROCESS, 0)});
        });
    CHECK(seen.variable == "yes");
    CHECK(seen.directory == "/tmp");
    CHECK(seen.files == 123);
    CHECK(seen.nice == 5);
    CHECK(std::getenv("FORKED") == nullptr);
}

TEST_CASE("a forked worker that cannot be what was asked for fails to start with the reason") {
    std::error_code why;
    cluster::exit_status end;
    run_forks<forks<>>(
        [&](auto& primary) {
            auto& worker = primary.fork({.directory = "/no/such/directory"});
            worker.on(cluster::event::error, [&](const std::error_code& error) { why = error; });
            worker.on(cluster::event::exit,
                      [&](const cluster::exit_status& status) { end = status; });
        },
        [](auto&) {});
    CHECK(why == std::errc::no_such_file_or_directory);
    CHECK(end.reason() == cluster::exit_reason::spawn_failed);
}

TEST_CASE("the next forked worker waits already and becomes what it is asked to be") {
    int waits = -1;
    int became = -2;
    std::string seen;
    std::error_code why;
    run_forks<forks<>>(
        [&](auto& primary) {
            auto& first = primary.fork();
            primary.on_message([&](auto& from, const word& message) {
                if (from.id() == 2) {
                    seen = message.text;
                    became = from.pid();
                    from.disconnect();
                }
            });
            primary.on(cluster::event::exit, [&](auto& one, const cluster::exit_status&) {
                if (one.id() != 2) {
                    return;
                }
                scenario::when(
                    primary,
                    [&first] { return copy_beside(first.pid()) != -1; },
                    [&] {
                        primary.fork({.directory = "/no/such/directory"})
                            .on(cluster::event::error, [&](const std::error_code& error) {
                                why = error;
                                first.disconnect();
                            });
                    });
            });
            scenario::when(
                primary,
                [&first] { return copy_beside(first.pid()) != -1; },
                [&] {
                    waits = copy_beside(first.pid());
                    ::kill(waits, SIGINT); // the terminal's, for all: not for who comes later
                    primary.fork({.environment = {{"FORKED", "ahead"}}, .directory = "/"});
                });
        },
        [](auto& self) {
            const char* variable = std::getenv("FORKED");
            char here[4096];
            self.send(word{std::string{variable == nullptr ? "" : variable} + " in " +
                           ::getcwd(here, sizeof here)});
        });
    CHECK(became == waits);
    CHECK(seen == "ahead in /");
    CHECK(why == std::errc::no_such_file_or_directory);
    CHECK(scenario::is_gone(waits));
}

TEST_CASE("a copy that was killed before it became a worker is not missed") {
    int killed = -1;
    std::vector<int> came;
    run_forks<forks<>>(
        [&](auto& primary) {
            auto& first = primary.fork();
            primary.on_message([&](auto& from, const number&) {
                if (from.id() == 2) {
                    came.push_back(from.pid());
                    primary.disconnect();
                }
            });
            scenario::when(
                primary,
                [&first] { return copy_beside(first.pid()) != -1; },
                [&] {
                    killed = copy_beside(first.pid());
                    ::kill(killed, SIGKILL);
                    primary.fork(); // perhaps before the zygote knows
                });
        },
        [](auto& self) { self.send(number{}); });
    REQUIRE(came.size() == 1);
    CHECK(came[0] != killed);
}

TEST_CASE("a silent forked worker is captured") {
    std::string text;
    run_forks<forks<>>(
        [&](auto& primary) {
            auto& worker = primary.fork({.silent = true});
            worker.standard_output().on_data(
                [&](std::span<const std::byte> bytes) { text += text_of(bytes); });
        },
        [](auto& self) {
            std::printf("said by %u\n", self.id());
            self.disconnect();
        });
    CHECK(text == "said by 1\n");
}

TEST_CASE("a primary with threads forks from its zygote and not from itself") {
    std::vector<std::string> events;
    run_forks<forks<>>(
        [&](auto& primary) {
            primary.on(cluster::event::error, [&](auto&, const std::error_code& error) {
                events.push_back(error.message());
            });
            primary.on_message([&](auto& from, const word& message) {
                events.push_back(message.text);
                from.disconnect();
                if (events.size() == 1) {
                    second_thread other;
                    primary.fork();
                }
            });
            primary.fork();
        },
        [](auto& self) { self.send(word{"hello"}); });
    CHECK(events == std::vector<std::string>{"hello", "hello"});
}

TEST_CASE("a first fork in a program with threads is refused") {
    std::error_code why;
    second_thread other;
    run_forks<forks<>>(
        [&](auto& primary) {
            primary.on(cluster::event::error,
                       [&](auto&, const std::error_code& error) { why = error; });
            primary.fork();
        },
        [](auto&) {});
    CHECK(why == cluster::errc::has_threads);
}

TEST_CASE("workers are forked from a warmed worker after refork") {
    if (CLUSTER_TEST_THREAD_SANITIZED) {
        return; // no worker is without threads there
    }
    loaded = 1;
    std::vector<int> got;
    run_forks<forks<>>(
        [&](auto& primary) {
            primary.on_message([&](auto& from, const number& message) {
                got.push_back(message.value);
                if (got.size() == 1) {
                    CHECK_FALSE(primary.refork(from));
                    from.send(number{5}); // behind it: it warms up further, for itself only
                } else if (got.size() == 2) {
                    // The copy says that it is there by its own socket; a worker that is forked
                    // before it is heard is one of the old kind.
                    primary.fork();
                } else {
                    message.value == 100 ? primary.disconnect() : void(primary.fork());
                }
            });
            primary.fork();
        },
        [](auto& self) {
            if (loaded == 1) {
                loaded = 100; // warm
                self.on_message([&self](const number& message) {
                    loaded += message.value;
                    self.send(number{loaded});
                });
                self.send(number{1});
            } else {
                self.send(number{loaded});
            }
        });
    REQUIRE(got.size() >= 3);
    CHECK(got[0] == 1);
    CHECK(got[1] == 105);
    CHECK(got.back() == 100);
}

TEST_CASE("forked workers outlive their zygote and the next ones have another") {
    int zygote = 0;
    std::vector<std::string> events;
    run_forks<forks<>>(
        [&](auto& primary) {
            primary.on_message([&](auto& from, const word& message) {
                events.push_back(message.text);
                if (from.id() == 1 && message.text == "up") {
                    zygote = parent_of(from.pid());
                    CHECK(parent_of(zygote) == ::getpid());
                    ::kill(zygote, SIGKILL);
                    scenario::when(
                        primary,
                        [zygote] { return scenario::is_gone(zygote); },
                        [&primary, &from] {
                            from.send(word{"still there?"});
                            primary.fork();
                        });
                } else if (events.size() == 3) {
                    primary.disconnect();
                }
            });
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                // Without its parent nobody but a new kernel knows how the first one ended.
                CHECK((status.success() || status.reason() == cluster::exit_reason::unknown));
            });
            primary.fork();
        },
        [](auto& self) {
            self.on_message([&self](const word&) { self.send(word{"yes"}); });
            self.send(word{"up"});
        });
    std::sort(events.begin(), events.end());
    CHECK(events == std::vector<std::string>{"up", "up", "yes"});
}

TEST_CASE("forked workers end with a primary that is killed even when they are blocked") {
    const char* name =
        "forked workers end with a primary that is killed even when they are blocked";
    if (scenario::part() != nullptr) {
        forks<> app{program::argc, program::argv};
        app.run(
            [](auto& primary) {
                primary.on_message(
                    [](auto& from, const number&) { scenario::say(std::to_string(from.pid())); });
                primary.fork(2);
            },
            [](auto& self) {
                self.send(number{});
                self.flush();
                for (;;) {
                    std::this_thread::sleep_for(1h);
                }
            });
        return;
    }
    scenario::another_primary other{name, "primary"};
    int first = std::atoi(other.line().c_str());
    int second = std::atoi(other.line().c_str());
    REQUIRE(first > 0);
    REQUIRE(second > 0);
    other.kill(SIGKILL);
    CHECK(scenario::eventually([&] { return scenario::is_gone(first); }));
    CHECK(scenario::eventually([&] { return scenario::is_gone(second); }));
}

TEST_CASE("forked workers serve and are replaced while one port is theirs") {
    std::size_t answers = 0;
    std::set<std::string> served;
    int code = run_forks<forks<cluster::restart::always, cluster::scheduling::reuse_port>>(
        [&](auto& primary) {
            primary.on(cluster::event::listening, [&](auto& one, const cluster::address& at) {
                for (auto& each : primary.workers()) {
                    if (each.state() != cluster::worker_state::listening) {
                        return;
                    }
                }
                if (one.id() <= 2) {
                    primary.workers()[0].kill(SIGKILL);
                    return;
                }
                scenario::ask_in_turn(primary, at, 20, [&](const auto& all) {
                    for (const auto& each : all) {
                        answers += each == "2" || each == "3" ? 1U : 0U;
                    }
                    primary.shutdown();
                });
            });
            primary.fork(2);
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    CHECK(code == 0);
    CHECK(answers == 20);
}

TEST_CASE("a forked worker has none of the primary's sockets and keeps its files") {
    int sockets = -1;
    auto file = cluster::unique_fd{::open("/etc/passwd", O_RDONLY | O_CLOEXEC)};
    int kept = file.get();
    bool has_file = false;
    struct report {
        int sockets = 0;
        bool has_file = false;
    };
    run_forks<forks<>>(
        [&](auto& primary) {
            auto& server = primary.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            primary.fork(2);
            auto& last = primary.fork();
            last.on_message([&](const report& message) {
                sockets = message.sockets;
                has_file = message.has_file;
                server.close();
                primary.disconnect();
            });
        },
        [kept](auto& self) {
            int count = 0;
            for (int fd = 3; fd != 200; ++fd) {
                struct stat about {};
                count += ::fstat(fd, &about) == 0 && S_ISSOCK(about.st_mode) ? 1 : 0;
            }
            struct stat about {};
            self.send(report{count, ::fstat(kept, &about) == 0 && S_ISREG(about.st_mode)});
        });
    CHECK(sockets == 1); // its channel
    CHECK(has_file);
}
