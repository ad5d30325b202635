// SPDX-License-Identifier: MIT
// Boost.Beast serves HTTP, and web sockets that echo, on connections that the cluster hands out: each to the worker that has
// the fewest.
#include <cluster.hpp>
#include <cluster/adapters/boost_asio.hpp>

#include "supervise.hpp"

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include <csignal>

#include <boost/asio.hpp>
#include <boost/beast.hpp>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

/// The clients of a worker. When it leaves, those that wait for nothing are told so.
class site {
public:
    explicit site(unsigned worker) : text_{"Hello from worker " + std::to_string(worker) + "\n"} {}

    asio::awaitable<void> serve(beast::tcp_stream client) {
        beast::flat_buffer buffer;
        for (bool keep = true; keep;) {
            http::request<http::string_body> request;
            client.expires_after(std::chrono::seconds{30});
            idle_.insert(&client);
            boost::system::error_code error;
            co_await http::async_read(
                client, buffer, request, asio::redirect_error(asio::use_awaitable, error));
            idle_.erase(&client);
            if (error) {
                co_return;
            }
            if (beast::websocket::is_upgrade(request)) {
                client.expires_never(); // web sockets have their own
                co_await echo(std::move(client), std::move(request));
                co_return;
            }
            keep = request.keep_alive() && !leaving_;
            http::response<http::string_body> response{http::status::ok, request.version()};
            response.body() = text_;
            response.keep_alive(keep);
            response.prepare_payload();
            co_await http::async_write(client, response, asio::use_awaitable);
        }
    }

    void leave() {
        leaving_ = true;
        for (auto* each : idle_) {
            each->cancel();
        }
        for (auto* each : listening_) { // the others when their answer is out
            say_goodbye(*each);
        }
    }

private:
    using socket = beast::websocket::stream<beast::tcp_stream>;

    asio::awaitable<void> echo(beast::tcp_stream stream, http::request<http::string_body> request) {
        socket client{std::move(stream)};
        client.set_option(
            beast::websocket::stream_base::timeout::suggested(beast::role_type::server));
        co_await client.async_accept(request, asio::use_awaitable);
        boost::system::error_code error;
        for (beast::flat_buffer message; !error; message.clear()) {
            if (leaving_) {
                say_goodbye(client);
            }
            listening_.insert(&client);
            co_await client.async_read(message, asio::redirect_error(asio::use_awaitable, error));
            listening_.erase(&client);
            if (!error) {
                client.text(client.got_text());
                co_await client.async_write(message.data(),
                                            asio::redirect_error(asio::use_awaitable, error));
            }
        }
    }

    static void say_goodbye(socket& client) {
        client.async_close(beast::websocket::close_code::going_away,
                           [](const boost::system::error_code&) {});
    }

    std::string text_;
    std::set<beast::tcp_stream*> idle_;
    std::set<socket*> listening_;
    bool leaving_ = false;
};

template <typename Self>
void serve(Self& self, std::uint16_t port) {
    self.on_signal(SIGINT, [] {}); // from the terminal it goes to all of us; the primary sees to it
    site pages{self.id()};
    asio::io_context context;
    cluster::adapters::asio_driver driver{context, self};
    self.on(cluster::event::disconnect, [&] { pages.leave(); });
    self.listen({.port = port}, [&](cluster::connection client) {
        beast::tcp_stream stream{cluster::adapters::to_asio(context, std::move(client))};
        asio::co_spawn(context, pages.serve(std::move(stream)), asio::detached);
    });
    context.run(); // until the last client has gone
}

} // namespace

int main(int argc, char** argv) {
    auto port = examples::port_of(argc, argv);
    cluster::compose<cluster::restart::always, cluster::scheduling::least_connections> app{argc,
                                                                                           argv};
    return app.run([](auto& primary) { examples::supervise(primary); },
                   [port](auto& self) { serve(self, port); });
}
