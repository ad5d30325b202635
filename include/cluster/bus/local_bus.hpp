// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_LOCAL_BUS_HPP
#define CLUSTER_BUS_LOCAL_BUS_HPP

#include "../detail/algorithm.hpp"
#include "../detail/memory.hpp"
#include "../error.hpp"
#include "concept.hpp"
#include "detail/bus_handle.hpp"
#include "detail/bus_inbox.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The mail of one node, which the threads of the others put in.
struct local_mailbox {
    struct letter {
        std::string from;
        std::string subject;
        std::shared_ptr<const bus_bytes> payload;
    };

    std::string node;
    std::size_t capacity = 0;
    std::mutex mutex;
    std::vector<letter> letters;
    std::size_t size = 0;   // bytes that wait
    std::uint64_t lost = 0; // no room for them
    os::wakeup arrived;

    void put(const letter& one) {
        std::lock_guard lock{mutex};
        auto weight = one.payload->size() + one.subject.size() + one.from.size();
        if (size + weight > capacity) {
            ++lost;
        } else {
            letters.push_back(one);
            size += weight;
        }
        arrived.notify();
    }
};

struct local_hub_state {
    std::mutex mutex;
    std::vector<std::shared_ptr<local_mailbox>> nodes;
};

} // namespace detail

/// Where the local_bus of several nodes meet. A copy is the same hub. Thread-safe.
class local_hub {
public:
    local_hub() : state_{std::make_shared<detail::local_hub_state>()} {}

private:
    friend class local_bus;
    std::shared_ptr<detail::local_hub_state> state_;
};

/// How a node takes part in a local_bus.
struct local_bus_options {
    std::string node{};                   ///< its name, no other's; empty: made up
    std::size_t queue = 64 * 1024 * 1024; ///< bytes that wait for dispatch(); more is lost
};

namespace detail {

class local_inbox final : public bus_inbox {
public:
    static constexpr std::size_t max_payload = 64 * 1024 * 1024;

    local_inbox(std::shared_ptr<local_hub_state> hub, local_bus_options options)
        : bus_inbox{std::move(options.node)}, hub_{std::move(hub)} {
        mailbox_->node = node();
        mailbox_->capacity = options.queue;
        {
            std::lock_guard lock{hub_->mutex};
            for (const auto& each : hub_->nodes) {
                if (each->node == node()) {
                    throw std::system_error(std::make_error_code(std::errc::address_in_use),
                                            "local_bus: " + node());
                }
            }
            hub_->nodes.push_back(mailbox_);
        }
        watch_.start<&local_inbox::on_mail>(
            loop(), mailbox_->arrived.descriptor(), os::io::readable, *this);
        tell({.what = bus_change::connected});
    }
    ~local_inbox() override {
        std::lock_guard lock{hub_->mutex};
        detail::erase(hub_->nodes, mailbox_);
    }

    std::error_code
    send(const std::string_view* to, std::string_view subject, std::span<const std::byte> payload) {
        local_mailbox::letter one{
            node(),
            std::string{subject},
            std::make_shared<const bus_bytes>(payload.begin(), payload.end())};
        std::lock_guard lock{hub_->mutex};
        for (const auto& each : hub_->nodes) {
            if (each != mailbox_ && (to == nullptr || each->node == *to)) {
                each->put(one);
            }
        }
        return {};
    }

private:
    void on_mail(os::io) {
        mailbox_->arrived.clear();
        std::vector<local_mailbox::letter> letters;
        std::uint64_t lost = 0;
        {
            std::lock_guard lock{mailbox_->mutex};
            letters.swap(mailbox_->letters);
            lost = std::exchange(mailbox_->lost, 0);
            mailbox_->size = 0;
        }
        for (auto& each : letters) {
            arrive(each.from, each.subject, std::move(each.payload));
        }
        if (lost != 0) {
            tell({.what = bus_change::lost, .why = errc::would_block, .count = lost});
        }
    }

    std::shared_ptr<local_hub_state> hub_;
    std::shared_ptr<local_mailbox> mailbox_ = std::make_shared<local_mailbox>();
    io_watch watch_;
};

} // namespace detail

/// The bus of nodes that are in one program, each in a thread of its own if wanted: the embedded
/// default, for tests and for programs that have not grown yet. Each node's messages arrive in their
/// order; a node whose queue is full loses what comes and is told (`bus_change::lost`).
class local_bus : public detail::bus_handle<detail::local_inbox> {
public:
    static constexpr bus_traits traits{.delivery = bus_delivery::at_most_once,
                                       .ordered_per_publisher = true,
                                       .replay = false,
                                       .max_payload = detail::local_inbox::max_payload};

    /// \throws std::system_error: `std::errc::address_in_use` when a node of that name is there,
    /// `std::errc::invalid_argument` when it is no name, see valid_bus_name().
    explicit local_bus(const local_hub& hub, local_bus_options options = {})
        : bus_handle{std::make_unique<detail::local_inbox>(hub.state_, std::move(options))} {}
};

static_assert(message_bus<local_bus>);

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_LOCAL_BUS_HPP
