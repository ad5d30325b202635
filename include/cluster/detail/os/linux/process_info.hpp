// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_PROCESS_INFO_HPP
#define CLUSTER_DETAIL_OS_LINUX_PROCESS_INFO_HPP

#include "../../../unique_fd.hpp"
#include "../../chrono.hpp"
#include "../../number.hpp"
#include "cpu.hpp"
#include "fd.hpp"

#include <array>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/// \file
/// What the system tells about a process of ours. Nothing here throws: what cannot be read, because
/// the process is gone, /proc is not there or it is not permitted, is empty. A pid that nobody has
/// reaped yet cannot be another's, so ask before the child is waited for.

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// Reads a small file of /proc with one system call. \returns its text in `buffer`, cut to its size
inline std::string_view read_into(const char* path, std::span<char> buffer) noexcept {
    const unique_fd file{::open(path, O_RDONLY | O_CLOEXEC)};
    const ssize_t size =
        file ? retry([&] { return ::read(file.get(), buffer.data(), buffer.size()); }) : -1;
    return {buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

/// The same for /proc/`pid`/`name`, where `name` has at most 20 characters.
inline std::string_view
read_of_process(int pid, std::string_view name, std::span<char> buffer) noexcept {
    char path[48] = "/proc/";
    char* end = write_number(path + 6, pid);
    *end++ = '/';
    end[name.copy(end, 20)] = '\0';
    return pid > 0 ? read_into(path, buffer) : std::string_view{};
}

/// The same for a thread of this process; `name` has at most 7 characters.
inline std::string_view
read_of_thread(int thread, std::string_view name, std::span<char> buffer) noexcept {
    char path[24] = "task/";
    char* end = write_number(path + 5, thread);
    *end++ = '/';
    end += name.copy(end, 7);
    const std::string_view text{path, static_cast<std::size_t>(end - path)};
    return thread > 0 ? read_of_process(::getpid(), text, buffer) : std::string_view{};
}

/// The content of /proc/PID/stat.
struct process_stat {
    char state = '\0';                     ///< '\0': not understood
    std::array<std::uint64_t, 53> field{}; ///< by the numbers of proc(5); 0 for negative ones

    [[nodiscard]] bool is_known() const noexcept { return state != '\0'; }
    [[nodiscard]] std::uint64_t threads() const noexcept { return field[20]; }
};

/// The second field is a name of any bytes, in parentheses: the last ')' ends it.
inline process_stat parse_stat(std::string_view text) noexcept {
    process_stat result;
    const std::size_t name_end = text.rfind(") ");
    if (name_end == std::string_view::npos || name_end + 3 >= text.size()) {
        return result;
    }
    text.remove_prefix(name_end + 2);
    result.state = cut(text, ' ').front();
    for (std::size_t number = 4; number < result.field.size() && !text.empty(); ++number) {
        result.field[number] = parse_count(cut(text, ' ')).value_or(0);
    }
    return result;
}

/// What a process uses.
struct process_usage {
    std::uint64_t resident_bytes = 0;     ///< 0 for one that has ended and was not waited for yet
    std::chrono::nanoseconds cpu_time{0}; ///< of all its threads, in user and kernel mode
    bool known = false;
};

inline std::chrono::nanoseconds cpu_time_of(const process_stat& stat) noexcept {
    const long ticks = ::sysconf(_SC_CLK_TCK);
    const auto used = static_cast<std::int64_t>(stat.field[14] + stat.field[15]);
    return std::chrono::nanoseconds{ticks > 0 ? used * (1'000'000'000 / ticks) : 0};
}

/// Reads two small files, without an allocation.
inline process_usage usage_of(int pid) noexcept {
    char memory[256];
    char buffer[2048];
    std::string_view pages = read_of_process(pid, "statm", memory);
    cut(pages, ' '); // the size of the address space
    const auto resident = parse_count(cut(pages, ' '));
    const process_stat stat = parse_stat(read_of_process(pid, "stat", buffer));
    const long page = ::sysconf(_SC_PAGESIZE);
    if (!resident || !stat.is_known() || page <= 0) {
        return {};
    }
    return {*resident * static_cast<std::uint64_t>(page), cpu_time_of(stat), true};
}

/// The same for a thread of this process, which has no memory of its own.
inline process_usage usage_of_thread(int thread) noexcept {
    char buffer[2048];
    const process_stat stat = parse_stat(read_of_thread(thread, "stat", buffer));
    return {0, cpu_time_of(stat), stat.is_known()};
}

/// Whether a debugger is attached to it: one that stands at a breakpoint does not hang.
inline bool is_traced(int pid) noexcept {
    constexpr std::string_view label = "\nTracerPid:\t";
    char buffer[1024]; // it is among the first lines, and a line break in the name is escaped
    const std::string_view text = read_of_process(pid, "status", buffer);
    const std::size_t at = text.find(label);
    return at != std::string_view::npos && parse_count(text.substr(at + label.size())) > 0U;
}

/// Whether it is on its way out: its descriptors may be closed while the rest of it still goes.
inline bool is_exiting(int pid) noexcept {
    constexpr std::uint64_t exiting_flag = 4; // PF_EXITING of the kernel
    char buffer[1024];
    return (parse_stat(read_of_process(pid, "stat", buffer)).field[9] & exiting_flag) != 0;
}

/// Whether it does not run on until somebody lets it (SIGSTOP, a debugger), or never again, being a
/// zombie.
inline bool is_halted(int pid) noexcept {
    char buffer[1024];
    const char state = parse_stat(read_of_process(pid, "stat", buffer)).state;
    return state == 'T' || state == 't' || state == 'Z' || state == 'X';
}

/// The state letter of /proc/PID/stat in words; empty for an unknown one.
constexpr std::string_view state_name(char letter) noexcept {
    switch (letter) {
    case 'R':
        return "running";
    case 'S':
        return "sleeping";
    case 'D':
        return "uninterruptible";
    case 'T':
        return "stopped";
    case 't':
        return "traced";
    case 'Z':
        return "zombie";
    case 'X':
        return "dead";
    case 'I':
        return "idle";
    case 'P':
        return "parked";
    default:
        return {};
    }
}

/// The system calls that a server is found in, for people to read; empty for others.
constexpr std::string_view system_call_name(std::uint64_t number) noexcept {
    struct entry {
        std::uint64_t number;
        std::string_view name;
    };
    // What newer architectures do not have (they have the more general call) is conditional.
    constexpr entry names[] = {
        {SYS_accept4, "accept4"},
        {SYS_accept, "accept"},
        {SYS_clock_nanosleep, "clock_nanosleep"},
        {SYS_close, "close"},
        {SYS_connect, "connect"},
        {SYS_epoll_pwait, "epoll_pwait"},
#if defined(SYS_epoll_pwait2)
        {SYS_epoll_pwait2, "epoll_pwait2"},
#endif
#if defined(SYS_epoll_wait)
        {SYS_epoll_wait, "epoll_wait"},
#endif
        {SYS_execve, "execve"},
        {SYS_exit_group, "exit_group"},
        {SYS_fcntl, "fcntl"},
        {SYS_fdatasync, "fdatasync"},
        {SYS_flock, "flock"},
        {SYS_fsync, "fsync"},
#if defined(SYS_futex)
        {SYS_futex, "futex"},
#endif
#if defined(SYS_getrandom)
        {SYS_getrandom, "getrandom"},
#endif
#if defined(SYS_io_uring_enter)
        {SYS_io_uring_enter, "io_uring_enter"},
#endif
        {SYS_ioctl, "ioctl"},
#if defined(SYS_mmap)
        {SYS_mmap, "mmap"},
#endif
        {SYS_munmap, "munmap"},
        {SYS_nanosleep, "nanosleep"},
#if defined(SYS_open)
        {SYS_open, "open"},
#endif
        {SYS_openat, "openat"},
#if defined(SYS_pause)
        {SYS_pause, "pause"},
#endif
#if defined(SYS_poll)
        {SYS_poll, "poll"},
#endif
        {SYS_ppoll, "ppoll"},
        {SYS_pread64, "pread64"},
        {SYS_pselect6, "pselect6"},
        {SYS_pwrite64, "pwrite64"},
        {SYS_read, "read"},
        {SYS_readv, "readv"},
        {SYS_recvfrom, "recvfrom"},
        {SYS_recvmsg, "recvmsg"},
        {SYS_restart_syscall, "restart_syscall"},
        {SYS_rt_sigsuspend, "rt_sigsuspend"},
        {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
#if defined(SYS_select)
        {SYS_select, "select"},
#endif
        {SYS_sendfile, "sendfile"},
        {SYS_sendmsg, "sendmsg"},
        {SYS_sendto, "sendto"},
        {SYS_splice, "splice"},
        {SYS_wait4, "wait4"},
        {SYS_waitid, "waitid"},
        {SYS_write, "write"},
        {SYS_writev, "writev"},
    };
    for (const entry& each : names) {
        if (each.number == number) {
            return each.name;
        }
    }
    return {};
}

/// Appends `text`, what is not printable ASCII as \xHH. Ends at `limit` bytes, never inside of \xHH.
inline void append_printable(std::string& out, std::string_view text, std::size_t limit) {
    constexpr std::string_view digits = "0123456789abcdef";
    for (const char each : text) {
        const auto byte = static_cast<unsigned char>(each);
        const bool printable = (byte >= 0x20 && byte < 0x7f) || byte == '\n';
        if (out.size() + (printable ? 1 : 4) > limit) {
            return;
        }
        if (printable) {
            out += each;
        } else {
            out += {'\\', 'x', digits[byte >> 4U], digits[byte & 0xfU]};
        }
    }
}

/// The texts of /proc/PID that tell what a process waits for.
struct process_texts {
    std::string_view stat, wait_channel, system_call, stack;
};

/// A report of them as `describe_process` gives it.
inline std::string describe(process_texts texts) {
    constexpr std::size_t limit = 2048;
    std::string report;
    const auto line = [&](std::string_view label, std::string_view text, std::string_view more) {
        for (const std::string_view part : {label, text, more, std::string_view{"\n"}}) {
            append_printable(report, part, limit);
        }
    };
    if (const char letter = parse_stat(texts.stat).state; letter != '\0') {
        const std::string_view name = state_name(letter);
        line("state ", {&letter, 1}, name.empty() ? "" : " (" + std::string{name} + ")");
    }
    if (const auto channel = cut(texts.wait_channel, '\n'); !channel.empty() && channel != "0") {
        line("wait channel ", channel, {});
    }
    // The number, or "running" (the state says it), or -1 outside of a system call.
    const std::string_view call = cut(texts.system_call, ' ');
    if (const auto number = parse_count(call)) {
        const std::string_view name = system_call_name(*number);
        line("system call ", call, name.empty() ? "" : " (" + std::string{name} + ")");
    }
    if (!texts.stack.empty()) {
        line("kernel stack", {}, {});
    }
    while (!texts.stack.empty()) {
        std::string_view frame = cut(texts.stack, '\n'); // "[<0>] do_epoll_wait+0x6d5/0x7d0"
        const std::size_t address_end = frame.find("] ");
        frame.remove_prefix(address_end == std::string_view::npos ? 0 : address_end + 2);
        line("  ", frame, {});
    }
    return report;
}

/// The report with the texts that `read(name, buffer)` finds.
template <typename Read>
std::string describe_by(Read read) noexcept {
    char stat[2048];
    char wait_channel[128];
    char system_call[256];
    char stack[4096];
    try {
        return describe({read("stat", stat),
                         read("wchan", wait_channel),
                         read("syscall", system_call),
                         read("stack", stack)});
    } catch (...) { // no memory for the text
        return {};
    }
}

/// What its main thread does, or waits for: for the report on a worker that no longer answers, e.g.
/// "state T (stopped)\nwait channel do_signal_stop\n". Printable ASCII in lines, 2 KiB at most.
/// What the system does not let us read is left out.
inline std::string describe_process(int pid) noexcept {
    return describe_by([pid](std::string_view name, std::span<char> buffer) {
        return read_of_process(pid, name, buffer);
    });
}

/// The same for a thread of this process.
inline std::string describe_thread(int thread) noexcept {
    return describe_by([thread](std::string_view name, std::span<char> buffer) {
        return read_of_thread(thread, name, buffer);
    });
}

/// \returns the number behind `key` in lines of "key number", as cgroup files have them
inline std::optional<std::uint64_t> find_count(std::string_view text,
                                               std::string_view key) noexcept {
    while (!text.empty()) {
        std::string_view line = cut(text, '\n');
        if (cut(line, ' ') == key) {
            return parse_count(line);
        }
    }
    return std::nullopt;
}

/// The counter in such a file of a memory cgroup; none when it has none.
inline std::optional<std::uint64_t> oom_kills_in(const std::string& file) noexcept {
    char buffer[512];
    return find_count(read_into(file.c_str(), buffer), "oom_kill");
}

/// The file with that counter of the memory cgroup, given the contents of /proc/self/cgroup and
/// /proc/self/mountinfo.
inline std::optional<std::string>
cgroup_oom_file(std::string_view cgroups, std::string_view mounts, cgroup_version version) {
    const auto cgroup = parse_cgroup(cgroups, version, "memory");
    const auto mount = parse_mount(mounts, version, "memory");
    if (!cgroup || !mount) {
        return std::nullopt;
    }
    std::string file{mount->point};
    file += below_mount(*cgroup, mount->root);
    file += version == cgroup_version::v2 ? "/memory.events" : "/memory.oom_control";
    return oom_kills_in(file) ? std::optional{std::move(file)} : std::nullopt;
}

/// How many processes of our memory cgroup the kernel has killed for want of memory. Workers are in
/// the primary's cgroup unless somebody moved them. Looks for the cgroup once, as that takes longer
/// than all the rest of noticing a death.
class out_of_memory_counter {
public:
    /// 0 when the kernel does not tell.
    std::uint64_t read() noexcept {
        try {
            if (!std::exchange(looked_, true)) {
                const std::string cgroups = read_text("/proc/self/cgroup");
                const std::string mounts = read_text("/proc/self/mountinfo");
                const auto file = cgroup_oom_file(cgroups, mounts, cgroup_version::v1);
                file_ = file ? *file
                             : cgroup_oom_file(cgroups, mounts, cgroup_version::v2).value_or("");
            }
            return file_.empty() ? 0 : oom_kills_in(file_).value_or(0);
        } catch (...) { // no memory for the text
            return 0;
        }
    }

private:
    bool looked_ = false;
    std::string file_;
};

/// The system's limit on the backlog of a listening socket, net.core.somaxconn; -1 unknown.
inline int listen_backlog_limit() noexcept {
    char buffer[32];
    const auto limit = parse_count(read_into("/proc/sys/net/core/somaxconn", buffer));
    return limit && *limit <= INT_MAX ? static_cast<int>(*limit) : -1;
}

/// The queue of connections that nobody has accepted yet.
struct listen_queue {
    std::uint32_t waiting = 0; ///< may be one more than `limit`
    std::uint32_t limit = 0;
};

/// Zeros for what is not a listening TCP socket.
inline listen_queue queue_of(int listening_fd) noexcept {
    tcp_info info{};
    socklen_t size = sizeof info;
    const bool listening = ::getsockopt(listening_fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
                           size >= offsetof(tcp_info, tcpi_sacked) + sizeof info.tcpi_sacked &&
                           info.tcpi_state == TCP_LISTEN;
    return listening ? listen_queue{info.tcpi_unacked, info.tcpi_sacked} : listen_queue{};
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_PROCESS_INFO_HPP
