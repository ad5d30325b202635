// SPDX-License-Identifier: MIT
// What io_uring would give an HTTP server whose workers have SO_REUSEPORT listeners: the answers of
// http_epoll with one system call for each batch. liburing.
//
//   uring [--port N] [--workers N]
//
// As much as the kernel offers is used: multishot accept into a registered table, buffers that it
// picks from a ring, the close linked to the last answer, and multishot receive for connections
// that stay. Requests that come in pieces are not put together.

#include "../limits/checked.hpp"
#include "../limits/http_worker.hpp"
#include "../limits/listener.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <liburing.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

void succeed(int result, const char* what) { // liburing returns the error
    if (result < 0) {
        errno = -result;
        die(what);
    }
}

class uring_worker {
public:
    uring_worker(unsigned id, int listener) : listener_{listener}, ready_{id} {
        succeed(::io_uring_queue_init(
                    4096, &ring_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN),
                "io_uring_queue_init");
        succeed(::io_uring_register_files_sparse(&ring_, 8192), "io_uring_register_files_sparse");
        make_buffers();
    }

    [[noreturn]] void run() {
        accept();
        for (;;) {
            ::io_uring_submit_and_wait(&ring_, 1);
            unsigned head = 0;
            unsigned seen = 0;
            io_uring_cqe* done = nullptr;
            io_uring_for_each_cqe(&ring_, head, done) {
                handle(*done);
                ++seen;
            }
            ::io_uring_cq_advance(&ring_, seen);
        }
    }

private:
    enum class operation : std::uint32_t { accept, receive, stay, send, close };

    static constexpr unsigned buffers = 1024;
    static constexpr unsigned buffer_size = 4096;
    static constexpr int group = 0;

    void make_buffers() {
        io_uring_buf_reg wanted{};
        const std::size_t size = buffers * sizeof(io_uring_buf);
        wanted.ring_addr = reinterpret_cast<std::uintptr_t>(std::aligned_alloc(4096, size));
        wanted.ring_entries = buffers;
        wanted.bgid = group;
        free_ = reinterpret_cast<io_uring_buf_ring*>(wanted.ring_addr);
        succeed(::io_uring_register_buf_ring(&ring_, &wanted, 0), "io_uring_register_buf_ring");
        ::io_uring_buf_ring_init(free_);
        for (unsigned i = 0; i != buffers; ++i) {
            add_buffer(i);
        }
    }
    void add_buffer(unsigned which) {
        ::io_uring_buf_ring_add(free_,
                                memory_.data() + std::size_t{which} * buffer_size,
                                buffer_size,
                                static_cast<unsigned short>(which),
                                ::io_uring_buf_ring_mask(buffers),
                                0);
        ::io_uring_buf_ring_advance(free_, 1);
    }

    io_uring_sqe& next(operation what, unsigned slot) {
        io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
        while (entry == nullptr) {
            ::io_uring_submit(&ring_);
            entry = ::io_uring_get_sqe(&ring_);
        }
        *entry = {};
        entry->user_data = std::uint64_t{static_cast<std::uint32_t>(what)} << 32U | slot;
        return *entry;
    }
    // The functions of liburing clear what `next` has put there.
    template <typename Prepare>
    io_uring_sqe& prepare(operation what, unsigned slot, Prepare fill) {
        io_uring_sqe& entry = next(what, slot);
        const auto mark = entry.user_data;
        fill(&entry);
        entry.user_data = mark;
        return entry;
    }

    void accept() {
        prepare(operation::accept, 0, [this](io_uring_sqe* entry) {
            ::io_uring_prep_multishot_accept_direct(entry, listener_, nullptr, nullptr, 0);
        });
    }
    void receive(unsigned slot, bool stays) {
        auto& entry =
            prepare(stays ? operation::stay : operation::receive, slot, [&](io_uring_sqe* to) {
                ::io_uring_prep_recv(to, static_cast<int>(slot), nullptr, 0, 0);
            });
        entry.flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
        entry.buf_group = group;
        if (stays) {
            entry.ioprio |= IORING_RECV_MULTISHOT;
        }
    }
    // `last`: what comes behind it, linked. A multishot receive keeps the file open: its end comes
    // when the connection is shut down, and closes.
    enum class then : std::uint8_t { more, shut_down, close };
    void send(unsigned slot, const std::string& what, then next) {
        auto& entry = prepare(operation::send, slot, [&](io_uring_sqe* to) {
            ::io_uring_prep_send(
                to, static_cast<int>(slot), what.data(), what.size(), MSG_NOSIGNAL | MSG_WAITALL);
        });
        entry.flags |= IOSQE_FIXED_FILE | (next == then::more ? 0U : IOSQE_IO_LINK);
        entry.flags |= IOSQE_CQE_SKIP_SUCCESS;
        if (next == then::close) {
            close(slot);
        } else if (next == then::shut_down) {
            auto& end = prepare(operation::close, slot, [&](io_uring_sqe* to) {
                ::io_uring_prep_shutdown(to, static_cast<int>(slot), SHUT_RDWR);
            });
            end.flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
        }
    }
    void close(unsigned slot) {
        auto& entry = prepare(operation::close, slot, [&](io_uring_sqe* to) {
            ::io_uring_prep_close_direct(to, slot);
        });
        entry.flags |= IOSQE_CQE_SKIP_SUCCESS;
    }

    void handle(const io_uring_cqe& done) {
        const auto slot = static_cast<unsigned>(done.user_data & 0xffffffffU);
        switch (static_cast<operation>(done.user_data >> 32U)) {
        case operation::accept:
            if (done.res >= 0) {
                receive(static_cast<unsigned>(done.res), false);
            }
            if ((done.flags & IORING_CQE_F_MORE) == 0) {
                accept();
            }
            break;
        case operation::receive:
        case operation::stay:
            received(done, slot);
            break;
        case operation::send: // failed, and with it the close that was linked to it
            close(slot);
            break;
        case operation::close:
            break;
        }
    }
    void received(const io_uring_cqe& done, unsigned slot) {
        const bool stays = static_cast<operation>(done.user_data >> 32U) == operation::stay;
        const bool goes_on = (done.flags & IORING_CQE_F_MORE) != 0;
        if (done.res == -ENOBUFS) {
            receive(slot, stays);
            return;
        }
        if (done.res <= 0) {
            close(slot);
            return;
        }
        const unsigned buffer = done.flags >> IORING_CQE_BUFFER_SHIFT;
        const scan_result found = scan_requests({memory_.data() + std::size_t{buffer} * buffer_size,
                                                 static_cast<std::size_t>(done.res)});
        add_buffer(buffer);
        for (std::size_t i = 0; i != found.requests; ++i) {
            const bool last = found.close && i + 1 == found.requests;
            const then next = !last ? then::more : (goes_on ? then::shut_down : then::close);
            send(slot, last ? ready_.close : ready_.keep_alive, next);
        }
        if (!found.close && !goes_on) {
            receive(slot, true);
        }
    }

    int listener_;
    io_uring ring_{};
    io_uring_buf_ring* free_ = nullptr;
    http_answers ready_;
    std::vector<char> memory_ = std::vector<char>(std::size_t{buffers} * buffer_size);
};

} // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 0;
    unsigned workers = 2;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--port") {
            port = static_cast<std::uint16_t>(std::atoi(argv[i + 1]));
        } else if (name == "--workers") {
            workers = static_cast<unsigned>(std::atoi(argv[i + 1]));
        }
    }
    raise_descriptor_limit();
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &handled, nullptr);

    std::vector<int> listeners{make_listener(port, true)};
    while (listeners.size() < workers) {
        listeners.push_back(make_listener(port_of(listeners[0]), true));
    }
    std::vector<pid_t> children;
    for (unsigned i = 0; i != workers; ++i) {
        const pid_t pid = checked(::fork(), "fork");
        if (pid == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (unsigned k = 0; k != workers; ++k) {
                k == i ? 0 : ::close(listeners[k]);
            }
            uring_worker{i + 1, listeners[i]}.run();
        }
        children.push_back(pid);
    }
    std::printf("listening on 127.0.0.1:%u\n", unsigned{port_of(listeners[0])});
    std::fflush(stdout);
    for (const int fd : listeners) {
        ::close(fd);
    }
    int signal = 0;
    ::sigwait(&handled, &signal);
    for (const pid_t pid : children) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }
    return signal == SIGCHLD ? 1 : 0;
}
