// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_FORK_HPP
#define CLUSTER_DETAIL_OS_LINUX_FORK_HPP

/// \file
/// Copies of this process, for workers that share its memory until they write to it.

#include "../../../unique_fd.hpp"
#include "../../chrono.hpp"
#include "../../number.hpp"
#include "../exit_info.hpp"
#include "fd.hpp"
#include "process.hpp"
#include "process_info.hpp"
#include "signals.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// Whether the calling thread is the only one of this process; true when the system does not tell.
/// Not inlined: its buffer would lie on the stack of whoever forks, and of all copies.
[[gnu::noinline]] inline bool is_single_threaded() noexcept {
    char buffer[2048];
    const process_stat stat = parse_stat(read_of_process(::getpid(), "stat", buffer));
    return !stat.is_known() || stat.threads() <= 1;
}

/// fork(2) after everything that waits in stdio has been written, which would come out twice.
inline int fork_process() noexcept {
    std::fflush(nullptr);
    return ::fork();
}
/// fork(2) of a process in which nothing has written to stdio; a lock of stdio's would be the only
/// thing on a page that it writes to.
inline int fork_silent_process() noexcept {
    return ::fork();
}

inline unique_fd open_pidfd([[maybe_unused]] int pid) noexcept {
#if defined(SYS_pidfd_open)
    if (!pidfd_disabled.load(std::memory_order_relaxed)) {
        return unique_fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    }
#endif
    return unique_fd{};
}

/// Ends a forked child at once: nothing of what it has from its parent is destroyed.
[[noreturn]] inline void exit_now(int code) noexcept {
    ::_exit(code);
}

/// Whether a copy of the process must not keep the descriptor: what would end up in two processes
/// that know nothing of each other. Close-on-exec sockets and pipes, as all of this library's are, and
/// what has no file at all: epoll, eventfd, timers, signals, pids. Files and what has no FD_CLOEXEC stay.
inline bool is_private(int fd) noexcept {
    struct stat about {};
    if (::fstat(fd, &about) != 0) {
        return false;
    }
    if (S_ISSOCK(about.st_mode) || S_ISFIFO(about.st_mode)) {
        return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
    }
    char path[32] = "/proc/self/fd/";
    *write_number(path + 14, fd) = '\0';
    char target[32];
    const ssize_t size = ::readlink(path, target, sizeof target);
    return std::string_view{target, size > 0 ? static_cast<std::size_t>(size) : 0}.starts_with(
        "anon_inode:");
}

/// Closes what is_private(), but for `kept`.
inline void close_private_descriptors(std::span<const int> kept) noexcept {
    listed_descriptors all;
    for (int fd = all.next(); fd >= 0; fd = all.next()) {
        bool wanted = fd <= STDERR_FILENO;
        for (const int each : kept) {
            wanted = wanted || each == fd;
        }
        if (!wanted && is_private(fd)) {
            ::close(fd);
        }
    }
}

/// Takes the place of a descriptor; -1 puts /dev/null there.
inline bool put_descriptor(int number, int from) noexcept {
    if (from == number) {
        return true;
    }
    unique_fd null_device{from == -1 ? ::open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY) : -1};
    return ::dup2(from == -1 ? null_device.get() : from, number) != -1;
}

/// What a forked worker becomes, as spawn() would make it. \returns an errno, 0 when all went well
inline int set_up_child(const spawn_request& request) noexcept {
    child_job job = plain_job(request, nullptr, 0);
    if (!copy_affinity(request.affinity, job)) {
        return EINVAL;
    }
    return set_surroundings(job) && drop_identity(job) ? 0 : errno;
}

/// The signals of a process that only starts others: what the terminal sends to all is not for it
/// and waits for ever, and SIGCHLD wakes wait(). Its children get back what was there
/// before.
class quiet_signals {
public:
    quiet_signals() noexcept {
        signal_hub::forget_all();
        struct sigaction change {};
        change.sa_handler = [](int) {};
        ::sigaction(SIGCHLD, &change, &child_before_);
        ::sigemptyset(&quiet_);
        for (const int each :
             {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE}) {
            ::sigaddset(&quiet_, each);
        }
        ::sigprocmask(SIG_BLOCK, &quiet_, &mask_before_);
        ::sigprocmask(SIG_BLOCK, nullptr, &waiting_);
        ::sigdelset(&waiting_, SIGCHLD);
    }
    quiet_signals(quiet_signals&&) = delete;
    quiet_signals& operator=(quiet_signals&&) = delete;

    void restore() const noexcept {
        ::sigaction(SIGCHLD, &child_before_, nullptr);
        ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
    }

    /// What has come meanwhile was meant for the parent: the terminal sends it to all.
    void forget_what_came() const noexcept {
        constexpr timespec at_once{};
        while (::sigtimedwait(&quiet_, nullptr, &at_once) > 0) {
        }
    }

    enum waking { by_descriptor, by_child, by_time };
    static constexpr std::chrono::microseconds forever{-1};

    /// Blocks until `fd` can be read, a child has ended, or `longest` (less than a second) is over.
    [[nodiscard]] waking wait(int fd, std::chrono::microseconds longest) const noexcept {
        pollfd ready{fd, POLLIN, 0};
        timespec time{0, static_cast<long>(longest.count() * 1000)};
        int count = ::ppoll(&ready, 1, longest == forever ? nullptr : &time, &waiting_);
        return count > 0 ? by_descriptor : count == 0 ? by_time : by_child;
    }

private:
    struct sigaction child_before_ {};
    sigset_t quiet_{};
    sigset_t mask_before_{};
    sigset_t waiting_{};
};

struct ended_child {
    int pid;
    exit_info how;
};

/// Reaps one child of this process, whichever. Does not block.
inline std::optional<ended_child> reap_any() noexcept {
    siginfo_t status;
    status.si_pid = 0;
    if (::waitid(P_ALL, 0, &status, WEXITED | WNOHANG) != 0 || status.si_pid == 0) {
        return std::nullopt;
    }
    const bool exited = status.si_code == CLD_EXITED;
    return ended_child{static_cast<int>(status.si_pid),
                       {exited ? exit_info::kind::exited : exit_info::kind::signaled,
                        status.si_status,
                        status.si_code == CLD_DUMPED}};
}

inline void kill_process(int pid, int signal) noexcept {
    ::kill(pid, signal);
}
inline bool process_exists(int pid) noexcept {
    return ::kill(pid, 0) == 0 || errno == EPERM;
}
inline void change_variable(const std::string& name, const std::optional<std::string>& value) {
    value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_FORK_HPP
