// SPDX-License-Identifier: MIT
// A client that counts which worker answers each of many connections.
//
//   connections --port N [--connections N] [--concurrency N] [--workers N] [--keep] [--path P]
//               [--timeout S] [--json]
//
//   without --keep   each connection asks once with `Connection: close` and reads to the end;
//                    --concurrency of them (default 16) are under way at a time
//   with --keep      each connection asks once and stays open until all were answered;
//                    --concurrency (default: all) limits those that are not answered yet
//
// The answer's body names its worker ("worker 3"). `--workers` is how many there are, so that one
// that got nothing is counted. The exit status is 1 if any connection failed.

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;

struct options {
    std::uint16_t port = 0;
    std::size_t connections = 1000;
    std::size_t concurrency = 0; // 0: the mode's default
    unsigned workers = 0;
    bool keep = false;
    bool json = false;
    std::string path = "/";
    int timeout = 10; // seconds without any event
};

struct tally {
    std::size_t ok = 0;
    std::size_t refused = 0;
    std::size_t reset = 0;
    std::size_t empty = 0;   // closed before a whole answer
    std::size_t unnamed = 0; // a whole answer that names no worker
    std::size_t dropped = 0; // held, then closed by the server
    std::size_t timeout = 0;
    std::size_t other = 0;
    std::map<unsigned long, std::size_t> workers;
    double seconds = 0;

    [[nodiscard]] std::size_t failed() const {
        return refused + reset + empty + unnamed + dropped + timeout + other;
    }
};

// "worker 12" followed by anything but a digit, or 0 when it is not there (yet).
unsigned long worker_in(std::string_view body, bool at_end) {
    constexpr std::string_view word = "worker ";
    const std::size_t at = body.find(word);
    if (at == std::string_view::npos) {
        return 0;
    }
    unsigned long id = 0;
    for (std::size_t i = at + word.size(); i < body.size(); ++i) {
        if (body[i] < '0' || body[i] > '9') {
            return id;
        }
        id = id * 10 + static_cast<unsigned long>(body[i] - '0');
    }
    return at_end ? id : 0;
}

struct answer {
    bool complete = false;
    unsigned long worker = 0;
};

answer examine(std::string_view data, bool at_end) {
    const std::size_t head_end = data.find("\r\n\r\n");
    if (head_end == std::string_view::npos) {
        return {};
    }
    const std::string head{data.substr(0, head_end)};
    const std::string_view body = data.substr(head_end + 4);
    if (const char* length = ::strcasestr(head.c_str(), "\r\ncontent-length:")) {
        const bool complete = body.size() >= std::strtoul(length + 17, nullptr, 10);
        return {complete, complete ? worker_in(body, true) : 0};
    }
    const unsigned long id = worker_in(body, at_end);
    return {at_end || id != 0, id};
}

class client {
public:
    explicit client(const options& chosen)
        : options_{chosen},
          epoll_{::epoll_create1(EPOLL_CLOEXEC)},
          connections_(chosen.connections) {
        address_.sin_family = AF_INET;
        address_.sin_port = htons(chosen.port);
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        request_ = "GET " + chosen.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
                   (chosen.keep ? "\r\n" : "Connection: close\r\n\r\n");
    }

    tally run() {
        const auto begin = clock_type::now();
        std::array<epoll_event, 256> events{};
        while (done_ < connections_.size()) {
            while (open_ < options_.concurrency && next_ < connections_.size()) {
                start(next_++);
            }
            if (done_ == connections_.size()) {
                break;
            }
            const int ready = ::epoll_wait(
                epoll_, events.data(), static_cast<int>(events.size()), options_.timeout * 1000);
            if (ready == 0) {
                tally_.timeout += open_;
                tally_.other += connections_.size() - next_;
                break;
            }
            for (int i = 0; i < ready; ++i) {
                step(events[static_cast<std::size_t>(i)].data.u64);
            }
        }
        tally_.seconds = std::chrono::duration<double>(clock_type::now() - begin).count();
        check_held();
        for (const connection& each : connections_) {
            if (each.fd >= 0) {
                ::close(each.fd);
            }
        }
        ::close(epoll_);
        return tally_;
    }

private:
    struct connection {
        int fd = -1;
        bool asked = false;
        bool held = false;
        std::string in;
    };

    void watch(int operation, std::size_t index, std::uint32_t events) {
        epoll_event event{};
        event.events = events;
        event.data.u64 = index;
        ::epoll_ctl(epoll_, operation, connections_[index].fd, &event);
    }

    void start(std::size_t index) {
        connection& c = connections_[index];
        ++open_;
        c.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c.fd < 0) {
            finish(c, &tally::other);
            return;
        }
        const auto* const to = reinterpret_cast<const sockaddr*>(&address_);
        if (::connect(c.fd, to, sizeof address_) != 0 && errno != EINPROGRESS) {
            fail(c, errno);
            return;
        }
        watch(EPOLL_CTL_ADD, index, EPOLLOUT);
    }

    void finish(connection& c, std::size_t tally::*counter) {
        ++(tally_.*counter);
        if (c.fd >= 0) {
            ::close(c.fd);
        }
        c.fd = -1;
        --open_;
        ++done_;
    }

    void fail(connection& c, int error) {
        finish(c,
               error == ECONNREFUSED                   ? &tally::refused
               : error == ECONNRESET || error == EPIPE ? &tally::reset
               : error == ETIMEDOUT                    ? &tally::timeout
                                                       : &tally::other);
    }

    void step(std::size_t index) {
        connection& c = connections_[index];
        if (c.held) {
            watch(EPOLL_CTL_DEL, index, 0); // check_held() counts it
        } else if (c.fd >= 0 && !c.asked) {
            ask(c, index);
        } else if (c.fd >= 0) {
            read(c);
        }
    }

    void ask(connection& c, std::size_t index) {
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            fail(c, error);
            return;
        }
        const ssize_t put = ::send(c.fd, request_.data(), request_.size(), MSG_NOSIGNAL);
        if (put != static_cast<ssize_t>(request_.size())) { // a fresh socket takes so few bytes
            fail(c, put < 0 ? errno : EIO);
            return;
        }
        c.asked = true;
        watch(EPOLL_CTL_MOD, index, EPOLLIN);
    }

    void read(connection& c) {
        std::array<char, 4096> buffer;
        const ssize_t got = ::recv(c.fd, buffer.data(), buffer.size(), 0);
        if (got < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                fail(c, errno);
            }
            return;
        }
        c.in.append(buffer.data(), static_cast<std::size_t>(got));
        const bool at_end = got == 0;
        if (!at_end && !options_.keep) {
            return; // to the end, so that a reset after the answer is seen
        }
        const answer found = examine(c.in, at_end);
        if (!found.complete) {
            if (at_end) {
                finish(c, &tally::empty);
            }
            return;
        }
        std::string{}.swap(c.in);
        if (found.worker == 0) {
            finish(c, &tally::unnamed);
            return;
        }
        ++tally_.workers[found.worker];
        if (!options_.keep) {
            finish(c, &tally::ok);
            return;
        }
        ++tally_.ok;
        c.held = true;
        --open_;
        ++done_;
    }

    // Every held connection has to be open still.
    void check_held() {
        for (const connection& each : connections_) {
            char byte = 0;
            if (each.held &&
                (::recv(each.fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno != EAGAIN)) {
                ++tally_.dropped;
            }
        }
    }

    options options_;
    int epoll_;
    sockaddr_in address_{};
    std::string request_;
    std::vector<connection> connections_;
    std::size_t next_ = 0;
    std::size_t open_ = 0; // not answered yet
    std::size_t done_ = 0;
    tally tally_;
};

struct fairness {
    std::size_t least = 0;
    std::size_t most = 0;
    double mean = 0;
    double deviation = 0; // standard deviation / mean
};

fairness fairness_of(const tally& got) {
    fairness result;
    double square = 0;
    result.least = got.workers.empty() ? 0 : got.workers.begin()->second;
    for (const auto& [id, count] : got.workers) {
        const auto value = static_cast<double>(count);
        result.least = std::min(result.least, count);
        result.most = std::max(result.most, count);
        result.mean += value;
        square += value * value;
    }
    const auto n = static_cast<double>(std::max<std::size_t>(1, got.workers.size()));
    result.mean /= n;
    const double variance = std::max(0.0, square / n - result.mean * result.mean);
    result.deviation = result.mean > 0 ? std::sqrt(variance) / result.mean : 0;
    return result;
}

void print_json(const tally& got) {
    const fairness even = fairness_of(got);
    std::printf(R"({"ok": %zu, "refused": %zu, "reset": %zu, "empty": %zu, "unnamed": %zu, )"
                R"("dropped": %zu, "timeout": %zu, "other": %zu, "seconds": %.6f, )",
                got.ok,
                got.refused,
                got.reset,
                got.empty,
                got.unnamed,
                got.dropped,
                got.timeout,
                got.other,
                got.seconds);
    std::printf(R"("min": %zu, "max": %zu, "mean": %.2f, "cv": %.4f, "workers": {)",
                even.least,
                even.most,
                even.mean,
                even.deviation);
    const char* separator = "";
    for (const auto& [id, count] : got.workers) {
        std::printf("%s\"%lu\": %zu", separator, id, count);
        separator = ", ";
    }
    std::printf("}}\n");
}

void print_text(const tally& got) {
    for (const auto& [id, count] : got.workers) {
        std::printf("worker %-6lu %8zu\n", id, count);
    }
    const fairness even = fairness_of(got);
    if (even.least > 0) {
        const double ratio = static_cast<double>(even.most) / static_cast<double>(even.least);
        std::printf("max/min %.3f  cv %.4f\n", ratio, even.deviation);
    } else {
        std::printf("max/min infinite  cv %.4f\n", even.deviation);
    }
    std::printf("ok %zu  failed %zu (refused %zu, reset %zu, empty %zu, unnamed %zu, dropped %zu, "
                "timeout %zu, other %zu)\n",
                got.ok,
                got.failed(),
                got.refused,
                got.reset,
                got.empty,
                got.unnamed,
                got.dropped,
                got.timeout,
                got.other);
    std::printf("time %.3f s  %.0f connections/s\n",
                got.seconds,
                static_cast<double>(got.ok) / std::max(got.seconds, 1e-9));
}

bool parse(int argc, char** argv, options& to) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--keep") {
            to.keep = true;
        } else if (name == "--json") {
            to.json = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (name == "--port") {
            to.port = static_cast<std::uint16_t>(std::atoi(argv[++i]));
        } else if (name == "--connections") {
            to.connections = static_cast<std::size_t>(std::max(1, std::atoi(argv[++i])));
        } else if (name == "--concurrency") {
            to.concurrency = static_cast<std::size_t>(std::max(1, std::atoi(argv[++i])));
        } else if (name == "--workers") {
            to.workers = static_cast<unsigned>(std::max(0, std::atoi(argv[++i])));
        } else if (name == "--timeout") {
            to.timeout = std::max(1, std::atoi(argv[++i]));
        } else if (name == "--path") {
            to.path = argv[++i];
        } else {
            return false;
        }
    }
    if (to.concurrency == 0) {
        to.concurrency = to.keep ? to.connections : 16;
    }
    return to.port != 0;
}

} // namespace

int main(int argc, char** argv) {
    options chosen;
    if (!parse(argc, argv, chosen)) {
        std::fprintf(stderr,
                     "usage: connections --port N [--connections N] [--concurrency N] "
                     "[--workers N] [--keep] [--path P] [--timeout S] [--json]\n");
        return 2;
    }
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    client load{chosen};
    tally got = load.run();
    // A worker that answered nothing is unknown here; --workers tells how many are missing. Ids
    // need not be 1 to N (a restarted worker has a new one), so absent ones get free ids from 1 up.
    for (unsigned long id = 1; got.workers.size() < chosen.workers; ++id) {
        got.workers.try_emplace(id, 0);
    }
    if (chosen.json) {
        print_json(got);
    } else {
        print_text(got);
    }
    return got.failed() == 0 ? 0 : 1;
}
