// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BACKEND_FORK_HPP
#define CLUSTER_BACKEND_FORK_HPP

#include "../detail/memory.hpp"
#include "../detail/os.hpp"
#include "../detail/zygote.hpp"
#include "../error.hpp"
#include "../fork_options.hpp"
#include "../unique_fd.hpp"
#include "concept.hpp"
#include "process.hpp"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace backend {

/// A `backend_policy`: a worker is a copy of the primary as it was when it started its first
/// worker, with everything that it had loaded by then, shared until somebody writes to it. It runs
/// a copy of the function that basic_cluster::run() was given and then std::exit().
///
/// The first fork() copies the process once: a zygote, without threads, from which every worker is
/// forked, at whatever time and whatever threads the primary has by then. So the first fork() must
/// come before the program's threads, else it fails with `errc::has_threads` (event::error,
/// event::exit). The zygote keeps one copy ready for the next worker. primary.refork(worker) takes a
/// worker that has warmed up as the next zygote.
///
/// A copy keeps the files that are open and every descriptor without FD_CLOEXEC; other sockets and
/// pipes, and epoll, eventfd, timerfd, signalfd and pidfd descriptors, are closed in it. Signal handlers that
/// event loops have installed are taken back, others stay. An own executable, arguments or extra
/// descriptors need backend::process: fork() fails with `errc::not_supported`. A reload starts
/// fresh copies, of the same program.
///
/// When the primary dies, the zygote kills the workers; when the zygote is killed, the workers go on
/// and the next fork() makes another zygote, if the primary has no threads.
///
/// \tparam Transport models `transport_policy` (transport/concept.hpp): what carries the messages.
template <typename Transport>
class basic_fork {
public:
    using transport_type = Transport;
    /// Itself, for who derives from it.
    using fork = basic_fork;
    static constexpr bool separate_memory = true;
    static constexpr bool starts_at_main = false;

    basic_fork() = default;
    basic_fork(basic_fork&&) = delete;
    basic_fork& operator=(basic_fork&&) = delete;
    ~basic_fork() {
        current_.dismiss();
        for (auto& each : earlier_) {
            each.dismiss();
        }
    }

    detail::launched_worker launch(const detail::launch_request& request, std::error_code& error) {
        detail::launched_worker result;
        if (request.entry == nullptr || wants_program(request)) {
            error = errc::not_supported;
            return result;
        }
        auto table = detail::worker_descriptors(request.options, request.channel, error);
        if (error) {
            return result;
        }
        unique_fd notice;
        unique_fd notice_writer;
        std::vector<int> passed{request.channel, -1};
        auto plan = plan_of(request.options, table.numbers(), passed);
        adopt_reforked();
        detail::fork_result answer{-1, EPIPE};
        std::vector<unique_fd> handle;
        // A zygote that somebody has killed is replaced, once; so is a worker that was none yet.
        for (int attempt = 0; attempt != 2 && !error && is_lost(answer); ++attempt) {
            error = detail::os::make_pipe(notice, notice_writer);
            passed[1] = notice_writer.get();
            if (!error && !current_) {
                error = start(request.entry);
            }
            if (!error && !ask(plan, passed, notice.get(), answer, handle)) {
                current_.kill();
                answer.error = EPIPE;
            }
        }
        if (!error && answer.pid == -1) {
            error.assign(answer.error, std::system_category());
        }
        if (!error) {
            result.child = std::make_unique<detail::forked_worker>(
                answer.pid,
                handle.empty() ? unique_fd{} : std::move(handle.front()),
                std::move(notice));
            result.pipes = std::move(table.pipes);
        }
        return result;
    }

    /// The next zygote's end of a socket; ours waits until it says that it is there.
    std::error_code prepare_refork(unique_fd& theirs) {
        unique_fd ours;
        auto error = detail::os::make_channel(ours, theirs);
        if (!error) {
            reforked_ = detail::zygote_link{std::move(ours)};
        }
        return error;
    }

    /// Whether the next zygote has yet to say so.
    [[nodiscard]] bool is_reforking() const noexcept {
        return reforked_ && !detail::os::wait_for(reforked_.get(), false, 0);
    }

private:
    /// A zygote that runs; one that is no child of ours has no `process`.
    struct zygote {
        detail::zygote_link link;
        detail::os::child_process process;

        explicit operator bool() const noexcept { return static_cast<bool>(link); }
        /// It ends its workers, and itself, when it sees that we are gone.
        void dismiss() noexcept {
            constexpr int patience = 1000; // milliseconds, if somebody has stopped it
            link.close();
            if (process && !(process.pidfd() == -1 ||
                             detail::os::wait_for(process.pidfd(), false, patience))) {
                process.signal(SIGKILL);
            }
            reap();
        }
        /// Its workers go on.
        void kill() noexcept {
            if (process) {
                process.signal(SIGKILL);
            }
            reap();
            link.close();
        }

        void reap() noexcept {
            if (process) {
                process.wait();
                process = {};
            }
        }
    };

    std::error_code start(const std::shared_ptr<const detail::worker_entry>& entry) {
        if (!detail::os::is_single_threaded()) {
            return errc::has_threads;
        }
        unique_fd ours;
        unique_fd theirs;
        if (auto error = detail::os::make_channel(ours, theirs)) {
            return error;
        }
        int pid = detail::os::fork_process();
        if (pid == -1) {
            return detail::os::last_error();
        }
        if (pid == 0) {
            ours.reset();
            detail::zygote_process{std::move(theirs), entry}.serve();
        }
        current_.link = detail::zygote_link{std::move(ours)};
        current_.process = detail::os::child_process{pid, detail::os::open_pidfd(pid)};
        detail::fork_result here;
        std::vector<unique_fd> none;
        theirs.reset();
        return current_.link.receive(here, none) ? std::error_code{}
                                                 : make_error_code(errc::spawn_failed);
    }

    static bool is_lost(const detail::fork_result& answer) noexcept {
        return answer.pid == -1 && (answer.error == EPIPE || answer.error == ECHILD);
    }

    /// False when there is no zygote. One that dies before it is a worker does not answer, and its
    /// end comes by `notice`: ECHILD.
    bool ask(const detail::fork_plan& plan,
             const std::vector<int>& passed,
             int notice,
             detail::fork_result& answer,
             std::vector<unique_fd>& handle) {
        if (!current_.link.send(plan, passed)) {
            return false;
        }
        if (detail::os::wait_for_either(
                current_.link.get(), notice, detail::zygote_link::patience) &&
            !detail::os::wait_for(current_.link.get(), false, 0)) {
            answer.error = ECHILD;
            return true;
        }
        return current_.link.receive(answer, handle);
    }

    // The zygotes before it stay: they are the parents of those who run.
    void adopt_reforked() {
        detail::fork_result here;
        std::vector<unique_fd> none;
        if (!reforked_ || is_reforking()) {
            return;
        }
        if (reforked_.receive(here, none) && here.pid != -1) {
            earlier_.push_back(std::move(current_));
            current_ = {};
            current_.link = std::move(reforked_);
        }
        reforked_ = {};
    }

    static detail::fork_plan plan_of(const fork_options& options,
                                     const std::vector<int>& numbers,
                                     std::vector<int>& passed) {
        detail::fork_plan plan;
        for (const auto& each : options.environment) {
            plan.environment.push_back({each.name, each.value});
        }
        plan.directory = options.directory;
        plan.user = options.user;
        plan.group = options.group;
        plan.umask = options.umask;
        plan.nice = options.nice;
        for (const auto& each : options.limits) {
            plan.limits.push_back({each.which, each.soft, each.hard});
        }
        plan.cpus.assign(options.cpus.begin(), options.cpus.end());
        plan.new_session = options.detached.value_or(false);
        plan.no_new_privileges = options.no_new_privileges.value_or(false);
        plan.outlives = options.outlive_primary.has_value();
        for (std::size_t i = 0; i != plan.standard.size(); ++i) {
            if (numbers[i] == -1) {
                plan.standard[i] = detail::fork_plan::ignore;
            } else if (numbers[i] != static_cast<int>(i)) {
                plan.standard[i] = static_cast<std::int32_t>(passed.size());
                passed.push_back(numbers[i]);
            }
        }
        return plan;
    }

    static bool wants_program(const detail::launch_request& request) {
        const auto& options = request.options;
        return request.has_own_arguments() || !options.executable.empty() || !options.extra.empty();
    }

    zygote current_;
    std::vector<zygote> earlier_;
    detail::zygote_link reforked_; // not heard of yet
};

using fork = basic_fork<transport::socket>;

static_assert(backend_policy<fork>);

} // namespace backend
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BACKEND_FORK_HPP
