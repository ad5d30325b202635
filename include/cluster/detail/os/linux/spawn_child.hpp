// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_SPAWN_CHILD_HPP
#define CLUSTER_DETAIL_OS_LINUX_SPAWN_CHILD_HPP

/// \file
/// What runs in a new process between `clone` and `exec`.
///
/// The child shares the memory of its parent, whose calling thread is suspended while other threads
/// run on. So nothing here allocates, throws, locks, asks the locale, runs instrumented code or
/// calls a libc function that has state: `syscall()` only. glibc's setuid family is avoided above
/// all, it would signal the threads of the parent. `errno` is that of the suspended thread, which
/// is fine.

#include <cerrno>
#include <cstdint>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

// Sanitizers keep their state per thread, and the child runs on the thread state of its parent.
#if defined(__clang__) && __has_attribute(disable_sanitizer_instrumentation)
#    define CLUSTER_IN_CHILD                                                                       \
        __attribute__((disable_sanitizer_instrumentation,                                          \
                       no_sanitize("address", "thread", "undefined")))
#else
#    define CLUSTER_IN_CHILD                                                                       \
        __attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))
#endif

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// One `setrlimit`. \see getrlimit(2) for `which`
struct resource_limit {
    int which;
    rlim_t soft;
    rlim_t hard;
};

/// The size of the kernel's signal set, which is smaller than libc's `sigset_t`.
inline constexpr long signal_set_bytes = (_NSIG + 6) / 8;

/// A `spawn_request` in plain data, and the way back for the error.
struct child_job {
    static constexpr int max_cpus = 8192;
    static constexpr int word_bits = 8 * sizeof(unsigned long);

    const char* path;
    const char* const* further_paths;
    const char** shell_arguments;
    int executable;
    const char* const* arguments;
    const char* const* environment;
    const char* directory;
    int* table; ///< descriptors by target, overwritten by the child
    int table_size;
    const resource_limit* limits;
    int limit_count;
    bool has_user, has_group, has_nice, has_umask, has_affinity;
    bool new_session, new_process_group, no_new_privileges;
    uid_t user;
    gid_t group;
    int nice_value;
    mode_t umask_value;
    int parent_death_signal;
    pid_t parent;
    char* pid_text;
    int error; ///< errno of the step that failed; 0 once the program runs
    unsigned long affinity[max_cpus / word_bits];
};

template <typename... Arguments>
CLUSTER_IN_CHILD inline long raw(long number, Arguments... arguments) noexcept {
    return ::syscall(number, arguments...);
}

CLUSTER_IN_CHILD inline bool fail_with(int code) noexcept {
    errno = code;
    return false;
}

/// Writes `value` and a null; `out` has room for eleven characters.
CLUSTER_IN_CHILD inline void write_decimal(char* out, unsigned value) noexcept {
    unsigned divisor = 1;
    while (value / divisor >= 10) {
        divisor *= 10;
    }
    for (; divisor != 0; divisor /= 10) {
        *out++ = static_cast<char>('0' + value / divisor % 10);
    }
    *out = '\0';
}

CLUSTER_IN_CHILD inline void reset_signal_dispositions() noexcept {
    // All zero is SIG_DFL in every layout of the kernel's struct sigaction. exec would reset the
    // handled signals by itself, but not the ignored ones, and the mask opens before exec.
    const unsigned long defaults[8] = {};
    for (int number = 1; number < _NSIG; ++number) {
        if (number != SIGKILL && number != SIGSTOP) {
            raw(SYS_rt_sigaction, number, defaults, nullptr, signal_set_bytes);
        }
    }
}

CLUSTER_IN_CHILD inline void open_signal_mask() noexcept {
    const unsigned long none[8] = {};
    raw(SYS_rt_sigprocmask, SIG_SETMASK, none, nullptr, signal_set_bytes);
}

/// Moves `fd` to a number of at least `floor`, out of the way of the targets.
CLUSTER_IN_CHILD inline bool lift(int& fd, int floor) noexcept {
    if (fd < floor) {
        fd = static_cast<int>(raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, floor));
    }
    return fd >= 0;
}

CLUSTER_IN_CHILD inline bool place(int source, int target, int flags) noexcept {
    return raw(SYS_dup3, source, target, flags) >= 0;
}

/// The first number that the new program may not have open.
CLUSTER_IN_CHILD inline int descriptor_floor(const child_job& job) noexcept {
    return job.table_size + (job.executable >= 0 ? 1 : 0);
}

/// Sources first leave the range of the targets, so swaps, cycles and collisions need no thought.
CLUSTER_IN_CHILD inline bool lift_sources(child_job& job, int floor) noexcept {
    for (int target = 0; target < job.table_size; ++target) {
        int& source = job.table[target];
        if (source == target) { // only its close-on-exec flag is in the way
            if (raw(SYS_fcntl, source, F_SETFD, 0) != 0) {
                return false;
            }
        } else if (source >= 0 && !lift(source, floor)) {
            return false;
        }
    }
    return job.executable < 0 || lift(job.executable, floor);
}

CLUSTER_IN_CHILD inline bool place_descriptors(child_job& job) noexcept {
    const int floor = descriptor_floor(job);
    if (!lift_sources(job, floor)) {
        return false;
    }
    int null_device = -1;
    for (int target = 0; target < job.table_size; ++target) {
        int source = job.table[target];
        if (source < 0 && target > STDERR_FILENO) {
            raw(SYS_close, target);
            continue;
        }
        if (source < 0 && null_device < 0) {
            null_device = static_cast<int>(
                raw(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY));
            if (null_device < 0 || !lift(null_device, floor)) {
                return false;
            }
        }
        source = source < 0 ? null_device : source;
        if (source != target && !place(source, target, 0)) {
            return false;
        }
    }
    // The program's own descriptor comes right behind the table and ends with exec.
    return job.executable < 0 || place(job.executable, job.table_size, O_CLOEXEC);
}

/// `struct linux_dirent64`, which no libc header declares.
struct directory_record {
    std::uint64_t inode;
    std::int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[5];
};

/// \returns the number that the entry names, -1 for "." and "..".
CLUSTER_IN_CHILD inline int listed_descriptor(const char* name) noexcept {
    int number = 0;
    for (; *name != '\0'; ++name) {
        if (*name < '0' || *name > '9') {
            return -1;
        }
        number = number * 10 + (*name - '0');
    }
    return number;
}

/// The descriptors of this process by /proc, in ascending order, so closing meanwhile skips nothing.
class listed_descriptors {
public:
    CLUSTER_IN_CHILD listed_descriptors() noexcept
        : directory_{static_cast<int>(
              raw(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC))} {}
    listed_descriptors(listed_descriptors&&) = delete;
    listed_descriptors& operator=(listed_descriptors&&) = delete;
    CLUSTER_IN_CHILD ~listed_descriptors() {
        if (directory_ >= 0) {
            raw(SYS_close, directory_);
        }
    }

    /// \returns the next one but for its own, -1 when there is none
    CLUSTER_IN_CHILD int next() noexcept {
        while (directory_ >= 0) {
            if (at_ >= size_) {
                size_ = raw(SYS_getdents64, directory_, buffer_, sizeof buffer_);
                at_ = 0;
            }
            if (size_ <= 0) {
                break;
            }
            const auto* record = reinterpret_cast<const directory_record*>(buffer_ + at_);
            const char* name = record->name;
            at_ += record->length;
            const int number = listed_descriptor(name);
            if (number >= 0 && number != directory_) {
                return number;
            }
        }
        return -1;
    }

    /// After the last one: nothing kept any of them from us.
    [[nodiscard]] CLUSTER_IN_CHILD bool were_all() const noexcept {
        return directory_ >= 0 && size_ == 0;
    }

private:
    int directory_;
    long size_ = 0; // of what is in the buffer
    long at_ = 0;
    alignas(directory_record) char buffer_[4096];
};

CLUSTER_IN_CHILD inline bool close_listed(int floor) noexcept {
    raw(SYS_close, floor); // with the table full there is no room for the directory
    listed_descriptors all;
    for (int number = all.next(); number >= 0; number = all.next()) {
        if (number >= floor) {
            raw(SYS_close, number);
        }
    }
    return all.were_all();
}

CLUSTER_IN_CHILD inline void close_from(int floor) noexcept {
#if defined(SYS_close_range)
    constexpr long close_range_number = SYS_close_range;
#else
    constexpr long close_range_number = 436; // the same on every architecture but alpha
#endif
    // 5.9; sandboxes refuse it with EPERM as well as with ENOSYS.
    if (raw(close_range_number, floor, ~0U, 0) == 0 || close_listed(floor)) {
        return;
    }
    // Not up to RLIMIT_NOFILE: it may be a billion, and may have been lowered below what is open.
    for (int number = floor; number < 65536; ++number) {
        raw(SYS_close, number);
    }
}

CLUSTER_IN_CHILD inline bool set_limits(const child_job& job) noexcept {
    for (int i = 0; i < job.limit_count; ++i) {
        const resource_limit& limit = job.limits[i];
        // The system call counts in 64 bits everywhere, `rlim_t` does not.
        const std::uint64_t pair[2] = {limit.soft == RLIM_INFINITY ? ~std::uint64_t{0} : limit.soft,
                                       limit.hard == RLIM_INFINITY ? ~std::uint64_t{0}
                                                                   : limit.hard};
        if (raw(SYS_prlimit64, 0, limit.which, pair, nullptr) != 0) {
            return false;
        }
    }
    return true;
}

CLUSTER_IN_CHILD inline bool set_surroundings(const child_job& job) noexcept {
    if (job.new_session && raw(SYS_setsid) < 0) {
        return false;
    }
    // A session leader leads its group already and may not ask again.
    if (job.new_process_group && !job.new_session && raw(SYS_setpgid, 0, 0) != 0) {
        return false;
    }
    if (job.has_umask) {
        raw(SYS_umask, job.umask_value);
    }
    if (job.directory != nullptr && raw(SYS_chdir, job.directory) != 0) {
        return false;
    }
    if (job.has_nice && raw(SYS_setpriority, PRIO_PROCESS, 0, job.nice_value) != 0) {
        return false;
    }
    if (job.has_affinity && raw(SYS_sched_setaffinity, 0, sizeof job.affinity, job.affinity) != 0) {
        return false;
    }
    return set_limits(job);
}

#if defined(SYS_setresuid32) // 32-bit systems: the plain names mean 16-bit ids
inline constexpr long setresuid_number = SYS_setresuid32, getresuid_number = SYS_getresuid32;
inline constexpr long setresgid_number = SYS_setresgid32, getresgid_number = SYS_getresgid32;
inline constexpr long setgroups_number = SYS_setgroups32, getgroups_number = SYS_getgroups32;
#else
inline constexpr long setresuid_number = SYS_setresuid, getresuid_number = SYS_getresuid;
inline constexpr long setresgid_number = SYS_setresgid, getresgid_number = SYS_getresgid;
inline constexpr long setgroups_number = SYS_setgroups, getgroups_number = SYS_getgroups;
#endif

/// Whether the real, effective and saved id are all `wanted`; `query` is getresuid or getresgid.
CLUSTER_IN_CHILD inline bool all_ids_are(long query, unsigned wanted) noexcept {
    unsigned real = ~wanted, effective = ~wanted, saved = ~wanted;
    raw(query, &real, &effective, &saved);
    return real == wanted && effective == wanted && saved == wanted;
}

/// Gives up the user and the group, then looks whether they are gone for good.
CLUSTER_IN_CHILD inline bool drop_identity(const child_job& job) noexcept {
    const bool user_changes = job.has_user && !all_ids_are(getresuid_number, job.user);
    if (user_changes && raw(setgroups_number, 0, nullptr) != 0) {
        return false;
    }
    if (job.has_group && raw(setresgid_number, job.group, job.group, job.group) != 0) {
        return false;
    }
    if (job.has_user && raw(setresuid_number, job.user, job.user, job.user) != 0) {
        return false;
    }
    if ((job.has_group && !all_ids_are(getresgid_number, job.group)) ||
        (job.has_user && !all_ids_are(getresuid_number, job.user)) ||
        (user_changes && raw(getgroups_number, 0, nullptr) != 0)) {
        return fail_with(EPERM);
    }
    // The way back has to be shut: a capability that survived the change would open it.
    if (job.has_user && job.user != 0 && raw(setresuid_number, 0, 0, 0) == 0) {
        return fail_with(EPERM);
    }
    return (!job.no_new_privileges && !user_changes) ||
           raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0;
}

/// After the identity: the kernel forgets the signal when the user changes.
CLUSTER_IN_CHILD inline bool follow_parent(const child_job& job) noexcept {
    if (job.parent_death_signal == 0) {
        return true;
    }
    if (raw(SYS_prctl, PR_SET_PDEATHSIG, static_cast<long>(job.parent_death_signal)) != 0) {
        return false;
    }
    // The parent may have died before; 0 is a parent outside of this pid namespace.
    const long parent = raw(SYS_getppid);
    return parent == job.parent || parent == 0 || fail_with(ESRCH);
}

/// Returns only when it failed. A file that is no program of any kind is a shell's, as with
/// execvp(3).
CLUSTER_IN_CHILD inline void execute_path(const child_job& job, const char* path) noexcept {
    raw(SYS_execve, path, job.arguments, job.environment);
    if (errno == ENOEXEC && job.shell_arguments != nullptr) {
        job.shell_arguments[1] = path;
        raw(SYS_execve, job.shell_arguments[0], job.shell_arguments, job.environment);
    }
}

/// Whether the next place of a search may have what this one has not.
CLUSTER_IN_CHILD inline bool goes_on_searching(int error) noexcept {
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ENAMETOOLONG ||
           error == ESTALE || error == ENODEV || error == ETIMEDOUT;
}

/// Returns only when it failed: with EACCES if that was the trouble with any of the places.
CLUSTER_IN_CHILD inline void execute_first_found(const child_job& job) noexcept {
    execute_path(job, job.path);
    bool denied = errno == EACCES;
    for (const char* const* next = job.further_paths;
         next != nullptr && *next != nullptr && goes_on_searching(errno);
         ++next) {
        execute_path(job, *next);
        denied = denied || errno == EACCES;
    }
    if (denied && goes_on_searching(errno)) {
        errno = EACCES;
    }
}

/// Returns only when it failed.
CLUSTER_IN_CHILD inline void execute(const child_job& job) noexcept {
    if (job.executable < 0) {
        execute_first_found(job);
        return;
    }
    const int fd = job.table_size;
    raw(SYS_execveat, fd, "", job.arguments, job.environment, AT_EMPTY_PATH);
    if (errno == ENOSYS || errno == EPERM) { // EPERM: sandboxes that do not know the call
        char path[14 + 11] = {'/', 'p', 'r', 'o', 'c', '/', 's', 'e', 'l', 'f', '/', 'f', 'd', '/'};
        write_decimal(path + 14, static_cast<unsigned>(fd));
        raw(SYS_execve, static_cast<const char*>(path), job.arguments, job.environment);
    }
}

/// The entry of the child. Every signal is blocked when it starts.
CLUSTER_IN_CHILD inline int run_child(void* argument) noexcept {
    child_job& job = *static_cast<child_job*>(argument);
    reset_signal_dispositions();
    if (place_descriptors(job)) {
        close_from(descriptor_floor(job));
        if (set_surroundings(job) && drop_identity(job) && follow_parent(job)) {
            if (job.pid_text != nullptr) {
                write_decimal(job.pid_text, static_cast<unsigned>(raw(SYS_getpid)));
            }
            open_signal_mask();
            execute(job);
        }
    }
    job.error = errno;
    for (;;) {
        raw(SYS_exit_group, 127);
    }
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#undef CLUSTER_IN_CHILD

#endif // CLUSTER_DETAIL_OS_LINUX_SPAWN_CHILD_HPP
