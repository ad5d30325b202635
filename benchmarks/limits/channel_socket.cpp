// SPDX-License-Identifier: MIT
// The limit for messages over a socket: two processes, one UNIX stream socketpair, frames of a
// 16-byte header and a payload. The frames lie ready in memory, so that nothing is copied but by
// the kernel; the reader checks length and sequence of each.
//
//   channel_socket [--seconds S] [--way WAY] [--bytes N]     a line of JSON for each cell
//
//   one way     1 or 64 frames per write; ns of CPU per message by both processes' CPU clocks
//   round trip  one frame there and one back, both sides asleep in between, each on its own CPU
//   block       both sides block in send and recv
//   epoll       both sides are non-blocking and wait in epoll_wait, as an event loop does

#include "message_options.hpp"
#include "own_cpu.hpp"
#include "run_length.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <csignal>
#include <ctime>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;

struct header {
    std::uint32_t length = 0; // of the payload
    std::uint32_t kind = 0;
    std::uint32_t type = 0;
    std::uint32_t sequence = 0;
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

// One end of the socketpair.
class endpoint {
public:
    endpoint(int fd, bool waits_in_epoll)
        : fd_{fd}, epoll_{waits_in_epoll ? ::epoll_create1(EPOLL_CLOEXEC) : -1} {
        if (waits_in_epoll) {
            epoll_event event{};
            event.events = EPOLLIN;
            if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd_, &event) != 0) {
                die("epoll_ctl");
            }
        }
    }

    void send(const char* data, std::size_t size) {
        while (size > 0) {
            const ssize_t put = ::send(fd_, data, size, MSG_NOSIGNAL | flags());
            if (put >= 0) {
                data += put;
                size -= static_cast<std::size_t>(put);
            } else if (errno == EAGAIN) {
                wait(EPOLLOUT);
            } else if (errno != EINTR) {
                die("send");
            }
        }
    }

    std::size_t receive(char* to, std::size_t room) {
        for (;;) {
            if (epoll_ >= 0) {
                wait(EPOLLIN);
            }
            const ssize_t got = ::recv(fd_, to, room, flags());
            if (got > 0) {
                return static_cast<std::size_t>(got);
            }
            if (got == 0) {
                std::_Exit(1); // the other process is gone
            }
            if (errno != EAGAIN && errno != EINTR) {
                die("recv");
            }
        }
    }

private:
    [[nodiscard]] int flags() const { return epoll_ >= 0 ? MSG_DONTWAIT : 0; }

    void wait(std::uint32_t events) {
        epoll_event event{};
        if (events != interest_) {
            interest_ = event.events = events;
            ::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_, &event);
        }
        ::epoll_wait(epoll_, &event, 1, -1);
    }

    int fd_;
    int epoll_;
    std::uint32_t interest_ = EPOLLIN;
};

// Reads frames, many per system call.
class frame_reader {
public:
    frame_reader(endpoint& from, std::size_t payload) : from_{from}, payload_{payload} {}

    void read(std::uint32_t count) {
        while (count > 0) {
            header head;
            if (end_ - begin_ < sizeof head + payload_) {
                fill();
                continue;
            }
            std::memcpy(&head, &buffer_[begin_], sizeof head);
            if (head.length != payload_ || head.sequence != expected_++) {
                std::fprintf(stderr, "a frame is out of order\n");
                std::_Exit(1);
            }
            begin_ += sizeof head + payload_;
            --count;
        }
    }

private:
    void fill() {
        if (begin_ == end_) {
            begin_ = end_ = 0;
        } else if (buffer_.size() - begin_ < sizeof(header) + payload_) {
            std::memmove(buffer_.data(), &buffer_[begin_], end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
        end_ += from_.receive(&buffer_[end_], buffer_.size() - end_);
    }

    endpoint& from_;
    std::size_t payload_;
    std::uint32_t expected_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::vector<char> buffer_ = std::vector<char>(std::size_t{256} * 1024);
};

// Writes `batch` frames by one call.
class frame_writer {
public:
    frame_writer(endpoint& to, std::size_t payload, std::uint32_t batch)
        : to_{to},
          payload_{payload},
          batch_{batch},
          buffer_((sizeof(header) + payload) * batch, 'x') {}

    void write(std::uint32_t count) {
        while (count > 0) {
            const std::uint32_t now = std::min(count, batch_);
            for (std::uint32_t i = 0; i < now; ++i) {
                const header head{static_cast<std::uint32_t>(payload_), 1, 1, next_++};
                std::memcpy(&buffer_[i * (sizeof head + payload_)], &head, sizeof head);
            }
            to_.send(buffer_.data(), now * (sizeof(header) + payload_));
            count -= now;
        }
    }

private:
    endpoint& to_;
    std::size_t payload_;
    std::uint32_t batch_;
    std::uint32_t next_ = 0;
    std::vector<char> buffer_;
};

// Runs `there` in a child and `here` in this process, each with its end of one socketpair, and
// returns what the child's function returned.
template <typename There, typename Here>
double in_two_processes(bool waits_in_epoll, There there, Here here) {
    void* const page =
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    std::array<int, 2> pair{};
    if (page == MAP_FAILED ||
        ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        die("socketpair");
    }
    auto* const result = static_cast<double*>(page);
    const pid_t pid = ::fork();
    if (pid < 0) {
        die("fork");
    }
    if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::close(pair[0]);
        endpoint end{pair[1], waits_in_epoll};
        *result = there(end);
        char last = 'x';
        end.send(&last, 1);
        std::_Exit(0);
    }
    ::close(pair[1]);
    endpoint end{pair[0], waits_in_epoll};
    here(end);
    ::waitpid(pid, nullptr, 0);
    ::close(pair[0]);
    const double value = *result;
    ::munmap(page, 4096);
    return value;
}

struct one_way_result {
    double per_second = 0;
    double cpu_ns = 0; // per message, both sides
};

one_way_result
one_way(bool waits_in_epoll, std::size_t payload, std::uint32_t batch, std::uint32_t messages) {
    double seconds = 0;
    double cpu = 0;
    const double cpu_there = in_two_processes(
        waits_in_epoll,
        [&](endpoint& end) {
            frame_reader reader{end, payload};
            const double before = cpu_seconds();
            reader.read(messages);
            return cpu_seconds() - before;
        },
        [&](endpoint& end) {
            frame_writer writer{end, payload, batch};
            const double before = cpu_seconds();
            const auto begin = clock_type::now();
            writer.write(messages);
            char last = 0;
            end.receive(&last, 1); // all read there
            seconds = std::chrono::duration<double>(clock_type::now() - begin).count();
            cpu = cpu_seconds() - before;
        });
    return {messages / seconds, (cpu + cpu_there) * 1e9 / messages};
}

one_way_result
one_way_for(double seconds, bool waits_in_epoll, std::size_t payload, std::uint32_t batch) {
    const auto run = [=](std::uint32_t messages) {
        return one_way(waits_in_epoll, payload, batch, messages);
    };
    const std::uint32_t count = count_for(seconds / 3, 1000, [&run](std::uint32_t messages) {
        return messages / run(messages).per_second;
    });
    std::array<one_way_result, 3> runs{};
    for (one_way_result& each : runs) {
        each = run(count);
    }
    std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) {
        return a.per_second < b.per_second;
    });
    return runs[1];
}

struct round_trip_result {
    double p50 = 0; // us
    double p99 = 0;
    double cpu_us = 0; // per round trip, both sides
};

round_trip_result round_trip(bool waits_in_epoll, std::size_t payload, std::uint32_t trips) {
    std::vector<double> times;
    times.reserve(trips);
    double cpu = 0;
    const double cpu_there = in_two_processes(
        waits_in_epoll,
        [&](endpoint& end) {
            frame_reader reader{end, payload};
            frame_writer writer{end, payload, 1};
            take_cpu(1);
            const double before = cpu_seconds();
            for (std::uint32_t i = 0; i < trips; ++i) {
                reader.read(1);
                writer.write(1);
            }
            return cpu_seconds() - before;
        },
        [&](endpoint& end) {
            frame_reader reader{end, payload};
            frame_writer writer{end, payload, 1};
            take_cpu(0);
            const double before = cpu_seconds();
            for (std::uint32_t i = 0; i < trips; ++i) {
                const auto begin = clock_type::now();
                writer.write(1);
                reader.read(1);
                times.push_back(
                    std::chrono::duration<double, std::micro>(clock_type::now() - begin).count());
            }
            cpu = cpu_seconds() - before;
        });
    std::sort(times.begin(), times.end());
    return {
        times[times.size() / 2], times[times.size() * 99 / 100], (cpu + cpu_there) * 1e6 / trips};
}

void print_one_way(const message_options& options, std::size_t payload) {
    for (const std::uint32_t batch : {1U, 64U}) {
        for (const bool epoll : {false, true}) {
            const one_way_result got = one_way_for(options.seconds, epoll, payload, batch);
            std::printf(R"({"what": "raw socket, %s, %u a write", "way": "one way", "bytes": %zu, )"
                        R"("per_second": %.0f, "cpu_ns": %.1f, "spins": false})"
                        "\n",
                        epoll ? "epoll" : "block",
                        batch,
                        payload,
                        got.per_second,
                        got.cpu_ns);
            std::fflush(stdout);
        }
    }
}

void print_round_trip(const message_options& options, std::size_t payload) {
    for (const bool epoll : {false, true}) {
        const auto trips = static_cast<std::uint32_t>(std::max(500.0, options.seconds * 10'000));
        const round_trip_result got = round_trip(epoll, payload, trips);
        std::printf(R"({"what": "raw socket, %s", "way": "round trip", "bytes": %zu, )"
                    R"("per_second": %.0f, "cpu_ns": %.0f, "spins": false, "p50_us": %.2f, )"
                    R"("p99_us": %.2f})"
                    "\n",
                    epoll ? "epoll" : "block",
                    payload,
                    1e6 / got.p50,
                    got.cpu_us * 1e3,
                    got.p50,
                    got.p99);
        std::fflush(stdout);
    }
}

} // namespace

int main(int argc, char** argv) {
    const message_options options{argc, argv};
    for (const std::size_t payload : message_options::sizes) {
        if (options.wants("one way", payload)) {
            print_one_way(options, payload);
        }
    }
    for (const std::size_t payload : message_options::sizes) {
        if (options.wants("round trip", payload)) {
            print_round_trip(options, payload);
        }
    }
    return 0;
}
