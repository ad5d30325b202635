// SPDX-License-Identifier: MIT
#include <cluster/detail/os/linux/process_info.hpp> // first and alone: proves it is self-contained

#include <cluster/detail/os/linux/process.hpp>

#include "support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace os = cluster::detail::os;
using cluster::unique_fd;
using os::cgroup_version;

namespace {

/// Tries `condition` for a long time. \returns whether it held
template <typename Condition>
bool holds_in_time(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

/// User and system time of this process, by another way.
std::chrono::nanoseconds charged_time() {
    rusage usage{};
    REQUIRE(::getrusage(RUSAGE_SELF, &usage) == 0);
    return std::chrono::seconds{usage.ru_utime.tv_sec + usage.ru_stime.tv_sec} +
           std::chrono::microseconds{usage.ru_utime.tv_usec + usage.ru_stime.tv_usec};
}

/// A child that hangs, its process name set to `name`. Killed at the end of the scope.
class hanging {
public:
    explicit hanging(const char* name) {
        const char* const arguments[] = {FIXTURE_PROCESS_TITLE, "--name", name, "--hang", nullptr};
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        const unique_fd out{ends[0]};
        unique_fd in{ends[1]};
        const int descriptors[] = {-1, in.get(), STDERR_FILENO};
        os::spawn_request request;
        request.path = FIXTURE_PROCESS_TITLE;
        request.arguments = arguments;
        request.descriptors = descriptors;
        std::error_code error;
        child_ = os::spawn(request, error);
        REQUIRE_FALSE(error);
        in.reset();
        std::string text;
        char buffer[256];
        for (ssize_t size = 1; size > 0;) { // it closes the pipe when it is ready
            size = ::read(out.get(), buffer, sizeof buffer);
            text.append(buffer, static_cast<std::size_t>(size > 0 ? size : 0));
        }
        REQUIRE(text.ends_with("ready\n"));
    }
    ~hanging() {
        child_.signal(SIGKILL);
        child_.wait();
    }
    hanging(const hanging&) = delete;
    hanging& operator=(const hanging&) = delete;

    [[nodiscard]] int pid() const noexcept { return child_.pid(); }
    void signal(int number) const { CHECK_FALSE(child_.signal(number)); }
    /// Waits until it is `what` (WSTOPPED, WEXITED), and leaves it so.
    void until(int what) const {
        siginfo_t info{};
        REQUIRE(::waitid(P_PID, static_cast<id_t>(pid()), &info, what | WNOWAIT) == 0);
    }
    void end() {
        signal(SIGKILL);
        child_.wait();
    }

private:
    os::child_process child_;
};

unique_fd listen_on_loopback(int backlog) {
    unique_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(fd.get(), backlog) == 0);
    return fd;
}

/// Connected, or with SOCK_NONBLOCK on the way to it.
unique_fd connect_to(const unique_fd& listener, int flags = 0) {
    sockaddr_in at{};
    socklen_t size = sizeof at;
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
    unique_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)};
    const int result = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), size);
    REQUIRE((result == 0 || (errno == EINPROGRESS && flags != 0)));
    return fd;
}

} // namespace

TEST_SUITE("detail/os/process_info") {
    TEST_CASE("this process has memory and time") {
        std::uint64_t work = 1;
        REQUIRE(holds_in_time([&] {
            for (int i = 0; i < 100'000; ++i) {
                work = work * 6364136223846793005U + 1;
            }
            return os::usage_of(::getpid()).cpu_time > std::chrono::milliseconds{50};
        }));
        CHECK(work != 0);
        const os::process_usage before = os::usage_of(::getpid());
        CHECK(before.known);
        CHECK(before.resident_bytes > 100'000);
        std::vector<char> memory(32U << 20U);
        for (std::size_t i = 0; i < memory.size(); i += 1024) {
            *static_cast<volatile char*>(&memory[i]) = 1;
        }
        CHECK(os::usage_of(::getpid()).resident_bytes > before.resident_bytes + (16U << 20U));
    }

    TEST_CASE("the time is what the system charges the process with") {
        constexpr std::chrono::milliseconds rounding{30};
        const std::chrono::nanoseconds before = charged_time();
        const std::chrono::nanoseconds told = os::usage_of(::getpid()).cpu_time;
        CHECK(told >= before - rounding);
        CHECK(told <= charged_time() + rounding);
    }

    TEST_CASE("a name with parentheses and blanks does not shift the fields") {
        const hanging child{"a) Z 1 (b"};
        const os::process_usage usage = os::usage_of(child.pid());
        CHECK(usage.known);
        CHECK(usage.resident_bytes > 0);
        CHECK(usage.cpu_time < std::chrono::minutes{10});
        CHECK(holds_in_time(
            [&] { return os::describe_process(child.pid()).starts_with("state S (sleeping)\n"); }));
    }

    TEST_CASE("fields are counted behind the name") {
        const os::process_stat stat = os::parse_stat(
            "7 (x) R) S 1 -7 7 0 -1 4194304 102 0 0 0 31 41 0 0 20 0 3 0 123849 99\n");
        CHECK(stat.state == 'S');
        CHECK(stat.field[4] == 1);
        CHECK(stat.field[5] == 0);
        CHECK(stat.field[14] == 31);
        CHECK(stat.field[15] == 41);
        CHECK(stat.field[20] == 3);
        CHECK(stat.field[23] == 99);
        CHECK(stat.field[24] == 0);
        for (const char* text : {"", "1", "1 (x", "1 (x)", "1 (x) ", ")", ") "}) {
            CHECK(os::parse_stat(text).state == '\0');
        }
    }

    TEST_CASE("a stopped child is described") {
        const hanging child{"stopped"};
        CHECK_FALSE(os::is_halted(child.pid()));
        child.signal(SIGSTOP);
        child.until(WSTOPPED);
        CHECK(os::is_halted(child.pid()));
        const std::string text = os::describe_process(child.pid());
        CHECK_MESSAGE(text.starts_with("state T (stopped)\n"), text);
        CHECK(text.ends_with('\n'));
        CHECK(text.size() <= 2048);
    }

    TEST_CASE("one that has ended and one that never was are empty") {
        hanging child{"ended"};
        const int pid = child.pid();
        CHECK_FALSE(os::is_exiting(pid));
        child.signal(SIGKILL);
        child.until(WEXITED);
        CHECK(os::is_exiting(pid));
        CHECK(os::is_halted(pid));
        const os::process_usage usage = os::usage_of(pid);
        CHECK(usage.known); // not reaped
        CHECK(usage.resident_bytes == 0);
        CHECK(os::describe_process(pid).starts_with("state Z (zombie)\n"));
        child.end();
        for (const int gone :
             {pid, 0, -1, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
            CHECK_FALSE(os::usage_of(gone).known);
            CHECK(os::usage_of(gone).resident_bytes == 0);
            CHECK(os::describe_process(gone).empty());
            CHECK_FALSE(os::is_traced(gone));
            CHECK_FALSE(os::is_exiting(gone));
            CHECK_FALSE(os::is_halted(gone));
        }
    }

    TEST_CASE("without /proc everything is empty") {
        const cluster_test::temporary_directory empty;
        bool changed = false;
        os::process_usage usage;
        std::string description;
        std::uint64_t kills = 0;
        int limit = 0;
        std::thread{[&] { // a root directory of its own
            changed = ::unshare(CLONE_FS) == 0 && ::chroot(empty.path().c_str()) == 0;
            usage = os::usage_of(::getpid());
            description = os::describe_process(::getpid());
            kills = os::out_of_memory_counter{}.read();
            limit = os::listen_backlog_limit();
        }}
            .join();
        if (!changed) {
            MESSAGE("skipped: it needs root");
            return;
        }
        CHECK_FALSE(usage.known);
        CHECK(description.empty());
        CHECK(kills == 0);
        CHECK(limit == -1);
    }

    TEST_CASE("a debugger is noticed") {
        const hanging child{"traced\nTracerPid:\t1"};
        CHECK_FALSE(os::is_traced(child.pid()));
        if (::ptrace(PTRACE_SEIZE, child.pid(), nullptr, nullptr) != 0) {
            MESSAGE("skipped: the system permits no debugger");
            return;
        }
        CHECK(os::is_traced(child.pid()));
    }

    TEST_CASE("a description has a line for each thing that is known") {
        CHECK(os::describe({"1 (x) D 2 3\n",
                            "wait_on_page",
                            "0 0x5 0x1\n",
                            "[<0>] a+0x1/0x2\n"
                            "[<0>] b+0x3/0x4\n"}) ==
              "state D (uninterruptible)\nwait channel wait_on_page\nsystem call 0 (" +
                  std::string{os::system_call_name(0)} +
                  ")\nkernel stack\n  a+0x1/0x2\n  b+0x3/0x4\n");
        CHECK(os::describe({"1 (x) R 2\n", "0", "running\n", ""}) == "state R (running)\n");
        CHECK(os::describe({"1 (x) ? 2\n", "", "-1 0x1 0x2\n", ""}) == "state ?\n");
        CHECK(os::describe({"", "0\n", "123456 0x1\n", ""}) == "system call 123456\n");
        CHECK(os::describe({"1 (x) t 2", "", "", ""}) == "state t (traced)\n");
        CHECK(os::describe({}).empty());
    }

    TEST_CASE("a description is printable and short whatever the system says") {
        CHECK(os::describe({"1 (x) \x01 2", "a\tb\x1b[1m\x7f\xff", "", ""}) ==
              "state \\x01\nwait channel a\\x09b\\x1b[1m\\x7f\\xff\n");
        for (std::size_t extra = 0; extra < 8; ++extra) {
            const std::string stack = std::string(extra, 'a') + std::string(3000, '\x02');
            const std::string text = os::describe({"1 (x) S 2", "", "", stack});
            CHECK(text.size() <= 2048);
            CHECK(text.size() > 2040);
            CHECK(text.find_first_of("\x02") == std::string::npos);
        }
        const std::string lines(5000, '\n');
        CHECK(os::describe({"1 (x) S 2", "", "", lines}).size() <= 2048);
    }

    TEST_CASE("the system calls that an event loop waits in have names") {
        CHECK(os::system_call_name(SYS_epoll_pwait) == "epoll_pwait");
        CHECK(os::system_call_name(SYS_read) == "read");
        CHECK(os::system_call_name(1'000'000).empty());
    }

    TEST_CASE("kills for want of memory are counted in both versions") {
        const cluster_test::temporary_directory top;
        std::filesystem::create_directories(top / "a/b");
        const auto mount = [&](const std::string& tail) {
            return "41 31 0:38 / " + top.path() + " rw,nosuid shared:9 - " + tail + "\n";
        };
        const auto counted = [](const std::optional<std::string>& file) {
            return file ? os::oom_kills_in(*file) : std::nullopt;
        };
        SUBCASE("version 2") {
            const auto count = [&] {
                return counted(os::cgroup_oom_file(
                    "5:cpu:/x\n0::/a/b\n", mount("cgroup2 none rw"), cgroup_version::v2));
            };
            CHECK_FALSE(count());
            std::ofstream{top / "a/b/memory.events"}
                << "low 0\nhigh 0\nmax 81\noom 9\noom_kill 7\noom_group_kill 5\n";
            CHECK(count() == 7U);
        }
        SUBCASE("version 1") {
            const auto count = [&](const char* options) {
                return counted(os::cgroup_oom_file("5:cpu:/x\n4:hugetlb,memory:/a\n0::/a/b\n",
                                                   mount(options),
                                                   cgroup_version::v1));
            };
            CHECK_FALSE(count("cgroup none rw,memory"));
            std::ofstream{top / "a/memory.oom_control"}
                << "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
            CHECK(count("cgroup none rw,memory") == 3U);
            CHECK_FALSE(count("cgroup none rw,cpu"));
            std::ofstream{top / "a/memory.oom_control"} << "oom_kill_disable 0\nunder_oom 0\n";
            CHECK_FALSE(count("cgroup none rw,memory")); // before Linux 4.13
        }
        os::out_of_memory_counter counter;
        CHECK(counter.read() < std::numeric_limits<std::uint32_t>::max());
        CHECK(counter.read() < std::numeric_limits<std::uint32_t>::max()); // the same file again
    }

    TEST_CASE("the system's limit on the backlog") {
        const int limit = os::listen_backlog_limit();
        CHECK((limit == -1 || limit > 0));
    }

    TEST_CASE("the queue of a listening socket") {
        const unique_fd listener = listen_on_loopback(7);
        if (os::queue_of(listener.get()).limit == 0) {
            MESSAGE("skipped: the system does not tell");
            return;
        }
        CHECK(os::queue_of(listener.get()).limit == 7);
        CHECK(os::queue_of(listener.get()).waiting == 0);
        std::vector<unique_fd> clients;
        for (std::uint32_t waiting = 1; waiting <= 3; ++waiting) {
            clients.push_back(connect_to(listener));
            CHECK(holds_in_time([&] { return os::queue_of(listener.get()).waiting == waiting; }));
        }
        const unique_fd accepted{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        CHECK(os::queue_of(listener.get()).waiting == 2);
        const unique_fd local{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        const unique_fd full = listen_on_loopback(0);
        const unique_fd first = connect_to(full);
        REQUIRE(holds_in_time([&] { return os::queue_of(full.get()).waiting == 1; }));
        const unique_fd unanswered = connect_to(full, SOCK_NONBLOCK); // has sent what nobody acks
        for (const int other :
             {accepted.get(), unanswered.get(), clients.front().get(), local.get(), -1}) {
            CHECK(os::queue_of(other).waiting == 0);
            CHECK(os::queue_of(other).limit == 0);
        }
    }
}
