// SPDX-License-Identifier: MIT
// The settings of a primary. Cases without workers name no case to run_case().
#include "../support/client.hpp"
#include "../support/every_backend.hpp"

#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

using namespace cluster_test;

namespace {

/// A primary that was started with these arguments, and runs until it has nothing left to do.
template <typename Backend, typename PrimaryMain>
void run_primary(std::vector<const char*> arguments, PrimaryMain primary_main) {
    arguments.insert(arguments.begin(), "program");
    cluster::compose<Backend> app{static_cast<int>(arguments.size()), arguments.data()};
    REQUIRE(app.is_primary());
    CHECK(app.run(primary_main, [](auto&) {}) == 0);
}

using texts = std::vector<std::string>;

} // namespace

// Node.js: test/parallel/test-cluster-setup-primary-argv.js
// The arguments are those that the cluster was made with: there is no global list to change later.
CLUSTER_CASE("test-cluster-setup-primary-argv") {
    int setups = 0;
    run_primary<Backend>({"first", "OMG,OMG", "OMG,OMG"}, [&](auto& primary) {
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
CLUSTER_CASE("test-cluster-setup-primary-cumulative") {
    run_primary<Backend>({"one", "two"}, [](auto& primary) {
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
CLUSTER_CASE("test-cluster-setup-primary-emit") {
    int setups = 0;
    run_primary<Backend>({"one"}, [&](auto& primary) {
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
CLUSTER_CASE("test-cluster-setup-primary-multiple") {
    texts told;
    run_primary<Backend>({}, [&](auto& primary) {
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
// Of the settings a thread can have the name, which stands here for arguments and a silent process.
CLUSTER_CASE("test-cluster-setup-primary") {
    constexpr std::size_t count = 2;
    constexpr bool process = Backend::separate_memory;
    cluster::fork_options settings{.name = "set up"};
    if (process) {
        settings.arguments = {"--worker-case", "test-cluster-setup-primary", "custom argument"};
        settings.silent = true;
    }
    std::size_t setups = 0;
    std::size_t exits = 0;
    texts told;
    std::string printed;
    run_on<Backend>(
        [&](auto& primary) {
            primary.on(cluster::event::setup, [&](const cluster::fork_options& now) {
                if (now.name == "set up") {
                    ++setups;
                    CHECK(now.executable.empty());
                    CHECK((!process || now.arguments == settings.arguments));
                    CHECK(now.silent == process);
                }
            });
            primary.setup(settings);
            CHECK(primary.settings().silent == process);
            primary.on_message([&](auto& worker, const std::string& text) {
                CHECK(worker.name() == "set up");
                told.push_back(text);
                worker.disconnect();
            });
            for (auto& each : primary.fork(count)) {
                if (process) {
                    each.standard_output().on_data(
                        [&](std::span<const std::byte> bytes) { printed += text_of(bytes); });
                }
            }
            primary.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
            });
        },
        [](auto& self) {
            if (process) {
                std::puts("captured");
            }
            bool has_argument = process && program::argc > 3;
            self.send(has_argument ? std::string{program::argv[3]} : self.name());
        });
    CHECK(setups == 1 + count); // fork() is one, too
    CHECK(told == texts(count, process ? "custom argument" : "set up"));
    CHECK(printed == (process ? "captured\ncaptured\n" : ""));
    CHECK(exits == count);
}
