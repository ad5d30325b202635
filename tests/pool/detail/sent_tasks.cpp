// SPDX-License-Identifier: MIT
#include <cluster/pool/detail/sent_tasks.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <system_error>
#include <thread>

namespace {

using namespace cluster::detail;

counted<process_task> make_task() {
    const auto decode = [](std::span<const std::byte>, int&) { return std::error_code{}; };
    auto* made = new remote_task<int, decltype(decode)>{decode};
    static_cast<process_task*>(made)->release(); // that of a future, which nobody has here
    return counted<process_task>::adopt(made);
}

} // namespace

TEST_SUITE("pool/detail/sent_tasks") {
    TEST_CASE("tasks go out at both ends") {
        const auto tasks = std::make_unique<sent_tasks>();
        CHECK(tasks->empty());
        for (std::uint32_t i = 0; i != 3; ++i) {
            auto task = make_task();
            task->speaks_for = i;
            tasks->push_back(std::move(task), 10 + i);
        }
        CHECK(tasks->size() == 3);
        CHECK(tasks->front().sequence == 10);
        CHECK(tasks->back().sequence == 12);
        CHECK((*tasks)[1].speaks_for == 1);
        CHECK(tasks->pop_back()->speaks_for == 2);
        CHECK(tasks->pop_front()->speaks_for == 0);
        CHECK(tasks->front().sequence == 11);
        CHECK(tasks->size() == 1);
    }

    TEST_CASE("one thread takes from the front while others append") {
        const auto tasks = std::make_unique<sent_tasks>();
        constexpr std::uint32_t total = 20'000;
        std::mutex mutex;
        std::uint32_t next = 0;
        const auto append = [&] {
            for (;;) {
                {
                    const std::lock_guard lock{mutex};
                    if (next == total) {
                        return;
                    }
                    if (tasks->size() != sent_tasks::most) {
                        tasks->push_back(make_task(), next++);
                        continue;
                    }
                }
                std::this_thread::yield();
            }
        };
        std::thread first{append};
        std::thread second{append};
        std::uint32_t wrong = 0;
        for (std::uint32_t i = 0; i != total;) {
            if (tasks->empty()) {
                std::this_thread::yield();
                continue;
            }
            wrong += tasks->front().sequence == i && tasks->front().task ? 0U : 1U;
            tasks->pop_front();
            ++i;
        }
        first.join();
        second.join();
        CHECK(wrong == 0);
        CHECK(tasks->empty());
    }
}
