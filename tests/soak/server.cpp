// SPDX-License-Identifier: MIT
/// \file
/// The cluster under the soak: soak_server DIRECTORY WORKERS SCHEDULING. A request is a line
/// "ID DELAY keep|close", the answer "ID WORKER". What a worker does it first writes to a ledger
/// of its own in DIRECTORY, a write(2) per line, so that SIGKILL loses nothing that was done.
/// The primary prints what happens to its workers. SIGTERM ends the cluster, SIGUSR2 reloads it,
/// SIGTTIN, SIGTTOU, SIGUSR1 and SIGHUP scale it: one more, one less, none, WORKERS. A copy of the
/// program with "!!exits!", "!!hangs!" or "!!defers" behind its end is broken in that way.
#include <cluster.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace {

using namespace cluster::literals;

/// How a worker ends that could not begin: no descriptor left for its ledger or its socket.
constexpr int cannot_begin = 75;

template <typename Number>
Number number_in(std::string_view text) {
    Number value{};
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

class ledger {
public:
    explicit ledger(const std::string& path)
        : fd_{::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)} {}

    [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(fd_); }

    void write(const char* what, const std::string& which) const {
        char line[128];
        auto now = std::chrono::steady_clock::now().time_since_epoch();
        int size =
            std::snprintf(line,
                          sizeof line,
                          "%s %s %lld\n",
                          what,
                          which.c_str(),
                          static_cast<long long>(
                              std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()));
        if (::write(fd_.get(), line, static_cast<std::size_t>(size)) != size) {
            std::abort(); // a ledger with holes proves nothing
        }
    }

private:
    cluster::unique_fd fd_;
};

/// One client of a worker; lives in the handlers of its stream.
template <typename Self>
class session : public std::enable_shared_from_this<session<Self>> {
public:
    session(Self& self, const ledger& book) : self_{self}, book_{book} {}

    void start(cluster::connection client) {
        auto me = this->shared_from_this();
        stream_ = &self_.attach(std::move(client));
        stream_->on_close([me](std::error_code) { me->stream_ = nullptr; });
        stream_->on_data([me](cluster::stream::bytes bytes) {
            me->input_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            me->read_lines();
        });
    }

private:
    void read_lines() {
        for (auto end = input_.find('\n'); end != input_.npos; end = input_.find('\n')) {
            std::string line = input_.substr(0, end);
            input_.erase(0, end + 1);
            serve(line);
        }
    }

    void serve(std::string_view line) {
        auto id = number_in<std::uint64_t>(line);
        book_.write("taken", std::to_string(id));
        auto delay = number_in<unsigned>(line.substr(line.find(' ') + 1));
        bool closes = line.ends_with("close");
        if (delay == 0) {
            answer(id, closes);
            return;
        }
        self_.after(std::chrono::milliseconds{delay},
                    [me = this->shared_from_this(), id, closes] { me->answer(id, closes); });
    }

    void answer(std::uint64_t id, bool closes) {
        if (stream_ == nullptr) {
            return;
        }
        book_.write("sent", std::to_string(id));
        auto text = std::to_string(id) + ' ' + std::to_string(self_.id()) + '\n';
        closes ? stream_->end(text) : static_cast<void>(stream_->write(text));
    }

    Self& self_;
    const ledger& book_;
    cluster::stream* stream_ = nullptr;
    std::string input_;
};

template <typename Self>
void run_worker(Self& self, const std::string& directory) {
    auto book = std::make_shared<ledger>(directory + "/ledger." + std::to_string(self.id()) + '.' +
                                         std::to_string(self.pid()));
    if (!book->is_open()) {
        self.stop(cannot_begin);
        return;
    }
    std::error_code error;
    self.listen(
        {.host = "127.0.0.1", .port = 0},
        [&self, book](cluster::connection client) {
            book->write("connection", client.remote().to_string());
            std::make_shared<session<Self>>(self, *book)->start(std::move(client));
        },
        error);
    if (error) {
        std::fprintf(stderr, "worker %u cannot listen: %s\n", self.id(), error.message().c_str());
        self.stop(cannot_begin);
    }
}

/// The primary: does what signals ask for, and prints what happens as lines "WHAT WORKER PID REST".
template <typename Primary>
class supervisor {
public:
    supervisor(Primary& primary, std::string directory, unsigned workers)
        : primary_{primary}, directory_{std::move(directory)}, workers_{workers}, count_{workers} {
        std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
        tell_of_workers();
        primary_.on_signal(SIGTERM, [this] { primary_.shutdown({.deadline = 60_s}); });
        primary_.on_signal(SIGUSR2, [this] { reload(); });
        primary_.on_signal(SIGTTIN, [this] { scale(count_ < most ? count_ + 1 : most); });
        primary_.on_signal(SIGTTOU, [this] { scale(count_ > least ? count_ - 1 : least); });
        primary_.on_signal(SIGUSR1, [this] { scale(0); });
        primary_.on_signal(SIGHUP, [this] { scale(workers_); });
        primary_.supervise({.hold_when_empty = true});
        primary_.fork(workers_);
        primary_.every(5_ms, [this] { count_serving(); });
    }

private:
    static constexpr unsigned least = 2;
    static constexpr unsigned most = 6;

    void tell_of_workers() {
        primary_.on(cluster::event::listening, [this](auto& worker, const cluster::address& at) {
            say("listening", worker, std::to_string(at.port()));
            this->count_serving();
        });
        primary_.on(cluster::event::error, [](auto& worker, const std::error_code& error) {
            say("error", worker, error.message());
        });
        primary_.on(cluster::event::disconnect, [this](auto&) { this->count_serving(); });
        primary_.on(cluster::event::exit, [this](auto& worker, const cluster::exit_status& status) {
            const char* how = worker.exited_after_disconnect() ? "left " : "died ";
            say("exit", worker, how + status.to_string());
            this->count_serving();
        });
    }

    template <typename Worker>
    static void say(const char* what, const Worker& worker, const std::string& rest) {
        std::printf("%s %u %d %s\n", what, worker.id(), worker.pid(), rest.c_str());
    }

    /// How many take connections now, whenever that has changed.
    void count_serving() {
        std::size_t serving = 0;
        for (const auto& each : primary_.stats().workers) {
            serving += each.state == "ready" ? 1U : 0U;
        }
        if (std::exchange(serving_, serving) != serving) {
            std::printf("serving 0 0 %zu\n", serving);
        }
    }

    /// The driver, who knows whether it can succeed, says how long a new worker may take.
    void reload() {
        unsigned milliseconds = 30'000;
        if (std::FILE* wish = std::fopen((directory_ + "/ready_timeout").c_str(), "re")) {
            char text[16] = {};
            milliseconds = number_in<unsigned>({text, std::fread(text, 1, sizeof text, wish)});
            std::fclose(wish);
        }
        std::printf("asked 0 0 -\n");
        primary_.reload(
            {.ready_timeout = std::chrono::milliseconds{milliseconds}, .drain_deadline = 60_s},
            [](const cluster::reload_report& report) {
                std::string why = report.ok() ? "ok" : report.reason();
                std::replace(why.begin(), why.end(), '\n', '|');
                std::printf(
                    "reloaded %zu %u %s\n", report.replaced(), report.generation(), why.c_str());
            });
    }

    void scale(unsigned count) {
        using cluster::victim;
        static constexpr victim victims[]{
            victim::newest, victim::oldest, victim::fewest_connections};
        count_ = count;
        primary_.scale(count, {.victims = victims[scaled_++ % 3], .drain_deadline = 60_s});
        std::printf("scaled 0 0 %u\n", count);
    }

    Primary& primary_;
    std::string directory_;
    unsigned workers_;
    unsigned count_;
    unsigned scaled_ = 0;
    std::size_t serving_ = 0;
};

/// Makes a worker of a broken program broken; what the file ends with says how.
template <typename Self>
void be_broken(Self& self) {
    std::string_view how = "";
    char tail[8] = {};
    if (std::FILE* file = std::fopen("/proc/self/exe", "re")) {
        std::fseek(file, -static_cast<long>(sizeof tail), SEEK_END);
        how = {tail, std::fread(tail, 1, sizeof tail, file)};
        std::fclose(file);
    }
    if (how == "!!exits!") {
        std::exit(3);
    } else if (how == "!!hangs!") {
        std::this_thread::sleep_for(std::chrono::hours{1});
    } else if (how == "!!defers") {
        self.defer_ready();
    }
}

template <typename Scheduling>
int serve(int argc, char** argv) {
    cluster::compose<Scheduling, cluster::restart::backoff<20_ms, 500_ms>> app{argc, argv};
    std::shared_ptr<void> kept; // as long as the loop runs
    return app.run(
        [&](auto& primary) {
            using type = supervisor<std::remove_reference_t<decltype(primary)>>;
            kept = std::make_shared<type>(primary, argv[1], number_in<unsigned>(argv[2]));
        },
        [&](auto& self) {
            be_broken(self);
            run_worker(self, argv[1]);
        });
}

} // namespace

int main(int argc, char** argv) {
    std::string_view scheduling = argc == 4 ? argv[3] : "";
    if (scheduling == "round_robin") {
        return serve<cluster::scheduling::round_robin>(argc, argv);
    }
    if (scheduling == "shared_socket") {
        return serve<cluster::scheduling::shared_socket>(argc, argv);
    }
    if (scheduling == "reuse_port") {
        return serve<cluster::scheduling::reuse_port>(argc, argv);
    }
    std::fputs("usage: soak_server DIRECTORY WORKERS round_robin|shared_socket|reuse_port\n",
               stderr);
    return 2;
}
