// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_WORKER_PROCESS_HPP
#define CLUSTER_DETAIL_WORKER_PROCESS_HPP

#include "../event_loop.hpp"
#include "../exit_status.hpp"
#include "chrono.hpp"
#include "memory.hpp"
#include "move_only_function.hpp"
#include "os.hpp"
#include "running_worker.hpp"

#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A child in a loop: tells once when it has ended, by its descriptor, or by asking every 20 ms
/// where the system has none.
class watched_process {
public:
    using exit_function = move_only_function<void(const os::exit_info&)>;

    ~watched_process() { poll_.cancel(); }

    void start(event_loop& loop, std::unique_ptr<running_worker> child, exit_function on_exit) {
        child_ = std::move(child);
        pid_ = child_->pid();
        on_exit_ = std::move(on_exit);
        watch(loop);
    }
    void start(event_loop& loop, os::child_process child, exit_function on_exit) {
        start(loop, std::make_unique<worker_process>(std::move(child)), std::move(on_exit));
    }

    /// The child, which is not watched any more; null when it has ended.
    [[nodiscard]] std::unique_ptr<running_worker> release() noexcept {
        watch_.stop();
        poll_.cancel();
        on_exit_ = {};
        return std::move(child_);
    }

    [[nodiscard]] int pid() const noexcept { return pid_; }
    std::error_code signal(int number) noexcept {
        return child_ ? child_->signal(number) : std::make_error_code(std::errc::no_such_process);
    }

    // What the system tells of it; nothing when it has ended.
    [[nodiscard]] os::process_usage usage() const noexcept {
        return child_ ? child_->usage() : os::process_usage{};
    }
    // What it said of its end, once.
    [[nodiscard]] std::string take_failure() noexcept { return std::exchange(failure_, {}); }
    [[nodiscard]] bool is_traced() const noexcept { return os::is_traced(pid_); }
    [[nodiscard]] bool is_exiting() const noexcept { return child_ && child_->is_exiting(); }
    [[nodiscard]] std::string describe() const { return child_ ? child_->describe() : ""; }
    /// The same for every process of the group that the child leads.
    std::error_code signal_group(int number) noexcept {
        return child_ ? os::signal_group(pid_, number)
                      : std::make_error_code(std::errc::no_such_process);
    }
    /// When the child has ended, whoever is left of its group is killed.
    void end_group() noexcept { ends_group_ = true; }

    /// Whether the child keeps its loop running until it has ended.
    void keep_alive(bool on) noexcept {
        watch_.keep_alive(on);
        on ? poll_.ref() : poll_.unref();
    }

    /// Blocks until the child has ended or the time is over; no report follows.
    /// \returns whether it has ended.
    bool wait_exit(std::chrono::milliseconds limit) noexcept {
        using clock = std::chrono::steady_clock;
        auto deadline = clock::now() + limit;
        while (child_ && !child_->try_wait()) {
            auto left =
                std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
            if (left <= 0) {
                return false;
            }
            constexpr std::int64_t slice = 10; // only without a pidfd
            int wait = static_cast<int>(child_->descriptor() != -1 || left < slice ? left : slice);
            os::wait_for(child_->descriptor(), false, wait);
        }
        return true;
    }

    /// Blocks until the child has ended; no report follows.
    void reap() noexcept {
        if (child_) {
            child_->wait();
        }
    }

private:
    void watch(event_loop& loop) {
        loop_ = &loop;
        watched_ = child_->descriptor();
        if (watched_ == -1 ||
            watch_.start<&watched_process::on_ready>(loop, watched_, os::io::readable, *this)) {
            poll_ = loop.every(std::chrono::milliseconds{20}, [this] { look(); });
        }
    }

    void on_ready(os::io) { look(); }

    void look() {
        if (ends_group_ && child_ &&
            os::waits_to_be_reaped(pid_)) { // afterwards the number is anybody's
            os::signal_group(pid_, SIGKILL);
        }
        if (auto info = child_ ? child_->try_wait() : std::nullopt) {
            watch_.stop();
            poll_.cancel();
            failure_ = child_->failure();
            child_.reset(); // the handle of a dead worker may live on: it keeps no descriptor
            if (auto report = std::exchange(on_exit_, {})) {
                report(*info);
            }
        } else if (child_ && child_->descriptor() != watched_) {
            watch_.stop();
            poll_.cancel();
            watch(*loop_);
        }
    }

    std::unique_ptr<running_worker> child_;
    std::string failure_;
    int pid_ = -1;
    event_loop* loop_ = nullptr;
    int watched_ = -1;
    io_watch watch_;
    timer poll_;
    exit_function on_exit_;
    bool ends_group_ = false;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_WORKER_PROCESS_HPP
