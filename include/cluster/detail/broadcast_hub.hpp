// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_BROADCAST_HUB_HPP
#define CLUSTER_DETAIL_BROADCAST_HUB_HPP

#include "../byte_buffer.hpp"
#include "../error.hpp"
#include "../event_loop.hpp"
#include "../ipc/channel.hpp"
#include "../send_result.hpp"
#include "algorithm.hpp"
#include "memory.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What takes part in a topic in this role.
class broadcast_member {
public:
    /// \returns why the bytes are no message.
    virtual std::error_code take(std::uint32_t type, std::span<const std::byte> payload) = 0;

protected:
    ~broadcast_member() = default;
};

/// The topics of one role: who takes part in them here, and by which channels others do. The
/// primary's knows every worker; a worker's knows the primary, by which all others are reached.
class broadcast_hub {
public:
    static constexpr std::size_t longest_name = 255;
    static constexpr std::size_t most_topics = 1024; // of a role, and of each worker in the primary

    struct topic {
        std::string name;
        std::vector<std::weak_ptr<broadcast_member>> members;
        std::size_t remotes = 0;
    };

    /// `primary`: the channel to it, in a worker, where it outlives the hub's last call.
    explicit broadcast_hub(event_loop& loop, channel* primary = nullptr) noexcept
        : loop_{loop}, primary_{primary} {}

    std::shared_ptr<topic> join(std::string_view name,
                                const std::shared_ptr<broadcast_member>& member,
                                std::error_code& error) {
        error = check(name);
        if (error) {
            return {};
        }
        auto& found = find_or_add(name);
        if (primary_ != nullptr && found->remotes == 0) {
            auto number = next_number_++;
            add_remote({primary_, number, found});
            primary_->send(
                {0, frame_kind::join, 0, 0, number},
                [name](byte_buffer& out) { out.append(name.data(), name.size()); },
                {},
                {},
                true);
        }
        found->members.push_back(member);
        return found;
    }

    void leave(const std::shared_ptr<topic>& from, const broadcast_member* who) noexcept {
        detail::erase_if(from->members,
                         [who](const auto& each) { return each.lock().get() == who; });
        if (primary_ != nullptr && from->members.empty()) {
            for (const auto& each : remotes_) {
                if (each.about == from && primary_->can_send()) {
                    primary_->send_control({0, frame_kind::leave, 0, 0, each.number});
                }
            }
            remove_remotes([&](const remote& each) { return each.about == from; });
        }
        drop_unused();
    }

    /// To all who take part but the sender. Those of this role get it later, none from within.
    send_result post(const topic& to,
                     std::uint32_t type,
                     std::span<const std::byte> payload,
                     const broadcast_member* sender) {
        auto sent = primary_ == nullptr ? send_result::ok : send_result::closed;
        for (auto& each : remotes_) {
            if (each.about.get() == &to) {
                auto result = pass_on(each, type, payload);
                sent = primary_ == nullptr ? sent : result;
            }
        }
        std::vector<std::weak_ptr<broadcast_member>> others;
        for (const auto& each : to.members) {
            auto member = each.lock();
            if (member && member.get() != sender) {
                others.push_back(each);
            }
        }
        if (!others.empty()) {
            byte_buffer copy;
            copy.append(payload);
            loop_.defer([others = std::move(others), type, copy = std::move(copy)] {
                deliver(others, type, copy.span());
            });
        }
        return sent;
    }

    /// A worker takes part. \returns false when it breaks the rules.
    [[nodiscard]] bool on_join(channel& from, std::uint32_t number, std::string_view name) {
        if (name.empty() || name.size() > longest_name || find(from, number) != nullptr ||
            count_of(from) == most_topics) {
            return false;
        }
        add_remote({&from, number, find_or_add(name)});
        return true;
    }
    void on_leave(const channel& from, std::uint32_t number) {
        remove_remotes([&](const remote& each) { return each.is(from, number); });
        drop_unused();
    }
    /// Somebody has posted: all other channels get it and then those who take part here.
    /// \returns why the bytes are no message for one of these.
    std::error_code on_post(const channel& from, const frame& arrived) {
        const auto* sender = find(from, arrived.header.sequence);
        if (sender == nullptr) {
            return {}; // it has left meanwhile
        }
        auto about = sender->about;
        for (auto& each : remotes_) {
            if (each.about == about && each.link != &from) {
                pass_on(each, arrived.header.type, arrived.payload);
            }
        }
        return deliver(about->members, arrived.header.type, arrived.payload);
    }
    /// The worker at the other end is gone.
    void forget(const channel& from) {
        remove_remotes([&](const remote& each) { return each.link == &from; });
        drop_unused();
    }

private:
    struct remote {
        channel* link;
        std::uint32_t number; // what the other side calls it
        std::shared_ptr<topic> about;

        [[nodiscard]] bool is(const channel& of, std::uint32_t what) const noexcept {
            return link == &of && number == what;
        }
    };

    [[nodiscard]] std::error_code check(std::string_view name) const noexcept {
        if (name.empty()) {
            return std::make_error_code(std::errc::invalid_argument);
        }
        if (name.size() > longest_name) {
            return std::make_error_code(std::errc::filename_too_long);
        }
        bool known = false;
        for (const auto& each : topics_) {
            known = known || each->name == name;
        }
        return known || topics_.size() < most_topics
                   ? std::error_code{}
                   : std::make_error_code(std::errc::no_space_on_device);
    }

    std::shared_ptr<topic>& find_or_add(std::string_view name) {
        for (auto& each : topics_) {
            if (each->name == name) {
                return each;
            }
        }
        return topics_.emplace_back(std::make_shared<topic>(topic{std::string{name}, {}, 0}));
    }
    void drop_unused() noexcept {
        detail::erase_if(
            topics_, [](const auto& each) { return each->members.empty() && each->remotes == 0; });
    }

    void add_remote(remote one) {
        ++one.about->remotes;
        remotes_.push_back(std::move(one));
    }
    template <typename Condition>
    void remove_remotes(Condition condition) {
        detail::erase_if(remotes_, [&](const remote& each) {
            bool goes = condition(each);
            each.about->remotes -= goes ? 1U : 0U;
            return goes;
        });
    }
    [[nodiscard]] const remote* find(const channel& of, std::uint32_t number) const noexcept {
        for (const auto& each : remotes_) {
            if (each.is(of, number)) {
                return &each;
            }
        }
        return nullptr;
    }
    [[nodiscard]] std::size_t count_of(const channel& of) const noexcept {
        std::size_t count = 0;
        for (const auto& each : remotes_) {
            count += each.link == &of ? 1U : 0U;
        }
        return count;
    }

    static send_result
    pass_on(const remote& to, std::uint32_t type, std::span<const std::byte> payload) {
        return to.link->send({0, frame_kind::post, 0, type, to.number},
                             [payload](byte_buffer& out) { out.append(payload); });
    }

    // A handler may join, leave and post; one that throws keeps no other from its message.
    static std::error_code deliver(std::vector<std::weak_ptr<broadcast_member>> members,
                                   std::uint32_t type,
                                   std::span<const std::byte> payload) {
        std::error_code fault;
        std::exception_ptr first;
        for (const auto& each : members) {
            try {
                if (auto member = each.lock()) {
                    auto error = member->take(type, payload);
                    fault = fault ? fault : error;
                }
            } catch (...) {
                first = first ? first : std::current_exception();
            }
        }
        if (first) {
            std::rethrow_exception(first);
        }
        return fault;
    }

    event_loop& loop_;
    channel* primary_;
    std::uint32_t next_number_ = 1;
    std::vector<std::shared_ptr<topic>> topics_;
    std::vector<remote> remotes_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_BROADCAST_HUB_HPP
