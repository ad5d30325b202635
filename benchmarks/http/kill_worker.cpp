// SPDX-License-Identifier: MIT
// A client that kills the one worker of a server with SIGKILL, again and again, and measures from
// there until another one has answered. The server answers /pid with its worker's process number.
//
//   kill_worker --port N [--count N]      one line of JSON

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;

/// The number in the answer's body; 0 when there was no whole answer.
pid_t ask(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{10, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    constexpr std::string_view request =
        "GET /pid HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    std::string answer;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 &&
        ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
        std::array<char, 4096> part;
        ssize_t got = 0;
        while ((got = ::recv(fd, part.data(), part.size(), 0)) > 0) {
            answer.append(part.data(), static_cast<std::size_t>(got));
        }
    }
    ::close(fd);
    const auto body = answer.find("\r\n\r\n");
    return body == std::string::npos ? 0 : std::atoi(answer.c_str() + body + 4);
}

double at_quantile(std::vector<double> values, double q) {
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

} // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 0;
    int count = 50;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--port") {
            port = static_cast<std::uint16_t>(std::atoi(argv[i + 1]));
        } else if (name == "--count") {
            count = std::max(1, std::atoi(argv[i + 1]));
        }
    }
    std::vector<double> times;
    long failed = 0;
    for (int i = 0; i != count; ++i) {
        const pid_t victim = ask(port);
        if (victim <= 1) {
            std::fprintf(stderr, "no worker answers\n");
            return 1;
        }
        const auto begin = clock_type::now();
        ::kill(victim, SIGKILL);
        for (pid_t now = ask(port); now == 0 || now == victim; now = ask(port)) {
            ++failed;
            std::this_thread::sleep_for(std::chrono::microseconds{50});
            if (clock_type::now() - begin > std::chrono::seconds{30}) {
                std::fprintf(stderr, "nobody took the place of %d\n", static_cast<int>(victim));
                return 1;
            }
        }
        times.push_back(
            std::chrono::duration<double, std::micro>(clock_type::now() - begin).count());
        std::this_thread::sleep_for(std::chrono::milliseconds{10}); // the server comes to rest
    }
    std::printf("{\"min_us\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"failed\": %.3f}\n",
                at_quantile(times, 0),
                at_quantile(times, 0.5),
                at_quantile(times, 0.9),
                static_cast<double>(failed) / count);
}
