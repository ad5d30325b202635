// SPDX-License-Identifier: MIT
/// \file
/// The cluster under the soak: soak_server DIRECTORY WORKERS SCHEDULING. A request is a line
/// "ID DELAY keep|close", the answer "ID WORKER". What a worker does it first writes to a ledger
/// of its own in DIRECTORY, a write(2) per line, so that SIGKILL loses nothing that was done.
/// The primary prints what happens to its workers. SIGTERM ends the cluster.
#include <cluster.hpp>

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

template <typename Primary>
void run_primary(Primary& primary, unsigned workers) {
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    primary.on(cluster::event::listening, [](auto& worker, const cluster::address& at) {
        std::printf("listening %u %d %d\n", worker.id(), worker.pid(), static_cast<int>(at.port()));
    });
    primary.on(cluster::event::error, [](auto& worker, const std::error_code& error) {
        std::printf("error %u %d %s\n", worker.id(), worker.pid(), error.message().c_str());
    });
    primary.on(cluster::event::exit, [](auto& worker, const cluster::exit_status& status) {
        std::printf("exit %u %d %s\n", worker.id(), worker.pid(), status.to_string().c_str());
    });
    primary.on_signal(SIGTERM, [&primary] { primary.shutdown({.deadline = 60_s}); });
    primary.fork(workers);
}

template <typename Scheduling>
int serve(int argc, char** argv) {
    cluster::compose<Scheduling, cluster::restart::backoff<20_ms, 500_ms>> app{argc, argv};
    return app.run([&](auto& primary) { run_primary(primary, number_in<unsigned>(argv[2])); },
                   [&](auto& self) { run_worker(self, argv[1]); });
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
