// SPDX-License-Identifier: MIT
// The limit for starting a worker: from the call to the first byte that the new process writes.
//
//   spawn [--count N] [--memory MIB] [--program FILE] [--json]
//
//   posix_spawn  FILE, or this very program again (dynamic C++ if it was linked so); it gets
//                "--child FD" and writes a byte there
//   fork         a copy of this process
//
// `--memory` makes this process touch that much memory first: fork pays for it, posix_spawn does
// not.

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;

double microseconds(clock_type::duration time) {
    return std::chrono::duration<double, std::micro>(time).count();
}

[[noreturn]] void die(const char* what, int error) {
    std::fprintf(stderr, "%s: %s\n", what, std::strerror(error));
    std::exit(1);
}

pid_t start_by_spawn(std::string program, int write_end) {
    std::string flag = "--child";
    std::string number = std::to_string(write_end);
    std::array<char*, 4> arguments{program.data(), flag.data(), number.data(), nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, write_end, write_end); // drops close-on-exec
    pid_t pid = -1;
    const int error =
        ::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        die("posix_spawn", error);
    }
    return pid;
}

pid_t start_by_fork(int read_end, int write_end) {
    const pid_t pid = ::fork();
    if (pid < 0) {
        die("fork", errno);
    }
    if (pid == 0) {
        ::close(read_end);
        const bool written = ::write(write_end, "x", 1) == 1;
        std::_Exit(written ? 0 : 1);
    }
    return pid;
}

struct sample {
    double call = 0;       // until the call returned, us
    double first_byte = 0; // until the first byte was read, us
};

template <typename Start>
sample measure(Start start) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        die("pipe2", errno);
    }
    const auto begin = clock_type::now();
    const pid_t pid = start(ends[0], ends[1]);
    const auto returned = clock_type::now();
    ::close(ends[1]);
    char byte = 0;
    ssize_t got = 0;
    do {
        got = ::read(ends[0], &byte, 1);
    } while (got < 0 && errno == EINTR);
    const auto end = clock_type::now();
    ::close(ends[0]);
    ::waitpid(pid, nullptr, 0);
    if (got != 1) {
        die("the child wrote nothing", EPIPE);
    }
    return {microseconds(returned - begin), microseconds(end - begin)};
}

double at_quantile(std::vector<double> values, double q) {
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

struct series {
    std::vector<double> call;
    std::vector<double> first_byte;

    void add(const sample& one) {
        call.push_back(one.call);
        first_byte.push_back(one.first_byte);
    }
};

void print(const char* name, const series& of, bool json) {
    const char* format =
        json ? R"({"name": "%s", "call_us": %.1f, "min_us": %.1f, "p50_us": %.1f, "p90_us": %.1f})"
               "\n"
             : "%-12s %10.1f %10.1f %10.1f %10.1f\n";
    std::printf(format,
                name,
                at_quantile(of.call, 0.5),
                at_quantile(of.first_byte, 0),
                at_quantile(of.first_byte, 0.5),
                at_quantile(of.first_byte, 0.9));
}

} // namespace

int main(int argc, char** argv) {
    int count = 200;
    std::size_t mebibytes = 0;
    std::string program = "/proc/self/exe";
    bool json = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--child" && i + 1 < argc) {
            return ::write(std::atoi(argv[i + 1]), "x", 1) == 1 ? 0 : 1;
        }
        if (name == "--json") {
            json = true;
        } else if (name == "--count" && i + 1 < argc) {
            count = std::max(1, std::atoi(argv[++i]));
        } else if (name == "--memory" && i + 1 < argc) {
            mebibytes = static_cast<std::size_t>(std::max(0, std::atoi(argv[++i])));
        } else if (name == "--program" && i + 1 < argc) {
            program = argv[++i];
        } else {
            std::fprintf(stderr,
                         "usage: spawn [--count N] [--memory MIB] [--program FILE] [--json]\n");
            return 2;
        }
    }
    const std::vector<char> ballast(mebibytes << 20, 'x');
    series spawned;
    series forked;
    for (int i = 0; i < count; ++i) { // interleaved: both see the same machine
        spawned.add(measure([&program](int, int write_end) { // the other end is close-on-exec
            return start_by_spawn(program, write_end);
        }));
        forked.add(measure(start_by_fork));
    }
    if (!json) {
        std::printf("%-12s %10s %10s %10s %10s\n", "way", "call us", "min us", "p50 us", "p90 us");
    }
    print("posix_spawn", spawned, json);
    print("fork", forked, json);
    return ballast.size() == mebibytes << 20 ? 0 : 1;
}
