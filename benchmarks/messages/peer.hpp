// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BENCHMARKS_MESSAGES_PEER_HPP
#define CLUSTER_BENCHMARKS_MESSAGES_PEER_HPP

// What the programs that measure other libraries' messages between two processes have in common.
// An `End` is made in its process by End{child, bytes} and has send(data, size), which blocks while
// there is no room, and receive(data, size), which blocks until a message of that size is there. Each
// side of a round trip has a CPU of its own.

#include "../limits/message_options.hpp"
#include "../limits/own_cpu.hpp"
#include "../limits/run_length.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <csignal>
#include <ctime>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace peer {

struct result {
    double seconds = 0;
    double cpu = 0; // of both sides
};

inline double cpu_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

[[noreturn]] inline void die(const char* what) {
    std::fprintf(stderr, "%s failed\n", what);
    std::_Exit(1);
}

// Messages of `bytes`, the first four of which are their number.
template <typename End>
class stream {
public:
    stream(End& by, std::size_t bytes) : by_{by}, out_(bytes, 'x'), in_(bytes) {}

    void send(std::uint32_t count) {
        for (; count != 0; --count) {
            std::memcpy(out_.data(), &next_, sizeof next_);
            ++next_;
            by_.send(out_.data(), out_.size());
        }
    }
    void receive(std::uint32_t count) {
        for (; count != 0; --count) {
            by_.receive(in_.data(), in_.size());
            std::uint32_t number = 0;
            std::memcpy(&number, in_.data(), sizeof number);
            if (number != expected_++) {
                die("order");
            }
        }
    }

private:
    End& by_;
    std::vector<char> out_;
    std::vector<char> in_;
    std::uint32_t next_ = 0;
    std::uint32_t expected_ = 0;
};

template <typename T>
class in_both { // memory that a process and its children share
public:
    in_both()
        : memory_{::mmap(
              nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)} {
        if (memory_ == MAP_FAILED) {
            die("mmap");
        }
    }
    in_both(in_both&&) = delete;
    in_both& operator=(in_both&&) = delete;
    ~in_both() { ::munmap(memory_, sizeof(T)); }
    T& operator*() const { return *static_cast<T*>(memory_); }

private:
    void* memory_;
};

// Runs `body` in a child of its own.
template <typename Body>
pid_t start(Body body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        body();
        std::_Exit(0);
    }
    return pid;
}

template <typename End>
void answer(std::size_t bytes, bool trips, std::uint32_t count, double& cpu) {
    trips ? take_cpu(1) : void(); // before the library starts its threads
    End end{true, bytes};
    stream<End> all{end, bytes};
    all.send(1); // we are connected
    const double before = cpu_seconds();
    for (std::uint32_t i = 0; i != (trips ? count : 1); ++i) {
        all.receive(trips ? 1 : count);
        all.send(1);
    }
    cpu = cpu_seconds() - before;
    all.receive(1); // it has got all of it
}

template <typename End>
void ask(std::size_t bytes, bool trips, std::uint32_t count, result& got) {
    trips ? take_cpu(0) : void();
    End end{false, bytes};
    stream<End> all{end, bytes};
    all.receive(1);
    const double before = cpu_seconds();
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint32_t i = 0; i != (trips ? count : 1); ++i) {
        all.send(trips ? 1 : count);
        all.receive(1);
    }
    got.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    got.cpu = cpu_seconds() - before;
    all.send(1);
}

// In two new processes: not every library bears a fork behind its first use.
template <typename End>
result measure(std::size_t bytes, bool trips, std::uint32_t count) {
    const in_both<result> got;
    const in_both<double> cpu_there;
    const pid_t pid = start([&] {
        End::prepare(bytes);
        const pid_t other = start([&] { answer<End>(bytes, trips, count, *cpu_there); });
        ask<End>(bytes, trips, count, *got);
        ::waitpid(other, nullptr, 0);
    });
    ::waitpid(pid, nullptr, 0);
    (*got).cpu += *cpu_there;
    return *got;
}

// The middle one of three runs of each cell.
template <typename End>
int run(const char* name, int argc, char** argv) {
    const message_options options{argc, argv};
    for (const bool trips : {false, true}) {
        for (const std::size_t bytes : message_options::sizes) {
            const char* const way = trips ? "round trip" : "one way";
            if (!options.wants(way, bytes)) {
                continue;
            }
            const std::uint32_t count =
                count_for(options.seconds / 3, 200, [=](std::uint32_t messages) {
                    return measure<End>(bytes, trips, messages).seconds;
                });
            std::array<result, 3> runs{};
            for (result& each : runs) {
                each = measure<End>(bytes, trips, count);
            }
            std::sort(runs.begin(), runs.end(), [](const result& a, const result& b) {
                return a.seconds < b.seconds;
            });
            std::printf(R"({"what": "%s", "way": "%s", "bytes": %zu, "per_second": %.0f, )"
                        R"("cpu_ns": %.1f, "spins": false})"
                        "\n",
                        name,
                        way,
                        bytes,
                        count / runs[1].seconds,
                        runs[1].cpu * 1e9 / count);
            std::fflush(stdout);
        }
    }
    return 0;
}

} // namespace peer

#endif // CLUSTER_BENCHMARKS_MESSAGES_PEER_HPP
