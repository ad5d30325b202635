// SPDX-License-Identifier: MIT
// The limit for telling every worker the same 1 KiB: the parent's CPU time, and when all have it.
//
//   broadcast [--workers N] [--rounds N] [--way futex|socket]     one line of JSON
//
//   futex    one copy in shared memory, one FUTEX_WAKE for all who sleep
//   socket   one send for each worker, into a socketpair of its own

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>
#include <thread>
#include <vector>

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;
constexpr std::size_t size = 1024;

struct page {
    alignas(64) std::atomic<std::uint32_t> sequence{0};
    alignas(64) std::atomic<std::uint32_t> seen{0};
    alignas(64) std::atomic<std::uint32_t> last{0}; // the sequence that all have seen
    std::array<char, size> slot{};
};

void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
    ::syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
}

double cpu_microseconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

void saw(page& all, std::uint32_t sequence, std::uint32_t workers) {
    if (all.seen.fetch_add(1) + 1 == workers * sequence) {
        all.last.store(sequence);
        futex(all.last, FUTEX_WAKE, 1);
    }
}

[[noreturn]] void work(page& all, int channel, std::uint32_t workers) {
    std::array<char, size> mine;
    for (std::uint32_t known = 0;;) {
        if (channel >= 0) {
            if (::recv(channel, mine.data(), mine.size(), MSG_WAITALL) <= 0) {
                std::_Exit(0);
            }
        } else {
            while (all.sequence.load(std::memory_order_acquire) == known) {
                futex(all.sequence, FUTEX_WAIT, known);
            }
            std::memcpy(mine.data(), all.slot.data(), mine.size());
        }
        saw(all, ++known, workers);
    }
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

} // namespace

int main(int argc, char** argv) {
    std::uint32_t workers = 10;
    std::uint32_t rounds = 100;
    bool sockets = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--workers") {
            workers = static_cast<std::uint32_t>(std::atoi(argv[i + 1]));
        } else if (name == "--rounds") {
            rounds = static_cast<std::uint32_t>(std::atoi(argv[i + 1]));
        } else {
            sockets = std::string_view{argv[i + 1]} == "socket";
        }
    }
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    void* memory =
        ::mmap(nullptr, sizeof(page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    page& all = *new (memory) page;
    std::vector<int> channels;
    std::vector<pid_t> children;
    for (std::uint32_t i = 0; i != workers; ++i) {
        std::array<int, 2> pair{-1, -1};
        if (sockets && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
            std::perror("socketpair");
            return 1;
        }
        children.push_back(::fork());
        if (children.back() == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(all, pair[0], workers);
        }
        ::close(pair[0]);
        channels.push_back(pair[1]);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{100 + workers}); // until all sleep
    std::vector<double> cpu;
    std::vector<double> seen;
    std::array<char, size> message{};
    for (std::uint32_t round = 1; round <= rounds; ++round) {
        message.fill(static_cast<char>(round));
        const double before = cpu_microseconds();
        const auto begin = clock_type::now();
        if (sockets) {
            for (const int channel : channels) {
                ::send(channel, message.data(), message.size(), MSG_NOSIGNAL);
            }
        } else {
            std::memcpy(all.slot.data(), message.data(), message.size());
            all.sequence.store(round, std::memory_order_release);
            futex(all.sequence, FUTEX_WAKE, INT_MAX);
        }
        cpu.push_back(cpu_microseconds() - before);
        for (auto last = all.last.load(); last != round; last = all.last.load()) {
            futex(all.last, FUTEX_WAIT, last);
        }
        seen.push_back(
            std::chrono::duration<double, std::micro>(clock_type::now() - begin).count());
        std::this_thread::sleep_for(std::chrono::milliseconds{2}); // they sleep again
    }
    for (const pid_t child : children) {
        ::kill(child, SIGKILL);
    }
    for (const pid_t child : children) {
        ::waitpid(child, nullptr, 0);
    }
    std::printf("{\"cpu_us\": %.2f, \"seen_us\": %.1f}\n", median(cpu), median(seen));
}
