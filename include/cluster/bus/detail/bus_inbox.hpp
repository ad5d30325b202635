// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_BUS_INBOX_HPP
#define CLUSTER_BUS_DETAIL_BUS_INBOX_HPP

#include "../../detail/memory.hpp"
#include "../../detail/os.hpp"
#include "../../detail/ring_queue.hpp"
#include "../../event_loop.hpp"
#include "../../subscription.hpp"
#include "../bus_subscription.hpp"
#include "../concept.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A name for a node that was given none, unlike any other's.
inline std::string random_bus_node() {
    std::string name = "node-";
    auto seed = os::random_seed();
    for (int i = 0; i != 16; ++i, seed >>= 4U) {
        name += "0123456789abcdef"[seed & 15U];
    }
    return name;
}

using bus_bytes = std::vector<std::byte>;

/// This node's side of a bus: who subscribes here, and what has arrived for them. It has a loop of
/// its own, whose descriptor is the bus's one descriptor, for the connections and timers of a bus.
/// Nothing is delivered from within the functions that put it here, so these may be called by
/// foreign code that no exception may pass.
class bus_inbox {
public:
    explicit bus_inbox(std::string node)
        : node_{node.empty() ? random_bus_node() : std::move(node)} {
        if (!valid_bus_name(node_)) {
            throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                                    "bus: the name of the node");
        }
        native_handle_ = loop_.native_handle();
    }
    bus_inbox(bus_inbox&&) = delete;
    bus_inbox& operator=(bus_inbox&&) = delete;
    virtual ~bus_inbox() = default;

    [[nodiscard]] const std::string& node() const noexcept { return node_; }
    [[nodiscard]] int native_handle() const noexcept { return native_handle_; }

    bus_subscription subscribe(std::string_view subject, bus_handler handler) {
        if (!valid_bus_name(subject)) {
            throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                                    "bus: the subject");
        }
        return subscribe_topic(subject, std::move(handler));
    }

    void on_event(bus_event_handler handler) { events_ = std::move(handler); }

    std::size_t dispatch() {
        delivered_ = 0;
        loop_.poll();
        if (scheduled_) { // what that has brought
            loop_.poll();
        }
        return delivered_;
    }

protected:
    event_loop& loop() noexcept { return loop_; }

    /// The same with a name that no user may give.
    bus_subscription subscribe_topic(std::string_view subject, bus_handler handler) {
        auto* about = find(subject);
        bool first = about == nullptr;
        if (first) {
            about = topics_.emplace_back(std::make_unique<topic_entry>()).get();
            about->subject = subject;
        }
        auto added = about->handlers.add(
            std::move(handler),
            false,
            [](void* self) noexcept { static_cast<bus_inbox*>(self)->drop_unused(); },
            this);
        if (first) {
            on_subscribed(about->subject);
        }
        return bus_subscription{std::move(added)};
    }

    /// The first subscription of a subject has come, the last one has gone.
    virtual void on_subscribed(const std::string& /*subject*/) {}
    virtual void on_unsubscribed(const std::string& /*subject*/) noexcept {}

    template <typename F>
    void for_each_subject(F f) {
        for (const auto& each : topics_) {
            f(each->subject);
        }
    }

    void arrive(std::string_view from,
                std::string_view subject,
                std::shared_ptr<const bus_bytes> payload) {
        item arrived;
        arrived.from = from;
        arrived.subject = subject;
        arrived.payload = std::move(payload);
        push(std::move(arrived));
    }
    void arrive(std::string_view from, std::string_view subject, std::span<const std::byte> bytes) {
        arrive(from, subject, std::make_shared<const bus_bytes>(bytes.begin(), bytes.end()));
    }

    void tell(const bus_event& happened) {
        item told;
        told.from = happened.node;
        told.subject = happened.text;
        told.event = happened;
        push(std::move(told));
    }

private:
    struct topic_entry {
        std::string subject;
        emitter<const bus_message&> handlers;
    };

    struct item {
        std::string from;
        std::string subject;                      // an event's text
        std::shared_ptr<const bus_bytes> payload; // null: an event
        bus_event event;
    };

    topic_entry* find(std::string_view subject) noexcept {
        for (const auto& each : topics_) {
            if (each->subject == subject) {
                return each.get();
            }
        }
        return nullptr;
    }

    // A topic whose handlers are being called lives until they return.
    void drop_unused() noexcept {
        for (std::size_t i = 0; i != topics_.size();) {
            if (topics_[i]->handlers.empty() && !topics_[i]->handlers.walking()) {
                auto gone = std::move(topics_[i]);
                topics_.erase(topics_.begin() + static_cast<std::ptrdiff_t>(i));
                on_unsubscribed(gone->subject);
            } else {
                ++i;
            }
        }
    }

    void push(item one) {
        waiting_.push_back(std::move(one));
        schedule();
    }
    void schedule() {
        if (!std::exchange(scheduled_, true)) {
            loop_.defer([this] { deliver(); });
        }
    }

    void deliver() {
        struct guard { // a handler that throws leaves the rest for the next turn
            bus_inbox& self;
            ~guard() {
                self.scheduled_ = false;
                if (!self.waiting_.empty()) {
                    self.schedule();
                }
                self.drop_unused();
            }
        } on_exit{*this};
        for (auto left = waiting_.size(); left != 0; --left) {
            auto one = std::move(waiting_.front());
            waiting_.pop_front();
            if (one.payload == nullptr) {
                one.event.node = one.from;
                one.event.text = one.subject;
                if (events_) {
                    events_(one.event);
                }
            } else if (auto* about = find(one.subject)) {
                ++delivered_;
                about->handlers.emit({one.from, one.subject, *one.payload});
            }
        }
    }

    std::string node_;
    event_loop loop_;
    int native_handle_ = -1;
    std::vector<std::unique_ptr<topic_entry>> topics_;
    bus_event_handler events_;
    ring_queue<item> waiting_;
    std::size_t delivered_ = 0;
    bool scheduled_ = false;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_BUS_INBOX_HPP
