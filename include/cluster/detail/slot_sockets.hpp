// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SLOT_SOCKETS_HPP
#define CLUSTER_DETAIL_SLOT_SOCKETS_HPP

#include "../net/address.hpp"
#include "../net/listener.hpp"
#include "algorithm.hpp"
#include "memory.hpp"
#include "os.hpp"
#include "worker_core.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
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

    /// Lets a program in the kernel choose among the sockets; before the first one is made.
    void steer(std::unique_ptr<os::socket_steering> how) noexcept { steering_ = std::move(how); }
    /// Of a model that steers in the kernel: how, as listener_stats::steering tells.
    [[nodiscard]] std::string steering() const {
        auto why = steering_ ? steering_->why_classic() : std::error_code{};
        return !steering_ ? "" : why ? "classic filter: " + why.message() : "kernel";
    }

    /// The first place's socket, which has the address already: nobody else can take it meanwhile.
    void start(unique_fd first) noexcept { first_ = std::move(first); }

    /// The worker's own reference to the socket of its place, which is made when it is needed, and
    /// to where it tells its load, if that counts. `at` becomes the address as bound.
    descriptor_list
    join(worker_core& one, address& at, bind_options options, std::error_code& error) {
        slot_socket* mine = find(one.slot());
        if (mine == nullptr) {
            options.reuse_port = true;
            unique_fd fresh = first_ ? std::move(first_) : bind_once(at, options, at, error);
            if (fresh && steering_) {
                error = steering_->add(one.slot(), fresh.get());
            }
            if (error) {
                return {};
            }
            mine = &sockets_.emplace_back(slot_socket{one.slot(), std::move(fresh)});
        }
        unique_fd copy = mine->fd.duplicate();
        error = copy ? std::error_code{} : os::last_error();
        descriptor_list result{std::move(copy)};
        if (!error) {
            members_.push_back(&one);
            if (steering_ && steering_->load() != nullptr) {
                result.numbers.push_back(steering_->load_descriptor());
            }
        }
        return result;
    }
    /// Its socket stays: closing it would reset the clients in its queue.
    void leave(worker_core& one) {
        if (detail::erase(members_, &one) == 0) {
            return;
        }
        for (auto& each : sockets_) {
            each.adopter = each.adopter == &one ? nullptr : each.adopter;
        }
        count_active(one.slot());
        adopt_orphans();
    }
    /// Nobody will come for this place. Where the kernel moves who waits to another socket, this
    /// one goes.
    void give_up_place(std::uint32_t slot) {
        slot_socket* found = find(slot);
        if (steering_ && !steering_->why_classic() && found != nullptr) {
            steering_->turn_off(slot, true);
            abandon(*found);
            detail::erase_if(sockets_, [slot](const auto& each) { return each.slot == slot; });
        }
    }

    /// To be called now and then: forgets what was sent to a socket and never arrived in its queue
    /// (a handshake that was not finished).
    void settle() noexcept {
        auto* load = steering_ ? steering_->load() : nullptr;
        for (auto& each : sockets_) {
            if (load == nullptr) {
                return;
            }
            auto& place = load->places[each.slot];
            auto& accepted = load->accepted[each.slot].count;
            auto lost = place.picked.load() - accepted.load();
            if (lost != 0 && lost == each.missing && os::queue_of(each.fd.get()).waiting == 0) {
                accepted.fetch_add(lost);
                place.gone.fetch_add(lost);
                lost = 0;
            }
            each.missing = lost;
        }
    }

    /// A socket of the group that nobody accepts from would leave its share of the clients waiting:
    /// another worker accepts from it as well, for as long as that is so.
    void adopt_orphans() {
        for (auto& each : sockets_) {
            bool served = is_served(each.slot);
            if (steering_) {
                steering_->turn_off(each.slot, !served);
            }
            if (each.adopter != nullptr && (served || !each.adopter->is_serving())) {
                abandon(each);
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
        std::uint32_t missing = 0; // sent to it and not accepted, when we looked last
    };

    [[nodiscard]] slot_socket* find(std::uint32_t slot) noexcept {
        return find_if(sockets_, [slot](const auto& each) { return each.slot == slot; });
    }
    [[nodiscard]] bool is_served(std::uint32_t slot) const noexcept {
        return any_of(members_, [slot](const auto* each) {
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

    void abandon(slot_socket& adopted) {
        if (auto* by = std::exchange(adopted.adopter, nullptr)) {
            by->channel_.send_control({0, frame_kind::abandon_listener, 0, key_, adopted.slot});
        }
    }

    // What a dead worker had open nobody takes back: the others in its place tell.
    void count_active(std::uint32_t slot) noexcept {
        auto* load = steering_ ? steering_->load() : nullptr;
        if (load != nullptr && slot < os::steered_places) {
            std::size_t active = 0;
            for (const auto* each : members_) {
                active += each->slot() == slot ? each->active_connections() : 0;
            }
            load->places[slot].gone.store(load->accepted[slot].count.load() -
                                          static_cast<std::uint32_t>(active));
        }
    }

    std::uint32_t key_;
    unique_fd first_; // until a place has it
    std::vector<worker_core*> members_;
    std::vector<slot_socket> sockets_;
    std::unique_ptr<os::socket_steering> steering_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SLOT_SOCKETS_HPP
