// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_SANDBOX_HPP
#define CLUSTER_DETAIL_OS_LINUX_SANDBOX_HPP

#include "../../chrono.hpp"
#include "fd.hpp"
#include "process_info.hpp"
#include "spawn_child.hpp"

#include <cstddef>
#include <cstdint>
#include <system_error>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// The system calls of a pure computation: memory, clocks, locks, random numbers, its own end, and
/// reading and writing of what is open already.
inline constexpr unsigned computing_calls[] = {
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_lseek,
    SYS_close,
    SYS_fstat,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_brk,
    SYS_futex,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_sched_yield,
    SYS_getrandom,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_getpid,
    SYS_gettid,
    SYS_tgkill,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
    SYS_getrusage,
    SYS_sched_getaffinity,
    SYS_getcpu,
    SYS_uname,
    SYS_prlimit64,
#if defined(SYS_newfstatat)
    SYS_newfstatat,
#endif
#if defined(SYS_time)
    SYS_time,
#endif
#if defined(SYS_membarrier)
    SYS_membarrier,
#endif
};

/// Neither a core file nor a pipe to a program that takes one: 1 is the kernel's word for that.
inline constexpr resource_limit no_core_dump{RLIMIT_CORE, 1, 1};

/// Ends a process, whatever it does.
inline constexpr int kill_signal = SIGKILL;

/// From now on any other system call of this process ends it with SIGSYS. For good, and for every
/// thread that it has. Sets no_new_privs.
inline std::error_code allow_only_computing() noexcept {
#if defined(__x86_64__)
    constexpr unsigned architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    constexpr unsigned architecture = AUDIT_ARCH_AARCH64;
#else
    constexpr unsigned architecture = 0;
#endif
    if (architecture == 0) {
        return std::make_error_code(std::errc::function_not_supported);
    }
    constexpr std::size_t count = std::size(computing_calls);
    constexpr unsigned load = BPF_LD | BPF_W | BPF_ABS;
    constexpr unsigned equal = BPF_JMP | BPF_JEQ | BPF_K;
    constexpr unsigned answer = BPF_RET | BPF_K;
    sock_filter program[count + 5];
    std::size_t at = 0;
    const auto add = [&](unsigned code, unsigned value, std::size_t yes, std::size_t no) {
        program[at++] = {static_cast<std::uint16_t>(code),
                         static_cast<std::uint8_t>(yes),
                         static_cast<std::uint8_t>(no),
                         value};
    };
    add(load, offsetof(seccomp_data, arch), 0, 0);
    add(equal, architecture, 0, count + 1); // numbers of another architecture mean other calls
    add(load, offsetof(seccomp_data, nr), 0, 0);
    for (std::size_t i = 0; i != count; ++i) {
        add(equal, computing_calls[i], count - i, 0);
    }
    add(answer, SECCOMP_RET_KILL_PROCESS, 0, 0);
    add(answer, SECCOMP_RET_ALLOW, 0, 0);
    const sock_fprog filter{static_cast<unsigned short>(at), program};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0 ||
        ::prctl(PR_SET_SECCOMP, static_cast<long>(SECCOMP_MODE_FILTER), &filter) != 0) {
        return last_error();
    }
    return {};
}

/// Soft limits of this process for as long as the object lives, on top of what it uses already.
class temporary_limits {
public:
    temporary_limits(std::uint64_t memory, std::uint64_t cpu_seconds) noexcept {
        if (memory != 0 && ::getrlimit(RLIMIT_AS, &memory_before_) == 0) {
            char buffer[256];
            std::string_view pages = read_into("/proc/self/statm", buffer);
            const auto used = parse_count(cut(pages, ' ')).value_or(0);
            const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
            limits_memory_ = lower(RLIMIT_AS, memory_before_, used * page + memory);
        }
        if (cpu_seconds != 0 && ::getrlimit(RLIMIT_CPU, &cpu_before_) == 0) {
            rusage used{};
            ::getrusage(RUSAGE_SELF, &used);
            const auto spent =
                static_cast<std::uint64_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec);
            limits_cpu_ = lower(RLIMIT_CPU, cpu_before_, spent + 1 + cpu_seconds);
        }
    }
    ~temporary_limits() {
        if (limits_memory_) {
            ::setrlimit(RLIMIT_AS, &memory_before_);
        }
        if (limits_cpu_) {
            ::setrlimit(RLIMIT_CPU, &cpu_before_);
        }
    }
    temporary_limits(const temporary_limits&) = delete;
    temporary_limits& operator=(const temporary_limits&) = delete;

private:
    static bool lower(int which, const rlimit& before, std::uint64_t wanted) noexcept {
        rlimit now = before;
        now.rlim_cur = static_cast<rlim_t>(wanted) < before.rlim_cur ? static_cast<rlim_t>(wanted)
                                                                     : before.rlim_cur;
        return ::setrlimit(static_cast<__rlimit_resource_t>(which), &now) == 0;
    }

    rlimit memory_before_{};
    rlimit cpu_before_{};
    bool limits_memory_ = false;
    bool limits_cpu_ = false;
};

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_SANDBOX_HPP
