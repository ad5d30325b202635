// SPDX-License-Identifier: MIT
// What .github/docs/child-processes.md shows.
#include <cluster.hpp>

#include <cstdio>
#include <string_view>

namespace docs_child_processes {

using namespace cluster::literals;

struct square {
    int of = 0;
};

int in_a_loop() {
    cluster::event_loop loop; // or a role's: primary.loop(), self.loop()

    // [exec]
    auto build = cluster::exec(loop,
                               "make -j4",
                               {.kill_tree = true, .timeout = 5_min},
                               [](const cluster::exec_result& result) {
                                   // "exit code 2", "timed out: killed by SIGTERM"
                                   std::puts(result.status.to_string().c_str());
                               });
    // [/exec]

    // [spawn]
    auto filter = cluster::spawn(loop,
                                 {.file = "sort",
                                  .standard_input = cluster::stdio::pipe,
                                  .standard_output = cluster::stdio::pipe});
    filter.on_output(
        [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); });
    filter.standard_input().end("b\na\n");
    // [/spawn]

    // [fork_program]
    auto helper = cluster::fork_program(loop, {.file = "./helper"});
    helper.request<int>(square{.of = 12}, [](cluster::result<int> answer) {
        std::printf("%d\n", answer.value_or(-1));
    });
    // [/fork_program]

    return loop.run();
}

int helper() {
    // [parent_channel]
    cluster::event_loop loop;
    cluster::parent_channel parent{loop};
    parent.on_request([](const square& task) { return task.of * task.of; });
    return loop.run();
    // [/parent_channel]
}

void at_once() {
    // [run]
    auto head = cluster::run({.file = "git", .arguments = {"rev-parse", "HEAD"}});
    std::puts(head.ok() ? head.standard_output.c_str() : head.status.to_string().c_str());
    // [/run]
}

} // namespace docs_child_processes
