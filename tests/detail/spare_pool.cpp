// SPDX-License-Identifier: MIT
#include <cluster/detail/spare_pool.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <system_error>
#include <vector>

#include <unistd.h>

namespace {

using namespace cluster::detail;
using namespace std::chrono_literals;
using cluster::unique_fd;

/// A pool whose processes sleep; what they would say, the test says for them.
struct pool_of_sleepers {
    int error = 0; // of each start
    std::size_t starts = 0;
    std::vector<int> pids;
    std::vector<unique_fd> cords; // their ends
    std::size_t said = 0;         // how many have said that they wait
    spare_pool::demand wanted;
    cluster::event_loop loop;
    spare_pool pool{loop,
                    [this](const cluster::fork_options&,
                           const program_generation&,
                           int cord,
                           std::error_code& failed) { return launch(cord, failed); },
                    [this] { pool.keep(wanted); }};

    explicit pool_of_sleepers(std::size_t count) {
        wanted.count = count;
        wanted.may_start = true;
        wanted.generation = std::make_shared<program_generation>();
    }

    launched_worker launch(int cord, std::error_code& failed) {
        ++starts;
        launched_worker result;
        if (error != 0) {
            failed.assign(error, std::system_category());
            return result;
        }
        const char* const arguments[] = {"sleep", "1000", nullptr};
        os::spawn_request request;
        request.path = "/bin/sleep";
        request.arguments = arguments;
        auto child = os::spawn(request, failed);
        REQUIRE_FALSE(failed);
        pids.push_back(child.pid());
        cords.emplace_back(os::duplicate(cord));
        result.child = std::make_unique<worker_process>(std::move(child));
        return result;
    }

    void say_that_it_waits(std::size_t which) {
        std::array<std::byte, frame_header_size> bytes{};
        encode_header({0, frame_kind::reserve, 0, 0, 0}, bytes);
        CHECK(os::send(cords[which].get(), bytes).bytes == bytes.size());
    }

    /// Turns the loop until it is so.
    template <typename Condition>
    void until(Condition condition) {
        auto look = loop.every(1ms, [&] {
            if (condition()) {
                loop.stop();
            }
        });
        auto limit = loop.after(100s, [&] { loop.stop(1); });
        CHECK(loop.run() == 0);
        look.cancel();
        limit.cancel();
    }

    /// Until as many wait as are wanted.
    void fill() {
        pool.keep(wanted);
        while (pool.size() != wanted.count) {
            until([&] { return cords.size() > said; });
            say_that_it_waits(said++);
            until([&, before = pool.size()] { return pool.size() > before; });
        }
    }

    launched_worker take() { return pool.take(wanted.options, *wanted.generation, 0); }
};

bool exists(int pid) {
    return ::kill(pid, 0) == 0;
}

} // namespace

TEST_SUITE("detail/spare_pool") {
    TEST_CASE("spares start one after the other and end with the pool") {
        std::vector<int> pids;
        {
            pool_of_sleepers sleepers{3};
            CHECK(sleepers.pool.empty());
            sleepers.pool.keep(sleepers.wanted);
            sleepers.pool.keep(sleepers.wanted);
            CHECK(sleepers.starts == 1); // that one comes first
            CHECK(sleepers.pool.size() == 0);
            CHECK_FALSE(sleepers.pool.empty());
            sleepers.fill();
            CHECK(sleepers.starts == 3);
            pids = sleepers.pids;
            for (int each : pids) {
                CHECK(exists(each));
                CHECK(sleepers.pool.has(each));
            }
            CHECK_FALSE(sleepers.pool.has(::getpid()));
            ::kill(pids[1], SIGSTOP); // which changes nothing
        }
        for (int each : pids) {
            CHECK_FALSE(exists(each)); // and reaped
        }
    }

    TEST_CASE("one that waits is taken with the channel and another one starts") {
        pool_of_sleepers sleepers{1};
        CHECK_FALSE(sleepers.take().child);
        sleepers.pool.keep(sleepers.wanted);
        CHECK_FALSE(sleepers.take().child); // it has not come as far as its role
        sleepers.fill();
        unique_fd channel, other;
        REQUIRE_FALSE(os::make_channel(channel, other));
        auto taken =
            sleepers.pool.take(sleepers.wanted.options, *sleepers.wanted.generation, channel.get());
        REQUIRE(taken.child);
        CHECK(taken.child->pid() == sleepers.pids[0]);
        std::array<std::byte, frame_header_size> buffer{};
        os::received_descriptors came;
        os::receive(sleepers.cords[0].get(), buffer); // `reserve`
        CHECK(os::receive_with_descriptors(sleepers.cords[0].get(), buffer, came).bytes ==
              buffer.size());
        CHECK(came.count() == 1);
        sleepers.until([&] { return sleepers.starts == 2; });
        CHECK_FALSE(sleepers.pool.has(sleepers.pids[0])); // it is not the pool's any more
        CHECK_FALSE(taken.child->signal(SIGKILL));
        taken.child->wait();
    }

    TEST_CASE("other options and another generation take none") {
        pool_of_sleepers sleepers{1};
        sleepers.fill();
        cluster::fork_options other;
        other.umask = 077;
        CHECK_FALSE(sleepers.pool.take(other, *sleepers.wanted.generation, 0).child);
        CHECK_FALSE(
            sleepers.pool.take(sleepers.wanted.options, program_generation{2, {}}, 0).child);
        CHECK(sleepers.pool.size() == 1);
        other = sleepers.wanted.options;
        other.name = "told later";
        auto taken = sleepers.pool.take(other, *sleepers.wanted.generation, 0);
        REQUIRE(taken.child);
        taken.child->signal(SIGKILL);
        taken.child->wait();
    }

    TEST_CASE("those that are not wanted any more go and others come") {
        pool_of_sleepers sleepers{2};
        sleepers.fill();
        sleepers.wanted.options.umask = 077;
        sleepers.pool.keep(sleepers.wanted);
        CHECK(sleepers.pool.size() == 0);
        sleepers.until([&] { return !exists(sleepers.pids[0]) && !exists(sleepers.pids[1]); });
        sleepers.fill();
        CHECK(sleepers.starts == 4);
        sleepers.wanted.count = 1;
        sleepers.pool.keep(sleepers.wanted);
        CHECK(sleepers.pool.size() == 1);
        sleepers.until([&] { return !exists(sleepers.pids[3]); }); // the one that came last
        sleepers.pool.keep({});
        sleepers.until([&] { return sleepers.pool.empty() || !exists(sleepers.pids[2]); });
    }

    TEST_CASE("one that was stopped is passed over and killed and another one starts") {
        pool_of_sleepers sleepers{2};
        sleepers.fill();
        ::kill(sleepers.pids[0], SIGSTOP);
        sleepers.until([&] { return os::is_halted(sleepers.pids[0]); });
        auto taken = sleepers.take();
        REQUIRE(taken.child);
        CHECK(taken.child->pid() == sleepers.pids[1]);
        taken.child->signal(SIGKILL);
        taken.child->wait();
        sleepers.until([&] { return !exists(sleepers.pids[0]); });
        sleepers.until([&] { return sleepers.starts == 3; });
    }

    TEST_CASE("one whose cord is closed is passed over") {
        pool_of_sleepers sleepers{1};
        sleepers.fill();
        sleepers.cords[0].reset();
        CHECK_FALSE(sleepers.take().child);
    }

    TEST_CASE("one that died is replaced behind a pause") {
        pool_of_sleepers sleepers{1};
        sleepers.fill();
        auto died = std::chrono::steady_clock::now();
        ::kill(sleepers.pids[0], SIGKILL);
        sleepers.until([&] { return sleepers.starts == 2; });
        CHECK(std::chrono::steady_clock::now() - died >= 100ms);
        CHECK(sleepers.pool.size() == 0);
    }

    TEST_CASE("starts that fail are tried again ever less often") {
        pool_of_sleepers sleepers{4};
        sleepers.error = EAGAIN;
        auto begin = std::chrono::steady_clock::now();
        sleepers.pool.keep(sleepers.wanted);
        sleepers.until([&] { return sleepers.starts == 4; });
        auto took = std::chrono::steady_clock::now() - begin;
        CHECK(took >= 700ms); // 100, 200 and 400
        CHECK(sleepers.pool.empty());
        sleepers.error = 0;
        sleepers.fill();
        CHECK(sleepers.pool.size() == 4);
    }

    TEST_CASE("one that never comes as far as its role is killed in time") {
        pool_of_sleepers sleepers{1};
        sleepers.wanted.boot_limit = 1ms;
        sleepers.pool.keep(sleepers.wanted);
        auto ask = sleepers.loop.every(5ms, [&] { sleepers.pool.keep(sleepers.wanted); });
        sleepers.until([&] { return !exists(sleepers.pids[0]); });
        sleepers.until([&] { return sleepers.starts == 2; });
        ask.cancel();
    }

    TEST_CASE("spares keep no loop alive") {
        pool_of_sleepers sleepers{1};
        sleepers.fill();
        CHECK(sleepers.loop.run() == 0);
        CHECK(sleepers.pool.size() == 1);
    }
}
