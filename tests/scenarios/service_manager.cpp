// SPDX-License-Identifier: MIT
// What a service manager hears of a cluster, and what workers do not hear of it.
#include "../support/service_manager.hpp"
#include "../fixtures/scenario.hpp"
#include "../support/every_backend.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

using lines = std::vector<std::string>;

/// A manager of this process, and all that it was told until now. In the primary.
struct listening_manager {
    std::string address = abstract_name();
    service_manager manager{address};
    lines told;

    template <typename Primary>
    explicit listening_manager(Primary& primary) {
        ::setenv("NOTIFY_SOCKET", address.c_str(), 1);
        primary.every(1ms, [this] { collect(); }).unref();
    }
    ~listening_manager() { ::unsetenv("NOTIFY_SOCKET"); }
    listening_manager(listening_manager&&) = delete;

    void collect() {
        for (auto& each : manager.all()) {
            told.push_back(std::move(each));
        }
    }
    /// The first line of each that is no status alone, a word for each.
    [[nodiscard]] std::string states() {
        collect();
        std::string text;
        for (const auto& each : told) {
            if (!each.starts_with("STATUS=")) {
                text += each.substr(0, each.find('=')) + ' ';
            }
        }
        return text;
    }
    [[nodiscard]] bool has(const std::string& line) {
        collect();
        return std::find(told.begin(), told.end(), line) != told.end();
    }
};

/// Calls `then` once the manager has been told `line`.
template <typename Primary, typename Then>
void when_told(Primary& primary, listening_manager& heard, const char* line, Then then) {
    scenario::when(
        primary, [&heard, line] { return heard.has(line); }, then);
}

} // namespace

CLUSTER_CASE_ON(all_backends, "the service manager hears of the start and a reload and the end") {
    std::unique_ptr<listening_manager> heard;
    run_on<Backend>(
        [&](auto& primary) {
            heard = std::make_unique<listening_manager>(primary);
            primary.notify_service_manager();
            CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
            primary.fork(2);
            primary.when_ready([&primary] {
                primary.reload({}, [&primary](const cluster::reload_report& report) {
                    CHECK(report.ok());
                    primary.shutdown();
                });
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(heard->states() == "READY RELOADING READY STOPPING ");
    CHECK(heard->told.front() == "STATUS=0 of 2 workers ready");
    CHECK(heard->has("READY=1\nSTATUS=2 of 2 workers ready"));
}

TEST_CASE("the service manager hears why a reload has failed") {
    std::unique_ptr<listening_manager> heard;
    run_case<cluster::process_cluster>(
        "the service manager hears why a reload has failed",
        [&](auto& primary) {
            heard = std::make_unique<listening_manager>(primary);
            primary.notify_service_manager();
            primary.fork();
            primary.when_ready([&primary] {
                primary.reload({},
                               [&primary](const cluster::reload_report&) { primary.shutdown(); });
            });
        },
        [](auto& self) {
            if (self.id() == 2) {
                std::exit(3);
            }
            self.ready();
        });
    CHECK(heard->states() == "READY RELOADING READY STOPPING ");
    CHECK(heard->has("READY=1\nSTATUS=1 of 1 workers ready; not reloaded: worker 2 ended before it "
                     "was ready: exit code 3"));
}

CLUSTER_CASE("the service manager hears of a reload that the end cuts short only the end") {
    std::unique_ptr<listening_manager> heard;
    run_on<Backend>(
        [&](auto& primary) {
            heard = std::make_unique<listening_manager>(primary);
            primary.notify_service_manager();
            primary.fork();
            primary.when_ready([&primary] {
                primary.reload();
                primary.shutdown();
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(heard->states() == "READY RELOADING STOPPING ");
}

TEST_CASE("the service manager hears of a worker that does not answer and that it does again") {
    std::unique_ptr<listening_manager> heard;
    run_case<cluster::compose<cluster::restart::always>>(
        "the service manager hears of a worker that does not answer and that it does again",
        [&](auto& primary) {
            heard = std::make_unique<listening_manager>(primary);
            primary.supervise({.stalled_after = 200ms, .replaced_after = 0ms});
            primary.notify_service_manager();
            primary.fork(2);
            primary.when_ready([&] { primary.workers().at(0).kill(SIGSTOP); });
            when_told(primary, *heard, "STATUS=2 of 2 workers ready, 1 stalled", [&] {
                primary.workers().at(0).kill(SIGCONT);
                heard->told.clear();
                when_told(primary, *heard, "STATUS=2 of 2 workers ready", [&primary] {
                    primary.shutdown();
                });
            });
        },
        [](auto& self) { self.ready(); });
}

TEST_CASE("the service manager hears how many workers are ready of how many") {
    std::unique_ptr<listening_manager> heard;
    run_case<cluster::compose<cluster::restart::always>>(
        "the service manager hears how many workers are ready of how many",
        [&](auto& primary) {
            heard = std::make_unique<listening_manager>(primary);
            primary.notify_service_manager();
            primary.fork(2);
            primary.when_ready([&] {
                primary.workers().at(0).kill(SIGKILL);
                primary.once(cluster::event::ready, [&] { primary.scale(3); });
            });
            when_told(primary, *heard, "STATUS=3 of 3 workers ready", [&] {
                primary.scale(1);
                when_told(primary, *heard, "STATUS=1 of 1 workers ready", [&primary] {
                    primary.shutdown();
                });
            });
        },
        [](auto& self) { self.ready(); });
    CHECK(heard->states() == "READY STOPPING ");
    CHECK(heard->has("STATUS=1 of 2 workers ready")); // one was dead
    CHECK(heard->has("STATUS=2 of 3 workers ready"));
}

CLUSTER_CASE_ON(processes_and_forks, "a worker does not hear of the service manager") {
    std::vector<std::string> said;
    std::unique_ptr<listening_manager> heard;
    run_on<Backend>(
        [&](auto& primary) {
            heard = std::make_unique<listening_manager>(primary); // and nobody takes the variable
            ::setenv("WATCHDOG_USEC", "1000000", 1);
            primary.on_message([&](const std::string& text) {
                said.push_back(text);
                if (said.size() == 2) {
                    primary.disconnect();
                }
            });
            primary.fork();
            primary.fork({.environment = {{"WATCHDOG_USEC", "7"}}});
        },
        [](auto& self) {
            auto value = [](const char* name) {
                const char* text = std::getenv(name);
                return std::string{text == nullptr ? "none" : text};
            };
            auto seen = (self.id() == 1 ? "one: " : "two: ") + value("WATCHDOG_USEC");
            cluster::service_notifier::from_environment().notify("READY=1");
            self.send(seen);
        });
    ::unsetenv("WATCHDOG_USEC");
    std::sort(said.begin(), said.end());
    CHECK(said == std::vector<std::string>{"one: none", "two: 7"});
    CHECK(heard->states().empty());
}

TEST_CASE("a service manager whose address makes no sense is an error and no worker starts") {
    bool told = false;
    run_case<cluster::process_cluster>(
        "a service manager whose address makes no sense is an error and no worker starts",
        [&](auto& primary) {
            ::setenv("NOTIFY_SOCKET", "somewhere", 1);
            CHECK_THROWS_WITH_AS(
                primary.notify_service_manager(),
                "NOTIFY_SOCKET=somewhere: Address family not supported by protocol",
                std::system_error);
            ::setenv("NOTIFY_SOCKET", "somewhere", 1);
            std::error_code error;
            CHECK_FALSE(primary.notify_service_manager(error));
            CHECK(error == std::errc::address_family_not_supported);
            told = true;
        },
        [](auto&) {});
    CHECK(told);
}
