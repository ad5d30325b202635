// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_STOPPING_HPP
#define CLUSTER_DETAIL_STOPPING_HPP

/// \file
/// `std::stop_token`, `std::stop_source` and `std::stop_callback` for standard libraries that lack
/// them, as libc++ did before version 20: the same names with the same meaning.

#include "memory.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {
namespace stopping {

/// What the tokens, sources and callbacks of one request have in common. Thread-safe.
class state {
public:
    /// A callback in the state's list.
    class link {
    public:
        link(link&&) = delete;
        link& operator=(link&&) = delete;

    protected:
        explicit link(void (*call)(link&) noexcept) noexcept : call_{call} {}
        ~link() = default;

    private:
        friend class state;
        void (*call_)(link&) noexcept;
        link* before_ = nullptr;
        link* after_ = nullptr;
        bool listed_ = false;
    };

    [[nodiscard]] bool requested() const noexcept { return requested_.load(); }
    [[nodiscard]] bool possible() const noexcept { return requested() || sources.load() != 0; }

    /// \returns whether it was the first; then the callbacks have been called
    bool request() noexcept {
        std::unique_lock lock{mutex_};
        if (requested_.exchange(true)) {
            return false;
        }
        requester_ = std::this_thread::get_id();
        while (first_ != nullptr) {
            running_ = first_;
            take_out(*running_);
            lock.unlock();
            running_->call_(*running_); // and it may be destroyed
            lock.lock();
            running_ = nullptr;
            called_.notify_all();
        }
        return true;
    }

    /// \returns false when stop was requested already: the caller calls
    bool add(link& one) noexcept {
        const std::lock_guard lock{mutex_};
        if (requested()) {
            return false;
        }
        one.after_ = first_;
        if (first_ != nullptr) {
            first_->before_ = &one;
        }
        first_ = &one;
        one.listed_ = true;
        return true;
    }
    /// After it, the callback is not called and does not run, unless it is the caller.
    void remove(link& one) noexcept {
        std::unique_lock lock{mutex_};
        if (one.listed_) {
            take_out(one);
        } else if (requester_ != std::this_thread::get_id()) {
            called_.wait(lock, [&] { return running_ != &one; });
        }
    }

    std::atomic<std::size_t> sources{0};

private:
    void take_out(link& one) noexcept {
        (one.before_ != nullptr ? one.before_->after_ : first_) = one.after_;
        if (one.after_ != nullptr) {
            one.after_->before_ = one.before_;
        }
        one.before_ = one.after_ = nullptr;
        one.listed_ = false;
    }

    std::atomic<bool> requested_{false};
    std::mutex mutex_;
    std::condition_variable called_;
    std::thread::id requester_;
    link* first_ = nullptr;
    link* running_ = nullptr;
};

class stop_token {
public:
    stop_token() noexcept = default;

    [[nodiscard]] bool stop_requested() const noexcept { return state_ && state_->requested(); }
    [[nodiscard]] bool stop_possible() const noexcept { return state_ && state_->possible(); }
    friend bool operator==(const stop_token&, const stop_token&) noexcept = default;

private:
    friend class stop_source;
    template <typename F>
    friend class stop_callback;
    explicit stop_token(std::shared_ptr<state> of) noexcept : state_{std::move(of)} {}
    std::shared_ptr<state> state_;
};

class stop_source {
public:
    stop_source() : state_{std::make_shared<state>()} { ++state_->sources; }
    stop_source(const stop_source& other) noexcept : state_{other.state_} {
        if (state_) {
            ++state_->sources;
        }
    }
    stop_source(stop_source&& other) noexcept = default;
    stop_source& operator=(stop_source other) noexcept {
        state_.swap(other.state_);
        return *this;
    }
    ~stop_source() {
        if (state_) {
            --state_->sources;
        }
    }

    bool request_stop() const noexcept { // NOLINT(modernize-use-nodiscard): as in the standard
        auto kept = state_;              // a callback may destroy this
        return kept && kept->request();
    }
    [[nodiscard]] stop_token get_token() const noexcept { return stop_token{state_}; }
    [[nodiscard]] bool stop_requested() const noexcept { return state_ && state_->requested(); }
    [[nodiscard]] bool stop_possible() const noexcept { return state_ != nullptr; }
    friend bool operator==(const stop_source&, const stop_source&) noexcept = default;

private:
    std::shared_ptr<state> state_;
};

template <typename F>
class stop_callback : private state::link {
public:
    using callback_type = F;

    template <typename C>
        requires std::is_constructible_v<F, C>
    explicit stop_callback(stop_token of, C&& function)
        : link{[](link& self) noexcept { static_cast<stop_callback&>(self).call(); }},
          function_{std::forward<C>(function)},
          state_{std::move(of.state_)} {
        if (state_ && !state_->add(*this)) {
            state_.reset();
            call();
        }
    }
    ~stop_callback() {
        if (state_) {
            state_->remove(*this);
        }
    }
    stop_callback(stop_callback&&) = delete;
    stop_callback& operator=(stop_callback&&) = delete;

private:
    void call() noexcept { std::forward<F>(function_)(); }

    F function_;
    std::shared_ptr<state> state_;
};
template <typename F>
stop_callback(stop_token, F) -> stop_callback<F>;

} // namespace stopping
} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_STOPPING_HPP
