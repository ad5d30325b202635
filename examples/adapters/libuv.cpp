// SPDX-License-Identifier: MIT
// libuv accepts from the socket of its worker's place and answers.
#include <cluster.hpp>
#include <cluster/adapters/libuv.hpp>

#include "supervise.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

#include <csignal>

#include <uv.h>

namespace {

/// One client, for one request. Deletes itself.
class client {
public:
    static void accept(uv_stream_t* from) {
        auto* self = new client;
        self->text_ = *static_cast<const std::string*>(from->data);
        uv_tcp_init(from->loop, &self->socket_);
        self->socket_.data = self;
        if (uv_accept(from, self->stream()) != 0 || !self->read()) {
            self->close();
        }
    }

private:
    [[nodiscard]] uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&socket_); }

    bool read() {
        auto room = [](uv_handle_t* of, std::size_t, uv_buf_t* into) {
            auto* self = static_cast<client*>(of->data);
            *into = uv_buf_init(self->bytes_, sizeof self->bytes_);
        };
        return uv_read_start(stream(), room, [](uv_stream_t* from, ssize_t size, const uv_buf_t*) {
                   static_cast<client*>(from->data)->on_read(size);
               }) == 0;
    }

    void on_read(ssize_t size) {
        if (size > 0) {
            request_.append(bytes_, static_cast<std::size_t>(size));
        }
        if (size < 0 || request_.size() > 8192) {
            close();
        } else if (request_.find("\r\n\r\n") != std::string::npos) {
            answer();
        }
    }

    void answer() {
        uv_read_stop(stream());
        response_ = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " +
                    std::to_string(text_.size()) + "\r\n\r\n" + text_;
        auto all = uv_buf_init(response_.data(), static_cast<unsigned>(response_.size()));
        write_.data = this;
        int error = uv_write(&write_, stream(), &all, 1, [](uv_write_t* done, int) {
            static_cast<client*>(done->data)->close();
        });
        if (error != 0) {
            close();
        }
    }

    void close() {
        uv_close(reinterpret_cast<uv_handle_t*>(&socket_),
                 [](uv_handle_t* closed) { delete static_cast<client*>(closed->data); });
    }

    uv_tcp_t socket_{};
    uv_write_t write_{};
    char bytes_[2048];
    std::string text_, request_, response_;
};

template <typename Self>
void serve(Self& self, std::uint16_t port) {
    self.on_signal(SIGINT, [] {}); // from the terminal it goes to all of us; the primary sees to it
    uv_loop_t* loop = uv_default_loop();
    cluster::adapters::libuv_driver driver{loop, self};
    std::string text = "Hello from worker " + std::to_string(self.id()) + "\n";
    uv_tcp_t listener;
    uv_tcp_init(loop, &listener);
    listener.data = &text;
    auto* stream = reinterpret_cast<uv_stream_t*>(&listener);
    auto error = cluster::adapters::to_libuv(listener, self.open_listener({.port = port}));
    if (!error &&
        uv_listen(stream, 511, [](uv_stream_t* from, int) { client::accept(from); }) != 0) {
        error = std::make_error_code(std::errc::io_error);
    }
    if (error) {
        throw std::system_error(error, "libuv");
    }
    auto closing = self.on(cluster::event::disconnect, [&listener] {
        uv_close(reinterpret_cast<uv_handle_t*>(&listener), nullptr);
    });
    uv_run(loop, UV_RUN_DEFAULT); // until the last client has its answer
    closing.cancel();
}

} // namespace

int main(int argc, char** argv) {
    auto port = examples::port_of(argc, argv);
    examples::server_cluster app{argc, argv};
    return app.run([](auto& primary) { examples::supervise(primary); },
                   [port](auto& self) { serve(self, port); });
}
