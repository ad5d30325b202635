// SPDX-License-Identifier: MIT
#include <cluster/shared_memory/wait.hpp> // first and alone: proves the header is self-contained

#include <cluster/detail/os.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

/// A word that is mapped twice: two addresses, as in two processes.
struct word_seen_twice {
    word_seen_twice() {
        std::error_code error;
        cluster::unique_fd fd;
        one = cluster::detail::os::shared_mapping::create(4, fd, error);
        REQUIRE(!error);
        other = cluster::detail::os::shared_mapping::open(fd.get(), 4, error);
        REQUIRE(!error);
        REQUIRE(one.data() != other.data());
    }
    std::atomic<int>& here() { return *std::launder(static_cast<std::atomic<int>*>(one.data())); }
    std::atomic<int>& there() {
        return *std::launder(static_cast<std::atomic<int>*>(other.data()));
    }
    cluster::detail::os::shared_mapping one;
    cluster::detail::os::shared_mapping other;
};

} // namespace

TEST_SUITE("shared_memory/wait") {
    TEST_CASE("wait returns at once when the value is another") {
        std::atomic<int> word{2};
        cluster::wait(word, 1);
        CHECK(cluster::wait_for(word, 1, 0ns));
        CHECK(cluster::wait_for(word, 1, std::chrono::nanoseconds::max()));
    }

    TEST_CASE("wait_for says that the time is over") {
        std::atomic<unsigned> word{1};
        CHECK(!cluster::wait_for(word, 1, 1ms));
        CHECK(!cluster::wait_for(word, 1, -5ms));
    }

    TEST_CASE("a notifier at another address wakes the one who waits") {
        word_seen_twice word;
        std::thread waiter{[&] { cluster::wait(word.here(), 0); }};
        while (cluster::notify_one(word.there()) == 0) { // until it sleeps
            std::this_thread::yield();
        }
        word.there() = 1; // the wake without a change has not ended its wait
        cluster::notify_one(word.there());
        waiter.join();
        CHECK(word.here() == 1);
    }

    TEST_CASE("notify_all wakes everybody") {
        word_seen_twice word;
        std::atomic<int> waiting{0};
        std::vector<std::thread> waiters;
        for (int i = 0; i != 4; ++i) {
            waiters.emplace_back([&] {
                ++waiting;
                cluster::wait(word.here(), 0);
            });
        }
        while (waiting != 4) {
            std::this_thread::yield();
        }
        word.there() = 1;
        cluster::notify_all(word.there());
        for (auto& each : waiters) {
            each.join();
        }
        CHECK(cluster::notify_all(word.there()) == 0);
    }

    TEST_CASE("any type of four bytes will do") {
        std::atomic<float> word{1.5F};
        CHECK(!cluster::wait_for(word, 1.5F, 1ms));
        CHECK(cluster::wait_for(word, 2.0F, 1h));
    }
}
