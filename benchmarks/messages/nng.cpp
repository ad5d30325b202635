// SPDX-License-Identifier: MIT
// nng: two pair sockets over ipc://, each in its process.
//
//   nng [--seconds S]

#include "peer.hpp"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

namespace {

class end {
public:
    static void prepare(std::size_t) {}

    end(bool child, std::size_t) {
        const std::string at =
            "abstract://cluster-benchmark-" + std::to_string(child ? ::getppid() : ::getpid());
        if (::nng_pair0_open(&socket_) != 0) {
            peer::die("nng_pair0_open");
        }
        ::nng_socket_set_size(socket_, NNG_OPT_RECVMAXSZ, 0);
        ::nng_socket_set_int(socket_, NNG_OPT_SENDBUF, 128);
        ::nng_socket_set_int(socket_, NNG_OPT_RECVBUF, 128);
        if (child) {
            while (::nng_dial(socket_, at.c_str(), nullptr, 0) != 0) { // it may not listen yet
                ::usleep(1000);
            }
        } else if (::nng_listen(socket_, at.c_str(), nullptr, 0) != 0) {
            peer::die("nng_listen");
        }
    }
    end(end&&) = delete;
    end& operator=(end&&) = delete;
    ~end() { ::nng_close(socket_); }

    void send(const char* data, std::size_t size) {
        if (::nng_send(socket_, const_cast<char*>(data), size, 0) != 0) {
            peer::die("nng_send");
        }
    }
    void receive(char* data, std::size_t size) {
        std::size_t got = size;
        if (::nng_recv(socket_, data, &got, 0) != 0 || got != size) {
            peer::die("nng_recv");
        }
    }

private:
    nng_socket socket_{};
};

} // namespace

int main(int argc, char** argv) {
    return peer::run<end>("nng", argc, argv);
}
