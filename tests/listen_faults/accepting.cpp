// SPDX-License-Identifier: MIT
// Fault matrix, rows 55 to 58: accept() fails, and who is woken by a connection.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct outcome {
    int code = -1;
    std::string output; // standard output and error
    std::map<std::string, std::string> values;

    [[nodiscard]] long number(const std::string& name) const {
        auto found = values.find(name);
        return found == values.end() ? -1 : std::atol(found->second.c_str());
    }
    [[nodiscard]] std::vector<long> served() const {
        std::vector<long> result;
        std::istringstream list{values.count("served") == 0 ? "" : values.at("served")};
        for (std::string each; std::getline(list, each, ',');) {
            result.push_back(std::atol(each.c_str()));
        }
        return result;
    }
};

/// Runs the fixture listen_accept.
outcome run_fixture(const std::string& arguments) {
    outcome result;
    auto command = std::string{"'"} + FIXTURE_LISTEN_ACCEPT + "' " + arguments + " 2>&1";
    std::FILE* pipe = ::popen(command.c_str(), "re");
    REQUIRE(pipe != nullptr);
    char line[4096];
    while (std::fgets(line, sizeof line, pipe) != nullptr) {
        result.output += line;
    }
    result.code = ::pclose(pipe);
    std::istringstream words{result.output};
    for (std::string each; words >> each;) {
        if (auto sign = each.find('='); sign != std::string::npos) {
            result.values[each.substr(0, sign)] = each.substr(sign + 1);
        }
    }
    return result;
}

/// All clients come while every accept4() fails with `error`, for 0.6 seconds.
void survives_pressure(const std::string& mode, int error, long shortest_pause_ms) {
    constexpr long clients = 50;
    auto seen =
        run_fixture(mode + " 1 " + std::to_string(clients) + " hold " + std::to_string(error));
    INFO(mode, " ", error, ": ", seen.output);
    REQUIRE(seen.code == 0);
    CHECK(seen.number("answered") == clients);
    CHECK(seen.number("injected") > 0);
    CHECK(seen.number("window_calls") >= 1); // it tries again
    // A listener that does not pause makes a hundred thousand calls.
    CHECK(seen.number("window_calls") <= 6 + seen.number("window_ms") / shortest_pause_ms);
    CHECK(seen.number("window_cpu_us") < seen.number("window_ms") * 250); // a quarter of a core
    CHECK(std::count(seen.output.begin(), seen.output.end(), '\n') == 1); // nothing is logged
}

} // namespace

// Whoever accepts pauses 50 ms, doubled up to 500 ms.
TEST_CASE("fault_55_the_primary_pauses_while_accept_finds_no_resources") {
    survives_pressure("handed", EMFILE, 400);
    survives_pressure("handed", ENOBUFS, 400);
}
TEST_CASE("fault_55_a_worker_with_a_shared_socket_pauses_while_accept_finds_no_resources") {
    survives_pressure("shared", ENFILE, 400);
    survives_pressure("shared", ENOMEM, 400);
}
TEST_CASE("fault_55_a_worker_with_its_own_socket_pauses_while_accept_finds_no_resources") {
    survives_pressure("own", EMFILE, 400);
}
TEST_CASE("fault_55_the_primary_pauses_where_even_its_reserve_is_of_no_use") {
    survives_pressure("handed_shed", EMFILE, 75); // it tries twice each time
}
TEST_CASE("fault_55_a_worker_pauses_where_even_its_reserve_is_of_no_use") {
    survives_pressure("shared_shed", EMFILE, 75);
}

namespace {

/// Microseconds of CPU that a process has used.
long cpu_us(int pid) {
    char text[1024] = "";
    std::FILE* file = std::fopen(("/proc/" + std::to_string(pid) + "/stat").c_str(), "re");
    if (file == nullptr) {
        return 0;
    }
    auto size = std::fread(text, 1, sizeof text - 1, file);
    std::fclose(file);
    text[size] = '\0';
    const char* name_end = std::strrchr(text, ')');
    unsigned long user = 0;
    unsigned long system = 0;
    if (name_end == nullptr || std::sscanf(name_end,
                                           ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                                           &user,
                                           &system) != 2) {
        return 0;
    }
    return static_cast<long>(user + system) * (1'000'000 / ::sysconf(_SC_CLK_TCK));
}

struct crowd { // clients that hold their connection until they may go
    std::size_t answered = 0, ended = 0;
    bool may_go = false;
    std::vector<cluster::stream*> holding;
};

template <typename Primary>
void hold_connections(Primary& primary, const cluster::address& at, std::size_t count, crowd& all) {
    for (std::size_t i = 0; i != count; ++i) {
        auto& client = primary.attach(cluster::connection{scenario::connect_to(at)});
        client.on_data([&all, &client](cluster::stream::bytes data) {
            all.answered += data.size();
            if (all.may_go) {
                client.end();
            } else {
                all.holding.push_back(&client);
            }
        });
        client.on_close([&all](std::error_code) { ++all.ended; });
    }
}

struct pressed {
    int cause = 0;
};

/// Tells come once a second at most, and come.
void check_rate(std::size_t told, std::chrono::steady_clock::duration within) {
    CHECK(told > 0);
    CHECK(told <= 2 + static_cast<std::size_t>(within / 1s));
}

/// A worker that may have 32 descriptors meets 60 clients who stay.
void worker_out_of_descriptors(const char* name,
                               bool own_socket,
                               cluster::pressure what_then = cluster::pressure::wait) {
    constexpr std::size_t clients = 60;
    constexpr std::size_t descriptors = 32;
    crowd all;
    std::size_t answered_under_pressure = 0;
    long used = -1;
    std::chrono::steady_clock::duration window{};
    std::vector<std::string> ends;
    std::vector<int> told;
    bool sheds = what_then == cluster::pressure::shed;
    auto began = std::chrono::steady_clock::now();
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            primary.on_message([&](const pressed& what) { told.push_back(what.cause); });
            auto& worker = primary.fork({.environment = {{"OWN_SOCKET", own_socket ? "yes" : "no"}},
                                         .limits = {{RLIMIT_NOFILE, descriptors, descriptors}}});
            auto let_go = [&] {
                all.may_go = true;
                for (auto* each : std::exchange(all.holding, {})) {
                    each->end();
                }
                scenario::when(
                    primary, [&] { return all.ended == clients; }, [&] { primary.disconnect(); });
            };
            auto measure = [&, let_go] {
                auto both = [&worker] { return cpu_us(worker.pid()) + cpu_us(::getpid()); };
                primary.after(
                    1s, [&, let_go, both, from = both(), began = std::chrono::steady_clock::now()] {
                        used = both() - from;
                        window = std::chrono::steady_clock::now() - began;
                        answered_under_pressure = all.answered;
                        let_go();
                    });
            };
            worker.on(cluster::event::listening, [&, measure](const cluster::address& at) {
                hold_connections(primary, at, clients, all);
                auto under_pressure = [&] {
                    return sheds ? all.answered + all.ended == clients : all.answered >= 8;
                };
                scenario::when(primary, under_pressure, measure);
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ends.push_back(status.to_string());
            });
        },
        [&](auto& self) {
            bool own = std::string{std::getenv("OWN_SOCKET")} == "yes";
            self.on(cluster::event::fd_pressure, [&self](const cluster::fd_pressure_info& what) {
                self.send(pressed{what.cause.value()});
            });
            auto answer = [&self](cluster::connection one) {
                auto& client = self.attach(std::move(one));
                client.on_data([](cluster::stream::bytes) {});
                client.write("!");
            };
            self.listen({.host = "127.0.0.1", .reuse_port = own, .under_pressure = what_then},
                        answer);
        });
    check_rate(told.size(), std::chrono::steady_clock::now() - began);
    bool handed = !own_socket; // the primary accepts, and the kernel drops the descriptor
    CHECK(told.front() == (handed ? static_cast<int>(cluster::errc::descriptor_truncated)
                                  : static_cast<int>(EMFILE)));
    CHECK(answered_under_pressure >= 8);
    CHECK(answered_under_pressure < descriptors);
    CHECK(all.answered == (sheds ? answered_under_pressure : clients));
    CHECK(used >= 0);
    CHECK(used * 4 < std::chrono::duration_cast<std::chrono::microseconds>(window).count());
    CHECK(ends == std::vector<std::string>{"exit code 0"});
}

} // namespace

TEST_CASE("fault_55_clients_wait_for_a_worker_that_is_out_of_descriptors") {
    worker_out_of_descriptors("fault_55_clients_wait_for_a_worker_that_is_out_of_descriptors",
                              false);
}
TEST_CASE("fault_55_clients_wait_for_a_worker_that_accepts_and_is_out_of_descriptors") {
    worker_out_of_descriptors(
        "fault_55_clients_wait_for_a_worker_that_accepts_and_is_out_of_descriptors", true);
}
TEST_CASE("fault_55_clients_of_a_worker_that_sheds_and_is_out_of_descriptors_are_closed") {
    worker_out_of_descriptors(
        "fault_55_clients_of_a_worker_that_sheds_and_is_out_of_descriptors_are_closed",
        true,
        cluster::pressure::shed);
}

namespace {

/// Takes the last descriptor that this process may have, until it goes.
class full_table {
public:
    full_table() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        cluster::unique_fd lowest{::fcntl(0, F_DUPFD_CLOEXEC, 0)};
        auto full = before_;
        full.rlim_cur = static_cast<rlim_t>(lowest.get());
        ::setrlimit(RLIMIT_NOFILE, &full);
    }
    full_table(full_table&&) = delete;
    ~full_table() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

/// What those of the clients have read who are not waiting any more; "" is the end.
std::vector<std::string> heard_by(const std::vector<cluster::unique_fd>& clients) {
    std::vector<std::string> heard;
    for (const auto& each : clients) {
        char text[16] = "";
        auto got = ::recv(each.get(), text, sizeof text - 1, MSG_DONTWAIT | MSG_PEEK);
        if (got >= 0 || errno != EAGAIN) {
            heard.emplace_back(text);
        }
    }
    return heard;
}

/// The primary hands out and has no descriptor left when 20 clients come.
std::vector<std::string> primary_out_of_descriptors(const char* name, cluster::pressure what_then) {
    std::vector<std::string> heard, heard_under_pressure;
    std::vector<std::string> told;
    std::chrono::steady_clock::duration within{};
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            struct state_type {
                std::vector<cluster::unique_fd> clients;
                std::unique_ptr<full_table> full;
                std::chrono::steady_clock::time_point since;
                cluster::address at;
            };
            auto state = std::make_shared<state_type>();
            primary.on(cluster::event::fd_pressure,
                       [&, state](const cluster::fd_pressure_info& what) {
                           CHECK(what.address == state->at);
                           CHECK(what.cause == std::errc::too_many_files_open);
                           told.push_back(what.cause.message());
                       });
            auto relieve = [&, state] {
                heard_under_pressure = heard_by(state->clients);
                within = std::chrono::steady_clock::now() - state->since;
                state->full.reset();
                auto all = [state] {
                    return heard_by(state->clients).size() == state->clients.size();
                };
                scenario::when(primary, all, [&, state] {
                    heard = heard_by(state->clients);
                    state->clients.clear();
                    primary.shutdown();
                });
            };
            primary.on(cluster::event::listening, [&, state, relieve](const cluster::address& at) {
                state->at = at;
                while (state->clients.size() != 20) {
                    state->clients.push_back(scenario::connect_to(at));
                    REQUIRE(state->clients.back());
                }
                state->since = std::chrono::steady_clock::now();
                state->full = std::make_unique<full_table>();
                auto enough = [&, state] {
                    return what_then == cluster::pressure::wait
                               ? told.size() >= 2
                               : !told.empty() && heard_by(state->clients).size() == 20;
                };
                scenario::when(primary, enough, relieve);
            });
            primary.fork();
        },
        [&](auto& self) {
            self.listen({.host = "127.0.0.1", .under_pressure = what_then},
                        scenario::answer_with_id(self));
        });
    check_rate(told.size(), within);
    CHECK(heard_under_pressure.size() == (what_then == cluster::pressure::wait ? 0 : 20));
    CHECK(heard.size() == 20);
    return heard;
}

} // namespace

TEST_CASE("fault_55_clients_wait_for_a_primary_that_is_out_of_descriptors") {
    auto heard = primary_out_of_descriptors(
        "fault_55_clients_wait_for_a_primary_that_is_out_of_descriptors", cluster::pressure::wait);
    CHECK(heard == std::vector<std::string>(20, "1"));
}
TEST_CASE("fault_55_clients_of_a_primary_that_sheds_and_is_out_of_descriptors_are_closed") {
    auto heard = primary_out_of_descriptors(
        "fault_55_clients_of_a_primary_that_sheds_and_is_out_of_descriptors_are_closed",
        cluster::pressure::shed);
    CHECK(heard == std::vector<std::string>(20, ""));
}

TEST_CASE("fault_56_errors_of_one_connection_never_stop_the_listener") {
    constexpr long clients = 120;
    const auto errors = std::to_string(ECONNABORTED) + ' ' + std::to_string(EPROTO) + ' ' +
                        std::to_string(EINTR) + ' ' + std::to_string(EPERM);
    for (const std::string mode : {"handed", "shared", "own"}) {
        auto seen = run_fixture(mode + " 2 " + std::to_string(clients) + ' ' + errors);
        INFO(mode, ": ", seen.output);
        CHECK(seen.code == 0);
        CHECK(seen.number("answered") == clients);
        CHECK(seen.number("accepted") == clients);
        CHECK(seen.number("injected") >= clients / 3); // each of the errors many times
    }
}

TEST_CASE("fault_57_a_connection_wakes_one_of_64_workers") {
    constexpr long clients = 1000;
    constexpr long workers = 64;
    auto seen = run_fixture("shared " + std::to_string(workers) + " " + std::to_string(clients));
    INFO(seen.output);
    CHECK(seen.code == 0);
    CHECK(seen.number("answered") == clients);
    CHECK(seen.number("accepted") == clients);
    CHECK(seen.number("calls") <= clients * 11 / 10);
    // A worker that is woken too late goes back to sleep inside epoll_wait() and calls nothing, so
    // the wake-ups themselves are counted; some are for the two questions that the primary asks.
    CHECK(seen.number("wakeups") > 0);
    CHECK(seen.number("wakeups") <= clients * 11 / 10 + 3 * workers);
}

// "At a low rate" is the premise: each client comes when every worker sleeps. Without it, on a machine
// with more to do than it has cores, the kernel passes a shared socket's busy workers over, and the
// bound does not hold (656 to 74 of 2,000 was seen); under round robin it holds all the same.
// With a socket per worker the kernel chooses by a hash of the addresses: nothing to promise there.
TEST_CASE("fault_58_connections_are_spread_evenly_at_a_low_rate") {
    constexpr long clients = 2000;
    for (const std::string mode : {"handed", "shared"}) {
        auto seen = run_fixture(mode + " 4 " + std::to_string(clients) +
                                (mode == "shared" ? " quiet" : ""));
        INFO(mode, ": ", seen.output);
        CHECK(seen.code == 0);
        CHECK(seen.number("answered") == clients);
        auto served = seen.served();
        REQUIRE(served.size() == 4);
        auto [least, most] = std::minmax_element(served.begin(), served.end());
        CHECK(*most * 10 <= *least * 13);
    }
}
