// SPDX-License-Identifier: MIT
// Messages between a primary and one worker: one line of JSON for each cell.
//
//   ours [--seconds S] [--way WAY] [--bytes N]
//
// Each cell is this program again, as a primary of its own, and its worker. One way: the sender
// goes on until send() says that the receiver is behind, and again when it hears of the drain. The
// receiver decodes and checks each message; CPU is that of both. Round trip: one message there and
// one back, each side on a CPU of its own.

#include "../limits/message_options.hpp"
#include "../limits/own_cpu.hpp"
#include "../limits/run_length.hpp"

#include <cluster/backend/process.hpp>
#include <cluster/backend/thread.hpp>
#include <cluster/basic_cluster.hpp>
#include <cluster/compose.hpp>
#include <cluster/transport/shared_memory.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ctime>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::string_view to_the_primary = "one way to the primary";

template <std::size_t Bytes>
struct block { // Bytes of payload
    std::uint32_t sequence = 0;
    std::array<char, Bytes - 4> rest{};
};
struct begin {
    std::uint32_t count = 0;
};
struct done {
    double cpu = 0;
};

double cpu_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct cell {
    std::string what;
    std::string way;
    std::size_t bytes = 0;
    bool spins = false;
};

// A large message is a text, at which the other side looks where it has arrived.
template <typename Message>
constexpr bool is_text = std::is_same_v<Message, std::string>;
template <typename Message>
using received = std::conditional_t<is_text<Message>, std::string_view, const Message&>;

template <typename Message>
Message make(std::size_t bytes) {
    if constexpr (is_text<Message>) {
        return std::string(bytes, 'x');
    } else {
        return {};
    }
}

template <typename Message>
void set_sequence(Message& message, std::uint32_t to) {
    if constexpr (is_text<Message>) {
        std::memcpy(message.data(), &to, sizeof to);
    } else {
        message.sequence = to;
    }
}
template <typename Message>
std::uint32_t sequence_of(received<Message> message) {
    if constexpr (is_text<Message>) {
        std::uint32_t result = 0;
        std::memcpy(&result, message.data(), sizeof result);
        return result;
    } else {
        return message.sequence;
    }
}

// Sends `left` messages, as many as the other side takes.
template <typename Message>
struct source {
    Message message{};
    std::uint32_t left = 0;
    std::uint32_t sequence = 0;

    void begin(std::uint32_t count) {
        left = count;
        sequence = 0;
    }

    template <typename To>
    void pump(To& to) {
        while (left != 0) {
            --left;
            set_sequence(message, sequence++);
            auto sent = to.send(message);
            if (sent != cluster::send_result::ok) {
                return;
            }
        }
    }
};

void check(bool in_order) {
    if (!in_order) {
        std::fprintf(stderr, "a message is out of order\n");
        std::_Exit(1);
    }
}

template <typename Message>
struct sink {
    std::uint32_t expected = 0;
    double cpu = 0;

    // \returns whether it was the last one
    bool take(received<Message> message, std::uint32_t count) {
        if (expected == 0) {
            cpu = cpu_seconds();
        }
        check(sequence_of<Message>(message) == expected++);
        bool last = expected == count;
        if (last) {
            cpu = cpu_seconds() - cpu;
            expected = 0;
        }
        return last;
    }
};

struct figures {
    double seconds = 0;
    double cpu = 0;
};

// Three runs of a third of the time each, after shorter ones; prints the middle one.
class series {
public:
    series(cell of, double seconds, bool one_process)
        : cell_{std::move(of)}, length_{seconds / 3, 200}, one_process_{one_process} {}

    [[nodiscard]] std::uint32_t count() const { return length_.count(); }
    void start() {
        began_ = clock_type::now();
        cpu_ = cpu_seconds();
    }
    // \returns whether another run is wanted
    bool finish(double cpu_there) {
        const double seconds = std::chrono::duration<double>(clock_type::now() - began_).count();
        if (!fits_) {
            fits_ = length_.learn(seconds);
            return true;
        }
        runs_.push_back({seconds, cpu_seconds() - cpu_ + (one_process_ ? 0 : cpu_there)});
        if (runs_.size() < 3) {
            return true;
        }
        std::sort(runs_.begin(), runs_.end(), [](const figures& a, const figures& b) {
            return a.seconds < b.seconds;
        });
        std::printf(R"({"what": "%s", "way": "%s", "bytes": %zu, "per_second": %.0f, )"
                    R"("cpu_ns": %.1f, "spins": %s})"
                    "\n",
                    cell_.what.c_str(),
                    cell_.way.c_str(),
                    cell_.bytes,
                    count() / runs_[1].seconds,
                    runs_[1].cpu * 1e9 / count(),
                    cell_.spins ? "true" : "false");
        return false;
    }

private:
    cell cell_;
    run_length length_;
    bool fits_ = false;
    bool one_process_;
    clock_type::time_point began_;
    double cpu_ = 0;
    std::vector<figures> runs_;
};

template <typename Message>
struct primary_side {
    series all;
    source<Message> from;
    sink<Message> into;
};
template <typename Message>
struct worker_side {
    std::uint32_t count = 0;
    source<Message> from;
    sink<Message> into;
    double cpu = 0;
};

template <typename Message, typename Primary>
void run_primary(Primary& primary, const cell& of, double seconds, bool one_process) {
    const bool trips = of.way == "round trip";
    const bool to_worker = of.way != to_the_primary;
    auto mine = std::make_shared<primary_side<Message>>(primary_side<Message>{
        series{of, seconds, one_process}, source<Message>{make<Message>(of.bytes)}, {}});
    auto start = [mine, trips, to_worker](auto& worker) {
        trips ? take_cpu(0) : void(); // now, because a process that it starts inherits it
        mine->all.start();
        mine->from.begin(trips ? 1 : mine->all.count());
        worker.send(begin{mine->all.count()});
        if (to_worker) {
            mine->from.pump(worker);
        }
    };
    auto finish = [mine, start, &primary](auto& worker, double cpu) {
        if (mine->all.finish(cpu)) {
            start(worker);
        } else {
            primary.disconnect();
        }
    };
    primary.on_message([finish](auto& worker, const done& told) { finish(worker, told.cpu); });
    primary.on_message([mine, trips](auto& worker, received<Message> message) {
        const bool last = mine->into.take(message, mine->all.count());
        if (trips && !last) {
            mine->from.left = 1;
            mine->from.pump(worker);
        }
    });
    auto& worker = primary.fork();
    worker.on(cluster::event::ready, start);
    worker.on(cluster::event::drain, [mine, to_worker](auto& each) {
        if (to_worker) {
            mine->from.pump(each);
        }
    });
}

template <typename Message, typename Self>
void run_worker(Self& self, const cell& of) {
    const bool trips = of.way == "round trip";
    const bool to_worker = of.way != to_the_primary;
    trips ? take_cpu(1) : void();
    auto mine = std::make_shared<worker_side<Message>>(
        worker_side<Message>{0, source<Message>{make<Message>(of.bytes)}, {}, 0});
    auto pump = [mine, &self] {
        const bool busy = mine->from.left != 0;
        mine->from.pump(self);
        if (busy && mine->from.left == 0) {
            self.send(done{cpu_seconds() - mine->cpu});
        }
    };
    self.on(cluster::event::drain, pump);
    self.on_message([mine, to_worker, pump](const begin& message) {
        mine->count = message.count;
        if (!to_worker) {
            mine->cpu = cpu_seconds();
            mine->from.begin(message.count);
            pump();
        }
    });
    self.on_message([mine, trips, &self](received<Message> message) {
        const bool last = mine->into.take(message, mine->count);
        if (trips) {
            self.send(message);
        }
        if (last) {
            self.send(done{mine->into.cpu});
        }
    });
    self.ready();
}

template <typename Backend, typename Message>
int run(int argc, char** argv, const cell& of, double seconds) {
    cluster::compose<Backend> app{argc, argv};
    return app.run(
        [&](auto& primary) {
            run_primary<Message>(primary, of, seconds, !Backend::separate_memory);
        },
        [of](auto& self) { run_worker<Message>(self, of); });
}

template <typename Backend>
int run_sized(int argc, char** argv, const cell& of, double seconds) {
    switch (of.bytes) {
    case 64:
        return run<Backend, block<64>>(argc, argv, of, seconds);
    case 1024:
        return run<Backend, block<1024>>(argc, argv, of, seconds);
    default:
        return run<Backend, std::string>(argc, argv, of, seconds);
    }
}

using socket_backend = cluster::backend::process;
using memory_backend = cluster::backend::basic_process<cluster::transport::shared_memory>;
using spinning_backend = cluster::backend::basic_process<cluster::transport::basic_shared_memory<
    cluster::transport::shared_memory_options{.spin_microseconds = 50}>>;
using thread_backend = cluster::backend::thread;

int run_cell(int argc, char** argv, const cell& of, double seconds) {
    if (of.what == "cluster socket") {
        return run_sized<socket_backend>(argc, argv, of, seconds);
    }
    if (of.what == "cluster threads") {
        return run_sized<thread_backend>(argc, argv, of, seconds);
    }
    return of.spins ? run_sized<spinning_backend>(argc, argv, of, seconds)
                    : run_sized<memory_backend>(argc, argv, of, seconds);
}

std::vector<cell> all_cells() {
    std::vector<cell> result;
    for (const char* what : {"cluster socket", "cluster shared memory", "cluster threads"}) {
        for (const char* way : {"one way", "one way to the primary", "round trip"}) {
            for (std::size_t bytes : message_options::sizes) {
                result.push_back({what, way, bytes, false});
                if (std::string_view{what} == "cluster shared memory") {
                    result.push_back({what, way, bytes, true});
                }
            }
        }
    }
    return result;
}

void in_process_of_its_own(char** argv, const cell& each, double seconds) {
    const std::string bytes = std::to_string(each.bytes);
    const std::string time = std::to_string(seconds);
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::execl("/proc/self/exe",
                argv[0],
                "--cell",
                each.what.c_str(),
                each.way.c_str(),
                bytes.c_str(),
                each.spins ? "spins" : "sleeps",
                time.c_str(),
                static_cast<char*>(nullptr));
        std::_Exit(127);
    }
    ::waitpid(pid, nullptr, 0);
}

} // namespace

int main(int argc, char** argv) {
    if (argc == 7 && std::string_view{argv[1]} == "--cell") {
        const cell of{argv[2],
                      argv[3],
                      std::strtoul(argv[4], nullptr, 10),
                      std::string_view{argv[5]} == "spins"};
        return run_cell(argc, argv, of, std::atof(argv[6]));
    }
    const message_options options{argc, argv};
    for (const auto& each : all_cells()) {
        if (options.wants(each.way, each.bytes)) {
            in_process_of_its_own(argv, each, options.seconds);
        }
    }
    return 0;
}
