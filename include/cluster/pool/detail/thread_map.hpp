// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_THREAD_MAP_HPP
#define CLUSTER_POOL_DETAIL_THREAD_MAP_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/counted.hpp"
#include "../../stop_token.hpp"
#include "../error.hpp"
#include "../options.hpp"
#include "task_state.hpp"
#include "thread_engine.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A loop over 0 to n that several threads run: each takes the next chunk until none is left. Helpers
/// that come late, or never, only touch this object, which lives as long as one of them.
template <typename Body>
class shared_loop {
public:
    shared_loop(std::size_t total, std::size_t chunk, stop_token stop, Body& body)
        : total_{total}, chunk_{chunk}, stop_{std::move(stop)}, body_{body} {}

    void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            delete this;
        }
    }

    /// What is posted: works, or tells that it was dropped.
    class helper {
    public:
        explicit helper(counted<shared_loop> loop) noexcept : loop_{std::move(loop)} {
            loop_->helpers_.fetch_add(1);
        }
        helper(helper&&) noexcept = default;
        helper& operator=(helper&&) = delete;
        ~helper() {
            if (loop_) {
                loop_->helpers_.fetch_sub(1);
                loop_->announce();
            }
        }
        void operator()() noexcept { loop_->work(); }

    private:
        counted<shared_loop> loop_;
    };

    void work() noexcept {
        for (;;) {
            const std::size_t begin = next_.fetch_add(chunk_, std::memory_order_relaxed);
            if (begin >= total_) {
                return;
            }
            const std::size_t end = begin + chunk_ < total_ ? begin + chunk_ : total_;
            run(begin, end);
            done_.fetch_add(end - begin, std::memory_order_acq_rel);
            announce();
        }
    }

    /// Blocks until all is done, or nobody is left to do it. Calls `progress(done)` meanwhile.
    template <typename Progress>
    void wait(Progress progress) {
        std::size_t told = 0;
        for (;;) {
            const std::uint32_t epoch = epoch_.load();
            const bool alone = helpers_.load() == 0;
            const std::size_t done = done_.load(std::memory_order_acquire);
            if (done != told) {
                told = done;
                progress(done);
            }
            if (done == total_) {
                break;
            }
            if (alone) {
                throw task_cancelled{};
            }
            os::futex_wait(epoch_, epoch);
        }
        if (error_) {
            std::rethrow_exception(std::exchange(error_, nullptr));
        }
    }

private:
    void run(std::size_t begin, std::size_t end) noexcept {
        for (std::size_t i = begin; i != end; ++i) {
            if (failed_.load(std::memory_order_relaxed)) {
                return;
            }
            std::exception_ptr error;
            try {
                if (stop_.stop_requested()) {
                    throw task_cancelled{};
                }
                body_(i);
                continue;
            } catch (...) {
                error = std::current_exception();
            }
            const std::lock_guard lock{mutex_};
            if (!error_) {
                error_ = std::move(error);
            }
            failed_.store(true, std::memory_order_relaxed);
        }
    }

    void announce() noexcept {
        epoch_.fetch_add(1);
        os::futex_wake_all(epoch_);
    }

    const std::size_t total_;
    const std::size_t chunk_;
    const stop_token stop_;
    Body& body_; // of the one who waits: used for as long as something is not done
    std::atomic<unsigned> references_{1};
    std::atomic<unsigned> helpers_{0};
    alignas(64) std::atomic<std::size_t> next_{0};
    alignas(64) std::atomic<std::size_t> done_{0};
    os::futex_word epoch_{0};
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    std::exception_ptr error_;
};

/// Runs `body(i)` for each i below `total` in the threads of `engine`.
/// \throws the first exception of a body, task_cancelled
template <typename Body>
void run_loop(thread_engine& engine, std::size_t total, map_options& options, Body body) {
    constexpr std::size_t rounds = 16; // chunks for each worker: the last ones even out the load
    const std::size_t workers = engine.most();
    std::size_t chunk = options.chunk != 0 ? options.chunk : total / (workers * rounds);
    chunk = chunk == 0 ? 1 : chunk;
    const auto loop = counted<shared_loop<Body>>::adopt(
        new shared_loop<Body>{total, chunk, options.task.stop, body});
    const std::size_t chunks = (total + chunk - 1) / chunk;
    for (std::size_t i = 0; i != workers && i != chunks; ++i) {
        // When the queue is full or closed, those that are in it do it all.
        static_cast<void>(engine.post(
            typename shared_loop<Body>::helper{counted<shared_loop<Body>>::share(loop.get())},
            options.task.priority));
    }
    if (engine.is_own_thread()) {
        loop->work(); // else it might wait for itself
    }
    loop->wait([&](std::size_t done) {
        if (options.progress) {
            options.progress(done, total);
        }
    });
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_THREAD_MAP_HPP
