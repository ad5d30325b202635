// SPDX-License-Identifier: MIT
#include <cluster/pool/detail/task_memory.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace {

using cluster::detail::memory_is_watched;
using cluster::detail::task_memory;

std::vector<void*> take(std::size_t count, std::size_t size) {
    std::vector<void*> result;
    for (std::size_t i = 0; i != count; ++i) {
        result.push_back(task_memory::take(size));
        std::memset(result.back(), static_cast<int>(i % 256), size);
    }
    return result;
}

void give(const std::vector<void*>& all, std::size_t size) {
    for (void* each : all) {
        task_memory::give(each, size);
    }
}

struct alignas(256) wide : cluster::detail::in_task_memory {
    int value = 0;
};

} // namespace

TEST_SUITE("pool/detail/task_memory") {
    TEST_CASE("what a thread has given back it gets again") {
        constexpr std::size_t size = 300;
        void* first = task_memory::take(size);
        task_memory::give(first, size);
        void* second = task_memory::take(size - 10);
        CHECK((second == first || memory_is_watched));
        void* other = task_memory::take(size);
        CHECK(other != second);
        task_memory::give(second, size - 10);
        task_memory::give(other, size);
    }

    TEST_CASE("blocks are apart for as long as they are held and of any size") {
        for (const std::size_t size : {1U, 64U, 65U, 500U, 512U, 513U, 100'000U}) {
            const auto all = take(size < 1000 ? 1000 : 3, size);
            CHECK(std::set<void*>(all.begin(), all.end()).size() == all.size());
            bool right = true;
            for (std::size_t i = 0; i != all.size(); ++i) {
                const auto* bytes = static_cast<const unsigned char*>(all[i]);
                right = right && bytes[0] == i % 256 && bytes[size - 1] == i % 256;
            }
            CHECK(right);
            give(all, size);
        }
    }

    TEST_CASE("what one thread takes another gives back and the first gets it again") {
        constexpr std::size_t size = 200;
        constexpr std::size_t count = 1000;
        const auto all = take(count, size);
        std::thread{[&] { give(all, size); }}.join();
        const auto again = take(count, size);
        std::size_t same = 0;
        const std::set<void*> before(all.begin(), all.end());
        for (void* each : again) {
            same += before.count(each);
        }
        CHECK((same >= count / 2 || memory_is_watched));
        give(again, size);
    }

    TEST_CASE("threads that take and give at the same time do not meet in a block") {
        std::vector<std::thread> threads;
        std::vector<int> wrong(4);
        for (std::size_t t = 0; t != wrong.size(); ++t) {
            threads.emplace_back([&wrong, t] {
                for (int round = 0; round != 20; ++round) {
                    const auto all = take(700, 128);
                    for (std::size_t i = 0; i != all.size(); ++i) {
                        wrong[t] += static_cast<unsigned char*>(all[i])[64] == i % 256 ? 0 : 1;
                    }
                    give(all, 128);
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(wrong == std::vector<int>(4));
    }

    TEST_CASE("an alignment of its own is kept") {
        auto* one = new wide;
        CHECK(reinterpret_cast<std::uintptr_t>(one) % 256 == 0);
        delete one;
    }
}
