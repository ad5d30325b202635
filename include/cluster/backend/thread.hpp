// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BACKEND_THREAD_HPP
#define CLUSTER_BACKEND_THREAD_HPP

#include "../detail/memory.hpp"
#include "../detail/os.hpp"
#include "../detail/worker_thread.hpp"
#include "../error.hpp"
#include "../fork_options.hpp"
#include "concept.hpp"

#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace backend {

/// A `backend_policy`: a worker is a thread of the primary's process, with a loop of its own, that
/// runs a copy of the function that basic_cluster::run() was given. Give that function what it
/// captures by value, or see to it that what it refers to outlives the cluster and bears several
/// threads.
///
/// | what a process worker has                | a thread                                          |
/// |------------------------------------------|---------------------------------------------------|
/// | a crash ends only itself                 | a crash, std::exit() and std::abort() end all     |
/// | an exception that leaves run() aborts it | event::error, then an exit with code 1 and a text |
/// |                                          | in worker::report().diagnosis                     |
/// | kill(SIGKILL)                            | does not compile; kill() asks it to stop:         |
/// |                                          | self.stop_token(), and its loop ends with code 1  |
/// | a worker that hangs is killed            | is given up after the same time and replaced; its |
/// |                                          | thread goes on until the code in it returns       |
/// | its own program, arguments, environment, | none: fork() with such an option fails with       |
/// | directory, stdio, user, limits, memory   | `errc::not_supported` (event::error, event::exit) |
/// | recycle by memory                        | the same                                          |
/// | a reload runs the program file anew      | a reload runs the function anew                   |
/// | app.self() in an if/else main()          | does not compile; give run() both functions       |
///
/// The primary's end waits for its threads: one that neither returns to its loop nor looks at its
/// token holds it up, as std::jthread would.
///
/// Messages are passed as the objects that they are: send() moves an rvalue and copies an lvalue
/// (one that cannot be copied is encoded), and types that only exist in one process may be sent.
/// Such a message counts in the marks of `send_result` with its size and what it owns, as far as
/// `serialization::binary` knows types of its kind. Requests, replies, broadcasts and what workers
/// send each other are encoded as everywhere. `serializing_thread` encodes all messages, so that a
/// program that runs on it runs on processes, too.
template <bool Serializes>
struct basic_thread {
    static constexpr bool separate_memory = false;
    static constexpr bool starts_at_main = false;
    static constexpr bool passes_objects = !Serializes;

    static detail::launched_worker launch(const detail::launch_request& request,
                                          std::error_code& error) {
        detail::launched_worker result;
        const auto& options = request.options;
        if (request.entry == nullptr || request.link == nullptr || wants_process(request)) {
            error = errc::not_supported;
            return result;
        }
        detail::worker_surroundings where;
        where.own_process = false;
        where.link = std::move(*request.link);
        where.data = options.data;
        auto stop = where.stop;
        auto body = [entry = request.entry,
                     nice = options.nice,
                     cpus = options.cpus,
                     where = std::move(where)]() mutable {
            detail::os::set_up_thread(nice, cpus);
            return entry->run({}, std::move(where));
        };
        try {
            result.child =
                std::make_unique<detail::worker_thread>(std::move(body), std::move(stop));
        } catch (const std::system_error& failed) {
            error = failed.code();
        }
        return result;
    }

private:
    static bool wants_process(const detail::launch_request& request) {
        const auto& options = request.options;
        auto piped = [](const std::optional<stdio>& each) {
            return each.value_or(stdio::inherit) != stdio::inherit;
        };
        return request.has_own_arguments() || !options.executable.empty() ||
               !options.environment.empty() || !options.directory.empty() ||
               options.silent.value_or(false) || piped(options.standard_input) ||
               piped(options.standard_output) || piped(options.standard_error) ||
               !options.extra.empty() || options.user || options.group || !options.limits.empty() ||
               options.umask || options.no_new_privileges.value_or(false) ||
               options.detached.value_or(false) || options.outlive_primary ||
               (options.recycle && options.recycle->max_memory != 0);
    }
};

using thread = basic_thread<false>;
using serializing_thread = basic_thread<true>;

static_assert(backend_policy<thread> && backend_policy<serializing_thread>);

} // namespace backend
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BACKEND_THREAD_HPP
