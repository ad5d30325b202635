// SPDX-License-Identifier: MIT
// What .github/docs/supervision.md and .github/docs/from-node.md show.
#include <cluster.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

namespace docs_supervision {

using namespace cluster::literals;

template <typename Primary>
void supervise(Primary& primary) {
    // [reload]
    primary.on_signal(SIGUSR2, [&primary] {
        primary.reload({.ready_timeout = 10_s, .drain_deadline = 30_s},
                       [](const cluster::reload_report& report) {
                           std::puts(report.ok() ? "replaced" : report.reason().c_str());
                       });
    });
    // [/reload]
    // [health]
    primary.supervise({.stalled_after = 3_s, .replaced_after = 10_s, .hold_when_empty = true});
    primary.on(cluster::event::stalled,
               [](auto& worker) { std::printf("%u hangs\n", worker.id()); });
    primary.on(cluster::event::exit, [](auto& worker, const cluster::exit_status& status) {
        std::printf("%u: %s\n%s\n",
                    worker.id(),
                    status.to_string().c_str(),
                    worker.report().diagnosis.c_str()); // what one that hung was doing
    });
    // [/health]
    // [spares]
    primary.supervise({.spares = 2}); // two processes beside the workers, started and waiting
    // [/spares]
    // [recycling]
    primary.setup({.recycle = cluster::recycle_limits{.max_requests = 100'000,
                                                      .max_lifetime = std::chrono::hours{24},
                                                      .max_memory = 1u << 30}});
    // [/recycling]
    // [scaling]
    primary.on_signal(SIGTTIN, [&primary] { primary.scale(primary.workers().size() + 1); });
    primary.on_signal(SIGTTOU, [&primary] { primary.scale(primary.workers().size() - 1); });
    // [/scaling]
    // [statistics]
    auto now = primary.stats(); // a struct, read from shared memory: no message, no waiting
    std::puts(now.to_openmetrics().c_str());
    // [/statistics]
}

int serve(int argc, char** argv) {
    // [the same program]
    cluster::compose<cluster::restart::always> app{argc, argv}; // a worker that dies is replaced
    return app.run(
        [](auto& primary) { primary.fork(cluster::available_parallelism()); },
        [](auto& self) {
            self.listen({.port = 8000}, [&self](cluster::connection client) {
                self.attach(std::move(client)).end("worker " + std::to_string(self.id()) + "\n");
            });
        });
    // [/the same program]
}

int several_addresses(int argc, char** argv) {
    cluster::compose<cluster::restart::always> app{argc, argv};
    return app.run(
        [](auto& primary) { supervise(primary); },
        [](auto& self) {
            auto handler = [](cluster::connection) {};
            // [several addresses]
            self.listen({.addresses = {"0.0.0.0:80", "[::1]:80", "/run/app.sock"}}, handler);
            // [/several addresses]
        });
}

} // namespace docs_supervision
