// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_EVERY_BACKEND_HPP
#define CLUSTER_TESTS_SUPPORT_EVERY_BACKEND_HPP

/// \file
/// Cases that hold whatever a worker is. The body of a CLUSTER_CASE is a template over `Backend`;
/// each backend is a test case of its own: "name", "name on threads", "name on forks", "name through
/// shared memory". A worker's
/// function may run in this very process: what it shares with the primary by reference is shared
/// between threads, and it does no checks but fail_worker()'s.

#include "cluster_test.hpp"
#include "socket_pair.hpp"

#include <cluster.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include <unistd.h>

namespace cluster_test {

/// The name of the test case that runs now.
inline const char* running_case() {
    return doctest::getContextOptions()->currentTest->m_name;
}

/// run_case() for the case that runs now.
template <typename Backend, typename... Policies, typename PrimaryMain, typename WorkerMain>
int run_on(PrimaryMain primary_main, WorkerMain worker_main) {
    return run_case<cluster::compose<Backend, Policies...>>(
        running_case(), std::move(primary_main), std::move(worker_main));
}

/// Ends the worker in which it is called, and not with success: one of its expectations was wrong.
[[noreturn]] inline void fail_worker(int which) {
    std::fprintf(stderr, "expectation %d of a worker was wrong\n", which); // a thread says no more
    throw std::logic_error{"expectation " + std::to_string(which) + " of a worker was wrong"};
}
inline void expect_in_worker(bool condition, int which) {
    if (!condition) {
        fail_worker(which);
    }
}

/// Ends the worker with a code of its own: a process at once, a thread when it is back in its loop.
template <typename Cluster>
void exit_worker(cluster::basic_self<Cluster>& self, int code) {
    if constexpr (Cluster::backend_type::separate_memory) {
        std::exit(code);
    } else {
        self.stop(code);
    }
}

/// How a worker has ended that got kill() and did nothing about it.
template <typename Backend>
cluster::exit_status after_kill() {
    return Backend::separate_memory ? cluster::exit_status::signaled(SIGTERM)
                                    : cluster::exit_status::exited(1);
}

/// A pair of sockets beside the channel, for a worker that waits or is watched in the middle of a
/// handler. A thread has the very descriptor, which closes with this object.
template <typename Backend>
class side_sockets {
public:
    /// Blocks until the worker has written something. \returns a byte, 0 when none comes in time.
    [[nodiscard]] char read() const {
        namespace os = cluster::detail::os;
        auto limit = std::chrono::milliseconds{patience()}.count();
        char byte = 0;
        bool ready = os::wait_for(ends_.first.get(), false, static_cast<int>(limit));
        return ready && ::read(ends_.first.get(), &byte, 1) == 1 ? byte : '\0';
    }
    void write(char byte) const { CHECK(::write(ends_.first.get(), &byte, 1) == 1); }
    /// The worker finds its end by self.data<int>().
    [[nodiscard]] cluster::fork_options for_worker() const {
        if constexpr (Backend::separate_memory) {
            return {.extra = {cluster::stdio::descriptor(ends_.second.get())}, .data = 4};
        } else {
            return {.data = ends_.second.get()};
        }
    }

private:
    socket_pair ends_;
};

/// Runs the body of a CLUSTER_CASE.
inline void once(void (*body)()) {
    body();
}

} // namespace cluster_test

/// A test case whose body runs one cluster of the backend `Backend`, by run_on<Backend>().
#define CLUSTER_CASE(name) CLUSTER_CASE_ON(processes_and_threads, name)
/// The same on processes, processes_and_threads, processes_and_forks, all_backends, or all_transports:
/// processes with the socket, threads, and processes with shared memory.
#define CLUSTER_CASE_ON(which, name) CLUSTER_CASES(which, once, name)

#define CLUSTER_CASES(which, how, name)                                                            \
    CLUSTER_CASES_AS(which, how, DOCTEST_ANONYMOUS(CLUSTER_BODY_), name)
#define CLUSTER_CASES_AS(which, how, body, name)                                                   \
    template <typename Backend>                                                                    \
    static void body();                                                                            \
    CLUSTER_ON_##which(how, body, name) template <typename Backend>                                \
    static void body()
#define CLUSTER_ON_processes(how, body, name)                                                      \
    TEST_CASE(name) {                                                                              \
        cluster_test::how(body<cluster::backend::process>);                                        \
    }
#define CLUSTER_ON_threads(how, body, name)                                                        \
    TEST_CASE(name " on threads") {                                                                \
        cluster_test::how(body<cluster::backend::thread>);                                         \
    }
#define CLUSTER_ON_forks(how, body, name)                                                          \
    TEST_CASE(name " on forks") {                                                                  \
        cluster_test::how(body<cluster::backend::fork>);                                           \
    }
#define CLUSTER_ON_shared_memory(how, body, name)                                                  \
    TEST_CASE(name " through shared memory") {                                                     \
        cluster_test::how(                                                                         \
            body<cluster::backend::basic_process<cluster::transport::shared_memory>>);             \
    }
#define CLUSTER_ON_processes_and_threads(how, body, name)                                          \
    CLUSTER_ON_processes(how, body, name) CLUSTER_ON_threads(how, body, name)
#define CLUSTER_ON_processes_and_forks(how, body, name)                                            \
    CLUSTER_ON_processes(how, body, name) CLUSTER_ON_forks(how, body, name)
#define CLUSTER_ON_all_transports(how, body, name)                                                 \
    CLUSTER_ON_processes_and_threads(how, body, name) CLUSTER_ON_shared_memory(how, body, name)
#define CLUSTER_ON_all_backends(how, body, name)                                                   \
    CLUSTER_ON_processes_and_threads(how, body, name) CLUSTER_ON_forks(how, body, name)

#endif // CLUSTER_TESTS_SUPPORT_EVERY_BACKEND_HPP
