// SPDX-License-Identifier: MIT
// Faults 19, 27, 28 and 30: the primary's death is survived, the primary is process 1 of a
// container, and what the system does to workers. The primary is this program again.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

using replacing = cluster::compose<cluster::restart::always>;
// The worker has the listening socket, so that its port tells whether it listens.
using shared_cluster = cluster::compose<cluster::scheduling::shared_socket>;

// Its clients get what they send, and a word when the worker begins to leave.
void primary_to_outlive(const char* name, std::chrono::nanoseconds grace) {
    run_case<shared_cluster>(
        name,
        [&](auto& primary) {
            primary.on(cluster::event::listening, [](auto& worker, const cluster::address& at) {
                scenario::say(std::to_string(at.port()));
                scenario::say(std::to_string(worker.pid()));
            });
            primary.fork({.outlive_primary = grace});
        },
        [](auto& self) {
            auto streams = std::make_shared<std::vector<cluster::stream*>>();
            self.on(cluster::event::disconnect, [streams] {
                for (auto* each : *streams) {
                    each->write("!");
                }
            });
            self.listen({.host = "127.0.0.1"}, [&self, streams](cluster::connection client) {
                auto& stream = self.attach(std::move(client));
                streams->push_back(&stream);
                stream.on_data(
                    [&stream](cluster::stream::bytes data) { stream.write(text_of(data)); });
            });
        });
}

char next_byte(const cluster::unique_fd& from) {
    char byte = 0;
    pollfd arrives{from.get(), POLLIN, 0};
    auto limit = static_cast<int>(std::chrono::milliseconds{patience()}.count());
    return ::poll(&arrives, 1, limit) == 1 && ::read(from.get(), &byte, 1) == 1 ? byte : '\0';
}
char echo(const cluster::unique_fd& client) {
    return ::write(client.get(), "?", 1) == 1 ? next_byte(client) : '\0';
}

struct orphan {
    scenario::another_primary primary;
    cluster::address at;
    int worker = 0;
    cluster::unique_fd client;

    explicit orphan(const char* name) : primary{name, "outlived"} {
        at = scenario::loopback(static_cast<std::uint16_t>(std::atoi(primary.line().c_str())));
        worker = std::atoi(primary.line().c_str());
        REQUIRE(worker > 1);
        client = scenario::connect_to(at);
        CHECK(echo(client) == '?');
        primary.kill(SIGKILL);
        CHECK(primary.wait() == SIGKILL);
        CHECK(next_byte(client) == '!'); // event::disconnect
    }
    ~orphan() {
        if (!scenario::is_gone(worker)) { // it belongs to nobody any more
            ::kill(worker, SIGKILL);
        }
    }
    orphan(orphan&&) = delete;
};

} // namespace

// `primary_lost` is event::disconnect.
TEST_CASE("fault_19_a_worker_that_outlives_its_primary_finishes_and_ends") {
    const char* name = "fault_19_a_worker_that_outlives_its_primary_finishes_and_ends";
    if (scenario::part() != nullptr) {
        primary_to_outlive(name, 1h);
        return;
    }
    orphan one{name};
    for (int i = 0; i != 20; ++i) {
        REQUIRE(echo(one.client) == '?');
    }
    CHECK(scenario::eventually([&] { return !scenario::connect_to(one.at); })); // no new ones
    CHECK(echo(one.client) == '?');
    CHECK_FALSE(scenario::is_gone(one.worker));
    one.client.reset();
    CHECK(scenario::eventually([&] { return scenario::is_gone(one.worker); }));
}

TEST_CASE("fault_19_a_worker_outlives_its_primary_for_as_long_as_it_may") {
    const char* name = "fault_19_a_worker_outlives_its_primary_for_as_long_as_it_may";
    if (scenario::part() != nullptr) {
        primary_to_outlive(name, 1500ms);
        return;
    }
    auto before = std::chrono::steady_clock::now();
    orphan one{name};
    CHECK(next_byte(one.client) == '\0'); // its end
    CHECK(scenario::eventually([&] { return scenario::is_gone(one.worker); }));
    CHECK(std::chrono::steady_clock::now() - before >= 1500ms);
}

namespace {

// ---- namespaces

/// A mount namespace of our own, from which nothing leaks.
bool own_mounts(int more = 0) {
    return ::unshare(CLONE_NEWNS | more) == 0 &&
           ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

/// A worker runs the same case, and lives in what its primary has made.
bool is_worker() {
    return cluster_test::program::argc > 2 &&
           std::strcmp(cluster_test::program::argv[1], "--worker-case") == 0;
}

/// Whether the other one could not do what it should: then that was told.
bool is_skipped(const std::string& line) {
    if (line.starts_with("skipped: ")) {
        MESSAGE(line);
        return true;
    }
    return false;
}

void skip(const std::string& why) {
    scenario::say("skipped: " + why);
}

struct left_behind {
    int pid = 0;
};

// In the worker: a process whose parent ends before it does.
int leave_orphan() {
    int fds[2] = {-1, -1};
    if (::pipe2(fds, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t parent = ::fork();
    if (parent == 0) {
        pid_t child = ::fork();
        if (child == 0) {
            ::usleep(20'000);
            ::_exit(3);
        }
        [[maybe_unused]] auto told = ::write(fds[1], &child, sizeof child);
        ::_exit(0);
    }
    pid_t child = -1;
    [[maybe_unused]] auto got = ::read(fds[0], &child, sizeof child);
    ::waitpid(parent, nullptr, 0);
    ::close(fds[0]);
    ::close(fds[1]);
    return child;
}

// Process 1 of its namespace. Says what became of the orphans of its worker, then of the worker.
void process_one(const char* name, bool reaps) {
    constexpr std::size_t count = 5;
    if (!is_worker()) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0UL, 0UL, 0UL);
        if (::getpid() != 1 || ::mount("proc", "/proc", "proc", 0, nullptr) != 0) {
            skip("no /proc of its own");
            std::exit(0);
        }
    }
    std::vector<int> orphans;
    int code = run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            if (!reaps) {
                primary.supervise({.reap_orphans = false});
            }
            primary.on_signal(SIGTERM, [&primary] { primary.shutdown(); });
            auto all = [&orphans](auto is_so) {
                return [&orphans, is_so] {
                    return std::all_of(orphans.begin(), orphans.end(), is_so);
                };
            };
            auto gone = all([](int pid) { return scenario::process_state(pid) == '-'; });
            auto dead = all([](int pid) { return scenario::process_state(pid) == 'Z'; });
            primary.on_message([&, gone, dead](auto& from, const left_behind& one) {
                orphans.push_back(one.pid);
                if (orphans.size() != count) {
                    return;
                }
                auto then = [&primary, &from] {
                    primary.once(cluster::event::exit,
                                 [](auto&, const cluster::exit_status& status) {
                                     scenario::say(status.to_string());
                                 });
                    from.kill(SIGKILL);
                };
                if (reaps) {
                    scenario::when(primary, gone, [then] {
                        scenario::say("reaped");
                        then();
                    });
                    return;
                }
                scenario::when(primary, dead, [&primary, dead, then] {
                    primary.after(2500ms, [dead, then] { // it looks once a second
                        scenario::say(dead() ? "left" : "reaped after all");
                        then();
                    });
                });
            });
            primary.fork();
            primary.every(1h, [] {}); // goes on when its worker is dead
        },
        [](auto& self) {
            for (std::size_t i = 0; i != count; ++i) {
                self.send(left_behind{leave_orphan()});
            }
        });
    scenario::say("run " + std::to_string(code));
    std::_Exit(code); // the leak checker at exit cannot look into number 1 of a namespace
}

void be_process_one(const char* name, bool reaps) {
    std::string part = scenario::part() == nullptr ? "" : scenario::part();
    if (part == "one") {
        process_one(name, reaps);
    }
    if (part == "outside") {
        if (!own_mounts(CLONE_NEWPID)) {
            skip("no namespaces");
            std::exit(0);
        }
        scenario::another_primary one{name, "one"};
        std::string line;
        do { // the status of a dead worker is the last before it waits for SIGTERM
            line = one.line();
            scenario::say(line);
        } while (!line.empty() && !line.starts_with("killed") && !line.starts_with("skipped"));
        one.kill(SIGTERM);
        scenario::say(one.line());
        std::_Exit(one.wait() == 0 ? 0 : 1); // nor here, where the namespace has no number 1 now
    }
    scenario::another_primary outside{name, "outside"};
    auto line = outside.line();
    if (is_skipped(line)) {
        return;
    }
    CHECK(line == (reaps ? "reaped" : "left"));
    CHECK(outside.line() == "killed by SIGKILL"); // what is ours, we still know
    CHECK(outside.line() == "run 0");             // it has a handler for SIGTERM
    CHECK(outside.wait() == 0);
}

} // namespace

TEST_CASE("fault_27_a_primary_that_is_process_1_reaps_the_orphans_of_others") {
    be_process_one("fault_27_a_primary_that_is_process_1_reaps_the_orphans_of_others", true);
}
TEST_CASE("fault_27_a_primary_that_is_process_1_leaves_orphans_alone_if_told_so") {
    be_process_one("fault_27_a_primary_that_is_process_1_leaves_orphans_alone_if_told_so", false);
}

namespace {

/// A file system whose server takes requests and never answers one. Who looks into it waits, and
/// cannot even be killed.
class dead_file_system {
public:
    explicit dead_file_system(const std::string& directory)
        : directory_{directory}, device_{::open("/dev/fuse", O_RDWR | O_CLOEXEC)} {
        std::string options =
            "fd=" + std::to_string(device_.get()) + ",rootmode=40000,user_id=0,group_id=0";
        mounted_ =
            device_ &&
            ::mount("dead", directory.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) == 0;
        if (mounted_) {
            server_ = std::thread{[this] { serve(); }};
        }
    }
    ~dead_file_system() { end(); }
    dead_file_system(dead_file_system&&) = delete;

    [[nodiscard]] explicit operator bool() const noexcept { return mounted_; }
    /// How many requests it has not answered.
    [[nodiscard]] int unanswered() const noexcept { return unanswered_; }

    /// Whoever waits gets an error.
    void end() {
        if (server_.joinable()) {
            ends_ = true;
            server_.join();
            device_.reset();
            ::umount2(directory_.c_str(), MNT_DETACH);
        }
    }

private:
    void serve() {
        alignas(8) std::array<char, FUSE_MIN_READ_BUFFER + (1 << 17)> buffer{};
        while (!ends_) {
            pollfd arrives{device_.get(), POLLIN, 0};
            if (::poll(&arrives, 1, 20) != 1) {
                continue;
            }
            auto size = ::read(device_.get(), buffer.data(), buffer.size());
            fuse_in_header request{};
            if (size < static_cast<ssize_t>(sizeof request)) {
                continue;
            }
            std::memcpy(&request, buffer.data(), sizeof request);
            if (request.opcode == FUSE_INIT) {
                greet(request.unique);
            } else if (request.opcode != FUSE_INTERRUPT) {
                ++unanswered_;
            }
        }
    }

    void greet(std::uint64_t request) const {
        struct {
            fuse_out_header header{};
            fuse_init_out init{};
        } answer;
        answer.header.len = sizeof answer;
        answer.header.unique = request;
        answer.init.major = FUSE_KERNEL_VERSION;
        answer.init.minor = FUSE_KERNEL_MINOR_VERSION;
        answer.init.max_write = 4096;
        [[maybe_unused]] auto written = ::write(device_.get(), &answer, sizeof answer);
    }

    std::string directory_;
    cluster::unique_fd device_;
    bool mounted_ = false;
    std::atomic<bool> ends_{false};
    std::atomic<int> unanswered_{0};
    std::thread server_;
};

struct look_into {
    std::string path;
};

void primary_of_an_immortal(const char* name) {
    temporary_directory directory;
    std::optional<dead_file_system> dead;
    if (!is_worker()) {
        if (!own_mounts()) {
            skip("no namespaces");
            return;
        }
        dead.emplace(directory.path());
        if (!*dead) {
            skip("no FUSE");
            return;
        }
    }
    int code = run_case<replacing>(
        name,
        [&](auto& primary) {
            primary.supervise({.stalled_after = 600ms, .replaced_after = 1500ms});
            primary.on(cluster::event::exit, [](auto& worker) {
                if (worker.id() == 1) {
                    const auto& report = worker.report();
                    bool told = report.diagnosis.starts_with("state "); // before it was killed
                    scenario::say(report.status.to_string() + (told ? ", with its state" : ""));
                }
            });
            int immortal = 0;
            primary.on(cluster::event::ready, [&, immortal](auto& worker) mutable {
                if (worker.id() == 1) {
                    immortal = worker.pid();
                    worker.send(look_into{directory / "file"});
                    return;
                }
                scenario::say(std::string{"replaced, and it is in state "} +
                              scenario::process_state(immortal));
                CHECK(dead->unanswered() > 0);
                dead->end();
                scenario::when(
                    primary,
                    [immortal] { return scenario::process_state(immortal) == '-'; },
                    [&primary] {
                        scenario::say("reaped");
                        primary.shutdown();
                    });
            });
            primary.fork();
        },
        [](auto& self) {
            self.on_message([](const look_into& what) {
                struct stat info {};
                ::stat(what.path.c_str(), &info);
            });
            self.ready();
        });
    scenario::say("run " + std::to_string(code));
}

} // namespace

// `exit_pending` is the exit, with exit_reason::unresponsive, before the process has ended; the
// number of such places is not limited.
TEST_CASE("fault_28_the_place_of_a_worker_that_cannot_be_killed_is_filled") {
    const char* name = "fault_28_the_place_of_a_worker_that_cannot_be_killed_is_filled";
    if (scenario::part() != nullptr) {
        primary_of_an_immortal(name);
        return;
    }
    scenario::another_primary other{name, "immortal"};
    auto line = other.line();
    if (is_skipped(line)) {
        return;
    }
    CHECK(line == "unresponsive, with its state");
    CHECK(other.line() == "replaced, and it is in state D");
    CHECK(other.line() == "reaped"); // when it ended after all
    CHECK(other.line() == "run 0");
    CHECK(other.wait() == 0);
}

namespace {

namespace os = cluster::detail::os;

/// The file with the counter of our memory cgroup, as the system has it; empty: none is visible.
std::string counter_file() {
    const std::string cgroups = os::read_text("/proc/self/cgroup");
    const std::string mounts = os::read_text("/proc/self/mountinfo");
    for (auto version : {os::cgroup_version::v1, os::cgroup_version::v2}) {
        auto cgroup = os::parse_cgroup(cgroups, version, "memory");
        auto mount = os::parse_mount(mounts, version, "memory");
        if (cgroup && mount) {
            std::string file{mount->point};
            file += os::below_mount(*cgroup, mount->root);
            file += version == os::cgroup_version::v2 ? "/memory.events" : "/memory.oom_control";
            if (os::find_count(os::read_text(file), "oom_kill")) {
                return file;
            }
        }
    }
    return {};
}

// A real shortage needs a cgroup of our own and hits who it likes; so the counter, which is how a
// shortage is known, is one of ours, and the kills are, too.
void primary_in_need(const char* name) {
    temporary_directory directory;
    std::string counter = is_worker() ? std::string{} : directory / "counter";
    auto count = [&counter](int kills) {
        std::ofstream{counter, std::ios::trunc} << "low 0\noom 9\noom_kill " << kills << "\n";
    };
    if (!is_worker()) {
        auto file = counter_file();
        count(7);
        if (file.empty()) {
            skip("no memory cgroup");
            return;
        }
        if (!own_mounts() ||
            ::mount(counter.c_str(), file.c_str(), nullptr, MS_BIND, nullptr) != 0) {
            skip("no namespaces");
            return;
        }
    }
    int code = run_case<replacing>(
        name,
        [&](auto& primary) {
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                scenario::say(status.to_string() +
                              (worker.report().out_of_memory ? ", out of memory" : ""));
            });
            primary.on(cluster::event::ready, [&](auto& worker) {
                switch (worker.id()) {
                case 1: // killed by somebody
                    worker.kill(SIGKILL);
                    break;
                case 2: // killed by the kernel
                    count(8);
                    worker.kill(SIGKILL);
                    break;
                case 3: // that was told
                    worker.kill(SIGKILL);
                    break;
                case 4: // another process of the group was killed, and this one ends otherwise
                    count(9);
                    worker.kill(SIGTERM);
                    break;
                default:
                    primary.shutdown();
                    break;
                }
            });
            primary.fork();
        },
        [](auto& self) { self.ready(); });
    scenario::say("run " + std::to_string(code));
}

} // namespace

TEST_CASE("fault_30_a_worker_that_is_killed_for_its_memory_is_told_as_such") {
    const char* name = "fault_30_a_worker_that_is_killed_for_its_memory_is_told_as_such";
    if (scenario::part() != nullptr) {
        primary_in_need(name);
        return;
    }
    scenario::another_primary other{name, "in need"};
    auto line = other.line();
    if (is_skipped(line)) {
        return;
    }
    CHECK(line == "killed by SIGKILL");
    CHECK(other.line() == "killed by SIGKILL, out of memory");
    CHECK(other.line() == "killed by SIGKILL");
    CHECK(other.line() == "killed by SIGTERM");
    CHECK(other.line() == "exit code 0");
    CHECK(other.line() == "run 0");
    CHECK(other.wait() == 0);
}
