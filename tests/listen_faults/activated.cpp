// SPDX-License-Identifier: MIT
// Row 71 of the fault matrix: a listening socket that systemd has opened.
#include "../fixtures/crowd.hpp"
#include "../fixtures/scenario.hpp"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include <doctest/doctest.h>
#include <fcntl.h>

using cluster_test::run_case;
using scenario::when_listening;

namespace {

struct refusal {
    std::string other_name;
    std::string other_kind;
};

bool is_worker_program() {
    for (int i = 1; i != cluster_test::program::argc; ++i) {
        if (std::string_view{cluster_test::program::argv[i]} == "--worker-case") {
            return true;
        }
    }
    return false;
}

/// Descriptors 3 and 4 are a listening socket, "web", and a file, "log", as if systemd had left
/// them: blocking, and not close-on-exec. In the primary; a worker has its channel there.
class activation {
public:
    activation(int pid, const std::string& count) {
        if (is_worker_program()) {
            return;
        }
        cluster::detail::os::set_nonblocking(socket_.get(), false);
        for (int number : {3, 4}) { // whoever started us may need them
            before_[number - 3] = cluster::unique_fd{::fcntl(number, F_DUPFD_CLOEXEC, 10)};
        }
        REQUIRE(::dup2(socket_.get(), 3) == 3);
        REQUIRE(::dup2(cluster::unique_fd{::open("/dev/null", O_RDWR | O_CLOEXEC)}.get(), 4) == 4);
        ::setenv("LISTEN_PID", std::to_string(pid).c_str(), 1);
        ::setenv("LISTEN_FDS", count.c_str(), 1);
        ::setenv("LISTEN_FDNAMES", "web:log", 1);
    }
    ~activation() {
        for (int number : {3, 4}) {
            auto& old = before_[number - 3];
            old ? ::dup2(old.get(), number) : ::close(number);
        }
        ::unsetenv("LISTEN_PID");
        ::unsetenv("LISTEN_FDS");
        ::unsetenv("LISTEN_FDNAMES");
    }
    activation(activation&&) = delete;

    [[nodiscard]] std::uint16_t port() const { return scenario::port_of(socket_.get()); }

private:
    cluster::unique_fd socket_{
        ::fcntl(scenario::bind_to(scenario::loopback(0), true).get(), F_DUPFD_CLOEXEC, 10)};
    cluster::unique_fd before_[2];
};

std::string error_of(auto& self, const char* name) {
    std::error_code error;
    self.listen({.activated = name}, scenario::answer_with_id(self), error);
    return error.message();
}

} // namespace

TEST_CASE("fault_71_a_socket_of_systemd_is_served_over_a_reload_and_never_closed") {
    activation given{::getpid(), "2"};
    std::string answers;
    refusal said;
    std::uint16_t at = 0;
    run_case<cluster::process_cluster>(
        "fault_71_a_socket_of_systemd_is_served_over_a_reload_and_never_closed",
        [&](auto& primary) {
            auto end = [&](const std::string& told) {
                answers += told;
                primary.disconnect();
            };
            auto reload = [&, end](const std::string& told) {
                answers += told;
                primary.reload({}, [&, end](const cluster::reload_report& report) {
                    CHECK(report.ok());
                    scenario::ask(primary, scenario::loopback(at), "?", end);
                });
            };
            primary.once(cluster::event::listening,
                         [&, reload](auto&, const cluster::address& where) {
                             at = where.port();
                             scenario::ask(primary, where, "?", reload);
                         });
            primary.on_message([&](const refusal& told) { said = told; });
            primary.fork();
        },
        [](auto& self) {
            self.send(refusal{error_of(self, "nobody"), error_of(self, "log")});
            self.listen({.activated = "web"}, scenario::answer_with_id(self));
        });
    CHECK(at == given.port());
    CHECK(answers == "12");
    CHECK(said.other_name == "No such file or directory");
    CHECK(said.other_kind == "Invalid argument");
    CHECK(std::getenv("LISTEN_PID") == nullptr);
    CHECK(std::getenv("LISTEN_FDS") == nullptr);
    CHECK(std::getenv("LISTEN_FDNAMES") == nullptr);
    CHECK(cluster::detail::os::is_listening(3));
    CHECK(cluster::detail::os::is_nonblocking(3));
    CHECK((::fcntl(3, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(4, F_GETFD) & FD_CLOEXEC) != 0);
}

namespace {

void not_for_us(const char* name, int pid, const std::string& count) {
    activation given{pid, count};
    std::string said;
    run_case<cluster::process_cluster>(
        name,
        [&](auto& primary) {
            primary.on_message([&](const std::string& told) {
                said = told;
                primary.disconnect();
            });
            primary.fork();
        },
        [](auto& self) { self.send(error_of(self, "web")); });
    CHECK(said == "No such file or directory");
    CHECK(std::getenv("LISTEN_FDS") == count); // for whom they are meant
    CHECK(::fcntl(3, F_GETFD) == 0);
}

} // namespace

TEST_CASE("fault_71_sockets_that_systemd_has_opened_for_another_process_are_left_alone") {
    not_for_us("fault_71_sockets_that_systemd_has_opened_for_another_process_are_left_alone",
               ::getpid() + 1,
               "2");
}

TEST_CASE("fault_71_a_number_of_sockets_that_makes_no_sense_is_none") {
    not_for_us(
        "fault_71_a_number_of_sockets_that_makes_no_sense_is_none", ::getpid(), "99999999999");
}
