// SPDX-License-Identifier: MIT
// The worker of the raw HTTP servers.
//
// It knows just enough HTTP to be compared honestly: it looks for the end of each request's head,
// answers pipelined requests in one send and honours `Connection: close`. Bodies are not read.
#ifndef CLUSTER_BENCHMARKS_LIMITS_HTTP_WORKER_HPP
#define CLUSTER_BENCHMARKS_LIMITS_HTTP_WORKER_HPP

#include "checked.hpp"
#include "descriptor_message.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

inline bool starts_with_connection_close(std::string_view line) {
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

inline scan_result scan_requests(std::string_view data) {
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

struct http_answers {
    std::string keep_alive;
    std::string close;

    explicit http_answers(unsigned id) {
        const std::string body = "Hello from worker " + std::to_string(id) + "\n";
        const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
                                 std::to_string(body.size()) + "\r\nConnection: ";
        keep_alive = head + "keep-alive\r\n\r\n" + body;
        close = head + "close\r\n\r\n" + body;
    }
};

class http_worker {
public:
    explicit http_worker(unsigned id)
        : epoll_{checked(::epoll_create1(EPOLL_CLOEXEC), "epoll")}, ready_{id} {}

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
            return write(fd, c, found.close ? ready_.close : ready_.keep_alive);
        }
        answers_.clear();
        for (std::size_t i = 0; i < found.requests; ++i) {
            answers_ += found.close && i + 1 == found.requests ? ready_.close : ready_.keep_alive;
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
    http_answers ready_;
    std::string answers_;
    std::vector<connection> connections_;
    std::vector<char> buffer_ = std::vector<char>(std::size_t{64} * 1024);
    descriptor_message message_;
};

#endif // CLUSTER_BENCHMARKS_LIMITS_HTTP_WORKER_HPP
