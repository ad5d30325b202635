// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_OPTIONS_HPP
#define CLUSTER_POOL_OPTIONS_HPP

#include "../detail/chrono.hpp"
#include "../detail/move_only_function.hpp"
#include "../fork_options.hpp"
#include "../literals.hpp"
#include "../stop_token.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cluster {
inline namespace v0 {

/// What a task may use, on top of what its worker does already; 0: no limit. Processes only.
struct task_limits {
    /// Bytes of address space; an allocation beyond throws std::bad_alloc.
    std::uint64_t memory = 0;
    /// Seconds of CPU time of all its threads; then SIGXCPU ends the worker.
    std::uint64_t cpu_seconds = 0;
};

/// How one task runs.
struct task_options {
    /// How long it may run; the time in the queue does not count. 0: as long as it likes. A process
    /// that is late is killed and replaced. A thread cannot be: the future fails and the function,
    /// which should look at its std::stop_token, runs on.
    std::chrono::nanoseconds timeout{0};
    /// Higher ones first, equal ones in order. What a worker has already begun goes on.
    int priority = 0;
    /// Cancels the task: in the queue it is dropped; a process that runs it is killed and replaced;
    /// a thread's function is told by its std::stop_token. The future fails at once.
    stop_token stop{};
    /// How often it is started again after a crash of its worker. A crash in a thread ends the
    /// program.
    unsigned retries = 0;
    task_limits limits{};
};

/// What becomes of a task for which a bounded queue has no room.
enum class when_full {
    wait,    ///< submit() blocks until there is room
    fail,    ///< the future fails with queue_full, post() throws it
    run_here ///< the caller runs it: in a process pool without the isolation
};

/// How map() and for_each() work.
struct map_options {
    /// Elements for a worker at a time; 0: what balances the load and the cost.
    std::size_t chunk = 0;
    /// Called in the thread that maps, with how many elements are done and how many there are.
    detail::move_only_function<void(std::size_t done, std::size_t total)> progress{};
    /// For each chunk.
    task_options task{};
};

/// How a thread_pool works.
struct thread_pool_options {
    /// Threads at most; 0: available_parallelism().
    unsigned workers = 0;
    /// Threads that stay when there is nothing to do; none given: all. The others are started when
    /// they are needed and end after `idle_timeout`.
    std::optional<unsigned> min_workers{};
    /// How long they wait for something to do.
    std::chrono::nanoseconds idle_timeout = std::chrono::seconds{10};
    /// Tasks that wait at most; 0: any number.
    std::size_t max_queue = 0;
    /// What becomes of a task beyond that.
    cluster::when_full when_full = cluster::when_full::wait;
    /// Fills pool_stats::wait and pool_stats::run, at the price of three looks at the clock for each task.
    bool measure = false;
};

/// What a worker process may do.
enum class sandbox {
    none,
    /// No new privileges.
    no_new_privileges,
    /// That, no core dump, and only the system calls that a computation needs (seccomp): memory,
    /// clocks, locks, random numbers, reading and writing of what is open already. No files, no
    /// sockets, no processes, no threads: any other call ends the worker with SIGSYS.
    compute
};

/// How a process_pool works.
struct process_pool_options {
    /// Processes at most; 0: available_parallelism().
    unsigned workers = 0;
    /// Processes that stay when there is nothing to do; none given: all. The others are started
    /// when they are needed and end after `idle_timeout`.
    std::optional<unsigned> min_workers{};
    /// How long they wait for something to do.
    std::chrono::nanoseconds idle_timeout = std::chrono::seconds{10};
    /// Tasks that wait at most; 0: any number.
    std::size_t max_queue = 0;
    /// What becomes of a task beyond that.
    cluster::when_full when_full = cluster::when_full::wait;
    /// When a worker is replaced as planned: by the number of its tasks (`max_requests`), by age,
    /// by memory, which is looked at after tasks and once a second. `drain_deadline` is not used:
    /// a worker ends between tasks.
    recycle_limits recycle{};
    /// How long a new worker may take to reach the constructor of its pool.
    std::chrono::nanoseconds boot_timeout = std::chrono::seconds{30};
    /// The most bytes that a task's result may have.
    std::size_t max_result = std::size_t{1} << 30U;
    /// What a worker may do.
    cluster::sandbox sandbox = cluster::sandbox::none;
    /// Arguments behind the program's name; empty: those of this process.
    std::vector<std::string> arguments{};
    /// On top of this process's own.
    std::vector<environment_variable> environment{};
    /// The working directory; empty: as this process's.
    std::string directory{};
    std::vector<resource_limits> limits{};
    /// Numbers of a user and a group to become; checked, and for good.
    std::optional<unsigned> user{};
    std::optional<unsigned> group{};
    /// Niceness, -20 to 19.
    std::optional<int> nice{};
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_OPTIONS_HPP
