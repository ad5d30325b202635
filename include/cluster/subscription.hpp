// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SUBSCRIPTION_HPP
#define CLUSTER_SUBSCRIPTION_HPP

#include "detail/move_only_function.hpp"

#include <cstddef>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

namespace detail {

/// What a subscription can switch off. The handler dies when the event's table is next walked, so
/// that it may cancel itself while it runs.
struct subscribed {
    virtual ~subscribed() = default;
    virtual void cancel() noexcept { active = false; }
    bool active = true;
};

} // namespace detail

/// One handler that was added with on(), once(), on_message() and the like. Dropping it changes
/// nothing; `cancel` takes the handler away, also from inside the handler and also after the object
/// that it was added to is gone. Same thread as the loop.
class subscription {
public:
    subscription() noexcept = default;
    explicit subscription(std::weak_ptr<detail::subscribed> target) noexcept
        : target_{std::move(target)} {}

    /// Takes the handler away. Idempotent.
    void cancel() noexcept {
        if (auto target = target_.lock()) {
            target->cancel();
        }
        target_.reset();
    }

    /// Whether the handler may still be called.
    [[nodiscard]] bool active() const noexcept {
        auto target = target_.lock();
        return target && target->active;
    }

private:
    std::weak_ptr<detail::subscribed> target_;
};

namespace detail {

/// The handlers of one event. Handlers may add and cancel handlers; one that throws does not keep
/// the others from running: the first exception leaves emit() afterwards.
template <typename... Args>
class emitter {
public:
    using handler = move_only_function<void(Args...)>;

    /// `cancelled(owner)`, if any, is told when a subscription takes a handler away.
    subscription add(handler f,
                     bool once = false,
                     void (*cancelled)(void*) noexcept = nullptr,
                     void* owner = nullptr) {
        auto entry = std::make_shared<slot>();
        entry->call = std::move(f);
        entry->once = once;
        entry->cancelled = cancelled;
        entry->owner = owner;
        slots_.push_back(entry);
        return subscription{entry};
    }

    [[nodiscard]] bool empty() const noexcept {
        for (const auto& each : slots_) {
            if (each->active) {
                return false;
            }
        }
        return true;
    }

    /// Takes every handler away, also those that an emit() under way has not called yet.
    void clear() noexcept {
        for (const auto& each : slots_) {
            each->active = false;
        }
    }

    /// Whether emit() is under way: the emitter must live on until it returns.
    [[nodiscard]] bool walking() const noexcept { return walking_ != 0; }

    void emit(Args... args) {
        std::exception_ptr first;
        std::size_t count = slots_.size(); // handlers added meanwhile wait for the next event
        ++walking_;
        for (std::size_t i = 0; i < count; ++i) {
            slot* entry = slots_[i].get(); // stays: nothing is erased while we walk
            if (!entry->active) {
                continue;
            }
            entry->active = !entry->once;
            try {
                entry->call(args...);
            } catch (...) {
                first = first ? first : std::current_exception();
            }
        }
        if (--walking_ == 0) {
            std::erase_if(slots_, [](const auto& each) { return !each->active; });
        }
        if (first) {
            std::rethrow_exception(first);
        }
    }

private:
    struct slot final : subscribed {
        void cancel() noexcept override {
            if (std::exchange(this->active, false) && cancelled != nullptr) {
                cancelled(owner);
            }
        }
        handler call;
        bool once = false;
        void (*cancelled)(void*) noexcept = nullptr;
        void* owner = nullptr;
    };

    std::vector<std::shared_ptr<slot>> slots_;
    int walking_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SUBSCRIPTION_HPP
