// SPDX-License-Identifier: MIT
// What a worker inherits of a host that leaks descriptors: nothing.
#include "../fixtures/scenario.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <sys/resource.h>

using namespace cluster_test;

namespace {

struct listing {
    std::map<int, std::string> descriptors;
};

/// A thousand open descriptors, every second one without close-on-exec.
class leaky_host {
public:
    leaky_host() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        rlimit more = before_;
        more.rlim_cur = more.rlim_max < 4096 ? more.rlim_max : 4096;
        ::setrlimit(RLIMIT_NOFILE, &more);
        for (int i = 0; i != 1000; ++i) {
            leaked_.emplace_back(::open("/dev/zero", O_RDONLY | (i % 2 == 0 ? O_CLOEXEC : 0)));
        }
    }
    leaky_host(leaky_host&&) = delete;
    ~leaky_host() {
        leaked_.clear();
        ::setrlimit(RLIMIT_NOFILE, &before_);
    }
    [[nodiscard]] bool leaks() const { return static_cast<bool>(leaked_.back()); }

private:
    std::vector<cluster::unique_fd> leaked_;
    rlimit before_{};
};

std::string target_of(int fd) {
    char text[256] = "";
    auto size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), text, sizeof text - 1);
    return size <= 0 ? std::string{} : std::string{text, static_cast<std::size_t>(size)};
}

} // namespace

TEST_CASE(
    "a program started by a host that leaks has its standard descriptors and the channel only") {
    std::string text;
    std::string end;
    auto run = [&](auto& primary) {
        leaky_host host;
        CHECK(host.leaks());
        auto& worker = primary.fork({.executable = FIXTURE_CHILD,
                                     .arguments = {"descriptors", "1"},
                                     .standard_input = cluster::stdio::ignore,
                                     .standard_output = cluster::stdio::pipe,
                                     .standard_error = cluster::stdio::ignore});
        worker.standard_output().on_data([&](cluster::stream::bytes data) {
            text.append(reinterpret_cast<const char*>(data.data()), data.size());
        });
        worker.on(cluster::event::exit,
                  [&](const cluster::exit_status& status) { end = status.to_string(); });
    };
    run_case<cluster::process_cluster>("a program started by a host that leaks has its standard "
                                       "descriptors and the channel only",
                                       run,
                                       [](auto&) {});
    CHECK(text == "0=n 1=- 2=n 3=- ");
    CHECK(end == "exit code 0");
}

TEST_CASE("a worker of a host that leaks has beside those only what the library opened") {
    listing seen;
    run_case<cluster::process_cluster>(
        "a worker of a host that leaks has beside those only what the library opened",
        [&](auto& primary) {
            leaky_host host;
            CHECK(host.leaks());
            primary.fork({.standard_input = cluster::stdio::ignore})
                .on_message([&](auto& from, const listing& message) {
                    seen = message;
                    from.disconnect();
                });
        },
        [](auto& self) {
            listing mine;
            for (int fd = 0; fd != 4096; ++fd) {
                if (::fcntl(fd, F_GETFD) != -1) {
                    mine.descriptors[fd] = target_of(fd);
                }
            }
            self.send(mine);
        });
    REQUIRE(seen.descriptors.size() >= 4);
    CHECK(seen.descriptors[0] == "/dev/null");
    CHECK(seen.descriptors[3].starts_with("socket:"));
    for (const auto& [fd, what] : seen.descriptors) {
        CAPTURE(fd);
        CAPTURE(what);
        CHECK(what != "/dev/zero");
        bool ours = fd <= 3 || what.starts_with("anon_inode:[event") || // epoll and its wakeup
                    what == "anon_inode:[timerfd]";
        CHECK(ours);
    }
    CHECK(seen.descriptors.size() <= 7);
}
