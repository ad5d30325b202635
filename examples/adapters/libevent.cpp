// SPDX-License-Identifier: MIT
// libevent's HTTP server accepts from the socket of its worker's place.
#include <cluster.hpp>
#include <cluster/adapters/libevent.hpp>

#include "supervise.hpp"

#include <cstdint>
#include <memory>
#include <string>

#include <csignal>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

namespace {

void answer(evhttp_request* asked, void* text) {
    auto* headers = evhttp_request_get_output_headers(asked);
    evhttp_add_header(headers, "Content-Type", "text/plain");
    evhttp_add_header(headers, "Connection", "close");
    const auto& body = *static_cast<const std::string*>(text);
    evbuffer_add(evhttp_request_get_output_buffer(asked), body.data(), body.size());
    evhttp_send_reply(asked, HTTP_OK, "OK", nullptr);
}

template <typename Self>
void serve(Self& self, std::uint16_t port) {
    self.on_signal(SIGINT, [] {}); // from the terminal it goes to all of us; the primary sees to it
    std::string text = "Hello from worker " + std::to_string(self.id()) + "\n";
    std::unique_ptr<event_base, decltype(&event_base_free)> base{event_base_new(), event_base_free};
    std::unique_ptr<evhttp, decltype(&evhttp_free)> http{evhttp_new(base.get()), evhttp_free};
    cluster::adapters::libevent_driver driver{base.get(), self};
    evhttp_set_timeout(http.get(), 5); // seconds; a client that says nothing holds up the end
    evhttp_set_gencb(http.get(), answer, &text);
    auto* bound = cluster::adapters::to_libevent(http.get(), self.open_listener({.port = port}));
    auto closing =
        self.on(cluster::event::disconnect, [&] { evhttp_del_accept_socket(http.get(), bound); });
    event_base_dispatch(base.get()); // until the last client has its answer
    closing.cancel();
}

} // namespace

int main(int argc, char** argv) {
    auto port = examples::port_of(argc, argv);
    examples::server_cluster app{argc, argv};
    return app.run([](auto& primary) { examples::supervise(primary); },
                   [port](auto& self) { serve(self, port); });
}
