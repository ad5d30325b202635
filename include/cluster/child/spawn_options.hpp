// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHILD_SPAWN_OPTIONS_HPP
#define CLUSTER_CHILD_SPAWN_OPTIONS_HPP

#include "../detail/chrono.hpp"
#include "../fork_options.hpp"
#include "../stop_token.hpp"

#include <csignal>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace cluster {
inline namespace v0 {

/// What to start, and how: for spawn(), exec(), exec_file(), fork_program() and run().
///
/// The program starts with every signal at its default and unblocked, and with no descriptor but
/// those named here. It is killed when the thread that started it ends, unless `detached`.
struct spawn_options {
    /// The program. Without a slash it is looked for in the PATH of the child's environment; a
    /// relative path is seen from `directory`. A text file that names no interpreter is run by
    /// /bin/sh. fork_program(): empty means the program that runs now.
    std::string file{};
    /// The arguments behind the program's name.
    std::vector<std::string> arguments{};
    /// The name that the program sees as its own, argv[0]; empty: `file`.
    std::string argument_zero{};
    /// The working directory; empty: the parent's.
    std::string directory{};
    /// On top of the parent's own environment, or, with `clear_environment`, all that there is.
    std::vector<environment_variable> environment{};
    /// Nothing of the parent's own.
    bool clear_environment = false;

    /// What spawn() and fork_program() do not find here is inherited. exec(), exec_file() and run()
    /// read the output and the errors instead, and their input is empty.
    std::optional<stdio> standard_input{};
    std::optional<stdio> standard_output{};
    std::optional<stdio> standard_error{};
    /// Descriptors 3, 4, … of the child; with fork_program() 4, 5, …, for 3 is the channel.
    std::vector<stdio> extra{};
    /// Written to the standard input, which then ends.
    std::optional<std::string> input{};

    /// Numbers of a user and a group to become; checked, and for good. They hold for the search in
    /// PATH, too. A new user has no supplementary groups and cannot gain privileges.
    std::optional<unsigned> user{};
    std::optional<unsigned> group{};
    std::vector<resource_limits> limits{};
    /// Niceness, -20 to 19.
    std::optional<int> nice{};
    std::optional<unsigned> umask{};
    /// The numbers of the CPUs to run on; empty: all of the parent's.
    std::vector<int> cpus{};
    bool no_new_privileges = false;

    /// A session of its own, and a life of its own: it is not killed with the parent, nor with its
    /// handle. For a daemon: ignore or redirect its standard descriptors, and unref() it.
    bool detached = false;
    /// The child leads a process group, and kill() is for all of the group. After a `timeout`, a
    /// `stop`, too much output or the end of its handle whoever is left of the group gets SIGKILL
    /// once the child has ended. Out of reach: who leaves the group (setsid), and, when the parent
    /// itself is killed, everybody but the child. Such a child does not get the terminal's signals.
    bool kill_tree = false;

    /// How long the child may run; zero: for ever.
    std::chrono::nanoseconds timeout{0};
    /// What ends it then; also after `stop`, and after too much output.
    int kill_signal = SIGTERM;
    /// How long after `kill_signal` SIGKILL follows; zero: never.
    std::chrono::nanoseconds force_after = std::chrono::seconds{5};
    /// A stop that is requested, from any thread, ends the child; one that was before: it is not
    /// started.
    stop_token stop{};
    /// Of exec(), exec_file() and run(): a child that writes more bytes than this to its output, or
    /// to its errors, is ended. What it wrote up to here is kept.
    std::size_t max_output = 1024 * 1024;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHILD_SPAWN_OPTIONS_HPP
