// SPDX-License-Identifier: MIT
// The limit for an HTTP server of several processes: system calls and nothing else.
//
//   http_epoll [--port N] [--workers N] [--accept reuseport|fdpass|acked|shared|single]
//
//   reuseport  every worker accepts from its own SO_REUSEPORT listener (default)
//   fdpass     the primary accepts and passes the connections round robin, 32 per message
//   acked      the same, and the primary keeps each until the worker says that it has it: what
//              nothing can be lost with when a worker dies
//   shared     every worker waits for one listener with EPOLLEXCLUSIVE
//   single     one worker only
//
// It knows just enough HTTP to be compared honestly: it looks for the end of each request's head,
// answers pipelined requests in one send and honours `Connection: close`. Bodies are not read.

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <csignal>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr std::size_t batch_size = 32; // descriptors per message of the primary

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

int checked(int result, const char* what) {
    if (result < 0) {
        die(what);
    }
    return result;
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int make_listener(std::uint16_t port, bool reuse_port) {
    const int fd =
        checked(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (reuse_port) {
        checked(::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), "SO_REUSEPORT");
    }
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // inherited by what it accepts
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    checked(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), "bind");
    checked(::listen(fd, SOMAXCONN), "listen");
    return fd;
}

std::uint16_t port_of(int fd) {
    sockaddr_in at{};
    socklen_t size = sizeof at;
    checked(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), "getsockname");
    return ntohs(at.sin_port);
}

// One message of descriptors, either direction.
struct descriptor_message {
    std::array<int, batch_size> fds{};
    std::size_t count = 0;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * batch_size)> control{};
    char byte = 0;
    iovec part{};

    msghdr header() {
        msghdr message{};
        part = {&byte, 1};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        return message;
    }

    // Blocks while the worker's queue is full.
    void send(int channel) {
        msghdr message = header();
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
        std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * count);
        while (::sendmsg(channel, &message, MSG_NOSIGNAL) < 0) {
            if (errno != EINTR) {
                std::perror("sendmsg");
                break;
            }
        }
    }

    void receive(int channel) {
        count = 0;
        msghdr message = header();
        const ssize_t got = ::recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (got == 0) {
            std::_Exit(0); // the primary is gone
        }
        const cmsghdr* rights = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
        if (rights != nullptr && rights->cmsg_type == SCM_RIGHTS) {
            count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            std::memcpy(fds.data(), CMSG_DATA(rights), sizeof(int) * count);
        }
    }
};

bool starts_with_connection_close(std::string_view line) {
    constexpr std::string_view name = "connection:";
    if (line.size() < name.size() || (line[0] | 0x20) != 'c' ||
        ::strncasecmp(line.data(), name.data(), name.size()) != 0) {
        return false;
    }
    line.remove_prefix(name.size());
    while (!line.empty() && line.front() == ' ') {
        line.remove_prefix(1);
    }
    return line.size() >= 5 && ::strncasecmp(line.data(), "close", 5) == 0;
}

struct scan_result {
    std::size_t used = 0; // bytes of complete requests
    std::size_t requests = 0;
    bool close = false; // the last of them asked for it
};

scan_result scan_requests(std::string_view data) {
    scan_result result;
    bool close = false;
    std::size_t line = 0;
    while (!result.close && line < data.size()) {
        const std::size_t end = data.find('\n', line);
        if (end == std::string_view::npos) {
            break;
        }
        if (end == line + 1 && data[line] == '\r') { // the empty line ends a head
            ++result.requests;
            result.used = end + 1;
            result.close = close;
        } else {
            close = close || starts_with_connection_close(data.substr(line, end - line));
        }
        line = end + 1;
    }
    return result;
}

class worker {
public:
    explicit worker(unsigned id) : epoll_{checked(::epoll_create1(EPOLL_CLOEXEC), "epoll")} {
        const std::string body = "Hello from worker " + std::to_string(id) + "\n";
        const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
                                 std::to_string(body.size()) + "\r\nConnection: ";
        keep_alive_ = head + "keep-alive\r\n\r\n" + body;
        close_ = head + "close\r\n\r\n" + body;
    }

    void listen_on(int fd, bool exclusive) {
        listener_ = fd;
        control(EPOLL_CTL_ADD, fd, exclusive ? EPOLLIN | EPOLLEXCLUSIVE : std::uint32_t{EPOLLIN});
    }

    void receive_from(int channel, bool acknowledges) {
        channel_ = channel;
        acknowledges_ = acknowledges;
        control(EPOLL_CTL_ADD, channel, EPOLLIN);
    }

    [[noreturn]] void run() {
        std::array<epoll_event, 256> events{};
        for (;;) {
            const int ready =
                ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            for (int i = 0; i < ready; ++i) {
                const int fd = events[static_cast<std::size_t>(i)].data.fd;
                if (fd == listener_) {
                    accept_all();
                } else if (fd == channel_) {
                    take_all();
                } else {
                    step(fd);
                }
            }
        }
    }

private:
    struct connection {
        std::string in;  // an incomplete request
        std::string out; // what the socket did not take yet
        bool closing = false;
        bool registered = false;
        bool wants_write = false;
    };

    void control(int operation, int fd, std::uint32_t events) const {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        checked(::epoll_ctl(epoll_, operation, fd, &event), "epoll_ctl");
    }

    connection& state(int fd) {
        const auto index = static_cast<std::size_t>(fd);
        if (index >= connections_.size()) {
            connections_.resize(index * 2 + 64);
        }
        return connections_[index];
    }

    void accept_all() {
        for (int i = 0; i < 64; ++i) {
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) {
                if (errno == EAGAIN || errno == EWOULDBLOCK) {
                    return;
                }
                continue;
            }
            step(fd);
        }
    }

    void take_all() {
        message_.receive(channel_);
        for (std::size_t i = 0; i < message_.count; ++i) {
            step(message_.fds[i]);
        }
        if (acknowledges_ && message_.count != 0) {
            const auto count = static_cast<unsigned char>(message_.count);
            ::send(channel_, &count, 1, MSG_NOSIGNAL);
        }
    }

    // A new connection comes here at once: its request is often there already, and a connection
    // that ends with its first request never meets epoll.
    void step(int fd) {
        connection& c = state(fd);
        const bool open = c.out.empty() ? read_and_answer(fd, c) : write(fd, c, {});
        if (!open) {
            if (!c.in.empty() || !c.out.empty()) {
                c.in.clear();
                c.out.clear();
            }
            c.closing = c.registered = c.wants_write = false;
            ::close(fd);
            return;
        }
        const bool wants_write = !c.out.empty();
        if (!c.registered || wants_write != c.wants_write) {
            control(c.registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
                    fd,
                    wants_write ? std::uint32_t{EPOLLOUT} : std::uint32_t{EPOLLIN});
            c.registered = true;
            c.wants_write = wants_write;
        }
    }

    // False: the connection is over.
    bool read_and_answer(int fd, connection& c) {
        const ssize_t got = ::recv(fd, buffer_.data(), buffer_.size(), 0);
        if (got <= 0) {
            return got < 0 && (errno == EAGAIN || errno == EINTR);
        }
        std::string_view data{buffer_.data(), static_cast<std::size_t>(got)};
        if (!c.in.empty()) {
            c.in.append(data);
            data = c.in;
        }
        const scan_result found = scan_requests(data);
        if (found.used != data.size() && !found.close) {
            c.in = std::string{data.substr(found.used)};
            if (c.in.size() > buffer_.size()) {
                return false;
            }
        } else if (!c.in.empty()) {
            c.in.clear();
        }
        c.closing = found.close;
        if (found.requests == 1) {
            return write(fd, c, found.close ? close_ : keep_alive_);
        }
        answers_.clear();
        for (std::size_t i = 0; i < found.requests; ++i) {
            answers_ += found.close && i + 1 == found.requests ? close_ : keep_alive_;
        }
        return answers_.empty() || write(fd, c, answers_);
    }

    // Sends what waits, or `fresh` if nothing does. False: the connection is over.
    static bool write(int fd, connection& c, std::string_view fresh) {
        const std::string_view data = c.out.empty() ? fresh : std::string_view{c.out};
        const ssize_t put = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
        if (put == static_cast<ssize_t>(data.size())) {
            if (!c.out.empty()) {
                c.out.clear();
            }
            return !c.closing;
        }
        if (put < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        c.out = std::string{data.substr(put < 0 ? 0 : static_cast<std::size_t>(put))};
        return true;
    }

    int epoll_;
    int listener_ = -1;
    int channel_ = -1;
    bool acknowledges_ = false;
    std::string keep_alive_;
    std::string close_;
    std::string answers_;
    std::vector<connection> connections_;
    std::vector<char> buffer_ = std::vector<char>(std::size_t{64} * 1024);
    descriptor_message message_;
};

enum class accept_mode { reuseport, fdpass, acked, shared, single };

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
        if (name == "--port" && !value.empty()) {
            result.port = static_cast<std::uint16_t>(std::atoi(value.data()));
        } else if (name == "--workers" && std::atoi(value.data()) > 0) {
            result.workers = static_cast<unsigned>(std::atoi(value.data()));
        } else if (name == "--accept" && value == "reuseport") {
            result.mode = accept_mode::reuseport;
        } else if (name == "--accept" && value == "fdpass") {
            result.mode = accept_mode::fdpass;
        } else if (name == "--accept" && value == "acked") {
            result.mode = accept_mode::acked;
        } else if (name == "--accept" && value == "shared") {
            result.mode = accept_mode::shared;
        } else if (name == "--accept" && value == "single") {
            result.mode = accept_mode::single;
        } else {
            std::fprintf(stderr,
                         "usage: http_epoll [--port N] [--workers N] "
                         "[--accept reuseport|fdpass|acked|shared|single]\n");
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

    const bool per_worker = chosen.mode == accept_mode::reuseport;
    const bool keeps = chosen.mode == accept_mode::acked;
    const bool passes = chosen.mode == accept_mode::fdpass || keeps;
    std::vector<int> listeners{make_listener(chosen.port, per_worker)};
    const std::uint16_t port = port_of(listeners[0]);
    while (per_worker && listeners.size() < chosen.workers) {
        listeners.push_back(make_listener(port, true));
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
            worker self{i + 1};
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
