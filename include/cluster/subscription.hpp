// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SUBSCRIPTION_HPP
#define CLUSTER_SUBSCRIPTION_HPP

#include "detail/counted.hpp"
#include "detail/move_only_function.hpp"

#include <atomic>
#include <cstddef>
#include <exception>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

class subscription;

namespace detail {

/// One handler of an event, whatever its arguments are: what a subscription can switch off. The
/// handler itself dies when the event's table is next walked, so that it may cancel itself while it
/// runs.
class subscribed {
public:
    /// `cancelled(owner)`, if any, is told when a subscription takes the handler away.
    using listener = void (*)(void* owner) noexcept;

    void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            delete this;
        }
    }

    void cancel() noexcept {
        if (std::exchange(active, false) && cancelled != nullptr) {
            cancelled(owner);
        }
    }
    /// Lets go of the handler.
    virtual void forget() noexcept = 0;

    bool active = true;
    bool once = false;
    listener cancelled = nullptr;
    void* owner = nullptr;

protected:
    virtual ~subscribed() = default;

private:
    std::atomic<unsigned> references_{1};
};

} // namespace detail

/// One handler that was added with on(), once(), on_message() and the like. Dropping it changes
/// nothing; `cancel` takes the handler away, also from inside the handler and also after the object
/// that it was added to is gone. Same thread as the loop.
class subscription {
public:
    subscription() noexcept = default;
    explicit subscription(detail::subscribed& target) noexcept
        : target_{detail::counted<detail::subscribed>::share(&target)} {}

    /// Takes the handler away. Idempotent.
    void cancel() noexcept {
        if (target_) {
            target_->cancel();
            target_.reset();
        }
    }

    /// Whether the handler may still be called.
    [[nodiscard]] bool active() const noexcept { return target_ && target_->active; }

private:
    detail::counted<detail::subscribed> target_;
};

namespace detail {

/// What the emitters of all kinds of events have in common: each kind adds as little code as can be.
class handler_list {
public:
    handler_list() noexcept = default;
    handler_list(handler_list&&) = delete;
    handler_list& operator=(handler_list&&) = delete;
    ~handler_list() { drop(); }

    [[nodiscard]] bool empty() const noexcept {
        for (const auto& each : handlers_) {
            if (each->active) {
                return false;
            }
        }
        return true;
    }

    /// Takes every handler away, also those that an emit() under way has not called yet.
    void clear() noexcept {
        for (const auto& each : handlers_) {
            each->active = false;
        }
    }

    /// The same, and lets go of them, at the end of the emit() under way if there is one.
    void drop() noexcept {
        clear();
        if (!walking()) {
            sweep();
        }
    }

    /// Whether emit() is under way: the emitter must live on until it returns.
    [[nodiscard]] bool walking() const noexcept { return walking_ != 0; }

protected:
    /// One emit(). Handlers that are added meanwhile wait for the next event.
    class walk {
    public:
        explicit walk(handler_list& over) noexcept : list_{over}, end_{over.handlers_.size()} {
            ++list_.walking_;
        }
        walk(walk&&) = delete;
        walk& operator=(walk&&) = delete;

        /// \returns the next one to call, null at the end
        [[nodiscard]] subscribed* next() noexcept {
            while (at_ != end_) {
                subscribed& one = *list_.handlers_[at_++];
                if (one.active) {
                    one.active = !one.once;
                    return &one;
                }
            }
            return nullptr;
        }
        /// Keeps the first exception of a handler. In its catch block.
        void failed() noexcept {
            if (!first_) {
                first_ = std::current_exception();
            }
        }
        void finish() {
            if (--list_.walking_ == 0 && list_.has_gone()) {
                list_.sweep();
            }
            if (first_) {
                rethrow();
            }
        }

    private:
        [[gnu::cold]] void rethrow() { std::rethrow_exception(std::move(first_)); }

        handler_list& list_;
        std::size_t at_ = 0;
        std::size_t end_;
        std::exception_ptr first_;
    };

    /// Takes over the reference that a new one has.
    subscription add(subscribed* one, bool once, subscribed::listener cancelled, void* owner) {
        auto held = counted<subscribed>::adopt(one);
        one->once = once;
        one->cancelled = cancelled;
        one->owner = owner;
        handlers_.push_back(std::move(held));
        return subscription{*one};
    }

private:
    [[nodiscard]] bool has_gone() const noexcept {
        for (const auto& each : handlers_) {
            if (!each->active) {
                return true;
            }
        }
        return false;
    }

    // A handler that dies may have something in it that adds another.
    [[gnu::cold]] void sweep() noexcept {
        for (std::size_t i = 0; i != handlers_.size();) {
            if (handlers_[i]->active) {
                ++i;
                continue;
            }
            auto gone = std::move(handlers_[i]);
            handlers_.erase(handlers_.begin() + static_cast<std::ptrdiff_t>(i));
            gone->forget();
        }
    }

    std::vector<counted<subscribed>> handlers_;
    int walking_ = 0;
};

/// The handlers of one event. Handlers may add and cancel handlers; one that throws does not keep
/// the others from running: the first exception leaves emit() afterwards.
template <typename... Args>
class emitter : public handler_list {
public:
    using handler = move_only_function<void(Args...)>;

    subscription add(handler f,
                     bool once = false,
                     subscribed::listener cancelled = nullptr,
                     void* owner = nullptr) {
        return handler_list::add(new slot{static_cast<handler&&>(f)}, once, cancelled, owner);
    }

    void emit(Args... args) {
        walk now{*this};
        while (subscribed* next = now.next()) {
            try {
                static_cast<slot*>(next)->call(args...);
            } catch (...) {
                now.failed();
            }
        }
        now.finish();
    }

private:
    struct slot final : subscribed {
        explicit slot(handler f) noexcept : call{static_cast<handler&&>(f)} {}
        void forget() noexcept override { call = {}; }
        handler call;
    };
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SUBSCRIPTION_HPP
