// SPDX-License-Identifier: MIT
// A call that goes through an event loop, beside the system calls that it cannot do without.
#include <cluster/event_loop.hpp>

#include "allocations.hpp"

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace {

/// epoll, an eventfd and a vector under a mutex.
class raw_loop {
public:
    raw_loop() {
        epoll_event wanted{};
        wanted.events = EPOLLIN;
        ::epoll_ctl(epoll_, EPOLL_CTL_ADD, bell_, &wanted);
    }
    raw_loop(raw_loop&&) = delete;
    ~raw_loop() {
        ::close(bell_);
        ::close(epoll_);
    }

    void post(std::function<void()> task) {
        {
            const std::lock_guard lock{mutex_};
            tasks_.push_back(std::move(task));
        }
        const std::uint64_t one = 1;
        [[maybe_unused]] auto done = ::write(bell_, &one, sizeof one);
    }
    void poll() {
        epoll_event event{};
        if (::epoll_wait(epoll_, &event, 1, 0) != 1) {
            return;
        }
        std::uint64_t count = 0;
        [[maybe_unused]] auto done = ::read(bell_, &count, sizeof count);
        std::vector<std::function<void()>> arrived;
        {
            const std::lock_guard lock{mutex_};
            arrived.swap(tasks_);
        }
        for (auto& each : arrived) {
            each();
        }
    }

private:
    int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    int bell_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    std::mutex mutex_;
    std::vector<std::function<void()>> tasks_;
};

template <typename Loop>
void post(benchmark::State& state) {
    Loop loop;
    long ran = 0;
    const auto count = state.range(0);
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        for (auto i = count; i != 0; --i) {
            loop.post([&ran] { ++ran; });
        }
        loop.poll();
    }
    benchmark::DoNotOptimize(ran);
}

void defer(benchmark::State& state) {
    cluster::event_loop loop;
    long ran = 0;
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        loop.defer([&ran] { ++ran; });
        loop.poll();
    }
    benchmark::DoNotOptimize(ran);
}

void raw_wait(benchmark::State& state) {
    raw_loop loop;
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        loop.poll();
    }
}

void empty_turn(benchmark::State& state) {
    cluster::event_loop loop;
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        loop.poll();
    }
}

BENCHMARK(raw_wait)->Name("A turn with nothing to do/raw epoll");
BENCHMARK(empty_turn)->Name("A turn with nothing to do/ours");
BENCHMARK(raw_wait)->Name("A deferred call and its turn/raw epoll");
BENCHMARK(defer)->Name("A deferred call and its turn/ours");
BENCHMARK(post<raw_loop>)->Arg(1)->Name("A call posted and its turn/raw eventfd");
BENCHMARK(post<cluster::event_loop>)->Arg(1)->Name("A call posted and its turn/ours");
BENCHMARK(post<raw_loop>)->Arg(100)->Name("100 calls posted and their turn/raw eventfd");
BENCHMARK(post<cluster::event_loop>)->Arg(100)->Name("100 calls posted and their turn/ours");

} // namespace

BENCHMARK_MAIN();
