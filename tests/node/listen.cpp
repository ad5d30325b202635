// SPDX-License-Identifier: MIT
#include "../support/client.hpp"
#include "../support/every_model.hpp"

#include <cstddef>
#include <initializer_list>
#include <string>
#include <vector>

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace cluster_test;

namespace {

/// A directory of the primary of this case; in a worker it stays unmade.
class scratch_directory {
public:
    void create() {
        char name[] = "/tmp/cluster-listen-XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        path_ = name;
    }
    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + '/' + name; }
    void remove(std::initializer_list<std::string> directories = {}) {
        for (const auto& each : directories) {
            ::rmdir((*this / each).c_str());
        }
        CHECK(::rmdir(path_.c_str()) == 0); // the workers have left nothing in it
    }

private:
    std::string path_;
};

bool exists(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0;
}

unsigned mode_of(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777U : 0;
}

/// The backlog of this process's socket that listens on the address; 0 when it has none.
unsigned backlog_of(const cluster::address& at) {
    namespace os = cluster::detail::os;
    for (int fd = 3; fd != ::getdtablesize() && fd != 4096; ++fd) {
        tcp_info info{};
        socklen_t size = sizeof info;
        if (os::is_listening(fd) && os::local_address(fd) == at &&
            ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) {
            return info.tcpi_sacked; // that is what it holds for a socket that listens
        }
    }
    return 0;
}

} // namespace

// Node.js: test/parallel/test-cluster-listen-pipe-readable-writable.js
EVERY_MODEL_CASE("test-cluster-listen-pipe-readable-writable") {
    scratch_directory scratch;
    const mode_t before = ::umask(0077); // the mode asked for holds whatever the umask
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            scratch.create();
            auto path = scratch / "socket";
            auto& worker = primary.fork({.data = path});
            worker.on(cluster::event::listening, [&, path](const cluster::address& at) {
                CHECK(at.family() == cluster::address_family::local);
                CHECK(at.path() == path);
                CHECK(mode_of(path) == 0777);
                worker.disconnect();
            });
            worker.on(cluster::event::exit, [&, path](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
                CHECK_FALSE(exists(path));
            });
        },
        [](auto& self) {
            self.listen({.path = self.template data<std::string>(), .mode = 0777},
                        [](cluster::connection) {});
        });
    ::umask(before);
    CHECK(exits == 1);
    scratch.remove();
}

// Node.js: test/parallel/test-cluster-listening-port.js
EVERY_MODEL_CASE("test-cluster-listening-port") {
    int listening = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            primary.fork();
            primary.on(cluster::event::listening, [&](auto& worker, const cluster::address& at) {
                ++listening;
                CHECK(at.port() != 0);
                worker.kill();
            });
        },
        [](auto& self) { self.listen({.port = 0}, [](cluster::connection) {}); });
    CHECK(listening == 1);
}

// Node.js: test/parallel/test-cluster-net-listen-backlog.js
EVERY_MODEL_CASE("test-cluster-net-listen-backlog") {
    int listening = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::listening, [&](const cluster::address& at) {
                ++listening;
                CHECK(backlog_of(at) == 127);
                worker.disconnect();
            });
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1", .backlog = 127}, [](cluster::connection) {});
        });
    CHECK(listening == 1);
}

// Node.js: test/parallel/test-cluster-net-listen-ipv6only-false.js
EVERY_MODEL_CASE("test-cluster-net-listen-ipv6only-false") {
    if (!has_ipv6()) {
        MESSAGE("skipped: no IPv6");
        return;
    }
    constexpr std::size_t count = 3;
    std::vector<cluster::address> addresses;
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            primary.fork(count);
            primary.on(cluster::event::listening, [&](const cluster::address& at) {
                CHECK(at.family() == cluster::address_family::ipv6);
                CHECK(at.host() == "::");
                addresses.push_back(at);
                CHECK(addresses.front() == at);
                if (addresses.size() == count) {
                    CHECK(connect_to(loopback(at.port())));
                    primary.disconnect();
                }
            });
            primary.on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
            });
        },
        [](auto& self) {
            self.listen({.host = "::", .ipv6_only = false}, [](cluster::connection) {});
        });
    CHECK(addresses.size() == count);
    CHECK(exits == count);
}

// Node.js: test/parallel/test-cluster-net-listen-relative-path.js
EVERY_MODEL_CASE("test-cluster-net-listen-relative-path") {
    // Too long from the root, short enough from the primary's directory and from that of a worker
    // that can have its own.
    const std::string directory(50, 'd');
    const std::string name(50, 's');
    scratch_directory scratch;
    const std::string before = cluster::detail::os::current_directory();
    int listening = 0;
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            scratch.create();
            REQUIRE(::mkdir((scratch / directory).c_str(), 0700) == 0);
            REQUIRE(::chdir(scratch.path().c_str()) == 0);
            auto path = directory + '/' + name;
            CHECK((scratch / path).size() > cluster::address::max_path);
            auto& worker =
                primary.fork(Backend::separate_memory
                                 ? cluster::fork_options{.directory = directory, .data = name}
                                 : cluster::fork_options{.data = path});
            worker.on(cluster::event::listening, [&, path](const cluster::address& at) {
                ++listening;
                CHECK(at.family() == cluster::address_family::local);
                CHECK(exists(path));
                CHECK(connect_to(at));
                worker.disconnect();
            });
            worker.on(cluster::event::exit, [&, path](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
                CHECK_FALSE(exists(path));
            });
        },
        [](auto& self) {
            const auto& path = self.template data<std::string>();
            self.listen({.path = path}, [](cluster::connection) {});
            expect_in_worker(exists(path), 3);
        });
    CHECK(listening == 1);
    CHECK(exits == 1);
    REQUIRE(::chdir(before.c_str()) == 0);
    scratch.remove({directory});
}

// Node.js: test/parallel/test-cluster-net-listen.js
EVERY_MODEL_CASE("test-cluster-net-listen") {
    int exits = 0;
    run_on<Backend, any_model>(
        [&](auto& primary) {
            primary.fork().on(cluster::event::exit, [&](const cluster::exit_status& status) {
                ++exits;
                CHECK(status.success());
            });
        },
        [](auto& self) {
            auto& server = self.listen({}, [](cluster::connection) {});
            expect_in_worker(server.address().port() != 0, 3);
            self.disconnect();
        });
    CHECK(exits == 1);
}
