// SPDX-License-Identifier: MIT
// The limit for messages through shared memory: two processes, one ring of 256 KiB each way, frames
// of a 16-byte header and a payload. Each side copies the payload once, in or out, and the reader
// checks length and sequence. One line of JSON for each cell.
//
//   channel_ring [--seconds S] [--way WAY] [--bytes N]
//
//   one way     64 frames are published at a time; a reader that finds nothing sleeps in epoll_wait
//               and is woken by an eventfd, if it has said that it sleeps
//   round trip  one frame there and one back; both sides sleep in between, or both spin; each has a
//               CPU of its own

#include "message_options.hpp"
#include "own_cpu.hpp"
#include "run_length.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include <csignal>
#include <ctime>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::size_t ring_size = std::size_t{256} * 1024;

struct header {
    std::uint32_t length = 0;
    std::uint32_t kind = 0;
    std::uint32_t type = 0;
    std::uint32_t sequence = 0;
};

struct ring {
    alignas(64) std::atomic<std::uint64_t> written{0};
    alignas(64) std::atomic<std::uint64_t> read{0};
    alignas(64) std::atomic<std::uint32_t> reader_sleeps{0};
    std::atomic<std::uint32_t> writer_sleeps{0};
    alignas(64) char bytes[ring_size];
};

struct shared {
    ring there;
    ring back;
    double cpu_there = 0;
};

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::_Exit(1);
}

double cpu_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Where one process sleeps until the other rings.
class bed {
public:
    bed() : bell_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {}

    void watch() {
        epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
        epoll_event event{};
        event.events = EPOLLIN | EPOLLET;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, bell_, &event) != 0) {
            die("epoll_ctl");
        }
    }
    void ring() const {
        const std::uint64_t one = 1;
        if (::write(bell_, &one, sizeof one) < 0) {
            die("write");
        }
    }
    template <typename Ready>
    void wait(std::atomic<std::uint32_t>& sleeps, bool spins, Ready ready) const {
        while (!ready()) {
            if (spins) {
                relax();
                continue;
            }
            sleeps.store(1, std::memory_order_relaxed);
            std::atomic_thread_fence(std::memory_order_seq_cst);
            if (ready()) {
                sleeps.store(0, std::memory_order_relaxed);
                return;
            }
            epoll_event event{};
            ::epoll_wait(epoll_, &event, 1, -1);
        }
    }
    void wake(std::atomic<std::uint32_t>& sleeps) const {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (sleeps.load(std::memory_order_relaxed) != 0 && sleeps.exchange(0) != 0) {
            ring();
        }
    }

private:
    int bell_;
    int epoll_ = -1;
};

void copy_in(ring& to, std::uint64_t at, const void* from, std::size_t size) {
    const std::size_t begin = at & (ring_size - 1);
    const std::size_t first = std::min(size, ring_size - begin);
    std::memcpy(to.bytes + begin, from, first);
    std::memcpy(to.bytes, static_cast<const char*>(from) + first, size - first);
}

void copy_out(const ring& from, std::uint64_t at, void* to, std::size_t size) {
    const std::size_t begin = at & (ring_size - 1);
    const std::size_t first = std::min(size, ring_size - begin);
    std::memcpy(to, from.bytes + begin, first);
    std::memcpy(static_cast<char*>(to) + first, from.bytes, size - first);
}

struct ends {
    bed& mine;
    bed& other;
    bool spins;
};

class writer {
public:
    writer(ring& to, ends at, std::size_t payload) : to_{to}, at_{at}, payload_(payload, 'x') {}

    void write(std::uint32_t count, std::uint32_t batch) {
        const std::size_t size = sizeof(header) + payload_.size();
        std::uint32_t unpublished = 0;
        for (; count != 0; --count) {
            if (position_ + size - read_ > ring_size) {
                publish();
                unpublished = 0;
                at_.mine.wait(to_.writer_sleeps, at_.spins, [&] {
                    read_ = to_.read.load(std::memory_order_acquire);
                    return position_ + size - read_ <= ring_size;
                });
            }
            const header head{static_cast<std::uint32_t>(payload_.size()), 1, 1, next_++};
            copy_in(to_, position_, &head, sizeof head);
            copy_in(to_, position_ + sizeof head, payload_.data(), payload_.size());
            position_ += size;
            if (++unpublished == batch) {
                publish();
                unpublished = 0;
            }
        }
        publish();
    }

private:
    void publish() {
        to_.written.store(position_, std::memory_order_release);
        at_.other.wake(to_.reader_sleeps);
    }

    ring& to_;
    ends at_;
    std::vector<char> payload_;
    std::uint64_t position_ = 0;
    std::uint64_t read_ = 0;
    std::uint32_t next_ = 0;
};

class reader {
public:
    reader(ring& from, ends at, std::size_t payload) : from_{from}, at_{at}, payload_(payload) {}

    void read(std::uint32_t count, std::uint32_t batch) {
        std::uint32_t unreleased = 0;
        for (; count != 0; --count) {
            if (written_ == position_) {
                release();
                unreleased = 0;
                at_.mine.wait(from_.reader_sleeps, at_.spins, [&] {
                    written_ = from_.written.load(std::memory_order_acquire);
                    return written_ != position_;
                });
            }
            header head;
            copy_out(from_, position_, &head, sizeof head);
            if (head.length != payload_.size() || head.sequence != expected_++) {
                std::fprintf(stderr, "a frame is out of order\n");
                std::_Exit(1);
            }
            copy_out(from_, position_ + sizeof head, payload_.data(), payload_.size());
            position_ += sizeof head + payload_.size();
            if (++unreleased == batch) {
                release();
                unreleased = 0;
            }
        }
        release();
    }

private:
    void release() {
        from_.read.store(position_, std::memory_order_release);
        at_.other.wake(from_.writer_sleeps);
    }

    ring& from_;
    ends at_;
    std::vector<char> payload_;
    std::uint64_t position_ = 0;
    std::uint64_t written_ = 0;
    std::uint32_t expected_ = 0;
};

struct result {
    double seconds = 0;
    double cpu = 0; // of both sides
};

// `here` in this process and `there` in a child, each with a writer and a reader.
template <typename Here, typename There>
result in_two_processes(std::size_t payload, bool spins, Here here, There there) {
    void* const memory =
        ::mmap(nullptr, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        die("mmap");
    }
    auto& both = *::new (memory) shared;
    std::array<bed, 2> beds;
    const pid_t pid = ::fork();
    if (pid < 0) {
        die("fork");
    }
    const bool child = pid == 0;
    bed& mine = beds[child ? 1 : 0];
    mine.watch();
    const ends at{mine, beds[child ? 0 : 1], spins};
    writer out{child ? both.back : both.there, at, payload};
    reader in{child ? both.there : both.back, at, payload};
    const double before = cpu_seconds();
    if (child) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        there(in, out);
        both.cpu_there = cpu_seconds() - before;
        std::_Exit(0);
    }
    const auto begin = clock_type::now();
    here(in, out);
    result got;
    got.seconds = std::chrono::duration<double>(clock_type::now() - begin).count();
    got.cpu = cpu_seconds() - before;
    ::waitpid(pid, nullptr, 0);
    got.cpu += both.cpu_there;
    ::munmap(memory, sizeof(shared));
    return got;
}

result one_way(std::size_t payload, std::uint32_t count) {
    const std::uint32_t batch = payload > 4096 ? 1 : 64;
    return in_two_processes(
        payload,
        false,
        [&](reader& in, writer& out) {
            out.write(count, batch);
            in.read(1, 1); // all read there
        },
        [&](reader& in, writer& out) {
            in.read(count, batch);
            out.write(1, 1);
        });
}

result round_trip(std::size_t payload, bool spins, std::uint32_t count) {
    return in_two_processes(
        payload,
        spins,
        [&](reader& in, writer& out) {
            take_cpu(0);
            for (std::uint32_t i = 0; i != count; ++i) {
                out.write(1, 1);
                in.read(1, 1);
            }
        },
        [&](reader& in, writer& out) {
            take_cpu(1);
            for (std::uint32_t i = 0; i != count; ++i) {
                in.read(1, 1);
                out.write(1, 1);
            }
        });
}

template <typename Run>
void print_cell(const char* way, std::size_t payload, bool spins, double seconds, Run run) {
    const std::uint32_t count = count_for(
        seconds / 3, 200, [&run](std::uint32_t messages) { return run(messages).seconds; });
    std::array<result, 3> runs{};
    for (result& each : runs) {
        each = run(count);
    }
    std::sort(runs.begin(), runs.end(), [](const result& a, const result& b) {
        return a.seconds < b.seconds;
    });
    std::printf(R"({"what": "raw ring", "way": "%s", "bytes": %zu, "per_second": %.0f, )"
                R"("cpu_ns": %.1f, "spins": %s})"
                "\n",
                way,
                payload,
                count / runs[1].seconds,
                runs[1].cpu * 1e9 / count,
                spins ? "true" : "false");
    std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
    const message_options options{argc, argv};
    for (const std::size_t payload : message_options::sizes) {
        if (options.wants("one way", payload)) {
            print_cell("one way", payload, false, options.seconds, [&](std::uint32_t count) {
                return one_way(payload, count);
            });
        }
    }
    for (const bool spins : {false, true}) {
        for (const std::size_t payload : message_options::sizes) {
            if (options.wants("round trip", payload)) {
                print_cell("round trip", payload, spins, options.seconds, [&](std::uint32_t count) {
                    return round_trip(payload, spins, count);
                });
            }
        }
    }
    return 0;
}
