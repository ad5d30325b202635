// SPDX-License-Identifier: MIT
// A worker that dies between being woken for a connection and accepting it.
#include "../fixtures/scenario.hpp"

#include <csignal>
#include <cstdlib>
#include <string>
#include <system_error>

#include <sys/epoll.h>
#include <unistd.h>

using namespace cluster_test;

namespace {

struct about_to_wait {};

/// This process's descriptor of the socket that listens there; -1.
int listening_at(const cluster::address& at) {
    namespace os = cluster::detail::os;
    for (int fd = 3; fd != 256; ++fd) {
        if (os::is_listening(fd) && os::local_address(fd) == at) {
            return fd;
        }
    }
    return -1;
}

/// Waits at the socket as a worker's loop does, says on descriptor 4 that it was woken, and gets no
/// further.
[[noreturn]] void be_woken_for(int listening) {
    cluster::unique_fd poller{::epoll_create1(EPOLL_CLOEXEC)};
    epoll_event event{};
    event.events = EPOLLIN | EPOLLEXCLUSIVE;
    bool ready = ::epoll_ctl(poller.get(), EPOLL_CTL_ADD, listening, &event) == 0;
    while (ready && ::epoll_wait(poller.get(), &event, 1, -1) != 1) {
    }
    if (!ready || ::write(4, "!", 1) != 1) {
        std::_Exit(3);
    }
    for (;;) {
        ::pause();
    }
}

/// Asks one after the other until it is the doomed worker that is woken; then that one is killed,
/// and the client that it was woken for is served all the same.
template <typename Primary>
struct clients {
    Primary& primary;
    cluster::address at;
    int& served;
    bool over = false;

    void come() {
        ask(primary, at, "", [this](const std::string& answer, std::error_code) {
            CHECK(answer == "served");
            ++served;
            over ? primary.disconnect() : come();
        });
    }
};

} // namespace

TEST_CASE("a client is served whose waking worker dies before it accepts") {
    int served = 0;
    bool woken = false;
    run_case<cluster::compose<cluster::scheduling::shared_socket>>(
        "a client is served whose waking worker dies before it accepts",
        [&](auto& primary) {
            primary.fork().once(cluster::event::listening, [&](const cluster::address& at) {
                auto& doomed = primary.fork({.name = "doomed", .extra = {cluster::stdio::pipe}});
                auto coming = std::make_shared<clients<std::remove_reference_t<decltype(primary)>>>(
                    primary, at, served);
                doomed.on_message([&, coming](const about_to_wait&) {
                    auto sleeps = [&] { return scenario::process_state(doomed.pid()) == 'S'; };
                    scenario::when(primary, sleeps, [coming] { coming->come(); });
                });
                doomed.pipe(4).on_data([&, coming](cluster::stream::bytes) {
                    woken = true;
                    coming->over = true;
                    doomed.kill(SIGKILL);
                });
            });
        },
        [](auto& self) {
            auto& server = self.listen({.host = "127.0.0.1"}, [&self](cluster::connection client) {
                self.attach(std::move(client)).end("served");
            });
            if (self.name() == "doomed") {
                self.send(about_to_wait{});
                self.flush();
                be_woken_for(listening_at(server.address()));
            }
        });
    CHECK(woken);
    CHECK(served > 0);
}
