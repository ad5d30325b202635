// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_WORKER_THREAD_HPP
#define CLUSTER_DETAIL_WORKER_THREAD_HPP

#include "../stop_token.hpp"
#include "memory.hpp"
#include "move_only_function.hpp"
#include "os.hpp"
#include "running_worker.hpp"

#include <atomic>
#include <exception>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A worker that is a thread. Nobody can end a thread from outside: every signal but 0 asks it to
/// stop, which ends its loop; code that computes looks at its stop token. A thread that was given up
/// is left to itself by the destructor.
class worker_thread final : public running_worker {
public:
    using function = move_only_function<int()>;

    /// Runs `body`; what it throws ends the worker with code 1 and a text.
    /// \throws std::system_error when the system has no descriptor or no thread left.
    worker_thread(function body, stop_source stop)
        : stop_{std::move(stop)}, thread_{[body = std::move(body), shared = shared_]() mutable {
              shared->thread.store(os::thread_id(), std::memory_order_relaxed);
              shared->run(body);
              body = {}; // everything of the worker is gone before anybody hears of its end
              shared->over.store(true, std::memory_order_release);
              shared->ended.notify();
          }} {}
    ~worker_thread() override {
        if (thread_.joinable()) {
            shared_->over.load(std::memory_order_acquire) ? thread_.join() : thread_.detach();
        }
    }

    [[nodiscard]] inline int pid() const noexcept override { return os::process_id(); }
    [[nodiscard]] inline int descriptor() const noexcept override {
        return shared_->ended.descriptor();
    }
    inline std::error_code signal(int number) noexcept override {
        if (shared_->over.load(std::memory_order_acquire)) {
            return std::make_error_code(std::errc::no_such_process);
        }
        if (number != 0) {
            stop_.request_stop();
        }
        return {};
    }
    inline std::optional<os::exit_info> try_wait() noexcept override {
        if (!shared_->over.load(std::memory_order_acquire)) {
            return std::nullopt;
        }
        if (thread_.joinable()) {
            thread_.join();
        }
        return os::exit_info{os::exit_info::kind::exited, shared_->code, false};
    }
    inline void wait() noexcept override {
        if (thread_.joinable()) {
            thread_.join();
        }
    }
    [[nodiscard]] inline os::process_usage usage() const noexcept override {
        return os::usage_of_thread(shared_->thread.load(std::memory_order_relaxed));
    }
    /// A thread that has lost its channel, and runs, has returned to no loop of ours.
    [[nodiscard]] inline bool is_exiting() const noexcept override { return false; }
    [[nodiscard]] inline std::string describe() const override {
        return os::describe_thread(shared_->thread.load(std::memory_order_relaxed));
    }
    [[nodiscard]] inline std::string failure() const override { return shared_->reason; }

private:
    struct state {
        void run(function& body) noexcept {
            try {
                code = body();
            } catch (const std::exception& thrown) {
                fail(thrown.what());
            } catch (...) {
                fail("something that is no std::exception");
            }
        }
        void fail(const char* what) noexcept {
            code = 1;
            try {
                reason = std::string{"uncaught exception: "} + what;
            } catch (...) {
                reason.clear();
            }
        }

        os::wakeup ended;
        std::atomic<int> thread{0};
        std::atomic<bool> over{false};
        int code = 0;       // these two before `over`
        std::string reason; // empty: nothing was thrown
    };

    std::shared_ptr<state> shared_ = std::make_shared<state>();
    stop_source stop_;
    std::thread thread_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_WORKER_THREAD_HPP
