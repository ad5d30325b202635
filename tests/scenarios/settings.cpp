// SPDX-License-Identifier: MIT
// Acceptance scenarios 44 to 46: settings, several clusters in one program, the scheduling policy.
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <sys/stat.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct surroundings {
    std::string arguments;
    std::string directory;
    std::string flavour;
    unsigned user = 0;
};
struct note {
    std::string text;
};

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "none" : value;
}

std::string current_directory() {
    char buffer[4096] = "";
    return ::getcwd(buffer, sizeof buffer) == nullptr ? std::string{} : std::string{buffer};
}

/// Collects what a stream brings.
void collect(cluster::stream& from, std::string& into) {
    from.on_data([&into](cluster::stream::bytes data) {
        into.append(reinterpret_cast<const char*>(data.data()), data.size());
    });
}

} // namespace

TEST_CASE("scenario 44: every worker has the settings of its fork") {
    const char* name = "scenario 44: every worker has the settings of its fork";
    scenario::temporary_directory directory;
    std::map<std::uint32_t, surroundings> seen;
    std::vector<std::string> setups;
    bool is_root = ::geteuid() == 0;
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            std::size_t expected = 4;
            primary.on(cluster::event::setup, [&](const cluster::fork_options& now) {
                setups.push_back(now.directory.empty() ? "-" : now.directory);
            });
            primary.setup({.environment = {{"FLAVOUR", "first"}, {"EXTRA", "gone"}}});
            primary.fork();
            primary.setup({.arguments = {"--worker-case", name, "more"},
                           .environment = {{"FLAVOUR", "second"}},
                           .directory = directory.path()});
            primary.fork();
            primary.fork({.environment = {{"FLAVOUR", {}}}, .directory = "/"}); // this one only
            primary.fork();
            if (is_root) {
                ++expected;
                primary.fork({.user = 65534U, .group = 65534U});
            }
            primary.on_message([&, expected](auto& from, const surroundings& message) {
                seen[from.id()] = message;
                if (seen.size() == expected) {
                    primary.disconnect();
                }
            });
        },
        [](auto& self) {
            surroundings mine{{}, current_directory(), variable("FLAVOUR"), ::geteuid()};
            for (int i = 1; i < program::argc; ++i) {
                mine.arguments += std::string{program::argv[i]} + '|';
            }
            self.send(mine);
        });
    auto first = std::string{"--worker-case|"} + name + '|';
    auto here = current_directory();
    CHECK(seen[1].arguments == first);
    CHECK(seen[1].flavour == "first");
    CHECK(seen[1].directory == here);
    CHECK(seen[2].arguments == first + "more|");
    CHECK(seen[2].flavour == "second");
    CHECK(seen[2].directory == directory.path());
    CHECK(seen[3].arguments == first + "more|");
    CHECK(seen[3].flavour == "none");
    CHECK(seen[3].directory == "/");
    CHECK(seen[4].flavour == "second");
    CHECK(seen[4].directory == directory.path());
    if (is_root) {
        CHECK(seen[5].user == 65534);
    } else {
        MESSAGE("skipped: only root can start workers of another user");
    }
    // Each setup() of the test and its support, and each fork(): as Node.js has it.
    auto of_directory = std::count(setups.begin(), setups.end(), directory.path());
    CHECK(std::count(setups.begin(), setups.end(), "-") == 3);
    CHECK(of_directory == (is_root ? 5 : 4));
}

TEST_CASE("scenario 44: a worker can be another program and its output is captured") {
    std::string output, errors, from_extra;
    std::vector<std::string> ends;
    run_case<cluster::process_cluster>(
        "scenario 44: a worker can be another program and its output is captured",
        [&](auto& primary) {
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                ends.push_back(worker.name() + ": " + status.to_string());
            });
            auto& other = primary.fork({.executable = FIXTURE_CHILD,
                                        .arguments = {"surroundings"},
                                        .directory = "/",
                                        .name = "other program",
                                        .silent = true,
                                        .umask = 027U});
            collect(other.standard_output(), output);

            auto& talks =
                primary.fork({.name = "talks", .silent = true, .extra = {cluster::stdio::pipe}});
            collect(talks.standard_error(), errors);
            collect(talks.pipe(4), from_extra);
            talks.pipe(4).write("ping");
        },
        [](auto& self) {
            auto& extra = self.attach(cluster::connection{cluster::unique_fd{4}});
            extra.on_data([&self, &extra](cluster::stream::bytes data) {
                std::string text{reinterpret_cast<const char*>(data.data()), data.size()};
                extra.end(text == "ping" ? "pong" : "what?");
                std::fputs("said to standard error", stderr);
                self.disconnect();
            });
        });
    CHECK(output.find("directory=/ umask=27 ") != std::string::npos);
    CHECK(errors == "said to standard error");
    CHECK(from_extra == "pong");
    std::sort(ends.begin(), ends.end());
    CHECK(ends == std::vector<std::string>{"other program: exit code 0", "talks: exit code 0"});
}

// The channel is always there, so a missing one cannot be asked for; a bad descriptor can.
TEST_CASE("scenario 44: a worker that cannot be started is one error and one exit") {
    std::map<std::string, std::vector<std::string>> events;
    std::size_t before = scenario::open_descriptors();
    run_case<cluster::process_cluster>(
        "scenario 44: a worker that cannot be started is one error and one exit",
        [&](auto& primary) {
            auto add = [&](auto& worker, const std::string& what) {
                events[worker.name()].push_back(what);
            };
            primary.on(cluster::event::fork, [add](auto& worker) { add(worker, "fork"); });
            primary.on(cluster::event::online, [add](auto& worker) { add(worker, "online"); });
            primary.on(cluster::event::error, [add](auto& worker, const std::error_code& error) {
                add(worker, "error " + std::to_string(error.value()));
            });
            primary.on(cluster::event::exit,
                       [add](auto& worker, const cluster::exit_status& status) {
                           CHECK(status.reason() == cluster::exit_reason::spawn_failed);
                           add(worker, "exit " + std::to_string(status.error().value()));
                       });
            primary.fork({.directory = "/does/not/exist", .name = "bad directory"});
            primary.fork(
                {.name = "bad descriptor", .standard_input = cluster::stdio::descriptor(900)});
            auto& none = primary.fork({.executable = "/does/not/exist", .name = "no program"});
            CHECK(none.pid() == -1);
            CHECK(none.kill() == std::errc::no_such_process);
            none.send(note{"nobody reads this"});
            none.disconnect();
        },
        [](auto&) {});
    auto told = [&](const char* name) {
        std::string result;
        for (const auto& each : events[name]) {
            result += each + ' ';
        }
        return result;
    };
    CHECK(told("bad directory") == "fork error 2 exit 2 ");  // ENOENT
    CHECK(told("bad descriptor") == "fork error 9 exit 9 "); // EBADF
    CHECK(told("no program") == "fork error 2 exit 2 ");
    CHECK(scenario::open_descriptors() == before);
}

// Two clusters are made in the same order in every process: a worker of the second finds that the
// first one has no role for it.
TEST_CASE("scenario 45: two clusters in one program do not know of each other") {
    using first_cluster = cluster::process_cluster;
    using second_cluster =
        cluster::compose<cluster::scheduling::shared_socket, cluster::restart::always>;
    const char* name = "scenario 45: two clusters in one program do not know of each other";
    cluster::event_loop loop;
    first_cluster first{program::argc, program::argv, loop};
    second_cluster second{program::argc, program::argv, loop};
    if (first.is_worker()) {
        first.self().send(note{second.is_primary() || second.is_worker() ? "confused" : "first"});
        std::exit(first.run());
    }
    if (second.is_worker()) {
        bool alone = !first.is_primary() && first.run() == 0; // at once
        second.self().send(note{alone ? "second" : "confused"});
        std::exit(second.run());
    }
    auto& one = first.primary();
    auto& two = second.primary();
    std::vector<std::string> of_one, of_two;
    auto watch = [](auto& primary, std::vector<std::string>& events) {
        primary.on(cluster::event::online, [&events](auto& worker) {
            events.push_back("online " + std::to_string(worker.id()));
        });
        primary.on(
            cluster::event::exit, [&events](auto& worker, const cluster::exit_status& status) {
                events.push_back("exit " + std::to_string(worker.id()) + ' ' + status.to_string());
            });
        primary.on_message([&events](auto& from, const note& message) {
            events.push_back(message.text + ' ' + std::to_string(from.id()));
            from.disconnect();
        });
    };
    watch(one, of_one);
    watch(two, of_two);
    one.setup({.arguments = {"--worker-case", name}, .name = "kind one"});
    two.setup({.arguments = {"--worker-case", name, "two"}, .name = "kind two"});
    CHECK(one.fork().id() == 1);
    CHECK(two.fork().id() == 1);
    CHECK(one.settings().name == "kind one");
    CHECK(two.settings().name == "kind two");
    CHECK(one.workers().size() == 1);
    CHECK(two.workers().at(0).name() == "kind two");
    CHECK(one.workers().at(0).pid() != two.workers().at(0).pid());
    bool late = false;
    loop.after(patience(), [&] { late = true, loop.stop(); }).unref();
    loop.run();
    CHECK_FALSE(late);
    CHECK(of_one == std::vector<std::string>{"online 1", "first 1", "exit 1 exit code 0"});
    CHECK(of_two == std::vector<std::string>{"online 1", "second 1", "exit 1 exit code 0"});
}

TEST_CASE("scenario 45: two clusters in one program do not know of each other on threads") {
    using first_cluster = cluster::thread_cluster;
    using second_cluster = cluster::compose<cluster::backend::thread,
                                            cluster::scheduling::shared_socket,
                                            cluster::restart::always>;
    std::vector<std::string> of_one, of_two;
    auto start = [](std::vector<std::string>& events, std::string kind) {
        return [&events, kind](auto& primary) {
            primary.on(cluster::event::online, [&events](auto& worker) {
                events.push_back("online " + std::to_string(worker.id()));
            });
            primary.on(cluster::event::exit,
                       [&events](auto& worker, const cluster::exit_status& status) {
                           events.push_back("exit " + std::to_string(worker.id()) + ' ' +
                                            status.to_string());
                       });
            primary.on_message([&events](auto& from, const note& message) {
                events.push_back(message.text + ' ' + std::to_string(from.id()));
                from.disconnect();
            });
            primary.setup({.name = kind});
            CHECK(primary.fork().id() == 1);
            CHECK(primary.settings().name == kind);
            CHECK(primary.workers().size() == 1);
        };
    };
    auto greet = [](std::string text) { return [text](auto& self) { self.send(note{text}); }; };
    std::thread other{[&] {
        second_cluster second{program::argc, program::argv};
        second.run(start(of_two, "kind two"), greet("second"));
    }};
    {
        first_cluster first{program::argc, program::argv};
        first.run(start(of_one, "kind one"), greet("first"));
    }
    other.join();
    CHECK(of_one == std::vector<std::string>{"online 1", "first 1", "exit 1 exit code 0"});
    CHECK(of_two == std::vector<std::string>{"online 1", "second 1", "exit 1 exit code 0"});
}

CLUSTER_CASE("scenario 45: workers of two kinds live in one cluster") {
    std::map<std::string, std::string> said;
    run_on<Backend>(
        [&](auto& primary) {
            primary.on_message([&](auto& from, const note& message) {
                said[from.name()] = message.text;
                from.disconnect();
            });
            primary.fork({.name = "web"});
            primary.fork({.name = "jobs"});
        },
        [](auto& self) { self.send(note{self.name() == "web" ? "serves" : "computes"}); });
    CHECK(said == std::map<std::string, std::string>{{"jobs", "computes"}, {"web", "serves"}});
}

namespace {

/// Inodes of the listening sockets that this process has.
std::string listening_sockets() {
    std::string result;
    for (int fd = 0; fd != 64; ++fd) {
        int listens = 0;
        socklen_t size = sizeof listens;
        struct stat info {};
        if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0 &&
            ::fstat(fd, &info) == 0) {
            result += std::to_string(info.st_ino) + ' ';
        }
    }
    return result;
}

/// What two workers that listen on one address hold.
template <typename Cluster>
std::vector<std::string> sockets_of_two_workers(const char* name, bool own_socket = false) {
    std::vector<std::string> sockets;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            ::setenv("CLUSTER_SCHED_POLICY", "none", 1); // means nothing to a policy that is a type
            primary.fork(2);
            primary.on_message([&](const note& message) {
                sockets.push_back(message.text);
                if (sockets.size() == 2) {
                    primary.disconnect();
                }
            });
        },
        [own_socket](auto& self) {
            self.listen({.host = "127.0.0.1", .reuse_port = own_socket},
                        scenario::answer_with_id(self));
            self.send(note{listening_sockets()});
        });
    ::unsetenv("CLUSTER_SCHED_POLICY");
    return sockets;
}

} // namespace

// Only the part of the types: a choice at run time by the environment is
// scheduling::from_environment.
TEST_CASE("scenario 46: under round robin only the primary listens") {
    static_assert(std::is_same_v<cluster::process_cluster::scheduling_type,
                                 cluster::scheduling::round_robin>);
    CHECK(sockets_of_two_workers<cluster::process_cluster>(
              "scenario 46: under round robin only the primary listens") ==
          std::vector<std::string>{"", ""});
}

TEST_CASE("scenario 46: with a shared socket both workers have the same one") {
    using shared = cluster::compose<cluster::scheduling::shared_socket>;
    static_assert(std::is_same_v<shared::scheduling_type, cluster::scheduling::shared_socket>);
    auto sockets = sockets_of_two_workers<shared>(
        "scenario 46: with a shared socket both workers have the same one");
    REQUIRE(sockets.size() == 2);
    CHECK(sockets[0] != "");
    CHECK(sockets[0] == sockets[1]);
}

TEST_CASE("scenario 46: with reuse_port each worker has a socket of its own") {
    using own = cluster::compose<cluster::restart::always, cluster::scheduling::reuse_port>;
    static_assert(std::is_same_v<own::scheduling_type, cluster::scheduling::reuse_port>);
    auto sockets = sockets_of_two_workers<own>(
        "scenario 46: with reuse_port each worker has a socket of its own");
    REQUIRE(sockets.size() == 2);
    CHECK(std::count(sockets[0].begin(), sockets[0].end(), ' ') == 1);
    CHECK(std::count(sockets[1].begin(), sockets[1].end(), ' ') == 1);
    CHECK(sockets[0] != sockets[1]);
}

TEST_CASE("scenario 46: one address can have sockets of its own under every policy") {
    auto sockets = sockets_of_two_workers<cluster::process_cluster>(
        "scenario 46: one address can have sockets of its own under every policy", true);
    REQUIRE(sockets.size() == 2);
    CHECK(sockets[0] != "");
    CHECK(sockets[1] != "");
    CHECK(sockets[0] != sockets[1]);
}
