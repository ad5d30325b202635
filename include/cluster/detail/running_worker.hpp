// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_RUNNING_WORKER_HPP
#define CLUSTER_DETAIL_RUNNING_WORKER_HPP

#include "os.hpp"

#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What runs a worker, for its primary: a process, or a thread of the primary's own.
class running_worker {
public:
    running_worker() = default;
    running_worker(running_worker&&) = delete;
    running_worker& operator=(running_worker&&) = delete;
    virtual ~running_worker() = default;

    /// The process's number, for display.
    [[nodiscard]] virtual int pid() const noexcept = 0;
    /// Readable once it has ended; -1 when the system has none. Stays owned by this object, which
    /// may change to another one when it is asked whether it has ended.
    [[nodiscard]] virtual int descriptor() const noexcept = 0;
    /// \returns ESRCH when it has ended.
    virtual std::error_code signal(int number) noexcept = 0;
    /// How it ended, if it has; the same each time. Does not block.
    virtual std::optional<os::exit_info> try_wait() noexcept = 0;
    /// Blocks until it has ended.
    virtual void wait() noexcept = 0;

    [[nodiscard]] virtual os::process_usage usage() const noexcept = 0;
    /// It is about to end: asked when its channel has ended before it.
    [[nodiscard]] virtual bool is_exiting() const noexcept = 0;
    /// What it is doing, as far as the system tells. For people.
    [[nodiscard]] virtual std::string describe() const = 0;
    /// What ended it, if it was something that it could tell; good once it has ended.
    [[nodiscard]] virtual std::string failure() const = 0;
};

class worker_process : public running_worker {
public:
    explicit worker_process(os::child_process child) noexcept : child_{std::move(child)} {}

    [[nodiscard]] inline int pid() const noexcept override { return child_.pid(); }
    [[nodiscard]] inline int descriptor() const noexcept override { return child_.pidfd(); }
    inline std::error_code signal(int number) noexcept override { return child_.signal(number); }
    inline std::optional<os::exit_info> try_wait() noexcept override { return child_.try_wait(); }
    inline void wait() noexcept override { child_.wait(); }
    [[nodiscard]] inline os::process_usage usage() const noexcept override {
        return os::usage_of(pid());
    }
    [[nodiscard]] inline bool is_exiting() const noexcept override { return os::is_exiting(pid()); }
    [[nodiscard]] inline std::string describe() const override {
        return os::describe_process(pid());
    }
    [[nodiscard]] inline std::string failure() const override { return {}; }

protected:
    os::child_process child_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_RUNNING_WORKER_HPP
