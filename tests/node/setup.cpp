// SPDX-License-Identifier: MIT
// The settings of a primary. Cases without workers name no case to run_case().
#include "../support/cluster_test.hpp"

#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

using namespace cluster_test;

namespace {

/// A primary that was started with these arguments, and runs until it has nothing left to do.
template <typename Cluster, typename PrimaryMain>
void run_primary(std::vector<const char*> arguments, PrimaryMain primary_main) {
    arguments.insert(arguments.begin(), "program");
    Cluster app{static_cast<int>(arguments.size()), arguments.data()};
    REQUIRE(app.is_primary());
    CHECK(app.run(primary_main, [](auto&) {}) == 0);
}

using texts = std::vector<std::string>;

} // namespace

// Node.js: test/parallel/test-cluster-setup-primary-argv.js
// The arguments are those that the cluster was made with: there is no global list to change later.
TEST_CASE("test-cluster-setup-primary-argv") {
    int setups = 0;
    run_primary<cluster::process_cluster>({"first", "OMG,OMG", "OMG,OMG"}, [&](auto& primary) {
        primary.on(cluster::event::setup, [&](const cluster::fork_options& now) {
            ++setups;
            CHECK(now.arguments == texts{"first", "OMG,OMG", "OMG,OMG"});
        });
        primary.setup();
    });
    CHECK(setups == 1);
}

// Node.js: test/parallel/test-cluster-setup-primary-cumulative.js
// Node's execArgv has no counterpart; the working directory takes its part here.
TEST_CASE("test-cluster-setup-primary-cumulative") {
    run_primary<cluster::process_cluster>({"one", "two"}, [](auto& primary) {
        const cluster::fork_options& settings = primary.settings();
        CHECK(settings.arguments.empty());
        CHECK_FALSE(settings.silent.has_value());

        primary.setup();
        CHECK(settings.arguments == texts{"one", "two"});
        CHECK(settings.executable.empty()); // the program that runs
        CHECK(settings.directory.empty());
        CHECK(settings.silent == false);

        primary.setup({.executable = "overridden"});
        CHECK(settings.executable == "overridden");
        CHECK(settings.arguments == texts{"one", "two"});

        primary.setup({.arguments = {"foo", "bar"}});
        CHECK(settings.executable == "overridden");
        CHECK(settings.arguments == texts{"foo", "bar"});

        primary.setup({.directory = "/"});
        for (int call = 0; call != 2; ++call) {
            CHECK(settings.executable == "overridden");
            CHECK(settings.arguments == texts{"foo", "bar"});
            CHECK(settings.directory == "/");
            CHECK(settings.silent == false);
            primary.setup(); // changes nothing
        }
    });
}

// Node.js: test/parallel/test-cluster-setup-primary-emit.js
TEST_CASE("test-cluster-setup-primary-emit") {
    int setups = 0;
    run_primary<cluster::process_cluster>({"one"}, [&](auto& primary) {
        primary.once(cluster::event::setup, [&](const cluster::fork_options& now) {
            ++setups;
            CHECK(now.executable == "new");
            primary.once(cluster::event::setup, [&](const cluster::fork_options& later) {
                ++setups;
                CHECK(later.executable == "new");
                CHECK(later.arguments == texts{"one"});
            });
            primary.setup();
        });
        primary.setup({.executable = "new"});
        CHECK(setups == 0); // never from inside the call
    });
    CHECK(setups == 2);
}

// Node.js: test/parallel/test-cluster-setup-primary-multiple.js
TEST_CASE("test-cluster-setup-primary-multiple") {
    texts told;
    run_primary<cluster::process_cluster>({}, [&](auto& primary) {
        primary.on(cluster::event::setup,
                   [&](const cluster::fork_options& now) { told.push_back(now.executable); });
        for (const char* each : {"first", "second", "third"}) {
            primary.setup({.executable = each});
            CHECK(primary.settings().executable == each);
        }
    });
    CHECK(told == texts{"first", "second", "third"});
}

// Node.js: test/parallel/test-cluster-setup-primary.js
TEST_CASE("test-cluster-setup-primary") {
    constexpr std::size_t count = 2;
    const char* name = "test-cluster-setup-primary";
    std::size_t setups = 0;
    std::size_t exits = 0;
    texts arguments;
    std::string printed;
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            primary.on(cluster::event::setup, [&](const cluster::fork_options& now) {
                if (now.silent == true) {
                    ++setups;
                    CHECK(now.executable.empty());
                    CHECK(now.arguments == texts{"--worker-case", name, "custom argument"});
                }
            });
            primary.setup(
                {.arguments = {"--worker-case", name, "custom argument"}, .silent = true});
            CHECK(primary.settings().silent == true);
            primary.on_message([&](auto& worker, const std::string& text) {
                arguments.push_back(text);
                worker.disconnect();
            });
            for (auto& each : primary.fork(count)) {
                each.standard_output().on_data([&](std::span<const std::byte> bytes) {
                    printed.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                });
            }
            primary.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
            });
        },
        [](auto& self) {
            std::puts("captured");
            self.send(std::string{program::argc > 3 ? program::argv[3] : "none"});
        });
    CHECK(setups == 1 + count); // fork() is one, too
    CHECK(arguments == texts{"custom argument", "custom argument"});
    CHECK(printed == "captured\ncaptured\n");
    CHECK(exits == count);
}
