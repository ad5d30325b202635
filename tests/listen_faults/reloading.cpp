// SPDX-License-Identifier: MIT
// Fault matrix, rows 59 to 63: reloads under load, on top of each other, and ones that fail.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

template <typename Scheduling>
using scheduled = cluster::compose<Scheduling>;

/// Answers "now" at once, "slow" a while later, and keeps who says "hold".
template <typename Self>
void serve(Self& self) {
    self.listen({.host = "127.0.0.1"}, [&self](cluster::connection one) {
        auto& client = self.attach(std::move(one));
        client.on_data([&self, &client](cluster::stream::bytes bytes) {
            auto asked = text_of(bytes);
            auto answer = "worker " + std::to_string(self.id());
            if (asked == "now") {
                client.end(answer);
            } else if (asked == "slow") {
                self.after(30ms, [&client, answer] { client.end(answer); });
            } else {
                client.write(answer);
            }
        });
    });
}

/// Lanes of clients, one after the other in each, until stop(). Every other one is slow.
template <typename Primary>
class load {
public:
    explicit load(Primary& primary) : primary_{primary} {}

    void start(const cluster::address& at, std::size_t lanes) {
        at_ = at;
        lanes_ = lanes;
        for (std::size_t i = 0; i != lanes; ++i) {
            next(i);
        }
    }
    template <typename F>
    void stop(F done) {
        stopped_ = true;
        scenario::when(
            primary_, [this] { return lanes_ == 0; }, std::move(done));
    }

    std::size_t served = 0, lost = 0;

private:
    void next(std::size_t number) {
        if (stopped_) {
            --lanes_;
            return;
        }
        const char* what = number % 2 == 0 ? "now" : "slow";
        scenario::ask(primary_, at_, what, [this, number](const std::string& answer) {
            ++(answer.starts_with("worker ") ? served : lost);
            next(number + 1);
        });
    }

    Primary& primary_;
    cluster::address at_;
    std::size_t lanes_ = 0;
    bool stopped_ = false;
};

template <typename Primary>
std::size_t generations_alive(Primary& primary) {
    std::set<std::uint32_t> all;
    for (auto& each : primary.workers()) {
        all.insert(each.generation());
    }
    return all.size();
}

struct tally {
    std::vector<cluster::reload_report> reports; // one a callback
    std::map<std::string, int> ends;
    std::size_t reloads = 0, alive = 0; // events, and the most generations at a time
    std::size_t served = 0, lost = 0;
    int code = -1;
};

template <typename Primary>
void watch(Primary& primary, tally& seen) {
    auto look = [&] { seen.alive = std::max(seen.alive, generations_alive(primary)); };
    primary.on(cluster::event::fork, look);
    primary.on(cluster::event::ready, look);
    primary.on(cluster::event::exit,
               [&](auto&, const cluster::exit_status& status) { ++seen.ends[status.to_string()]; });
    primary.on(cluster::event::reload, [&] { ++seen.reloads; });
}

/// Two workers under load; `go(primary, finish)` begins when they serve.
template <typename Cluster, typename Go, typename Fresh>
tally under_load(const char* name, Go go, Fresh fresh) {
    tally seen;
    seen.code = run_case<Cluster>(
        name,
        [&](auto& primary) {
            watch(primary, seen);
            auto clients =
                std::make_shared<load<std::remove_reference_t<decltype(primary)>>>(primary);
            primary.once(cluster::event::listening,
                         [clients](const cluster::address& at) { clients->start(at, 6); });
            primary.fork(2);
            primary.when_ready([&primary, &seen, clients, go] {
                go(primary, seen, [&primary, &seen, clients] {
                    clients->stop([&primary, &seen, clients] {
                        seen.served = clients->served;
                        seen.lost = clients->lost;
                        primary.shutdown();
                    });
                });
            });
        },
        [fresh](auto& self) { self.generation() == 1 ? serve(self) : fresh(self); });
    return seen;
}

template <typename Scheduling>
void reload_many(const char* name) {
    constexpr std::size_t times = 20;
    auto seen = under_load<scheduled<Scheduling>>(
        name,
        [](auto& primary, tally& all, auto finish) {
            auto again = std::make_shared<std::function<void()>>();
            *again = [&, finish, again_is = std::weak_ptr{again}] {
                auto self = again_is.lock();
                unsigned surge = all.reports.size() % 2 == 0 ? 1 : 2;
                primary.reload({.max_surge = surge},
                               [&, finish, self](const cluster::reload_report& report) {
                                   all.reports.push_back(report);
                                   all.reports.size() == times ? finish() : (*self)();
                               });
            };
            (*again)();
        },
        [](auto& self) { serve(self); });
    CHECK(seen.code == 0);
    CHECK(seen.lost == 0);
    CHECK(seen.served >= times);
    CHECK(seen.reports.size() == times);
    CHECK(seen.reloads == times);
    CHECK(std::all_of(seen.reports.begin(), seen.reports.end(), [](const auto& each) {
        INFO(each.reason());
        return each.ok() && each.replaced() == 2;
    }));
    CHECK(seen.ends["recycled: exit code 0"] == 2 * times);
}

} // namespace

TEST_CASE("fault_59_twenty_reloads_under_load_lose_nobody_round_robin") {
    reload_many<cluster::scheduling::round_robin>(
        "fault_59_twenty_reloads_under_load_lose_nobody_round_robin");
}
TEST_CASE("fault_59_twenty_reloads_under_load_lose_nobody_shared_socket") {
    reload_many<cluster::scheduling::shared_socket>(
        "fault_59_twenty_reloads_under_load_lose_nobody_shared_socket");
}
TEST_CASE("fault_59_twenty_reloads_under_load_lose_nobody_reuse_port") {
    reload_many<cluster::scheduling::reuse_port>(
        "fault_59_twenty_reloads_under_load_lose_nobody_reuse_port");
}

namespace {

void reload_during_reloads(const char* name, unsigned max_generations) {
    constexpr std::size_t requests = 20;
    auto seen = under_load<cluster::process_cluster>(
        name,
        [=](auto& primary, tally& all, auto finish) {
            auto asked = std::make_shared<std::size_t>(0);
            auto ask = [&, finish, asked, max_generations] {
                if (*asked == requests) {
                    return;
                }
                ++*asked;
                primary.reload({.max_generations = max_generations},
                               [&, finish](const cluster::reload_report& report) {
                                   all.reports.push_back(report);
                                   if (all.reports.size() == requests) {
                                       finish();
                                   }
                               });
            };
            primary.on(cluster::event::fork, ask); // while a reload runs
            ask();
        },
        [](auto& self) { serve(self); });
    CHECK(seen.code == 0);
    CHECK(seen.lost == 0);
    CHECK(seen.served > 0);
    CHECK(seen.reports.size() == requests);
    CHECK(seen.reloads == 11); // the first, then always two requests in one
    std::uint32_t last = 2;
    for (const auto& each : seen.reports) {
        CHECK(each.ok());
        CHECK(each.replaced() == 2);
        CHECK(each.generation() >= last);
        last = each.generation();
    }
    CHECK(seen.alive >= 2);
    CHECK(seen.alive <= max_generations);
}

} // namespace

TEST_CASE("fault_60_reloads_asked_for_during_reloads_are_merged") {
    reload_during_reloads("fault_60_reloads_asked_for_during_reloads_are_merged", 3);
}
TEST_CASE("fault_60_reloads_of_reloads_keep_to_two_generations") {
    reload_during_reloads("fault_60_reloads_of_reloads_keep_to_two_generations", 2);
}

namespace {

/// The fixture `release` under a name of its own, which a test deploys new versions to.
class deployment {
public:
    deployment() { deploy("one"); }
    ~deployment() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
    }
    deployment(deployment&&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }

    /// Puts a program there as a deploy does: never half of it.
    void deploy(const std::string& release) {
        std::filesystem::copy_file(FIXTURE_RELEASE, fresh_);
        std::ofstream{fresh_, std::ios::binary | std::ios::app} << "\nrelease " << release << '\n';
        put_in_place(0755);
    }
    void put(const std::string& contents, mode_t mode = 0755) {
        std::ofstream{fresh_, std::ios::binary} << contents;
        put_in_place(mode);
    }
    void remove() { std::filesystem::remove_all(path_); }

    void start() {
        scenario::socket_pair control;
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, control.second.get(), 9);
        std::string descriptor = "9";
        char* arguments[] = {path_.data(), descriptor.data(), nullptr};
        REQUIRE(::posix_spawn(&pid_, path_.c_str(), &actions, nullptr, arguments, environ) == 0);
        ::posix_spawn_file_actions_destroy(&actions);
        control_ = std::move(control.first);
    }

    /// Sends an order and asks the server on and on until the answer comes. \returns the answer
    std::string order(const std::string& what) {
        auto line = what + '\n';
        CHECK(::send(control_.get(), line.data(), line.size(), MSG_NOSIGNAL) > 0);
        return reply();
    }
    /// The next line that is no news.
    std::string reply() {
        for (;;) {
            auto line = next_line();
            if (!is_news(line)) {
                return line;
            }
        }
    }

    /// The first word of the answer, which is the release's name.
    std::string ask() {
        auto client = connect_socket(loopback(port_));
        timeval limit{60, 0};
        ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        char text[64];
        auto got = client ? ::recv(client.get(), text, sizeof text, MSG_WAITALL) : -1;
        std::string answer{text, static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
        lost += answer.empty() ? 1U : 0U;
        return answer.substr(0, answer.find(' '));
    }
    [[nodiscard]] int wait() {
        int status = -1;
        bool ended =
            scenario::eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
        pid_ = ended ? -1 : pid_;
        return status;
    }

    /// All workers are of this release.
    void expect_only(const std::string& release) {
        for (int i = 0; i != 6; ++i) {
            CHECK(ask() == release);
        }
    }
    /// Kills one of the workers; returns when another serves.
    void crash_one() {
        REQUIRE(last_worker_ > 0); // -1 would be everybody
        REQUIRE(::kill(last_worker_, SIGKILL) == 0);
        REQUIRE(is_news(next_line()));
    }

    std::size_t lost = 0;

private:
    void put_in_place(mode_t mode) {
        REQUIRE(::chmod(fresh_.c_str(), mode) == 0);
        if (std::filesystem::is_directory(path_)) {
            remove();
        }
        std::filesystem::rename(fresh_, path_);
    }

    std::string next_line() {
        auto deadline = std::chrono::steady_clock::now() + patience();
        while (buffer_.find('\n') == std::string::npos) {
            if (port_ != 0) {
                ask();
            }
            pollfd ready{control_.get(), POLLIN, 0};
            if (std::chrono::steady_clock::now() > deadline) {
                return {};
            }
            if (::poll(&ready, 1, 5) > 0) {
                char bytes[4096];
                auto got = ::recv(control_.get(), bytes, sizeof bytes, 0);
                if (got <= 0) {
                    return {};
                }
                buffer_.append(bytes, static_cast<std::size_t>(got));
            }
        }
        auto line = buffer_.substr(0, buffer_.find('\n'));
        buffer_.erase(0, line.size() + 1);
        return line;
    }
    /// A worker listens: the next one to be killed.
    bool is_news(const std::string& line) {
        std::istringstream words{line};
        std::string kind;
        int pid = 0;
        std::uint16_t port = 0;
        if (!(words >> kind >> pid >> port) || kind != "listening") {
            return false;
        }
        CHECK((port_ == 0 || port_ == port));
        port_ = port;
        last_worker_ = pid;
        return true;
    }

    temporary_directory directory_;
    std::string path_ = directory_ / "server";
    std::string fresh_ = directory_ / "server.new";
    pid_t pid_ = -1;
    cluster::unique_fd control_;
    std::uint16_t port_ = 0;
    int last_worker_ = -1;
    std::string buffer_;
};

/// Runs release one, deploys what `spoil` leaves, which fails, and then release two, which works.
template <typename Spoil>
void survives_bad_deploy(const std::string& reason, Spoil spoil) {
    deployment server;
    server.start();
    REQUIRE(server.reply() == "ready");
    spoil(server);
    for (int i = 0; i != 2; ++i) {
        auto said = server.order("reload");
        INFO(said);
        CHECK(said.starts_with("failed "));
        CHECK(said.find(reason) != std::string::npos);
    }
    server.expect_only("one");
    server.crash_one();
    server.expect_only("one"); // not the file that has its name now
    server.deploy("two");
    server.crash_one();
    server.expect_only("one"); // not before somebody asks for it
    CHECK(server.order("reload").starts_with("reloaded "));
    server.expect_only("two");
    server.crash_one();
    server.expect_only("two");
    CHECK(server.lost == 0);
    server.order("shutdown");
    CHECK(server.wait() == 0);
}

} // namespace

TEST_CASE("fault_61_a_program_that_dies_at_boot_changes_nothing") {
    survives_bad_deploy("ended before it was ready: exit code 3|no such table: users",
                        [](deployment& server) { server.deploy("bad dies"); });
}
TEST_CASE("fault_61_a_program_file_that_is_gone_changes_nothing") {
    survives_bad_deploy("/server: No such file or directory",
                        [](deployment& server) { server.remove(); });
}
TEST_CASE("fault_61_a_program_file_that_is_not_executable_changes_nothing") {
    survives_bad_deploy("ended before it was ready: spawn failed: Permission denied",
                        [](deployment& server) { server.put("#!/bin/sh\n", 0644); });
}
TEST_CASE("fault_61_a_directory_in_place_of_the_program_changes_nothing") {
    survives_bad_deploy("ended before it was ready: spawn failed: Permission denied",
                        [](deployment& server) {
                            server.remove();
                            std::filesystem::create_directory(server.path());
                        });
}
TEST_CASE("fault_61_garbage_in_place_of_the_program_changes_nothing") {
    survives_bad_deploy("ended before it was ready: spawn failed: Exec format error",
                        [](deployment& server) { server.put(std::string(5000, '\x07')); });
}
TEST_CASE("fault_61_an_empty_file_in_place_of_the_program_changes_nothing") {
    survives_bad_deploy("ended before it was ready: spawn failed: Exec format error",
                        [](deployment& server) { server.put(""); });
}
TEST_CASE("fault_61_a_script_in_place_of_the_program_changes_nothing") {
    survives_bad_deploy("spawn failed: the program file is a script", [](deployment& server) {
        server.put("#!/bin/sh\necho no such interpreter >&2\nexit 5\n");
    });
}
TEST_CASE("fault_61_half_of_the_program_changes_nothing") {
    survives_bad_deploy("ended before it was ready: killed by SIG", [](deployment& server) {
        std::ifstream from{FIXTURE_RELEASE, std::ios::binary};
        std::string start(8192, '\0');
        from.read(start.data(), static_cast<std::streamsize>(start.size()));
        server.put(start);
    });
}

TEST_CASE("spares run the program of the workers whatever was deployed meanwhile") {
    deployment server;
    server.start();
    REQUIRE(server.reply() == "ready");
    REQUIRE(server.order("spares") == "two wait");
    server.deploy("bad dies");
    CHECK(server.order("reload").starts_with("failed "));
    CHECK(server.order("spares") == "two wait");
    server.crash_one();
    server.expect_only("one");
    server.deploy("two");
    CHECK(server.order("spares") == "two wait");
    server.crash_one();
    server.expect_only("one");
    CHECK(server.order("reload").starts_with("reloaded "));
    for (int i = 0; i != 3; ++i) {
        CHECK(server.order("spares") == "two wait");
        server.crash_one();
        server.expect_only("two");
    }
    CHECK(server.lost == 0);
    server.order("shutdown");
    CHECK(server.wait() == 0);
}

// Also deaf to SIGTERM.
TEST_CASE("fault_62_a_generation_that_hangs_at_boot_is_killed_and_the_old_one_serves_on") {
    std::set<std::uint32_t> generations;
    auto seen = under_load<cluster::process_cluster>(
        "fault_62_a_generation_that_hangs_at_boot_is_killed_and_the_old_one_serves_on",
        [&](auto& primary, tally& all, auto finish) {
            primary.reload(
                {.ready_timeout = 300ms}, [&, finish](const cluster::reload_report& report) {
                    all.reports.push_back(report);
                    for (auto& each : primary.workers()) {
                        if (each.is_connected()) {
                            generations.insert(each.generation());
                        }
                    }
                    primary.reload({}, [&, finish](const cluster::reload_report& second) {
                        all.reports.push_back(second);
                        auto killed = [&] {
                            return all.ends["boot failed: killed by SIGKILL"] == 1;
                        };
                        scenario::when(primary, killed, finish);
                    });
                });
        },
        [](auto& self) {
            if (self.generation() == 2) {
                std::signal(SIGTERM, SIG_IGN);
                constexpr std::string_view why = "waiting for the database\n";
                [[maybe_unused]] auto written = ::write(STDERR_FILENO, why.data(), why.size());
                for (;;) {
                    ::pause();
                }
            }
            serve(self);
        });
    CHECK(seen.lost == 0);
    CHECK(seen.served > 0);
    REQUIRE(seen.reports.size() == 2);
    CHECK(seen.reports[0].reason() ==
          "worker 3 was not ready after 0.30 s\nwaiting for the database");
    CHECK(seen.reports[0].replaced() == 0);
    CHECK(generations == std::set<std::uint32_t>{1});
    CHECK(seen.reports[1].ok());
    CHECK(seen.reports[1].replaced() == 2);
}

// It is ready, and its loop never runs.
TEST_CASE("fault_62_a_worker_that_listens_and_then_hangs_has_not_come_up") {
    std::vector<std::string> ends;
    run_case<cluster::compose<cluster::restart::always>>(
        "fault_62_a_worker_that_listens_and_then_hangs_has_not_come_up",
        [&](auto& primary) {
            primary.supervise({.boot_timeout = 400ms});
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ends.push_back(status.to_string());
                primary.stop();
            });
            primary.fork();
        },
        [](auto& self) {
            serve(self);
            for (;;) {
                ::pause();
            }
        });
    CHECK(ends == std::vector<std::string>{"boot failed: killed by SIGTERM"});
}

namespace {

/// Of two workers the first may drain before its successor is ready, which hangs; the other one's
/// dies. \returns how many serve in the end.
template <typename Cluster>
std::size_t fails_with_one_drained(const char* name) {
    std::size_t serving = 0;
    std::string reason;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            auto held = std::make_shared<std::vector<cluster::stream*>>();
            auto count = [&primary] {
                std::size_t all = 0;
                for (auto& each : primary.workers()) {
                    bool old = each.generation() == 1 && each.id() != 1;
                    all += old && each.is_ready() && each.is_connected() ? 1U : 0U;
                }
                return all;
            };
            auto let_go = [&, held, count](const cluster::reload_report& report) {
                reason = report.reason();
                for (auto* each : *held) {
                    each->end();
                }
                scenario::when(
                    primary,
                    [count] { return count() == 2; },
                    [&, count] {
                        serving = count();
                        primary.shutdown();
                    });
            };
            primary.once(cluster::event::listening, [&, held, let_go](const cluster::address& at) {
                auto hold = [&, held, let_go, at] {
                    for (int i = 0; i != 2; ++i) { // in turn: each worker has one
                        auto& client = primary.attach(connect_to(at));
                        held->push_back(&client);
                        client.on_data([&, let_go, answers = std::size_t{0}](auto) mutable {
                            if (++answers == 1 && ++serving == 2) {
                                serving = 0;
                                primary.reload({.max_surge = 1, .max_unavailable = 1}, let_go);
                            }
                        });
                        client.write("hold");
                    }
                };
                primary.when_ready(hold);
            });
            primary.fork(2);
        },
        [](auto& self) {
            if (self.generation() == 1) {
                serve(self);
            } else if (self.slot() == 0) {
                self.defer_ready();
            } else {
                std::exit(3);
            }
        });
    CHECK(reason.find("ended before it was ready: exit code 3") != std::string::npos);
    return serving;
}

} // namespace

TEST_CASE("fault_61_a_worker_that_had_drained_before_a_reload_failed_has_a_successor") {
    CHECK(fails_with_one_drained<cluster::process_cluster>(
              "fault_61_a_worker_that_had_drained_before_a_reload_failed_has_a_successor") == 2);
}
TEST_CASE("fault_61_a_worker_that_had_drained_before_a_reload_failed_is_replaced_once") {
    CHECK(fails_with_one_drained<cluster::compose<cluster::restart::always>>(
              "fault_61_a_worker_that_had_drained_before_a_reload_failed_is_replaced_once") == 2);
}

namespace {

/// Reloads one worker again and again that has a client who never goes, in each generation.
template <typename Primary>
class endless_clients {
public:
    endless_clients(Primary& primary, tally& seen, std::size_t times)
        : primary_{primary}, seen_{seen}, times_{times} {
        primary.once(cluster::event::listening, [this](const cluster::address& at) { at_ = at; });
        primary.fork(1);
        primary.when_ready([this] { hold_one(); });
    }

private:
    // Only one worker takes connections now.
    void hold_one() {
        auto& client = primary_.attach(connect_to(at_));
        client.on_data([this](cluster::stream::bytes) { reload(); });
        client.on_close([this](std::error_code) { ++let_go_; });
        client.write("hold");
    }
    void reload() {
        if (seen_.reports.size() == times_) {
            scenario::when(
                primary_, [this] { return let_go_ == times_; }, [this] { primary_.stop(); });
            return;
        }
        primary_.reload({.drain_deadline = 400ms}, [this](const cluster::reload_report& report) {
            seen_.reports.push_back(report);
            hold_one();
        });
    }

    Primary& primary_;
    tally& seen_;
    cluster::address at_;
    std::size_t times_, let_go_ = 0;
};

void drain_for_ever(const char* name, bool deaf) {
    constexpr std::size_t times = 4;
    tally seen;
    std::shared_ptr<void> kept;
    run_case<cluster::process_cluster>(
        name,
        [&, deaf](auto& primary) {
            watch(primary, seen);
            primary.setup({.environment = {{"DEAF", deaf ? "yes" : "no"}}});
            kept = std::make_shared<endless_clients<std::remove_reference_t<decltype(primary)>>>(
                primary, seen, times);
        },
        [](auto& self) {
            if (std::getenv("DEAF") == std::string{"yes"}) {
                std::signal(SIGTERM, SIG_IGN);
            }
            serve(self);
        });
    CHECK(seen.reports.size() == times);
    for (const auto& each : seen.reports) {
        INFO(each.reason());
        CHECK(each.ok());
        CHECK(each.replaced() == 1);
    }
    const char* end = deaf ? "recycled: killed by SIGKILL" : "recycled: killed by SIGTERM";
    CHECK(seen.ends[end] >= static_cast<int>(times) - 1); // stop() does not wait for the last one
    CHECK(seen.ends.size() == 1);
    CHECK(seen.alive >= 2);
    CHECK(seen.alive <= 3);
}

} // namespace

TEST_CASE("fault_63_an_old_worker_that_never_drains_is_ended_at_its_deadline") {
    drain_for_ever("fault_63_an_old_worker_that_never_drains_is_ended_at_its_deadline", false);
}
TEST_CASE("fault_63_an_old_worker_that_is_deaf_to_sigterm_is_killed") {
    drain_for_ever("fault_63_an_old_worker_that_is_deaf_to_sigterm_is_killed", true);
}
