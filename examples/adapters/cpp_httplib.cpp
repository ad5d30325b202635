// SPDX-License-Identifier: MIT
// cpp-httplib accepts from the socket of its worker's place, and stops without taking it away from others.
#include <cluster.hpp>
#include <cluster/adapters/cpp_httplib.hpp>

#include "supervise.hpp"

#include <cstdint>
#include <string>

#include <csignal>

#include <httplib.h>

namespace {

template <typename Self>
void serve(Self& self, std::uint16_t port) {
    self.on_signal(SIGINT, [] {}); // from the terminal it goes to all of us; the primary sees to it
    cluster::adapters::httplib_server server;
    server.Get("/",
               [text = "Hello from worker " + std::to_string(self.id()) +
                       "\n"](const httplib::Request&, httplib::Response& response) {
                   response.set_content(text, "text/plain");
               });
    server.serve(self, self.open_listener({.port = port})); // until the last client has its answer
}

} // namespace

int main(int argc, char** argv) {
    auto port = examples::port_of(argc, argv);
    examples::server_cluster app{argc, argv};
    return app.run([](auto& primary) { examples::supervise(primary); },
                   [port](auto& self) { serve(self, port); });
}
