// SPDX-License-Identifier: MIT
#ifndef CLUSTER_EXIT_STATUS_HPP
#define CLUSTER_EXIT_STATUS_HPP

#include "detail/os/exit_info.hpp"
#include "detail/os/linux/signal_name.hpp"

#include <string>
#include <string_view>
#include <system_error>

namespace cluster {
inline namespace v0 {

/// Why a worker or a child process is gone.
enum class exit_reason {
    exited,       ///< it ended by itself
    signaled,     ///< a signal ended it
    spawn_failed, ///< it never ran, see `exit_status::error()`
    boot_failed,  ///< it was ended because it did not come up, or ended before it kept its word
                  ///< that it would be ready (self.defer_ready())
    unresponsive, ///< it was ended because it no longer answered
    recycled,     ///< it was replaced as planned, its life-time or load limit reached
    unknown,      ///< someone else in the process took its status
    // From here on no worker has it, and the statistics do not count it.
    timed_out,    ///< it was ended because its time was over (spawn_options::timeout)
    cancelled,    ///< it was ended, or not even started, because of spawn_options::stop
    output_limit, ///< it was ended because it wrote more than spawn_options::max_output
};

/// How and why a worker or a child process ended. A value without a resource behind it.
///
/// The reason is the cluster's view. `code()` and `signal()` stay what the system told, so a worker
/// killed for not answering has `exit_reason::unresponsive` and the signal SIGKILL.
class exit_status {
public:
    /// The status is not known.
    exit_status() = default;

    /// The end of a process that exited by itself.
    [[nodiscard]] static exit_status exited(int code) noexcept {
        exit_status status;
        status.reason_ = exit_reason::exited;
        status.exited_ = true;
        status.code_ = code;
        return status;
    }

    /// The end of one that a signal has ended.
    [[nodiscard]] static exit_status signaled(int signal, bool core_dumped = false) noexcept {
        exit_status status;
        status.reason_ = exit_reason::signaled;
        status.signal_ = signal;
        status.core_dumped_ = core_dumped;
        return status;
    }

    /// The end of one that was never started.
    [[nodiscard]] static exit_status spawn_failed(std::error_code error) noexcept {
        exit_status status;
        status.reason_ = exit_reason::spawn_failed;
        status.error_ = error;
        return status;
    }

    /// An end of which nothing is known.
    [[nodiscard]] static exit_status unknown() noexcept { return {}; }

    /// \returns the same end with the cluster's reason for it, e.g. `boot_failed`.
    [[nodiscard]] exit_status because(exit_reason reason) const noexcept {
        exit_status status{*this};
        status.reason_ = reason;
        return status;
    }

    /// How it ended, or why the cluster ended it.
    [[nodiscard]] exit_reason reason() const noexcept { return reason_; }

    /// The exit code; 0 also when it did not exit by itself, see `success()`.
    [[nodiscard]] int code() const noexcept { return code_; }

    /// The signal that ended it, 0 when none did.
    [[nodiscard]] int signal() const noexcept { return signal_; }

    /// Whether the system wrote a core dump.
    [[nodiscard]] bool core_dumped() const noexcept { return core_dumped_; }

    /// Why it could not be started; empty unless the reason is `spawn_failed`.
    [[nodiscard]] std::error_code error() const noexcept { return error_; }

    /// It exited with 0, by itself or recycled.
    [[nodiscard]] bool success() const noexcept {
        return exited_ && code_ == 0 &&
               (reason_ == exit_reason::exited || reason_ == exit_reason::recycled);
    }

    /// For logs: "exit code 3", "killed by SIGABRT (core dumped)",
    /// "spawn failed: No such file or directory", "unresponsive: killed by SIGKILL".
    [[nodiscard]] std::string to_string() const {
        const std::string end = how_it_ended();
        const std::string_view why = label(reason_);
        if (why.empty() || end.empty()) {
            return !end.empty() ? end : std::string{why.empty() ? "unknown" : why};
        }
        return std::string{why} + ": " + end;
    }

    friend bool operator==(const exit_status&, const exit_status&) = default;

private:
    static std::string_view label(exit_reason reason) noexcept {
        switch (reason) {
        case exit_reason::spawn_failed:
            return "spawn failed";
        case exit_reason::boot_failed:
            return "boot failed";
        case exit_reason::unresponsive:
            return "unresponsive";
        case exit_reason::recycled:
            return "recycled";
        case exit_reason::timed_out:
            return "timed out";
        case exit_reason::cancelled:
            return "cancelled";
        case exit_reason::output_limit:
            return "too much output";
        case exit_reason::exited:
        case exit_reason::signaled:
        case exit_reason::unknown:
            break;
        }
        return {};
    }

    [[nodiscard]] std::string how_it_ended() const {
        if (exited_) {
            return "exit code " + std::to_string(code_);
        }
        if (signal_ != 0) {
            const std::string_view name = detail::os::signal_name(signal_);
            return "killed by " +
                   (name.empty() ? "signal " + std::to_string(signal_) : std::string{name}) +
                   (core_dumped_ ? " (core dumped)" : "");
        }
        return error_ ? error_.message() : std::string{};
    }

    exit_reason reason_ = exit_reason::unknown;
    bool exited_ = false;
    bool core_dumped_ = false;
    int code_ = 0;
    int signal_ = 0;
    std::error_code error_;
};

namespace detail {

[[nodiscard]] inline exit_status to_exit_status(const os::exit_info& info) noexcept {
    switch (info.how) {
    case os::exit_info::kind::exited:
        return exit_status::exited(info.value);
    case os::exit_info::kind::signaled:
        return exit_status::signaled(info.value, info.core_dumped);
    case os::exit_info::kind::unknown:
        break;
    }
    return exit_status::unknown();
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_EXIT_STATUS_HPP
