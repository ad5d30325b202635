// SPDX-License-Identifier: MIT
// ZeroMQ: two PAIR sockets over ipc://, each in its process.
//
//   zeromq [--seconds S]

#include "peer.hpp"

#include <zmq.h>

namespace {

class end {
public:
    static void prepare(std::size_t) {}

    end(bool child, std::size_t) : socket_{::zmq_socket(context_, ZMQ_PAIR)} {
        const std::string at =
            "ipc://@cluster-benchmark-" + std::to_string(child ? ::getppid() : ::getpid());
        if ((child ? ::zmq_connect(socket_, at.c_str()) : ::zmq_bind(socket_, at.c_str())) != 0) {
            peer::die("zmq_bind");
        }
    }
    end(end&&) = delete;
    end& operator=(end&&) = delete;
    ~end() {
        ::zmq_close(socket_);
        ::zmq_ctx_term(context_);
    }

    void send(const char* data, std::size_t size) {
        if (::zmq_send(socket_, data, size, 0) != static_cast<int>(size)) {
            peer::die("zmq_send");
        }
    }
    void receive(char* data, std::size_t size) {
        if (::zmq_recv(socket_, data, size, 0) != static_cast<int>(size)) {
            peer::die("zmq_recv");
        }
    }

private:
    void* context_ = ::zmq_ctx_new();
    void* socket_;
};

} // namespace

int main(int argc, char** argv) {
    return peer::run<end>("ZeroMQ", argc, argv);
}
