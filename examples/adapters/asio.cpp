// SPDX-License-Identifier: MIT
// Standalone Asio accepts from the socket of its worker's place, in coroutines.
#include <cluster.hpp>
#include <cluster/adapters/asio.hpp>

#include "supervise.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include <csignal>

#include <asio.hpp>

namespace {

using asio::ip::tcp;

asio::awaitable<void> answer(tcp::socket client, unsigned worker) {
    std::string request;
    co_await asio::async_read_until(
        client, asio::dynamic_buffer(request, 8192), "\r\n\r\n", asio::use_awaitable);
    std::string text = "Hello from worker " + std::to_string(worker) + "\n";
    std::string response =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(text.size()) +
        "\r\n\r\n" + text;
    co_await asio::async_write(client, asio::buffer(response), asio::use_awaitable);
}

asio::awaitable<void> accept(tcp::acceptor& from, unsigned worker) {
    asio::steady_timer pause{from.get_executor()};
    while (from.is_open()) {
        asio::error_code error;
        auto client = co_await from.async_accept(asio::redirect_error(asio::use_awaitable, error));
        if (!error) {
            asio::co_spawn(from.get_executor(), answer(std::move(client), worker), asio::detached);
        } else if (error != asio::error::operation_aborted) { // no descriptors, perhaps
            pause.expires_after(std::chrono::milliseconds{100});
            co_await pause.async_wait(asio::use_awaitable);
        }
    }
}

template <typename Self>
void serve(Self& self, std::uint16_t port) {
    self.on_signal(SIGINT, [] {}); // from the terminal it goes to all of us; the primary sees to it
    asio::io_context context;
    cluster::adapters::asio_driver driver{context, self};
    auto acceptor = cluster::adapters::to_asio(context, self.open_listener({.port = port}));
    auto closing = self.on(cluster::event::disconnect, [&] { acceptor.close(); });
    asio::co_spawn(context, accept(acceptor, self.id()), asio::detached);
    context.run(); // until the last client has its answer
    closing.cancel();
}

} // namespace

int main(int argc, char** argv) {
    auto port = examples::port_of(argc, argv);
    examples::server_cluster app{argc, argv};
    return app.run([](auto& primary) { examples::supervise(primary); },
                   [port](auto& self) { serve(self, port); });
}
