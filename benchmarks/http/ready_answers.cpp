// SPDX-License-Identifier: MIT
// What benchmarks/limits/http_epoll.cpp does, on the library: the same look for the end of a
// request, the same answers made once. What the two differ by is the library; what http_server
// takes beyond that is its HTTP.
//
//   ready_answers [--workers N] [--scheduling MODEL]

#include <cluster.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <strings.h>

namespace {

namespace scheduling = cluster::scheduling;

/// All connections to the first worker, whatever the number of the others: what handing out costs
/// without the choice.
struct first_worker {
    static constexpr std::string_view name = "first_worker";
    static constexpr auto accepts_in = cluster::accept_site::primary;
    static constexpr bool needs_address = false;

    template <typename Candidates>
    std::size_t pick(const Candidates&, const cluster::connection_info&) noexcept {
        return 0;
    }
};

using any_scheduling = scheduling::from_environment<scheduling::round_robin,
                                                    scheduling::shared_socket,
                                                    scheduling::reuse_port,
                                                    scheduling::least_connections,
                                                    scheduling::power_of_two,
                                                    scheduling::weighted_round_robin,
                                                    scheduling::random,
                                                    scheduling::sticky<>,
                                                    scheduling::sticky_modulo,
                                                    first_worker,
                                                    scheduling::round_robin_kernel,
                                                    scheduling::least_loaded_kernel,
                                                    scheduling::sticky_kernel>;

struct answers {
    std::string keep_alive;
    std::string close;

    explicit answers(unsigned id) {
        std::string body = "Hello from worker " + std::to_string(id) + "\n";
        std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
                           std::to_string(body.size()) + "\r\nConnection: ";
        keep_alive = head + "keep-alive\r\n\r\n" + body;
        close = head + "close\r\n\r\n" + body;
    }
};

bool asks_to_close(std::string_view line) {
    constexpr std::string_view wanted = "connection: close";
    return line.size() >= wanted.size() && (line[0] | 0x20) == 'c' &&
           ::strncasecmp(line.data(), wanted.data(), wanted.size()) == 0;
}

// Every request of a load generator comes in one piece; what does not is dropped with its
// connection.
void answer(cluster::stream& to, const answers& ready, std::string_view data) {
    bool close = false;
    for (std::size_t line = 0; line < data.size();) {
        auto end = data.find('\n', line);
        if (end == std::string_view::npos) {
            return to.close();
        }
        if (end == line + 1) { // the empty line ends a head
            to.write(close ? ready.close : ready.keep_alive);
            if (close) {
                return to.close_when_sent();
            }
        } else {
            close = close || asks_to_close(data.substr(line, end - line));
        }
        line = end + 1;
    }
}

template <typename Self>
void run_worker(Self& self) {
    self.listen(
        {.host = "127.0.0.1", .port = 0},
        [&self, ready = answers{self.id()}](cluster::connection client) {
            auto& peer = self.attach(std::move(client));
            peer.on_data([&peer, &ready](cluster::stream::bytes data) {
                answer(peer, ready, {reinterpret_cast<const char*>(data.data()), data.size()});
            });
        });
}

template <typename Primary>
void run_primary(Primary& primary, unsigned workers) {
    primary.on(cluster::event::listening,
               [&primary, workers, count = 0U](auto&, const cluster::address& at) mutable {
                   if (++count == workers) {
                       std::printf("listening on %s\n", at.to_string().c_str());
                       std::fflush(stdout);
                   }
               });
    primary.on_signal(SIGTERM,
                      [&primary] { primary.shutdown({.deadline = std::chrono::seconds{2}}); });
    primary.fork(workers);
}

} // namespace

int main(int argc, char** argv) {
    unsigned workers = 2;
    for (int i = 1; i + 1 < argc; i += 2) {
        std::string_view name = argv[i];
        if (name == "--workers") {
            workers = static_cast<unsigned>(std::atoi(argv[i + 1]));
        } else if (name == "--scheduling") {
            ::setenv("CLUSTER_SCHED_POLICY", argv[i + 1], 1);
        }
    }
    cluster::compose<any_scheduling> app{argc, argv};
    return app.run([workers](auto& primary) { run_primary(primary, workers); },
                   [](auto& self) { run_worker(self); });
}
