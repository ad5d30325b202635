// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_PROCESS_HPP
#define CLUSTER_DETAIL_OS_LINUX_PROCESS_HPP

#include "../../../unique_fd.hpp"
#include "../exit_info.hpp"
#include "fd.hpp"
#include "spawn_child.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// While set, `spawn` makes no pidfd: for sandboxes that break on them, and for tests of the way
/// without. Read once at each spawn.
inline std::atomic<bool> pidfd_disabled{false};

/// What to start, and how. Everything it points at is owned by the caller and outlives the call.
///
/// All memory is prepared before: the child makes system calls only. Every signal has its default
/// disposition and is unblocked in the new program.
struct spawn_request {
    const char* path = nullptr;                 ///< relative ones are looked up from `directory`
    const char* const* further_paths = nullptr; ///< tried in their order while nothing runs,
                                                ///< null-terminated
    /// For a file that the system cannot run: a shell, room for the file's path, the arguments.
    const char** shell_arguments = nullptr;
    int executable = -1;                    ///< wins over `path`; any descriptor, also O_PATH; a
                                            ///< script fails with ENOENT, its descriptor is closed
    const char* const* arguments = nullptr; ///< argv, null-terminated
    const char* const* environment = nullptr; ///< envp, null-terminated; null is empty
    const char* directory = nullptr;

    /// `descriptors[i]` becomes descriptor i. -1 is /dev/null for the first three, else closed.
    /// Missing ones of the first three count as -1. All others are closed, close-on-exec or not.
    std::span<const int> descriptors;

    /// Dropped for good and verified. A change of the user also clears the supplementary groups and
    /// sets no_new_privileges; it leaves the group alone, so set both.
    std::optional<uid_t> user;
    std::optional<gid_t> group;

    std::span<const resource_limit> limits;
    std::optional<int> nice_value; ///< absolute, -20 to 19
    std::optional<mode_t> umask_value;
    std::span<const int> affinity; ///< cpu numbers; empty: as the caller's
    bool new_session = false;
    bool new_process_group = false;
    bool no_new_privileges = false;

    /// Sent to the child when the *thread* that called `spawn` ends, 0 for none. A program with a
    /// set-user-id bit or file capabilities loses it.
    int parent_death_signal = SIGKILL;

    /// Where the child writes its pid in decimal before the program starts, e.g. into the prepared
    /// environment behind "LISTEN_PID="; at least eleven bytes.
    char* pid_text = nullptr;
};

/// Why there are no pidfds; nothing when there are.
inline std::error_code try_pidfd() noexcept {
#if defined(SYS_pidfd_open)
    unique_fd self{static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))};
    return self ? std::error_code{} : last_error();
#else
    return std::make_error_code(std::errc::function_not_supported);
#endif
}

/// The exit record of PIDFD_GET_INFO: the first version of the kernel's `struct pidfd_info` (6.13).
struct pidfd_record {
    std::uint64_t mask;
    std::uint64_t cgroup;
    std::uint32_t ids[11];
    std::int32_t exit_code;
};
static_assert(sizeof(pidfd_record) == 64);

/// Owns the handle of a child process, not its life: the destructor neither kills nor waits.
///
/// Reaps this one child only, never another of the host. Thread safety: one thread at a time.
/// Fork safety: only the process that spawned the child may wait for it.
class child_process {
public:
    child_process() = default;
    child_process(pid_t pid, unique_fd pidfd) noexcept : pid_{pid}, pidfd_{std::move(pidfd)} {}

    child_process(child_process&& other) noexcept
        : pid_{std::exchange(other.pid_, -1)},
          pidfd_{std::move(other.pidfd_)},
          info_{std::exchange(other.info_, std::nullopt)} {}

    child_process& operator=(child_process&& other) noexcept {
        pid_ = std::exchange(other.pid_, -1);
        pidfd_ = std::move(other.pidfd_);
        info_ = std::exchange(other.info_, std::nullopt);
        return *this;
    }

    /// -1 without a child. For display: after the child was reaped the number may be another's.
    [[nodiscard]] int pid() const noexcept { return pid_; }

    /// Readable once the child has ended; -1 when the kernel has none. Stays owned by this object.
    [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }

    [[nodiscard]] explicit operator bool() const noexcept { return pid_ > 0; }

    /// Never reaches a stranger: ESRCH without a system call once the child is reaped.
    std::error_code signal(int number) const noexcept { // NOLINT(modernize-use-nodiscard)
        if (pid_ <= 0 || info_) {
            return {ESRCH, std::system_category()};
        }
#if defined(SYS_pidfd_send_signal)
        if (pidfd_) {
            const long sent = ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
            if (sent == 0 || errno != ENOSYS) {
                return outcome(sent == 0);
            }
        }
#endif
        return outcome(::kill(pid_, number) == 0); // not reaped, so the pid is still ours
    }

    /// Reaps the child if it has ended. Does not block; afterwards returns the same each time.
    std::optional<exit_info> try_wait() noexcept { return collect(WNOHANG); }

    /// Reaps the child. Blocks until it has ended; afterwards returns the same each time.
    exit_info wait() noexcept { return collect(0).value_or(exit_info{}); }

    /// What the kernel remembers, since 6.15, of one that somebody else has reaped: the host ignores
    /// SIGCHLD or waited for any child, or it is no child of ours. Waits a tenth of a second, `times`
    /// times at most, for who is about to reap it.
    [[nodiscard]] exit_info recorded_exit(int times) const noexcept {
        constexpr std::uint64_t exit_wanted = 1U << 3;
        bool reaped_meanwhile = false;
        for (int waited = 0; pidfd_ && waited < times;) {
            pidfd_record record{};
            record.mask = exit_wanted;
            if (::ioctl(pidfd_.get(), _IOWR(0xFF, 11, pidfd_record), &record) != 0) {
                if (errno == ESRCH && !std::exchange(reaped_meanwhile, true)) {
                    continue; // it was, between the kernel's two looks: the next finds the record
                }
                break;
            }
            if ((record.mask & exit_wanted) != 0) {
                const int code = record.exit_code;
                return WIFEXITED(code)
                           ? exit_info{exit_info::kind::exited, WEXITSTATUS(code), false}
                           : exit_info{
                                 exit_info::kind::signaled, WTERMSIG(code), WCOREDUMP(code) != 0};
            }
            pollfd reaped{pidfd_.get(), 0, 0}; // POLLHUP tells when it has been
            ::poll(&reaped, 1, 100);
            ++waited;
        }
        return {};
    }

private:
    static std::error_code outcome(bool done) noexcept {
        return done ? std::error_code{} : last_error();
    }

    std::optional<exit_info> collect(int flags) noexcept {
        if (info_ || pid_ <= 0) {
            return info_ ? info_ : exit_info{};
        }
        siginfo_t status;
        int result = -1;
        do {
            status.si_pid = 0;
            result = wait_once(status, flags);
        } while (result != 0 && errno == EINTR);
        if (result == 0 && status.si_pid == 0) {
            return std::nullopt;
        }
        // A thread of this process has taken the status and is on its way through the kernel with it.
        constexpr int while_it_has_no_cpu = 50;
        info_ = result == 0 ? decode(status) : recorded_exit(while_it_has_no_cpu);
        return info_;
    }

    int wait_once(siginfo_t& status, int flags) const noexcept {
        constexpr auto by_pidfd = static_cast<idtype_t>(3); // P_PIDFD, 5.4
        if (pidfd_) {
            const auto id = static_cast<id_t>(pidfd_.get());
            const int result = ::waitid(by_pidfd, id, &status, WEXITED | flags);
            if (result == 0 || errno != EINVAL) {
                return result;
            }
        }
        return ::waitid(P_PID, static_cast<id_t>(pid_), &status, WEXITED | flags);
    }

    static exit_info decode(const siginfo_t& status) noexcept {
        return {status.si_code == CLD_EXITED ? exit_info::kind::exited : exit_info::kind::signaled,
                status.si_status,
                status.si_code == CLD_DUMPED};
    }

    pid_t pid_ = -1;
    unique_fd pidfd_;
    std::optional<exit_info> info_; ///< set once reaped
};

/// Whether a child that nobody has reaped yet has ended. Does not block.
inline bool waits_to_be_reaped(int pid) noexcept {
    siginfo_t status;
    status.si_pid = 0;
    return ::waitid(P_PID, static_cast<id_t>(pid), &status, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           status.si_pid != 0;
}

/// Sends a signal to every process of a group. Only while its leader is a child that is not reaped:
/// later the number may be a stranger's.
inline std::error_code signal_group(int leader, int number) noexcept {
    return leader > 1 && ::kill(-leader, number) == 0 ? std::error_code{} : last_error();
}

/// Reaps the dead that are not `ours(pid)`: what others have left to the first process of a
/// container. Does not block.
template <typename Ours>
void reap_strangers(Ours ours) {
    for (;;) {
        siginfo_t dead;
        dead.si_pid = 0;
        if (::waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT) != 0 || dead.si_pid == 0 ||
            ours(static_cast<int>(dead.si_pid))) {
            return; // ours comes first: it is reaped by its owner, the others next time
        }
        ::waitid(P_PID, static_cast<id_t>(dead.si_pid), &dead, WEXITED | WNOHANG);
    }
}

/// The stack of the child between a guard page and its descriptor table.
class child_memory {
public:
    explicit child_memory(std::size_t table_size) noexcept
        : page_{static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))},
          size_{(page_ + stack_bytes + table_size * sizeof(int) + page_ - 1) / page_ * page_} {
        constexpr int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE;
        base_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, kind, -1, 0);
        if (base_ != MAP_FAILED) {
            ::mprotect(base_, page_, PROT_NONE);
        }
    }

    ~child_memory() {
        if (base_ != MAP_FAILED) {
            ::munmap(base_, size_);
        }
    }

    child_memory(const child_memory&) = delete;
    child_memory& operator=(const child_memory&) = delete;

    [[nodiscard]] explicit operator bool() const noexcept { return base_ != MAP_FAILED; }

    /// The end of the stack, which grows down; the table begins there.
    [[nodiscard]] void* stack_top() const noexcept {
        return static_cast<std::byte*>(base_) + page_ + stack_bytes;
    }
    [[nodiscard]] int* table() const noexcept { return static_cast<int*>(stack_top()); }

private:
    static constexpr std::size_t stack_bytes = std::size_t{64} * 1024;

    std::size_t page_;
    std::size_t size_;
    void* base_;
};

/// Blocks every signal of this thread, libc's internal ones too: no handler may run in the child.
class signals_blocked {
public:
    signals_blocked() noexcept {
        unsigned long all[8];
        for (unsigned long& word : all) {
            word = ~0UL;
        }
        ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, all, saved_, signal_set_bytes);
    }
    ~signals_blocked() {
        ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, saved_, nullptr, signal_set_bytes);
    }

    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;

private:
    unsigned long saved_[8] = {};
};

/// A child that changes its identity makes the memory it shares with us undumpable, and with it
/// this process. That protects us while it lasts: a process of the new user could else read our
/// memory through the child. So it is undone after the exec, and spawns of this kind go one by one.
class dumpable_kept {
public:
    explicit dumpable_kept(bool needed) noexcept : needed_{needed} {
        if (needed_) {
            one_at_a_time.lock();
            before_ = ::prctl(PR_GET_DUMPABLE, 0L, 0L, 0L, 0L);
        }
    }
    ~dumpable_kept() {
        if (needed_) {
            if (before_ == 1 && ::prctl(PR_GET_DUMPABLE, 0L, 0L, 0L, 0L) != 1) {
                ::prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L);
            }
            one_at_a_time.unlock();
        }
    }

    dumpable_kept(const dumpable_kept&) = delete;
    dumpable_kept& operator=(const dumpable_kept&) = delete;

private:
    static inline std::mutex one_at_a_time;

    bool needed_;
    int before_ = 0;
};

inline bool copy_affinity(std::span<const int> cpus, child_job& job) noexcept {
    for (const int cpu : cpus) {
        if (cpu < 0 || cpu >= child_job::max_cpus) {
            return false;
        }
        job.affinity[cpu / child_job::word_bits] |= 1UL << (cpu % child_job::word_bits);
    }
    return true;
}

/// \returns the child's view of `request`; it has no type with member functions in it.
inline child_job plain_job(const spawn_request& request, int* table, int table_size) noexcept {
    child_job job{};
    job.path = request.path;
    job.further_paths = request.further_paths;
    job.shell_arguments = request.shell_arguments;
    job.executable = request.executable;
    job.arguments = request.arguments;
    job.environment = request.environment;
    job.directory = request.directory;
    job.table = table;
    job.table_size = table_size;
    job.limits = request.limits.data();
    job.limit_count = static_cast<int>(request.limits.size());
    job.has_user = request.user.has_value();
    job.user = request.user.value_or(0);
    job.has_group = request.group.has_value();
    job.group = request.group.value_or(0);
    job.has_nice = request.nice_value.has_value();
    job.nice_value = request.nice_value.value_or(0);
    job.has_umask = request.umask_value.has_value();
    job.umask_value = request.umask_value.value_or(0);
    job.has_affinity = !request.affinity.empty();
    job.new_session = request.new_session;
    job.new_process_group = request.new_process_group;
    job.no_new_privileges = request.no_new_privileges;
    job.parent_death_signal = request.parent_death_signal;
    job.parent = ::getpid();
    job.pid_text = request.pid_text;
    for (int i = 0; i < table_size; ++i) {
        const auto at = static_cast<std::size_t>(i);
        table[i] = at < request.descriptors.size() ? request.descriptors[at] : -1;
    }
    return job;
}

// ThreadSanitizer takes `clone` for a fork and corrupts its state when the memory is shared; glibc
// exports the function under a second name, which is not intercepted.
#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define CLUSTER_CLONE_BEHIND_SANITIZER
#    endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(CLUSTER_CLONE_BEHIND_SANITIZER)
#    define CLUSTER_CLONE_BEHIND_SANITIZER
#endif
#if defined(CLUSTER_CLONE_BEHIND_SANITIZER)
extern "C" int cluster_uninstrumented_clone(int (*)(void*), void*, int, void*, ...) noexcept
    __asm__("__clone");
#endif

/// clone(2) with this entry. \returns the pid, or -1 with errno
inline pid_t call_clone(int flags, child_job& job, void* stack_top, int* pidfd) noexcept {
#if defined(CLUSTER_CLONE_BEHIND_SANITIZER)
    return cluster_uninstrumented_clone(
        &run_child, stack_top, flags, &job, pidfd, nullptr, nullptr);
#else
    return ::clone(&run_child, stack_top, flags, &job, pidfd, nullptr, nullptr);
#endif
}
#undef CLUSTER_CLONE_BEHIND_SANITIZER

/// Returns when the child runs its program or has failed. \returns the pid, or -errno
inline pid_t clone_child(child_job& job, void* stack_top, unique_fd& pidfd) noexcept {
    const signals_blocked no_handler_in_the_child;
    const dumpable_kept undone_afterwards{job.has_user || job.has_group};
    constexpr int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
    const bool with_pidfd = !pidfd_disabled.load(std::memory_order_relaxed);
    int fd = -1; // kernels before 5.2 ignore the flag and leave it
    pid_t pid = -1;
#if defined(CLONE_PIDFD)
    if (with_pidfd) {
        pid = call_clone(flags | CLONE_PIDFD, job, stack_top, &fd);
        if (pid < 0 && errno != EINVAL) {
            return -errno;
        }
    }
#endif
    if (pid < 0) {
        pid = call_clone(flags, job, stack_top, nullptr);
        if (pid < 0) {
            return -errno;
        }
    }
#if defined(SYS_pidfd_open)
    if (with_pidfd && fd < 0) { // safe here only: we have not waited for the child yet
        fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    }
#endif
    pidfd.reset(fd);
    if (fd >= 0 && fd <= STDERR_FILENO) { // a host without standard streams: not in their place
        pidfd.reset(::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    }
    return pid;
}

/// Starts a program. On failure `error` holds the errno of the step that failed in the child too,
/// from a missing directory to exec, and no zombie is left.
///
/// Blocking: until the program is mapped, like vfork. Thread-safe. Fork-safe: atfork handlers do
/// not run. Cost: does not grow with the memory of the host. The file table is copied at the call,
/// so a descriptor that another thread opens meanwhile never leaks.
[[nodiscard]] inline child_process spawn(const spawn_request& request,
                                         std::error_code& error) noexcept {
    constexpr std::size_t standard_streams = 3;
    const std::size_t table_size = request.descriptors.size() < standard_streams
                                       ? standard_streams
                                       : request.descriptors.size();
    const bool runnable = request.executable >= 0 || request.path != nullptr;
    if (!runnable || request.arguments == nullptr || table_size > 1U << 20) {
        error.assign(EINVAL, std::system_category());
        return {};
    }
    const child_memory memory{table_size};
    if (!memory) {
        error = last_error();
        return {};
    }
    child_job job = plain_job(request, memory.table(), static_cast<int>(table_size));
    if (!copy_affinity(request.affinity, job)) {
        error.assign(EINVAL, std::system_category());
        return {};
    }
    unique_fd pidfd;
    const pid_t pid = clone_child(job, memory.stack_top(), pidfd);
    if (pid < 0) {
        error.assign(-pid, std::system_category());
        return {};
    }
    child_process child{pid, std::move(pidfd)};
    if (job.error != 0) {
        child.wait();
        error.assign(job.error, std::system_category());
        return {};
    }
    error.clear();
    return child;
}

/// The niceness and the CPUs of the calling thread. \throws std::system_error
inline void set_up_thread(std::optional<int> nice_value, std::span<const int> cpus) {
    child_job job{};
    if (nice_value && ::setpriority(PRIO_PROCESS, 0, *nice_value) != 0) { // 0: this thread's
        throw std::system_error(last_error(), "nice");
    }
    if (!cpus.empty() &&
        (!copy_affinity(cpus, job) ||
         ::syscall(SYS_sched_setaffinity, 0, sizeof job.affinity, job.affinity) != 0)) {
        throw std::system_error(last_error(), "cpus");
    }
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_PROCESS_HPP
