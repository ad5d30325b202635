// SPDX-License-Identifier: MIT
// What the programs here have in common: two workers, replaced when they die; it prints where they listen, SIGUSR2 replaces
// them one after the other, SIGTERM drains and ends.
#ifndef EXAMPLES_ADAPTERS_SUPERVISE_HPP
#define EXAMPLES_ADAPTERS_SUPERVISE_HPP

#include <cluster.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include <csignal>

namespace examples {

using server_cluster = cluster::compose<cluster::restart::always>;

/// `--port N`, 8000 by default; 0: one that the system picks.
inline std::uint16_t port_of(int argc, char** argv) {
    std::uint16_t port = 8000;
    if (argc == 3 && std::strcmp(argv[1], "--port") == 0) {
        const char* end = argv[2] + std::strlen(argv[2]);
        auto [read, error] = std::from_chars(argv[2], end, port);
        if (error == std::errc{} && read == end) {
            return port;
        }
    } else if (argc == 1) {
        return port;
    }
    std::fprintf(stderr, "usage: %s [--port N]\n", argv[0]);
    std::exit(2);
}

template <typename Primary>
void supervise(Primary& primary) {
    auto at = std::make_shared<std::string>();
    primary.on(cluster::event::listening,
               [at](auto&, const cluster::address& where) { *at = where.to_string(); });
    primary.on(cluster::event::exit, [](auto& worker, const cluster::exit_status& status) {
        std::printf("worker %u ended: %s\n", worker.id(), status.to_string().c_str());
        std::fflush(stdout);
    });
    for (int signal : {SIGTERM, SIGINT}) {
        primary.on_signal(signal,
                          [&primary] { primary.shutdown({.deadline = std::chrono::seconds{10}}); });
    }
    primary.on_signal(SIGUSR2, [&primary] {
        primary.reload({}, [](const cluster::reload_report& report) {
            std::printf("reload: %s\n", report.ok() ? "done" : report.reason().c_str());
            std::fflush(stdout);
        });
    });
    primary.fork(2);
    primary.when_ready([at] {
        std::printf("listening on %s\n", at->c_str());
        std::fflush(stdout);
    });
}

} // namespace examples

#endif // EXAMPLES_ADAPTERS_SUPERVISE_HPP
