// SPDX-License-Identifier: MIT
// Acceptance scenarios 43 and 53: primaries that die, workers that lie.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct note {
    std::string text;
};

// The primary of scenario 43: says the numbers of three workers once each is in its state.
void primary_that_dies(const char* name) {
    run_case<cluster::process_cluster>(
        name,
        [](auto& primary) {
            auto all_ready = [&primary] {
                for (auto& each : primary.workers()) {
                    scenario::say(std::to_string(each.pid()));
                }
                std::string end = std::getenv("SCENARIO_PART");
                if (end == "exits") {
                    std::exit(0);
                } else if (end == "exits at once") {
                    std::_Exit(0);
                } else if (end == "returns") {
                    primary.stop(0);
                } else if (end == "crashes") {
                    std::abort();
                } // else it is killed
            };
            primary.on_message([&primary, all_ready, ready = 0](const note&) mutable {
                if (++ready == 3) {
                    auto& stopped = *primary.workers().find(3);
                    auto is_stopped = [&stopped] {
                        return scenario::process_state(stopped.pid()) == 'T';
                    };
                    scenario::when(primary, is_stopped, all_ready);
                }
            });
            const rlimit no_core{0, 0};
            ::setrlimit(RLIMIT_CORE, &no_core);
            for (const char* kind : {"idle", "spins", "is stopped"}) {
                primary.fork({.name = kind});
            }
        },
        [](auto& self) {
            self.send(note{"here"});
            self.flush();
            if (self.name() == "is stopped") {
                ::raise(SIGSTOP);
            }
            for (volatile bool spins = self.name() == "spins"; spins;) {
            }
        });
}

void workers_die_with(const char* name, const std::string& end) {
    if (scenario::part() != nullptr) {
        primary_that_dies(name);
        return;
    }
    scenario::another_primary other{name, end};
    std::vector<int> workers;
    for (int i = 0; i != 3; ++i) {
        workers.push_back(std::atoi(other.line().c_str()));
        REQUIRE(workers.back() > 0);
    }
    if (end == "is killed") {
        for (int each : workers) {
            CHECK_FALSE(scenario::is_gone(each));
        }
        other.kill(SIGKILL);
    }
    CHECK(other.wait() != -1);
    // Within a second by the contract; a slow machine may take its time.
    auto all_gone = [&] { return std::all_of(workers.begin(), workers.end(), scenario::is_gone); };
    CHECK(scenario::eventually(all_gone, 10s));
}

} // namespace

TEST_CASE("scenario 43: every worker is gone when the primary returns") {
    workers_die_with("scenario 43: every worker is gone when the primary returns", "returns");
}
TEST_CASE("scenario 43: every worker is gone when the primary exits") {
    workers_die_with("scenario 43: every worker is gone when the primary exits", "exits");
}
TEST_CASE("scenario 43: every worker is gone when the primary exits at once") {
    workers_die_with("scenario 43: every worker is gone when the primary exits at once",
                     "exits at once");
}
TEST_CASE("scenario 43: every worker is gone when the primary crashes") {
    workers_die_with("scenario 43: every worker is gone when the primary crashes", "crashes");
}
TEST_CASE("scenario 43: every worker is gone when the primary is killed") {
    workers_die_with("scenario 43: every worker is gone when the primary is killed", "is killed");
}

namespace {

struct hostile_way {
    std::vector<std::string> arguments;
    std::string error; // the message of event::error; empty: none
    std::string end;
};

const std::string bad_frame = cluster::make_error_code(cluster::errc::bad_frame).message();
const std::string too_large = cluster::make_error_code(cluster::errc::message_too_large).message();
const std::string too_many =
    cluster::make_error_code(cluster::errc::too_many_descriptors).message();
const std::string other_version =
    cluster::make_error_code(cluster::errc::protocol_mismatch).message();
const std::string killed = "killed by SIGKILL";

std::vector<hostile_way> violations() {
    std::vector<hostile_way> all{
        {{"garbage"}, bad_frame, killed},
        {{"garbage-online"}, bad_frame, killed},
        {{"reserved"}, bad_frame, killed},
        {{"online-twice"}, bad_frame, killed},
        {{"online-garbage"}, bad_frame, killed},
        {{"protocol"}, other_version, killed},
        {{"join-nothing"}, bad_frame, killed},
        {{"join-long"}, bad_frame, killed},
        {{"join-twice"}, bad_frame, killed},
        {{"join-everything"}, bad_frame, killed},
    };
    for (const char* length : {"0xffffffff", "0x7fffffff", "0x80000000", "0x04000001"}) {
        all.push_back({{"length", length}, too_large, killed});
    }
    using cluster::detail::frame_kind;
    auto online = static_cast<int>(frame_kind::online);
    int last = cluster::detail::last_frame_kind;
    std::vector<int> not_for_it{0, last + 1, 200, 255};
    for (int kind = 1; kind != online; ++kind) { // the primary's
        not_for_it.push_back(kind);
    }
    not_for_it.push_back(static_cast<int>(frame_kind::moved)); // between threads only
    for (int kind : not_for_it) {
        all.push_back({{"kind", std::to_string(kind)}, bad_frame, killed});
    }
    for (int kind = online + 1; kind <= last; ++kind) {     // nothing comes before `online`
        if (kind != static_cast<int>(frame_kind::listen)) { // which has a payload
            all.push_back({{"before-online", std::to_string(kind)}, bad_frame, killed});
        }
    }
    return all;
}

std::vector<hostile_way> descriptor_tricks() {
    return {
        {{"descriptors-without-frame"}, bad_frame, killed},
        {{"frame-without-descriptors"}, bad_frame, killed},
        {{"fewer-descriptors"}, bad_frame, killed},
        {{"more-descriptors"}, too_many, killed},
        {{"many-descriptors"}, bad_frame, killed},
        {{"flood-of-bare-descriptors"}, bad_frame, killed},
        {{"taken", "1"}, bad_frame, killed},
        {{"taken", "0xffffffff"}, bad_frame, killed},
    };
}

std::vector<hostile_way> tolerated() {
    return {
        {{"listen-garbage"}, "", "exit code 0"},
        {{"listen-nothing"}, "", "exit code 0"},
        {{"listen-length"}, "", "exit code 0"},
        {{"share-garbage"}, "", "exit code 0"},
        {{"share-nothing"}, "", "exit code 0"},
        {{"bind-file"}, "", "exit code 0"},
        {{"bind-descriptor"}, "", "exit code 0"},
        {{"unknown-answers"}, "", "exit code 0"},
    };
}

struct survival {
    std::vector<std::string> told;    // what became of each hostile worker
    std::vector<std::string> answers; // of the healthy one, after each
};

/// Lets one hostile worker after the other loose beside a healthy one that listens at `at`. The
/// next one starts when the healthy one has answered and no descriptor is left of the last.
template <typename Primary>
class gauntlet {
public:
    gauntlet(Primary& primary, const std::vector<hostile_way>& ways, survival& log)
        : primary_{primary}, ways_{ways}, log_{log} {}

    void begin(const cluster::address& at) {
        at_ = at;
        baseline_ = scenario::open_descriptors();
        next();
    }

private:
    void next() {
        if (log_.told.size() == ways_.size()) {
            primary_.disconnect();
            return;
        }
        const auto& way = ways_[log_.told.size()];
        error_.clear();
        auto& worker =
            primary_.fork({.executable = FIXTURE_HOSTILE_WORKER, .arguments = way.arguments});
        worker.on(cluster::event::error,
                  [this](const std::error_code& error) { error_ += error.message(); });
        worker.on(cluster::event::exit, [this, &way](const cluster::exit_status& status) {
            log_.told.push_back(way.arguments.front() + ' ' + way.arguments.back() + ": " + error_ +
                                ' ' + status.to_string());
            scenario::ask(primary_, at_, "?", [this](const std::string& answer) {
                log_.answers.push_back(answer);
                auto no_leak = [this] { return scenario::open_descriptors() == baseline_; };
                scenario::when(primary_, no_leak, [this] { next(); });
            });
        });
    }

    Primary& primary_;
    const std::vector<hostile_way>& ways_;
    survival& log_;
    cluster::address at_;
    std::size_t baseline_ = 0;
    std::string error_;
};

void survive(const char* name, const std::vector<hostile_way>& ways) {
    survival log;
    std::vector<std::string> healthy_exits;
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            using primary_type = std::remove_reference_t<decltype(primary)>;
            auto run = std::make_shared<gauntlet<primary_type>>(primary, ways, log);
            auto& healthy = primary.fork();
            healthy.on(cluster::event::listening,
                       [run](const cluster::address& at) { run->begin(at); });
            healthy.on(cluster::event::error, [] { CHECK(false); });
            healthy.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                healthy_exits.push_back(status.to_string());
            });
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    REQUIRE(log.told.size() == ways.size());
    for (std::size_t i = 0; i != ways.size(); ++i) {
        CHECK(log.told[i] == ways[i].arguments.front() + ' ' + ways[i].arguments.back() + ": " +
                                 ways[i].error + ' ' + ways[i].end);
    }
    CHECK(log.answers == std::vector<std::string>(ways.size(), "1"));
    CHECK(healthy_exits == std::vector<std::string>{"exit code 0"});
}

} // namespace

TEST_CASE("scenario 53: frames that break the rules cost their sender and nobody else") {
    survive("scenario 53: frames that break the rules cost their sender and nobody else",
            violations());
}

TEST_CASE("scenario 53: descriptors that break the rules cost their sender and nobody else") {
    survive("scenario 53: descriptors that break the rules cost their sender and nobody else",
            descriptor_tricks());
}

TEST_CASE("scenario 53: nonsense within the rules is answered or ignored") {
    survive("scenario 53: nonsense within the rules is answered or ignored", tolerated());
}

// Every frame is in order, only that nobody wants them: what is kept for a later handler is
// bounded, and goes with the worker.
TEST_CASE(
    "scenario 53: a flood of descriptors that nobody wants is bounded and goes with its sender") {
    std::size_t baseline = 0;
    std::size_t most = 0;
    std::vector<std::string> answers;
    std::vector<std::string> ends;
    run_case<cluster::process_cluster>(
        "scenario 53: a flood of descriptors that nobody wants is bounded and goes with its sender",
        [&](auto& primary) {
            auto flood = [&](const cluster::address& at) {
                baseline = scenario::open_descriptors();
                auto& hostile =
                    primary.fork({.executable = FIXTURE_HOSTILE_WORKER, .arguments = {"flood"}});
                hostile.on(cluster::event::unhandled_message, [&, at, count = 0]() mutable {
                    if (++count == 10'000) {
                        most = scenario::open_descriptors();
                        scenario::ask(primary, at, "?", [&](const std::string& answer) {
                            answers.push_back(answer);
                            hostile.kill(SIGKILL);
                        });
                    }
                });
                hostile.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                    ends.push_back(status.to_string());
                    auto no_leak = [&] { return scenario::open_descriptors() == baseline; };
                    scenario::when(primary, no_leak, [&] { primary.disconnect(); });
                });
            };
            primary.fork().on(cluster::event::listening, flood);
        },
        [](auto& self) { self.listen({.host = "127.0.0.1"}, scenario::answer_with_id(self)); });
    CHECK(most < baseline + 600);
    CHECK(answers == std::vector<std::string>{"1"});
    CHECK(ends == std::vector<std::string>{"killed by SIGKILL"});
}
