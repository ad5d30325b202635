// SPDX-License-Identifier: MIT
#include "../support/client.hpp"
#include "../support/every_backend.hpp"
#include "../support/temporary_directory.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <stdlib.h>

using namespace cluster_test;

namespace {

struct directory_report {
    std::string path;
};

struct variable {
    std::string name;
    std::optional<std::string> value;
};

struct window_question {
    int number;
};

struct window_answer {
    int number;
};

std::optional<std::string> read_variable(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>{value};
}

} // namespace

TEST_CASE("test-cluster-cwd") {
    std::optional<temporary_directory> place;
    std::vector<std::string> reported;
    run_case<cluster::process_cluster>(
        "test-cluster-cwd",
        [&](auto& primary) {
            place.emplace();
            CHECK(primary.settings().directory.empty());
            primary.on_message([&](auto& worker, const directory_report& here) {
                reported.push_back(here.path);
                worker.disconnect();
                if (reported.size() == 1) {
                    primary.setup({.directory = place->path()});
                    CHECK(primary.settings().directory == place->path());
                    primary.fork();
                }
            });
            primary.on(cluster::event::exit, [](const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
            primary.fork();
        },
        [](auto& self) { self.send(directory_report{std::filesystem::current_path().string()}); });
    CHECK(reported ==
          std::vector<std::string>{std::filesystem::current_path().string(), place->path()});
}

TEST_CASE("test-cluster-fork-env") {
    std::vector<std::pair<std::string, std::optional<std::string>>> seen;
    int exited = 0;
    run_case<cluster::process_cluster>(
        "test-cluster-fork-env",
        [&](auto& primary) {
            ::setenv("CLUSTER_TEST_INHERITED", "kept", 1);
            ::setenv("CLUSTER_TEST_OVERWRITTEN", "old", 1);
            ::setenv("CLUSTER_TEST_REMOVED", "old", 1);
            primary.setup({.environment = {{"CLUSTER_TEST_ADDED", "for all"}}});
            auto& worker = primary.fork({.environment = {{"CLUSTER_TEST_ADDED", "for one"},
                                                         {"CLUSTER_TEST_OVERWRITTEN", "new"},
                                                         {"CLUSTER_TEST_REMOVED", std::nullopt}}});
            worker.on_message([&](auto& from, const variable& one) {
                seen.emplace_back(one.name, one.value);
                if (seen.size() == 4) {
                    from.disconnect();
                }
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exited;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
            CHECK(read_variable("CLUSTER_TEST_OVERWRITTEN") == "old"); // ours stay as they were
            CHECK_FALSE(read_variable("CLUSTER_TEST_ADDED"));
        },
        [](auto& self) {
            for (const char* name : {"ADDED", "INHERITED", "OVERWRITTEN", "REMOVED"}) {
                auto full = std::string{"CLUSTER_TEST_"} + name;
                if (self.send(variable{name, read_variable(full)}) != cluster::send_result::ok) {
                    std::exit(2);
                }
            }
        });
    for (const char* name : {"INHERITED", "OVERWRITTEN", "REMOVED"}) {
        ::unsetenv((std::string{"CLUSTER_TEST_"} + name).c_str());
    }
    CHECK(seen == decltype(seen){{"ADDED", "for one"},
                                 {"INHERITED", "kept"},
                                 {"OVERWRITTEN", "new"},
                                 {"REMOVED", std::nullopt}});
    CHECK(exited == 1);
}

TEST_CASE("test-cluster-fork-stdio") {
    std::string response;
    std::string output;
    std::string errors;
    int exited = 0;
    run_case<cluster::process_cluster>(
        "test-cluster-fork-stdio",
        [&](auto& primary) {
            using cluster::stdio;
            primary.setup({.standard_input = stdio::pipe,
                           .standard_output = stdio::pipe,
                           .standard_error = stdio::pipe,
                           .extra = {stdio::pipe}});
            auto& worker = primary.fork();
            worker.standard_output().on_data([&](auto bytes) { output += text_of(bytes); });
            worker.standard_error().on_data([&](auto bytes) { errors += text_of(bytes); });
            worker.pipe(4)
                .on_data([&](auto bytes) {
                    response += text_of(bytes);
                    if (response == "foobar") {
                        worker.disconnect();
                    }
                })
                .write("foobar");
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exited;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            std::fputs("to standard output", stdout);
            std::fflush(stdout);
            std::fputs("to standard error", stderr);
            auto& pipe = self.attach(cluster::connection{cluster::unique_fd{4}});
            pipe.idle(true); // it does not keep us when we are told to go
            pipe.on_data([&pipe](auto bytes) { pipe.write(bytes); });
        });
    CHECK(response == "foobar");
    CHECK(output == "to standard output");
    CHECK(errors == "to standard error");
    CHECK(exited == 1);
}

CLUSTER_CASE("test-cluster-fork-windowsHide") {
    // Windows of consoles are of another system; what is left is that a silent worker works.
    int answers = 0;
    int exited = 0;
    run_on<Backend>(
        [&](auto& primary) {
            primary.setup({.silent = Backend::separate_memory});
            auto& worker = primary.fork();
            worker.on(cluster::event::online, [&] { worker.send(window_question{42}); });
            worker.on_message([&](const window_answer& answer) {
                ++answers;
                CHECK(answer.number == 42);
                worker.disconnect();
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exited;
                CHECK_MESSAGE(status.success(), status.to_string());
                CHECK(worker.exited_after_disconnect());
            });
        },
        [](auto& self) {
            self.on_message([](auto& me, const window_question& question) {
                me.send(window_answer{question.number});
            });
        });
    CHECK(answers == 1);
    CHECK(exited == 1);
}
