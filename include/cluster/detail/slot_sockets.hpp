// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SLOT_SOCKETS_HPP
#define CLUSTER_DETAIL_SLOT_SOCKETS_HPP

#include "../net/address.hpp"
#include "../net/listener.hpp"
#include "os.hpp"
#include "worker_core.hpp"

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A listening socket per place of a worker, all on one address (SO_REUSEPORT). They stay with the
/// primary, so that whoever dies resets no client, and a replacement finds the same queue.
class slot_sockets {
public:
    explicit slot_sockets(std::uint32_t key) noexcept : key_{key} {}

    /// The worker's own reference to the socket of its place, which is made when it is needed.
    /// `at` becomes the address as bound.
    unique_fd join(worker_core& one, address& at, bind_options options, std::error_code& error) {
        slot_socket* mine = find(one.slot());
        if (mine == nullptr) {
            options.reuse_port = true;
            unique_fd fresh = bind_once(at, options, at, error);
            if (!fresh) {
                return {};
            }
            mine = &sockets_.emplace_back(slot_socket{one.slot(), std::move(fresh)});
        }
        unique_fd copy = mine->fd.duplicate();
        error = copy ? std::error_code{} : os::last_error();
        if (copy) {
            members_.push_back(&one);
        }
        return copy;
    }
    /// Its socket stays: closing it would reset the clients in its queue.
    void leave(worker_core& one) {
        std::erase(members_, &one);
        for (auto& each : sockets_) {
            each.adopter = each.adopter == &one ? nullptr : each.adopter;
        }
        adopt_orphans();
    }

    /// A socket of the group that nobody accepts from would leave its share of the clients waiting:
    /// another worker accepts from it as well, for as long as that is so.
    void adopt_orphans() {
        for (auto& each : sockets_) {
            bool served = is_served(each.slot);
            if (each.adopter != nullptr && (served || !each.adopter->is_serving())) {
                std::exchange(each.adopter, nullptr)
                    ->channel_.send_control({0, frame_kind::abandon_listener, 0, key_, each.slot});
            }
            if (!served && each.adopter == nullptr) {
                adopt(each);
            }
        }
    }

    /// Calls `f` with each socket.
    template <typename F>
    void each(F&& f) const {
        for (const auto& one : sockets_) {
            f(one.fd);
        }
    }

private:
    struct slot_socket {
        std::uint32_t slot;
        unique_fd fd;
        worker_core* adopter = nullptr;
    };

    [[nodiscard]] slot_socket* find(std::uint32_t slot) noexcept {
        auto found = std::find_if(sockets_.begin(), sockets_.end(), [slot](const auto& each) {
            return each.slot == slot;
        });
        return found == sockets_.end() ? nullptr : &*found;
    }
    [[nodiscard]] bool is_served(std::uint32_t slot) const noexcept {
        return std::any_of(members_.begin(), members_.end(), [slot](const auto* each) {
            return each->slot() == slot && each->is_serving();
        });
    }

    void adopt(slot_socket& orphan) {
        for (auto* each : members_) {
            if (each->is_serving()) {
                if (unique_fd copy = orphan.fd.duplicate()) {
                    orphan.adopter = each;
                    each->channel_.send_control(
                        {0, frame_kind::adopt_listener, 0, key_, orphan.slot},
                        descriptor_list{std::move(copy)});
                }
                return;
            }
        }
    }

    std::uint32_t key_;
    std::vector<worker_core*> members_;
    std::vector<slot_socket> sockets_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SLOT_SOCKETS_HPP
