// SPDX-License-Identifier: MIT
// A server that answers each connection with its worker's process number and replaces the dead.
//
//   serve [--backend process|rings|fork] [--workers N] [--spares N] [--memory MIB]
//   serve --worker FD [--spare FD]   the raw worker on a listening socket that limits/recovery gives
//                                    it, as soon as it can read a byte from the other one
//
// CLUSTER_SCHED_POLICY names the scheduling model; `--memory` is touched by the primary.

#include "../limits/answer_pid.hpp"
#include "support.hpp"

#include <cluster/basic_cluster.hpp>
#include <cluster/compose.hpp>
#include <cluster/restart/always.hpp>
#include <cluster/scheduling/from_environment.hpp>
#include <cluster/scheduling/reuse_port.hpp>
#include <cluster/scheduling/round_robin.hpp>
#include <cluster/scheduling/shared_socket.hpp>

#include <csignal>
#include <string>

namespace {

namespace scheduling = cluster::scheduling;
using any_scheduling = scheduling::
    from_environment<scheduling::round_robin, scheduling::shared_socket, scheduling::reuse_port>;

template <typename Primary>
void run_primary(Primary& primary, const support::arguments& from) {
    support::load_memory(from.number("--memory", 0));
    const auto workers = from.number("--workers", 1);
    primary.supervise(
        {.spares = static_cast<unsigned>(from.number("--spares", 0)), .hold_when_empty = true});
    primary.on(cluster::event::listening,
               [left = workers](auto&, const cluster::address& at) mutable {
                   if (left != 0 && --left == 0) {
                       std::printf("listening on %s\n", at.to_string().c_str());
                       std::fflush(stdout);
                   }
               });
    primary.on_signal(SIGTERM,
                      [&primary] { primary.shutdown({.deadline = std::chrono::seconds{1}}); });
    primary.fork(workers);
}

template <typename Self>
void run_worker(Self& self) {
    const std::string body = std::to_string(self.pid()) + "\n";
    std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
                         "\r\nConnection: close\r\n\r\n" + body;
    self.listen({.host = "127.0.0.1", .port = 0},
                [&self, answer = std::move(answer)](cluster::connection client) {
                    auto& peer = self.attach(std::move(client));
                    peer.on_data([&peer, &answer](cluster::stream::bytes) {
                        peer.write(answer); // a request comes in one piece
                        peer.close_when_sent();
                    });
                });
}

} // namespace

int main(int argc, char** argv) {
    const support::arguments from{argc, argv};
    if (const auto fd = from.number("--worker", 0)) {
        if (const auto cord = from.number("--spare", 0)) {
            wait_for_byte(static_cast<int>(cord));
        }
        answer_pid(static_cast<int>(fd));
    }
    return support::on_backend(from, [&]<typename Backend>(std::type_identity<Backend>) {
        cluster::compose<any_scheduling, cluster::restart::always, Backend> app{argc, argv};
        return app.run([&](auto& primary) { run_primary(primary, from); },
                       [](auto& self) { run_worker(self); });
    });
}
