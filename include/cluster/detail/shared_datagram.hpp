// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SHARED_DATAGRAM_HPP
#define CLUSTER_DETAIL_SHARED_DATAGRAM_HPP

#include "../ipc/wire.hpp"
#include "../net/address.hpp"
#include "../stats.hpp"
#include "algorithm.hpp"
#include "datagram_set.hpp"
#include "memory.hpp"
#include "os.hpp"
#include "worker_core.hpp"

#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// One datagram socket of the cluster, in the primary: all workers that ask for its address receive
/// from it. It outlives each of them, and closes behind the last.
class shared_datagram final : public membership {
public:
    shared_datagram(std::uint32_t key, listen_message asked)
        : key_{key}, asked_{std::move(asked)} {}
    shared_datagram(shared_datagram&&) = delete;
    shared_datagram& operator=(shared_datagram&&) = delete;

    /// Binds; once, before anything else.
    std::error_code open();

    [[nodiscard]] std::uint32_t key() const noexcept { return key_; }
    [[nodiscard]] static accept_mode mode() noexcept { return accept_mode::shared; }
    [[nodiscard]] const address& at() const noexcept { return at_; }

    /// Whether `wanted` asks for this socket; a member that asks for port 0 again, or again with
    /// SO_REUSEADDR, wants another one.
    [[nodiscard]] bool matches(const listen_message& wanted, const worker_core& by) const noexcept;
    [[nodiscard]] bool has_same_options(const listen_message& wanted) const noexcept {
        return wanted.how.ipv6_only == asked_.how.ipv6_only && wanted.datagram == asked_.datagram;
    }
    [[nodiscard]] bool has_member(const worker_core& one) const noexcept {
        return contains(members_, &one);
    }
    /// Whether anybody receives from it or is about to.
    [[nodiscard]] bool in_use() const noexcept { return !members_.empty() || !kept_.empty(); }

    /// Makes the worker a member. \returns its copy of the socket.
    inline descriptor_list join(worker_core& one, std::error_code& error);
    inline void leave(worker_core& one, bool kept) override;
    /// The replacement of this place will not come.
    void give_up_place(std::uint32_t slot) noexcept { detail::erase(kept_, slot); }
    [[nodiscard]] datagram_stats stats() const {
        auto buffer = os::receive_buffer_of(fd_.get());
        return {at_.to_string(), members_.size(), buffer.used, buffer.limit, buffer.dropped};
    }
    void update(worker_core&) override {} // the system wakes nobody who does not wait

private:
    std::uint32_t key_;
    listen_message asked_;
    address at_;
    unique_fd fd_;
    std::vector<worker_core*> members_;
    std::vector<std::uint32_t> kept_; // slots for which a replacement is on its way
};

inline std::error_code shared_datagram::open() {
    std::error_code error;
    if (asked_.fd != -1) {
        fd_ = copy_datagram_socket(asked_.fd, error);
    } else {
        datagram_options options;
        options.ipv6_only = asked_.how.ipv6_only;
        options.reuse_address = asked_.datagram.reuse_address;
        options.broadcast = asked_.datagram.broadcast;
        options.receive_buffer = asked_.datagram.receive_buffer;
        options.send_buffer = asked_.datagram.send_buffer;
        std::vector<address> wanted;
        for (const auto& each : asked_.candidates) {
            wanted.push_back(from_wire(each));
        }
        fd_ = open_first(wanted, error, [&](const address& each, std::error_code& failed) {
            return bind_datagram_once(each, options, failed);
        });
    }
    at_ = os::local_address(fd_.get());
    return error;
}

inline bool shared_datagram::matches(const listen_message& wanted,
                                     const worker_core& by) const noexcept {
    if (wanted.fd != -1 || asked_.fd != -1) {
        return wanted.fd == asked_.fd;
    }
    if (wanted.candidates.empty()) {
        return false;
    }
    auto first = from_wire(wanted.candidates.front());
    bool same_host = wanted.any_host ? asked_.any_host : first.with_port(at_.port()) == at_;
    bool one_more = wanted.datagram.reuse_address && asked_.datagram.reuse_address;
    if (first.port() == 0) {
        bool asked_zero = from_wire(asked_.candidates.front()).port() == 0;
        return asked_zero && same_host && !has_member(by);
    }
    return same_host && first.port() == at_.port() && !(one_more && has_member(by));
}

inline descriptor_list shared_datagram::join(worker_core& one, std::error_code& error) {
    unique_fd copy = fd_.duplicate();
    if (!copy) {
        error = os::last_error();
        return {};
    }
    detail::erase(kept_, one.slot());
    members_.push_back(&one);
    one.memberships_.push_back(this);
    return descriptor_list{std::move(copy)};
}

inline void shared_datagram::leave(worker_core& one, bool kept) {
    detail::erase(one.memberships_, this);
    detail::erase(members_, &one);
    bool served = any_of(members_, [&one](const auto* each) { return each->slot() == one.slot(); });
    if (kept && !served) {
        kept_.push_back(one.slot());
    }
    for (worker_core* each : members_) {
        each->tell_to_recheck(key_);
    }
}

/// All of them.
class shared_datagram_set {
public:
    /// The one that a worker asks for, bound if it is new; null when it cannot be. `next_key` is
    /// used up then.
    shared_datagram* find_or_bind(const worker_core& from,
                                  listen_message& asked,
                                  std::uint32_t& next_key,
                                  std::error_code& error) {
        for (auto& each : sockets_) {
            if (each->matches(asked, from)) {
                if (each->has_member(from)) {
                    error = std::make_error_code(std::errc::address_in_use);
                } else if (!each->has_same_options(asked)) {
                    error = errc::conflicting_options;
                }
                return each.get();
            }
        }
        auto made = std::make_unique<shared_datagram>(next_key, std::move(asked));
        error = made->open();
        if (error) {
            return nullptr;
        }
        ++next_key;
        return sockets_.emplace_back(std::move(made)).get();
    }

    void leave(std::uint32_t key, worker_core& one, bool kept) {
        for (auto& each : sockets_) {
            if (each->key() == key && each->has_member(one)) {
                each->leave(one, kept);
            }
        }
    }
    void give_up_place(std::uint32_t slot) noexcept {
        for (auto& each : sockets_) {
            each->give_up_place(slot);
        }
    }
    [[nodiscard]] std::vector<datagram_stats> stats() const {
        std::vector<datagram_stats> result;
        for (const auto& each : sockets_) {
            result.push_back(each->stats());
        }
        return result;
    }
    void close_unused() {
        detail::erase_if(sockets_, [](const auto& each) { return !each->in_use(); });
    }

private:
    std::vector<std::unique_ptr<shared_datagram>> sockets_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SHARED_DATAGRAM_HPP
