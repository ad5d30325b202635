// SPDX-License-Identifier: MIT
#include <cluster/detail/os/linux/process.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

namespace os = cluster::detail::os;
using cluster::unique_fd;

namespace {

constexpr os::exit_info exited(int code) {
    return {os::exit_info::kind::exited, code, false};
}
constexpr os::exit_info signaled(int number) {
    return {os::exit_info::kind::signaled, number, false};
}

struct pipe_ends {
    unique_fd read;
    unique_fd write;
};

pipe_ends make_pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

/// Reads to the end, which comes when the last process that holds the other side is gone.
std::string read_all(const unique_fd& fd) {
    std::string text;
    char buffer[4096];
    pollfd ready{fd.get(), POLLIN, 0};
    while (::poll(&ready, 1, 30'000) == 1) {
        const ssize_t size = ::read(fd.get(), buffer, sizeof buffer);
        if (size <= 0) {
            return text;
        }
        text.append(buffer, static_cast<std::size_t>(size));
    }
    return text + "(no end within 30 s)";
}

unique_fd file_with(char content) {
    unique_fd file{::memfd_create("test", MFD_CLOEXEC)};
    REQUIRE(::write(file.get(), &content, 1) == 1);
    return file;
}

/// The fixture, ready to be started with `words`; standard output is `out`.
struct fixture {
    fixture(std::initializer_list<const char*> words) : arguments{FIXTURE_CHILD} {
        arguments.insert(arguments.end(), words);
        arguments.push_back(nullptr);
        request.path = FIXTURE_CHILD;
    }

    os::child_process start(std::error_code& error) {
        request.arguments = arguments.data();
        request.environment = environment.data();
        request.descriptors = descriptors;
        return os::spawn(request, error);
    }

    os::child_process start() {
        std::error_code error;
        os::child_process child = start(error);
        REQUIRE_MESSAGE(!error, error.message());
        return child;
    }

    /// \returns what it writes to the descriptor that `out` becomes
    std::string output(int target = 1) {
        pipe_ends out = make_pipe();
        if (descriptors.size() <= static_cast<std::size_t>(target)) {
            descriptors.resize(static_cast<std::size_t>(target) + 1, -1);
        }
        descriptors[static_cast<std::size_t>(target)] = out.write.get();
        os::child_process child = start();
        out.write.reset();
        std::string text = read_all(out.read);
        CHECK(child.wait() == exited(0));
        return text;
    }

    std::vector<const char*> arguments;
    std::vector<const char*> environment{nullptr};
    std::vector<int> descriptors{-1, -1, STDERR_FILENO};
    os::spawn_request request;
};

bool no_zombie_left() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0;
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// Refuses a system call from now on in this thread and what it starts; with `mask` only when the
/// first argument has one of these bits.
bool refuse(long number, int error, unsigned mask = 0) {
    const auto call = static_cast<std::uint32_t>(number);
    const auto refusal = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
    const auto all = static_cast<std::uint8_t>(mask == 0 ? 1 : 0);
    sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4),
        BPF_JUMP(BPF_JMP | BPF_JA, all != 0 ? 2U : 0U, 0, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, mask, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, refusal),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(steps)), steps};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/// Runs `body` in a thread where `prepare` succeeded; the thread ends after its children.
template <typename Prepare, typename Body>
void in_thread(Prepare prepare, Body body) {
    std::thread{[&] {
        if (!prepare()) {
            MESSAGE("skipped: the system refuses seccomp filters");
            return;
        }
        try {
            body();
        } catch (...) { // a REQUIRE, which doctest has noted already
        }
    }}.join();
}

/// Sets the disposition of one signal for a scope.
class disposition {
public:
    disposition(int number, void (*handler)(int)) : number_{number} {
        struct sigaction action {};
        action.sa_handler = handler;
        ::sigaction(number, &action, &before_);
    }
    ~disposition() { ::sigaction(number_, &before_, nullptr); }
    disposition(const disposition&) = delete;
    disposition& operator=(const disposition&) = delete;

private:
    int number_;
    struct sigaction before_ {};
};

std::atomic<int> handled{0};
void count_signal(int) {
    handled.fetch_add(1, std::memory_order_relaxed);
}

} // namespace

TEST_SUITE("detail/os/process") {
    TEST_CASE("an exit code is reported") {
        for (const char* code : {"0", "1", "42", "255"}) {
            CHECK(fixture{"exit", code}.start().wait() == exited(std::atoi(code)));
        }
    }

    TEST_CASE("a deadly signal is reported") {
        const rlimit no_core{0, 0};
        const os::resource_limit limit[] = {{RLIMIT_CORE, no_core.rlim_cur, no_core.rlim_max}};
        for (const int number : {SIGTERM, SIGKILL, SIGHUP, SIGUSR1}) {
            const std::string text = std::to_string(number);
            fixture program{"signal", text.c_str()};
            program.request.limits = limit;
            CHECK(program.start().wait() == signaled(number));
        }
    }

    TEST_CASE("a child reports its end once and remembers it") {
        os::child_process child = fixture{"hang"}.start();
        CHECK(child.pid() > 0);
        CHECK_FALSE(child.try_wait());
        CHECK_FALSE(child.signal(0));
        CHECK_FALSE(child.signal(SIGKILL));
        CHECK(child.wait() == signaled(SIGKILL));
        CHECK(child.try_wait() == signaled(SIGKILL));
        CHECK(child.signal(SIGTERM) == std::errc::no_such_process);
    }

    TEST_CASE("the pidfd becomes readable when the child ends") {
        os::child_process child = fixture{"exit", "3"}.start();
        if (child.pidfd() == -1) {
            MESSAGE("skipped: this kernel has no pidfd");
            child.wait();
            return;
        }
        CHECK(child.pidfd() > STDERR_FILENO);
        CHECK((::fcntl(child.pidfd(), F_GETFD) & FD_CLOEXEC) != 0);
        pollfd ended{child.pidfd(), POLLIN, 0};
        CHECK(::poll(&ended, 1, 30'000) == 1);
        CHECK(child.try_wait() == exited(3));
    }

    TEST_CASE("moving hands over the child") {
        os::child_process first = fixture{"hang"}.start();
        const int pid = first.pid();
        os::child_process second{std::move(first)};
        CHECK_FALSE(first); // NOLINT(bugprone-use-after-move): the state is documented
        CHECK(first.signal(SIGKILL) == std::errc::no_such_process);
        CHECK(first.wait() == os::exit_info{});
        CHECK(second.pid() == pid);
        first = std::move(second);
        CHECK_FALSE(first.signal(SIGKILL));
        CHECK(first.wait() == signaled(SIGKILL));
    }

    TEST_CASE("a failure in the child is returned as an error and leaves no zombie") {
        std::error_code error;
        fixture program{"exit", "0"};
        const std::string long_argument(4'000'000, 'x');
        const os::resource_limit crossed[] = {{RLIMIT_NOFILE, 20, 10}};
        const int unknown_cpu[] = {os::child_job::max_cpus};
        int expected = 0;
        SUBCASE("no such program") {
            program.request.path = "/nonexistent/program";
            expected = ENOENT;
        }
        SUBCASE("not executable") {
            program.request.path = "/etc/passwd";
            expected = EACCES;
        }
        SUBCASE("a directory instead of a program") {
            program.request.path = "/";
            expected = EACCES;
        }
        SUBCASE("no such working directory") {
            program.request.directory = "/nonexistent";
            expected = ENOENT;
        }
        SUBCASE("arguments too long") {
            program.arguments[1] = long_argument.c_str();
            expected = E2BIG;
        }
        SUBCASE("a descriptor that is not open") {
            program.descriptors = {-1, -1, -1, 987'654};
            expected = EBADF;
        }
        SUBCASE("an executable that is not open") {
            program.request.executable = 987'654;
            expected = EBADF;
        }
        SUBCASE("a soft limit above the hard one") {
            program.request.limits = crossed;
            expected = EINVAL;
        }
        SUBCASE("a cpu that cannot exist") {
            program.request.affinity = unknown_cpu;
            expected = EINVAL;
        }
        SUBCASE("nothing to start") {
            program.request.path = nullptr;
            expected = EINVAL;
        }
        const os::child_process child = program.start(error);
        CHECK(error == std::error_code{expected, std::system_category()});
        CHECK_FALSE(child);
        CHECK(child.pid() == -1);
        CHECK(child.pidfd() == -1);
        CHECK(no_zombie_left());
    }

    TEST_CASE("a thousand leaked descriptors do not reach the child") {
        rlimit before{};
        ::getrlimit(RLIMIT_NOFILE, &before);
        rlimit enough = before;
        enough.rlim_cur = before.rlim_max < 4096 ? before.rlim_max : 4096;
        ::setrlimit(RLIMIT_NOFILE, &enough);
        {
            std::vector<unique_fd> leaked;
            for (int i = 0; i < 1000; ++i) {
                leaked.emplace_back(::open("/dev/null", O_RDWR)); // not close-on-exec, on purpose
            }
            REQUIRE(leaked.back());
            const auto report = [] {
                fixture program{"descriptors", "1"};
                program.descriptors[2] = -1;
                CHECK(program.output() == "0=n 1=- 2=n ");
            };
            SUBCASE("by close_range") {
                report();
            }
            SUBCASE("by /proc where close_range is refused") {
                in_thread([] { return refuse(436, ENOSYS); }, report);
            }
            SUBCASE("one by one where /proc is refused too") {
                in_thread([] { return refuse(436, EPERM) && refuse(SYS_getdents64, ENOENT); },
                          report);
            }
            SUBCASE("with the table full") {
                rlimit full = enough; // nothing is free below the limit
                full.rlim_cur = static_cast<rlim_t>(leaked.back().get()) + 8;
                ::setrlimit(RLIMIT_NOFILE, &full);
                in_thread([] { return refuse(436, ENOSYS); }, report);
            }
        }
        ::setrlimit(RLIMIT_NOFILE, &before);
    }

    TEST_CASE("descriptors arrive at their places whatever their numbers") {
        const unique_fd a = file_with('A');
        const unique_fd b = file_with('B');
        const unique_fd c = file_with('C');
        fixture program{"descriptors", "3"};
        SUBCASE("standard streams are replaced") {
            program.descriptors = {c.get(), b.get(), a.get(), -1};
            CHECK(program.output(3) == "0=C 1=B 2=A 3=- ");
        }
        SUBCASE("one file takes several places") {
            program.descriptors = {a.get(), a.get(), -1, -1, a.get(), b.get(), a.get()};
            CHECK(program.output(3) == "0=A 1=A 2=n 3=- 4=A 5=B 6=A ");
        }
        SUBCASE("gaps stay closed") {
            program.descriptors = {-1, -1, -1, -1, -1, b.get(), -1, c.get(), -1};
            CHECK(program.output(3) == "0=n 1=n 2=n 3=- 5=B 7=C ");
        }
        SUBCASE("a missing tail is filled with /dev/null") {
            program.arguments[2] = "0";
            program.descriptors = {-1};
            CHECK(program.output(0) == "0=- 1=n 2=n ");
        }
    }

    TEST_CASE("descriptors that swap and rotate among themselves survive it") {
        // High numbers of our own choice, so that every source is a target as well.
        unique_fd files[4];
        int numbers[4];
        for (int i = 0; i < 4; ++i) {
            const unique_fd low = file_with(static_cast<char>('A' + i));
            files[i].reset(::fcntl(low.get(), F_DUPFD_CLOEXEC, 40));
            numbers[i] = files[i].get();
        }
        fixture program{"descriptors", "1"};
        program.descriptors = {-1, -1, -1};
        program.descriptors.resize(static_cast<std::size_t>(numbers[3]) + 1, -1);
        const auto expect = [&](std::initializer_list<int> order) {
            std::string expected = "0=n 1=- 2=n ";
            int place = 0;
            for (const int source : order) {
                program.descriptors[static_cast<std::size_t>(numbers[place])] = numbers[source];
                expected += std::to_string(numbers[place]) + "=" + static_cast<char>('A' + source);
                expected += " ";
                ++place;
            }
            CHECK(program.output() == expected);
        };
        SUBCASE("identity") {
            expect({0, 1, 2, 3});
        }
        SUBCASE("reversal") {
            expect({3, 2, 1, 0});
        }
        SUBCASE("rotation") {
            expect({1, 2, 3, 0});
        }
        SUBCASE("a fixed place that is also copied") {
            expect({0, 0, 0, 3});
        }
        SUBCASE("the program itself has the number of a target") {
            const unique_fd opened{::open(FIXTURE_CHILD, O_PATH | O_CLOEXEC)};
            const unique_fd executable{::fcntl(opened.get(), F_DUPFD_CLOEXEC, 3)};
            REQUIRE(executable.get() < numbers[3]);
            program.request.executable = executable.get();
            expect({1, 0, 3, 2});
        }
    }

    TEST_CASE("a host without standard streams can spawn") {
        unique_fd saved[3];
        for (int i = 0; i < 3; ++i) {
            saved[i].reset(::fcntl(i, F_DUPFD_CLOEXEC, 100));
            ::close(i);
        }
        int ends[2]; // they take the numbers 0 and 1
        const int piped = ::pipe2(ends, O_CLOEXEC);
        fixture program{"descriptors", "1"};
        program.descriptors = {-1, ends[1], -1};
        std::error_code error;
        os::child_process child = program.start(error);
        const unique_fd read_end{::fcntl(ends[0], F_DUPFD_CLOEXEC, 100)};
        for (int i = 0; i < 3; ++i) {
            if (saved[i]) {
                ::dup2(saved[i].get(), i);
            } else {
                ::close(i);
            }
        }
        REQUIRE(piped == 0);
        REQUIRE_FALSE(error);
        CHECK((child.pidfd() == -1 || child.pidfd() > STDERR_FILENO));
        CHECK(read_all(read_end) == "0=n 1=- 2=n ");
        CHECK(child.wait() == exited(0));
    }

    TEST_CASE("a program is started from a descriptor") {
        const unique_fd program_file{::open(FIXTURE_CHILD, O_PATH | O_CLOEXEC)};
        const auto report = [&] {
            fixture program{"descriptors", "1"};
            program.request.path = nullptr;
            program.request.executable = program_file.get();
            program.descriptors[2] = -1;
            CHECK(program.output() == "0=n 1=- 2=n ");
        };
        SUBCASE("by execveat") {
            report();
        }
        SUBCASE("by /proc where execveat is refused") {
            in_thread([] { return refuse(SYS_execveat, ENOSYS); }, report);
        }
    }

    TEST_CASE("ignored, handled and blocked signals of the host are default in the child") {
        const disposition ignored{SIGPIPE, SIG_IGN};
        const disposition caught{SIGUSR1, count_signal};
        sigset_t blocked, before;
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGTERM);
        ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
        CHECK(fixture{"signals"}.output() ==
              "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
        sigset_t after;
        ::pthread_sigmask(SIG_SETMASK, &before, &after);
        CHECK(sigismember(&after, SIGTERM) == 1);
        CHECK(sigismember(&after, SIGINT) == 0);
    }

    TEST_CASE("surroundings are applied") {
        cpu_set_t allowed;
        REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
        int cpu = 0;
        while (!CPU_ISSET(static_cast<std::size_t>(cpu), &allowed)) {
            ++cpu;
        }
        const os::resource_limit limits[] = {{RLIMIT_NOFILE, 100, 200}, {RLIMIT_CORE, 0, 0}};
        char listen_pid[] = "LISTEN_PID=0123456789";
        fixture program{"surroundings"};
        program.environment = {listen_pid, nullptr};
        program.request.pid_text = listen_pid + 11;
        program.request.directory = "/";
        program.request.umask_value = 027;
        program.request.nice_value = ::getpriority(PRIO_PROCESS, 0) + 3;
        program.request.affinity = {&cpu, 1};
        program.request.limits = limits;
        SUBCASE("in a new session") {
            program.request.new_session = true;
        }
        SUBCASE("in a new process group") {
            program.request.new_process_group = true;
        }
        SUBCASE("in both") {
            program.request.new_session = true;
            program.request.new_process_group = true;
        }
        const std::string session = program.request.new_session ? "1" : "0";
        const std::string nice = std::to_string(*program.request.nice_value);
        CHECK(program.output() == "directory=/ umask=27 nice=" + nice +
                                      " cpus=1 files=100,200 session=" + session +
                                      " group=1 listen_pid=mine\n");
    }

    TEST_CASE("nothing changes unasked") {
        rlimit files{};
        cpu_set_t cpus;
        ::getrlimit(RLIMIT_NOFILE, &files);
        ::sched_getaffinity(0, sizeof cpus, &cpus);
        const std::string text = fixture{"surroundings"}.output();
        CHECK(contains(text, " nice=" + std::to_string(::getpriority(PRIO_PROCESS, 0)) + " "));
        CHECK(contains(text, " cpus=" + std::to_string(CPU_COUNT(&cpus)) + " "));
        CHECK(contains(text, " files=" + std::to_string(static_cast<int>(files.rlim_cur)) + ","));
        CHECK(contains(text, " session=0 group=0 listen_pid=none\n"));
        const std::string identity = fixture{"identity"}.output();
        CHECK(contains(identity, "uid=" + std::to_string(::getuid()) + ","));
        CHECK(contains(identity, " death_signal=9"));
    }

    TEST_CASE("privileges are given up when asked") {
        fixture program{"identity"};
        program.request.no_new_privileges = true;
        program.request.parent_death_signal = 0;
        CHECK(contains(program.output(), " no_new_privs=1 death_signal=0"));
    }

    TEST_CASE("the user is dropped for good and the host stays as it is") {
        if (::geteuid() != 0) {
            MESSAGE("skipped: only root can drop a user");
            return;
        }
        const int dumpable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
        const unique_fd program_file{::open(FIXTURE_CHILD, O_PATH | O_CLOEXEC)};
        fixture program{"identity"}; // by descriptor: the other user need not reach the path
        program.request.executable = program_file.get();
        program.request.user = 65534;
        program.request.group = 65533;
        CHECK(program.output() == "uid=65534,65534,65534 gid=65533,65533,65533 groups=0 "
                                  "no_new_privs=1 death_signal=9\n");
        CHECK(::geteuid() == 0);
        CHECK(::getegid() != 65533);
        CHECK(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
        CHECK(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == dumpable);
    }

    TEST_CASE("a user that cannot be taken is an error") {
        if (::geteuid() != 0) {
            std::error_code error;
            fixture program{"exit", "0"};
            program.request.user = 0;
            program.start(error);
            CHECK(error == std::errc::operation_not_permitted);
            return;
        }
        const int dumpable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
        std::thread{[] { // the raw call changes this thread alone
            ::syscall(SYS_setresuid, 65534, 65534, 65534);
            std::error_code error;
            fixture program{"exit", "0"};
            program.request.user = 0;
            program.start(error);
            CHECK(error == std::errc::operation_not_permitted);
        }}
            .join();
        ::prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
        CHECK(no_zombie_left());
    }

    TEST_CASE("a child ends with its parent") {
        fixture parent{"parent"};
        pipe_ends out = make_pipe();
        parent.descriptors = {-1, out.write.get(), -1};
        os::child_process process = parent.start();
        out.write.reset();
        char text[16] = "";
        REQUIRE(::read(out.read.get(), text, sizeof text - 1) == 5);
        CHECK(std::string_view{text} == "ready");
        pollfd silent{out.read.get(), POLLIN, 0};
        CHECK(::poll(&silent, 1, 0) == 0);
        CHECK_FALSE(process.signal(SIGKILL));
        CHECK(process.wait() == signaled(SIGKILL));
        CHECK(read_all(out.read).empty()); // the end comes once the grandchild is gone too
    }

    TEST_CASE("without a pidfd everything works by the pid") {
        const auto scenario = [] {
            os::child_process child = fixture{"hang"}.start();
            CHECK(child.pidfd() == -1);
            CHECK_FALSE(child.try_wait());
            CHECK_FALSE(child.signal(SIGTERM));
            CHECK(child.wait() == signaled(SIGTERM));
            CHECK(child.signal(SIGTERM) == std::errc::no_such_process);
        };
        SUBCASE("switched off") {
            os::pidfd_disabled = true;
            scenario();
            os::pidfd_disabled = false;
        }
        SUBCASE("refused by the kernel") {
            in_thread([] { return refuse(SYS_clone, EINVAL, CLONE_PIDFD) && refuse(434, ENOSYS); },
                      scenario);
        }
        SUBCASE("refused by the kernel, except for pidfd_open") {
            in_thread([] { return refuse(SYS_clone, EINVAL, CLONE_PIDFD); },
                      [] {
                          os::child_process child = fixture{"exit", "9"}.start();
                          CHECK(child.pidfd() > STDERR_FILENO);
                          CHECK(child.wait() == exited(9));
                      });
        }
        SUBCASE("made, but of no use for signals and waits") {
            in_thread(
                [] { return refuse(424, ENOSYS) && refuse(SYS_waitid, EINVAL, P_PIDFD & ~P_PID); },
                [] {
                    os::child_process child = fixture{"hang"}.start();
                    CHECK(child.pidfd() > STDERR_FILENO);
                    CHECK_FALSE(child.try_wait());
                    CHECK_FALSE(child.signal(SIGTERM));
                    CHECK(child.wait() == signaled(SIGTERM));
                });
        }
    }

    TEST_CASE("an end that the host took away is known or said to be unknown") {
        // Since 6.15 the kernel remembers the status of a reaped process for the holder of a pidfd.
        const auto known_or_unknown = [](const os::exit_info& info) {
            return info == exited(42) || info == os::exit_info{};
        };
        SUBCASE("the host waits for any child") {
            os::child_process child = fixture{"exit", "42"}.start();
            CHECK(::waitpid(child.pid(), nullptr, 0) == child.pid());
            CHECK(known_or_unknown(child.wait()));
            CHECK(known_or_unknown(child.try_wait().value()));
        }
        SUBCASE("the host ignores SIGCHLD") {
            const disposition ignored{SIGCHLD, SIG_IGN};
            CHECK(known_or_unknown(fixture{"exit", "42"}.start().wait()));
        }
        SUBCASE("without a pidfd nothing is known") {
            os::pidfd_disabled = true;
            os::child_process child = fixture{"exit", "42"}.start();
            os::pidfd_disabled = false;
            CHECK(::waitpid(child.pid(), nullptr, 0) == child.pid());
            CHECK(child.try_wait() == os::exit_info{});
        }
    }

    TEST_CASE("a child of the host is never reaped") {
        std::fflush(stdout); // not twice
        const pid_t mine = ::fork();
        if (mine == 0) {
            ::_exit(5);
        }
        for (int i = 0; i < 5; ++i) {
            CHECK(fixture{"exit", "1"}.start().wait() == exited(1));
        }
        int status = 0;
        CHECK(::waitpid(mine, &status, 0) == mine);
        CHECK(WEXITSTATUS(status) == 5);
    }

    TEST_CASE("64 children killed at once are all reported") {
        std::vector<os::child_process> children;
        for (int i = 0; i < 64; ++i) {
            children.push_back(fixture{"hang"}.start());
        }
        for (const os::child_process& child : children) {
            CHECK_FALSE(child.signal(SIGKILL));
        }
        int reported = 0;
        while (reported < 64) {
            std::vector<pollfd> watched;
            std::vector<os::child_process*> owners;
            for (os::child_process& child : children) {
                if (child) {
                    watched.push_back({child.pidfd(), POLLIN, 0});
                    owners.push_back(&child);
                }
            }
            if (watched.front().fd != -1) {
                REQUIRE(::poll(watched.data(), watched.size(), 30'000) > 0);
            }
            for (std::size_t i = 0; i < watched.size(); ++i) {
                if (const auto info = owners[i]->try_wait()) {
                    CHECK(*info == signaled(SIGKILL));
                    *owners[i] = {};
                    ++reported;
                }
            }
        }
        CHECK(no_zombie_left());
    }

    TEST_CASE("spawning survives a signal storm") {
        const disposition caught{SIGALRM, count_signal};
        handled = 0;
        const itimerval often{{0, 200}, {0, 200}};
        itimerval before{};
        ::setitimer(ITIMER_REAL, &often, &before);
        for (int i = 0; i < 50; ++i) {
            CHECK(fixture{"exit", "7"}.start().wait() == exited(7));
        }
        ::setitimer(ITIMER_REAL, &before, nullptr);
        CHECK(handled > 0);
    }

    TEST_CASE("several threads spawn at the same time") {
        std::vector<std::thread> threads;
        std::atomic<int> right{0};
        std::atomic<bool> stop{false};
        std::thread opener{[&] { // leaks into no child: a copy of the table is taken at the clone
            while (!stop) {
                const unique_fd leaky{::open("/dev/null", O_RDONLY)};
            }
        }};
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&right, t] {
                const std::string code = std::to_string(t);
                for (int i = 0; i < 10; ++i) {
                    std::error_code error;
                    fixture program{"exit", code.c_str()};
                    if (program.start(error).wait() == exited(t) && !error) {
                        ++right;
                    }
                }
            });
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
        stop = true;
        opener.join();
        CHECK(right == 40);
        CHECK(no_zombie_left());
    }

    TEST_CASE("a decimal number is written like printf does") {
        for (const unsigned value : {0U, 7U, 10U, 99U, 100U, 4'194'304U, 4'294'967'295U}) {
            char text[11];
            os::write_decimal(text, value);
            CHECK(std::string_view{text} == std::to_string(value));
        }
    }
}
