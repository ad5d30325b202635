// SPDX-License-Identifier: MIT
// The limit for an HTTP server of several processes: system calls and nothing else.
//
//   http_epoll [--port N] [--workers N] [--accept reuseport|turns|fdpass|acked|shared|single]
//
//   reuseport  every worker accepts from its own SO_REUSEPORT listener (default)
//   turns      the same, and an eBPF program gives each listener its turn
//   fdpass     the primary accepts and passes the connections round robin, 32 per message
//   acked      the same, and the primary keeps each until the worker says that it has it: what
//              nothing can be lost with when a worker dies
//   shared     every worker waits for one listener with EPOLLEXCLUSIVE
//   single     one worker only

#include "checked.hpp"
#include "descriptor_message.hpp"
#include "even_steering.hpp"
#include "http_worker.hpp"
#include "listener.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string_view>
#include <utility>
#include <vector>

#include <csignal>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

enum class accept_mode { reuseport, turns, fdpass, acked, shared, single };

constexpr std::array<std::pair<std::string_view, accept_mode>, 6> accept_modes{{
    {"reuseport", accept_mode::reuseport},
    {"turns", accept_mode::turns},
    {"fdpass", accept_mode::fdpass},
    {"acked", accept_mode::acked},
    {"shared", accept_mode::shared},
    {"single", accept_mode::single},
}};

struct options {
    std::uint16_t port = 0;
    unsigned workers = 2;
    accept_mode mode = accept_mode::reuseport;
};

options parse(int argc, char** argv) {
    options result;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
        const auto* mode =
            std::find_if(accept_modes.begin(), accept_modes.end(), [&](const auto& known) {
                return name == "--accept" && known.first == value;
            });
        if (name == "--port" && !value.empty()) {
            result.port = static_cast<std::uint16_t>(std::atoi(value.data()));
        } else if (name == "--workers" && std::atoi(value.data()) > 0) {
            result.workers = static_cast<unsigned>(std::atoi(value.data()));
        } else if (mode != accept_modes.end()) {
            result.mode = mode->second;
        } else {
            std::fprintf(stderr,
                         "usage: http_epoll [--port N] [--workers N] "
                         "[--accept reuseport|turns|fdpass|acked|shared|single]\n");
            std::exit(2);
        }
    }
    if (result.mode == accept_mode::single) {
        result.workers = 1;
    }
    return result;
}

struct child {
    pid_t pid = -1;
    int channel = -1; // these are for connections that are passed
    descriptor_message pending = {};
    std::deque<int> kept = {};

    // What is kept is closed when it is acknowledged, else at once.
    void pass(bool keeps) {
        pending.send(channel);
        for (std::size_t i = 0; i < pending.count; ++i) {
            keeps ? kept.push_back(pending.fds[i]) : static_cast<void>(::close(pending.fds[i]));
        }
        pending.count = 0;
    }
    void take_acknowledgements() {
        unsigned char count = 0;
        while (::recv(channel, &count, 1, MSG_DONTWAIT) == 1) {
            for (; count != 0 && !kept.empty(); --count) {
                ::close(kept.front());
                kept.pop_front();
            }
        }
    }
};

void hand_out(int listener, std::vector<child>& children, std::size_t& next, bool keeps) {
    for (std::size_t i = 0; i < batch_size * children.size(); ++i) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                break;
            }
            continue;
        }
        child& to = children[next];
        next = next + 1 == children.size() ? 0 : next + 1;
        to.pending.fds[to.pending.count++] = fd;
        if (to.pending.count == batch_size) {
            to.pass(keeps);
        }
    }
    for (child& to : children) {
        if (to.pending.count > 0) {
            to.pass(keeps);
        }
    }
}

// Runs until SIGTERM or SIGINT (returns 0) or until a worker has died (returns 1).
int run_primary(int signals, int listener, std::vector<child>& children, bool keeps) {
    const int epoll = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll");
    const auto watch = [epoll](int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        checked(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    };
    watch(signals);
    if (listener >= 0) {
        watch(listener);
    }
    for (const child& each : children) {
        if (keeps) {
            watch(each.channel);
        }
    }
    std::size_t next = 0;
    for (;;) {
        std::array<epoll_event, 16> events{};
        const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < ready; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (fd == listener) {
                hand_out(listener, children, next, keeps);
                continue;
            }
            if (fd != signals) {
                for (child& each : children) {
                    if (each.channel == fd) {
                        each.take_acknowledgements();
                    }
                }
                continue;
            }
            signalfd_siginfo info{};
            if (::read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
                return info.ssi_signo == SIGCHLD ? 1 : 0;
            }
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    const options chosen = parse(argc, argv);
    raise_descriptor_limit();
    sigset_t handled;
    sigset_t before;
    sigemptyset(&handled);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &handled, &before);

    const bool turns = chosen.mode == accept_mode::turns;
    const bool per_worker = chosen.mode == accept_mode::reuseport || turns;
    const bool keeps = chosen.mode == accept_mode::acked;
    const bool passes = chosen.mode == accept_mode::fdpass || keeps;
    std::vector<int> listeners{make_listener(chosen.port, per_worker)};
    const std::uint16_t port = port_of(listeners[0]);
    while (per_worker && listeners.size() < chosen.workers) {
        listeners.push_back(make_listener(port, true));
    }
    if (turns) {
        take_turns(listeners);
    }

    std::vector<child> children(chosen.workers);
    for (unsigned i = 0; i < chosen.workers; ++i) {
        std::array<int, 2> pair{-1, -1};
        if (passes) {
            checked(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()),
                    "socketpair");
        }
        const pid_t primary = ::getpid();
        const pid_t pid = checked(::fork(), "fork");
        if (pid == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() != primary) {
                std::_Exit(1);
            }
            ::sigprocmask(SIG_SETMASK, &before, nullptr);
            for (std::size_t k = 0; k < listeners.size(); ++k) {
                if (passes || (per_worker && k != i)) {
                    ::close(listeners[k]);
                }
            }
            for (unsigned k = 0; k < i; ++k) {
                ::close(children[k].channel);
            }
            ::close(pair[1]);
            http_worker self{i + 1};
            if (passes) {
                self.receive_from(pair[0], keeps);
            } else {
                self.listen_on(listeners[per_worker ? i : 0], chosen.mode == accept_mode::shared);
            }
            self.run();
        }
        ::close(pair[0]);
        children[i].pid = pid;
        children[i].channel = pair[1];
    }
    int listener = -1;
    if (passes) {
        listener = listeners[0];
    } else {
        for (const int fd : listeners) {
            ::close(fd);
        }
    }
    std::printf("listening on 127.0.0.1:%u\n", unsigned{port});
    std::fflush(stdout);

    const int signals = checked(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
    const int result = run_primary(signals, listener, children, keeps);
    for (const child& each : children) {
        ::kill(each.pid, SIGTERM);
    }
    for (const child& each : children) {
        ::waitpid(each.pid, nullptr, 0);
    }
    return result;
}
