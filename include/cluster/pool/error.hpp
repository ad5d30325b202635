// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_ERROR_HPP
#define CLUSTER_POOL_ERROR_HPP

#include "../exit_status.hpp"

#include <stdexcept>
#include <string>
#include <utility>

namespace cluster {
inline namespace v0 {

/// Why a pool's task has no result: the base of all that a pool itself reports.
class task_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The function threw in another process. `what()` is the text of its exception.
class task_failed : public task_error {
public:
    task_failed(std::string type, const std::string& text)
        : task_error{text}, type_{std::move(type)} {}

    /// The name of the exception's type, such as "std::out_of_range".
    [[nodiscard]] const std::string& type() const noexcept { return type_; }

private:
    std::string type_;
};

/// The worker process ended while it ran the task, or none could be started.
class worker_crashed : public task_error {
public:
    explicit worker_crashed(const exit_status& status)
        : task_error{status.to_string()}, status_{status} {}

    /// The signal or the exit code that ended it.
    [[nodiscard]] const exit_status& status() const noexcept { return status_; }
    [[nodiscard]] int signal() const noexcept { return status_.signal(); }
    [[nodiscard]] int code() const noexcept { return status_.code(); }

private:
    exit_status status_;
};

/// The task ran for longer than `task_options::timeout`.
class task_timeout : public task_error {
public:
    task_timeout() : task_error{"the task ran for longer than it may"} {}
};

/// The task was given up before it ended: by its stop token, by the pool's cancel(), or because the
/// pool was closed already.
class task_cancelled : public task_error {
public:
    task_cancelled() : task_error{"the task was cancelled"} {}
    using task_error::task_error;
};

/// The queue was full, and `when_full::fail` says that this is an error.
class queue_full : public task_error {
public:
    queue_full() : task_error{"the queue of the pool is full"} {}
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_ERROR_HPP
