// SPDX-License-Identifier: MIT
#include "../support/client.hpp"
#include "../support/every_model.hpp"
#include "../support/temporary_directory.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cluster_test;

namespace {

struct go_ahead {};

struct try_port {
    std::uint16_t port;
};

struct failure {
    int code;
    std::string text;
};

struct served {
    std::size_t connections;
};

struct how_many {};

constexpr std::uint16_t privileged_port = 42;

/// While it lives this process can open no descriptor more.
class no_descriptors_left {
public:
    no_descriptors_left() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        int lowest_free = ::dup(STDIN_FILENO);
        ::close(lowest_free);
        rlimit now = before_;
        now.rlim_cur = static_cast<rlim_t>(lowest_free);
        CHECK(::setrlimit(RLIMIT_NOFILE, &now) == 0);
    }
    ~no_descriptors_left() { CHECK(::setrlimit(RLIMIT_NOFILE, &before_) == 0); }
    no_descriptors_left(no_descriptors_left&&) = delete;
    no_descriptors_left& operator=(no_descriptors_left&&) = delete;

private:
    rlimit before_{};
};

/// While it lives root is nobody, as far as rights go.
class without_privileges {
public:
    without_privileges() {
        if (was_root_) {
            constexpr uid_t nobody = 65534;
            REQUIRE(::seteuid(nobody) == 0);
        }
    }
    ~without_privileges() {
        if (was_root_) {
            CHECK(::seteuid(0) == 0);
            ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); // the change has cleared it
        }
    }
    without_privileges(without_privileges&&) = delete;
    without_privileges& operator=(without_privileges&&) = delete;

private:
    bool was_root_ = ::geteuid() == 0;
};

bool everybody_may_bind(std::uint16_t port) {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{
        std::fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re"), std::fclose};
    int start = 1024;
    return file && std::fscanf(file.get(), "%d", &start) == 1 && start <= port;
}

/// A socket that listens on a UNIX path and that no cluster knows of.
struct path_socket {
    explicit path_socket(const std::string& path)
        : fd{cluster::detail::os::open_stream_socket(cluster::address_family::local)} {
        namespace os = cluster::detail::os;
        listens =
            os::bind_to(fd.get(), cluster::address::local(path)) && os::listen_on(fd.get(), 1);
    }
    cluster::unique_fd fd;
    bool listens = false;
};

/// A process that has one until the object dies.
class path_holder {
public:
    explicit path_holder(const std::string& path) {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
            std::exit(80);
        }
        pid_ = ::fork();
        if (pid_ == 0) {
            ::close(ends[0]);
            hold(path, ends[1]);
        }
        ::close(ends[1]);
        control_.reset(ends[0]);
        char listening = 0;
        if (::read(control_.get(), &listening, 1) != 1) {
            std::exit(81);
        }
    }
    ~path_holder() {
        control_.reset();
        ::waitpid(pid_, nullptr, 0);
    }
    path_holder(path_holder&&) = delete;
    path_holder& operator=(path_holder&&) = delete;

private:
    [[noreturn]] static void hold(const std::string& path, int control) {
        path_socket socket{path};
        char end = 0;
        if (socket.listens && ::write(control, "y", 1) == 1) {
            static_cast<void>(::read(control, &end, 1) == 0);
        }
        ::_exit(0);
    }

    pid_t pid_ = -1;
    cluster::unique_fd control_;
};

} // namespace

CLUSTER_CASE("test-cluster-accept-fail") {
    std::unique_ptr<no_descriptors_left> shortage;
    std::vector<std::string> answers;
    int questions = 0;
    run_on<Backend>(
        [&](auto& primary) {
            constexpr int most_questions = 10; // so often the loop has met the waiting connection
            auto& worker = primary.fork();
            auto answered = [&](std::string answer, std::error_code error) {
                CHECK_FALSE(error);
                answers.push_back(std::move(answer));
                if (answers.size() == 2) {
                    worker.disconnect();
                }
            };
            worker.on(cluster::event::listening, [&, answered](const cluster::address& at) {
                ask(primary, at, "", answered);
                shortage = std::make_unique<no_descriptors_left>();
                worker.send(how_many{});
            });
            worker.on_message([&](auto& from, const served& so_far) {
                CHECK(so_far.connections == 0);
                CHECK(answers.empty());
                if (++questions < most_questions) {
                    from.send(how_many{});
                    return;
                }
                // Node drops the connection; here it waits for better times, and so do later ones.
                shortage.reset();
            });
            worker.on_message([&, answered](const try_port& at) {
                ask(primary, cluster::address::ipv4({127, 0, 0, 1}, at.port), "", answered);
            });
            worker.on(cluster::event::exit, [](const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            auto connections = std::make_shared<std::size_t>(0);
            self.listen({.host = "127.0.0.1"}, [&self, connections](cluster::connection client) {
                if (++*connections == 1) {
                    self.send(try_port{client.local().port()});
                }
                self.attach(std::move(client)).end("served");
            });
            self.on_message(
                [connections](auto& me, const how_many&) { me.send(served{*connections}); });
        });
    CHECK(answers == std::vector<std::string>{"served", "served"});
}

CLUSTER_CASE("test-cluster-bind-privileged-port") {
    if (everybody_may_bind(privileged_port)) {
        MESSAGE("skipped: this system lets everybody bind port 42");
        return;
    }
    std::optional<without_privileges> nobody;
    std::optional<failure> told;
    bool listened = false;
    int code = run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            nobody.emplace(); // it is the primary that binds
            worker.on(cluster::event::listening, [&] { listened = true; });
            worker.on_message([&](auto& from, const failure& what) {
                told = what;
                from.disconnect();
            });
            worker.on(cluster::event::exit, [](const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            try {
                self.listen({.host = "127.0.0.1", .port = privileged_port},
                            [](cluster::connection) {});
                fail_worker(2);
            } catch (const std::system_error& error) {
                self.send(failure{error.code().value(), error.what()});
            }
        });
    nobody.reset();
    CHECK(code == 0);
    CHECK_FALSE(listened);
    REQUIRE(told);
    CHECK(told->code == EACCES);
    CHECK(told->text.find("127.0.0.1:42") != std::string::npos);
}

CLUSTER_CASE("test-cluster-bind-twice") {
    // Two clusters of one program share nothing, like the two programs of Node's test.
    cluster::compose<Backend> one{program::argc, program::argv};
    cluster::compose<Backend> two{program::argc, program::argv, one.loop()};
    auto owner = [](auto& self) {
        self.on_message([](auto& me, const go_ahead&) { exit_worker(me, 0); });
        self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
    };
    auto latecomer = [](auto& self) {
        self.on_message([](auto& me, const go_ahead&) { exit_worker(me, 0); });
        self.on_message([](auto& me, const try_port& at) {
            std::error_code error;
            me.listen(
                {.host = "127.0.0.1", .port = at.port}, [](cluster::connection) {}, error);
            me.send(failure{error.value(), error.message()});
        });
    };
    auto no_primary = [](auto&) {};
    if (one.is_worker()) {
        std::exit(one.run(no_primary, owner));
    }
    if (two.is_worker()) {
        std::exit(two.run(no_primary, latecomer));
    }

    int exited = 0;
    std::optional<failure> told;
    auto watch = [&](auto& primary) -> auto& {
        if constexpr (Backend::separate_memory) {
            primary.setup({.arguments = {"--worker-case", "test-cluster-bind-twice"}});
        }
        primary.on(cluster::event::exit, [&](const cluster::exit_status& status) {
            ++exited;
            CHECK_MESSAGE(status.success(), status.to_string());
        });
        return primary.fork();
    };
    auto both = [&](auto& first_primary, auto& second_primary) {
        auto& first = watch(first_primary);
        auto& second = watch(second_primary);
        CHECK(first.id() == 1);
        CHECK(second.id() == 1);
        first.on(cluster::event::listening,
                 [&](const cluster::address& at) { second.send(try_port{at.port()}); });
        second.on(cluster::event::listening, [] { FAIL_CHECK("the port is taken"); });
        second.on_message([&](const failure& what) {
            told = what;
            first.send(go_ahead{});
            second.send(go_ahead{});
        });
    };
    auto watchdog = one.loop().after(patience(), [&] { one.loop().stop(-1); });
    watchdog.unref();
    int code = one.run(
        [&](auto& first_primary) {
            int inner = two.run([&](auto& second_primary) { both(first_primary, second_primary); },
                                latecomer);
            CHECK(inner == 0); // it runs the loop of both
        },
        owner);
    CHECK(code == 0);
    CHECK(exited == 2);
    REQUIRE(told);
    CHECK(told->code == EADDRINUSE);
}

EVERY_MODEL_CASE("test-cluster-eaccess") {
    std::optional<temporary_directory> place;
    std::vector<failure> told;
    std::vector<std::string> events;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            place.emplace();
            auto& worker = primary.fork({.data = *place / "live"});
            primary.on(cluster::event::fork, [&] { events.push_back("fork"); });
            primary.on(cluster::event::online, [&] { events.push_back("online"); });
            primary.on(cluster::event::listening, [&] { events.push_back("listening"); });
            worker.on_message([&](auto& from, const failure& what) {
                told.push_back(what);
                from.disconnect();
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                events.push_back("exit");
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            const auto& path = self.template data<std::string>();
            std::conditional_t<Backend::separate_memory, path_holder, path_socket> holder{path};
            try {
                self.listen({.path = path}, [](cluster::connection) {});
                fail_worker(2);
            } catch (const std::system_error& error) {
                self.send(failure{error.code().value(), error.what()});
            }
        });
    CHECK(events == std::vector<std::string>{"fork", "online", "exit"});
    REQUIRE(told.size() == 1);
    CHECK(told[0].code == EADDRINUSE);
    CHECK(told[0].text.find(*place / "live") != std::string::npos);
}

CLUSTER_CASE("test-cluster-eaddrinuse") {
    std::vector<int> codes;
    int exited = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& owner = primary.listen(
                {.host = "127.0.0.1"}, [](cluster::connection) { FAIL_CHECK("nobody connects"); });
            auto& worker = primary.fork();
            worker.send(try_port{owner.address().port()});
            worker.on_message([&](auto& from, const failure& what) {
                codes.push_back(what.code);
                if (codes.size() == 1) {
                    auto port = owner.address().port();
                    owner.on_close([&from, port] { from.send(try_port{port}); });
                    owner.close();
                } else {
                    from.disconnect();
                }
            });
            worker.on(cluster::event::listening, [] { FAIL_CHECK("the primary is not asked"); });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exited;
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) {
            self.on_message([](auto& me, const try_port& at) {
                std::error_code error; // exclusive: by itself, like a child without a cluster
                me.listen(
                    {.host = "127.0.0.1", .port = at.port, .exclusive = true},
                    [](cluster::connection) {},
                    error);
                me.send(failure{error.value(), error.message()});
            });
        });
    CHECK(codes == std::vector<int>{EADDRINUSE, 0});
    CHECK(exited == 1);
}

TEST_CASE("test-cluster-ipc-throw") {
    // By hand, because what the worker's handler throws has to be met outside of its run().
    cluster::process_cluster app{program::argc, program::argv};
    auto worker_main = [](auto& self) {
        self.on_message([](auto& me, const try_port& at) {
            try {
                me.listen({.host = "127.0.0.1", .port = at.port}, [](cluster::connection) {});
            } catch (const std::system_error& error) {
                me.disconnect();
                throw std::runtime_error(error.code() == std::errc::address_in_use ? "taken"
                                                                                   : error.what());
            }
        });
        self.on_message([](auto& me, const how_many&) { me.send(served{0}); });
    };
    if (app.is_worker()) {
        int caught = 0;
        try {
            app.run([](auto&) {}, worker_main);
        } catch (const std::runtime_error& error) {
            caught += std::strcmp(error.what(), "taken") == 0 ? 1 : 0;
        }
        int code = app.run(); // goes on where it was left
        std::exit(code == 0 && caught == 1 ? 0 : 2);
    }

    int answered = 0;
    int exited = 0;
    auto& primary = app.primary();
    primary.setup({.arguments = {"--worker-case", "test-cluster-ipc-throw"}});
    auto& server = primary.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
    auto& worker = primary.fork();
    worker.send(try_port{server.address().port()});
    worker.send(how_many{}); // behind the message whose handler throws: not lost
    worker.on_message([&](const served&) { ++answered; });
    worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
        ++exited;
        CHECK_MESSAGE(status.success(), status.to_string());
        CHECK(worker.exited_after_disconnect());
        server.close();
    });
    auto watchdog = primary.after(patience(), [&] { primary.stop(-1); });
    watchdog.unref();
    CHECK(app.run() == 0);
    CHECK(answered == 1);
    CHECK(exited == 1);
}

// What a thread throws can be met by nobody: it is the worker's end, and an error in the primary.
TEST_CASE("test-cluster-ipc-throw on threads") {
    std::vector<std::string> events;
    run_on<cluster::backend::thread>(
        [&](auto& primary) {
            auto& server = primary.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            auto& worker = primary.fork({.data = server.address().port()});
            worker.on(cluster::event::error, [&](const std::error_code& error) {
                events.push_back("error");
                CHECK(error == cluster::errc::uncaught_exception);
            });
            worker.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                events.push_back("exit");
                CHECK(status == cluster::exit_status::exited(1));
                CHECK(worker.report().diagnosis == "uncaught exception: taken");
                CHECK(server.is_listening());
                server.close();
            });
        },
        [](auto& self) {
            std::error_code error;
            self.listen(
                {.host = "127.0.0.1", .port = self.template data<std::uint16_t>()},
                [](cluster::connection) {},
                error);
            throw std::runtime_error(error == std::errc::address_in_use ? "taken" : "no error");
        });
    CHECK(events == std::vector<std::string>{"error", "exit"});
}
