// SPDX-License-Identifier: MIT
#include <cluster/detail/recoverable_lock.hpp> // first and alone: it is self-contained

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace {

using cluster::detail::recoverable_lock;
using cluster::detail::os::thread_number;

} // namespace

TEST_SUITE("detail/recoverable_lock") {
    TEST_CASE("one thread at a time has the lock") {
        recoverable_lock lock;
        int count = 0; // no atomic: the lock has to do
        std::vector<std::thread> threads;
        for (int i = 0; i != 4; ++i) {
            threads.emplace_back([&] {
                for (int n = 0; n != 20'000; ++n) {
                    CHECK(!lock.lock(thread_number()));
                    ++count;
                    lock.unlock(thread_number());
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(count == 80'000);
    }

    TEST_CASE("the lock of a thread that has ended is taken and the taker learns it") {
        recoverable_lock lock;
        std::thread{[&] { static_cast<void>(lock.lock(thread_number())); }}.join();
        CHECK(lock.lock(thread_number()));
        lock.unlock(thread_number());
        CHECK(!lock.lock(thread_number()));
    }

    TEST_CASE("the lock of one that does not let go is taken after a while") {
        recoverable_lock lock;
        std::atomic<bool> locked{false};
        std::atomic<bool> robbed{false};
        std::thread victim{[&] {
            static_cast<void>(lock.lock(thread_number()));
            locked = true;
            locked.notify_one();
            robbed.wait(false);
            lock.unlock(thread_number()); // it is not its own any more
        }};
        locked.wait(false);
        auto start = std::chrono::steady_clock::now();
        CHECK(lock.lock(thread_number()));
        CHECK(std::chrono::steady_clock::now() - start > recoverable_lock::patience);
        robbed = true;
        robbed.notify_one();
        victim.join();
        std::thread{[&] { // still ours: nobody gets it but by robbing us
            CHECK(lock.lock(thread_number()));
            lock.unlock(thread_number());
        }}
            .join();
    }

    TEST_CASE("whatever a hostile process writes there holds nobody for ever") {
        for (std::uint32_t garbage : {0x80000000U, 0xffffffffU, 0x40000000U, 1U, 0x3fffffffU}) {
            alignas(recoverable_lock) std::uint32_t memory[2] = {garbage, 7};
            auto& lock = *reinterpret_cast<recoverable_lock*>(memory);
            CHECK(lock.lock(thread_number()));
            lock.unlock(thread_number());
            CHECK(!lock.lock(thread_number()));
        }
    }
}
