// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SHARED_LISTENER_HPP
#define CLUSTER_DETAIL_SHARED_LISTENER_HPP

#include "../event_loop.hpp"
#include "../ipc/wire.hpp"
#include "../net/listener.hpp"
#include "../net/server.hpp"
#include "../stats.hpp"
#include "algorithm.hpp"
#include "hand_out.hpp"
#include "os.hpp"
#include "slot_sockets.hpp"
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

/// One listening address of the cluster, in the primary: its socket or sockets, and the workers
/// that serve it. A worker's place in it is its slot, so that a replacement finds the same socket.
class shared_listener final : public membership {
public:
    shared_listener(event_loop& loop,
                    connection_router& router,
                    std::uint32_t key,
                    listen_message asked,
                    accept_mode mode)
        : asked_{std::move(asked)},
          asked_mode_{mode},
          mode_{mode},
          router_{router},
          hand_out_{loop, router, key, [this] { inspect(); }},
          sockets_{key} {
        hand_out_.limit(asked_.most, asked_.drops_beyond_most);
    }
    ~shared_listener() {
        if (owns_path_) {
            os::remove_if_same(asked_.path, identity_);
        }
    }
    shared_listener(shared_listener&&) = delete;
    shared_listener& operator=(shared_listener&&) = delete;

    /// Binds and listens; once, before anything else.
    std::error_code open();

    [[nodiscard]] std::uint32_t key() const noexcept { return hand_out_.key(); }
    [[nodiscard]] accept_mode mode() const noexcept { return mode_; }
    [[nodiscard]] const address& at() const noexcept { return at_; }

    /// Whether `wanted` asks for this address; a member asking for port 0 again wants another one.
    [[nodiscard]] bool matches(const listen_message& wanted, const worker_core& by) const noexcept;
    [[nodiscard]] bool has_same_options(const listen_message& wanted,
                                        accept_mode mode) const noexcept;
    [[nodiscard]] bool has_member(const worker_core& one) const noexcept {
        return contains(members_, &one);
    }

    /// Whether fewer connections may wait than was asked for.
    [[nodiscard]] bool is_clipped() const noexcept {
        int most = os::most_backlog();
        return most != 0 && asked_.how.backlog > most;
    }

    /// Makes the worker a member. \returns the socket that it shall accept from, if any, and where
    /// it shall tell its load, if that counts.
    descriptor_list join(worker_core& one, std::error_code& error);

    inline void leave(worker_core& one, bool kept) override;
    /// The replacement of this place will not come.
    void give_up_place(std::uint32_t slot) {
        detail::erase(kept_places_, slot);
        if (!has_member_at(slot)) {
            sockets_.give_up_place(slot);
        }
    }

    /// Whether anybody serves the address or is about to.
    [[nodiscard]] bool in_use() const noexcept {
        return !members_.empty() || !kept_places_.empty();
    }

    /// Looks whether one who shares a socket has shut it down or made it blocking, and repairs it.
    void inspect();
    void settle() noexcept { sockets_.settle(); }
    /// Whether that has been so since the last call.
    [[nodiscard]] bool take_repaired() noexcept { return std::exchange(repair_untold_, false); }
    [[nodiscard]] std::error_code take_pressure() noexcept { return hand_out_.take_pressure(); }
    /// Closes what waits here: nobody will come for it.
    void drop_waiting() noexcept { hand_out_.drop_waiting(); }
    /// The figures; `waiting` are those that wait here, `queue` those in the kernel's.
    [[nodiscard]] listener_stats stats() const;

    void set_willing(worker_core& one, bool willing) { hand_out_.set_willing(one, willing); }
    void update(worker_core& one) override {
        mode_ == accept_mode::handed ? hand_out_.update(one) : sockets_.adopt_orphans();
    }
    [[nodiscard]] const connection_source& source() const noexcept { return hand_out_; }

private:
    [[nodiscard]] bool has_member_at(std::uint32_t slot) const noexcept {
        return any_of(members_, [slot](const auto* each) { return each->slot() == slot; });
    }

    std::error_code open_given();
    bool repair(const unique_fd& socket) noexcept;
    bool listen_again(int socket) noexcept;
    bool replace_local();
    void pass_on_replaced();

    listen_message asked_;
    accept_mode asked_mode_;
    accept_mode mode_; // another one where the kernel does not do what was asked for
    connection_router& router_;
    std::error_code not_steered_; // why
    address at_;
    unique_fd fd_;                      // none with a socket per place
    std::vector<worker_core*> members_; // two may be in one place, while one replaces the other
    std::vector<std::uint32_t> kept_places_; // for replacements that are on their way
    hand_out hand_out_;
    slot_sockets sockets_;
    std::uint64_t repaired_ = 0;
    bool repair_untold_ = false;
    os::file_identity identity_;
    bool owns_path_ = false;
};

inline std::error_code shared_listener::open() {
    if (asked_.fd != -1) {
        return open_given();
    }
    std::vector<address> wanted;
    for (const auto& each : asked_.candidates) {
        wanted.push_back(from_wire(each));
    }
    if (asked_.local_path) {
        auto shortest = address::local(shortest_name(asked_.path));
        if (shortest.family() == address_family::none) {
            return std::make_error_code(std::errc::filename_too_long);
        }
        wanted = {shortest};
    }
    if (mode_ == accept_mode::own_socket && router_.steering() != kernel_steering::none) {
        sockets_.steer(router_.open_steering(not_steered_));
        mode_ = not_steered_ ? accept_mode::handed : mode_;
    }
    auto how = asked_.how;
    how.first_of_group = mode_ == accept_mode::own_socket;
    std::error_code error;
    fd_ = bind_first(wanted, how, at_, error);
    if (error) {
        return error;
    }
    if (asked_.local_path) {
        owns_path_ = !asked_.path.starts_with('\0') && os::identify(asked_.path, identity_);
        at_ = wanted.front();
    }
    if (mode_ == accept_mode::own_socket) {
        sockets_.start(std::move(fd_));
    } else {
        hand_out_.start(fd_.get(), at_, asked_.sheds && mode_ == accept_mode::handed);
    }
    return {};
}

inline std::error_code shared_listener::open_given() {
    fd_ = unique_fd{os::duplicate(asked_.fd)};
    if (!fd_) {
        return os::last_error();
    }
    if (!os::is_stream_socket(fd_.get())) {
        return std::make_error_code(std::errc::invalid_argument);
    }
    if (!os::is_listening(fd_.get()) && !os::listen_on(fd_.get(), asked_.how.backlog)) {
        return os::last_error();
    }
    os::set_nonblocking(fd_.get(), true);
    at_ = os::local_address(fd_.get());
    hand_out_.start(fd_.get(), at_, asked_.sheds && mode_ == accept_mode::handed);
    return {};
}

inline bool shared_listener::matches(const listen_message& wanted,
                                     const worker_core& by) const noexcept {
    if (wanted.fd != -1 || asked_.fd != -1) {
        return wanted.fd == asked_.fd;
    }
    if (wanted.local_path || asked_.local_path) {
        return wanted.local_path && asked_.local_path && wanted.path == asked_.path;
    }
    if (wanted.candidates.empty()) {
        return false;
    }
    auto first = from_wire(wanted.candidates.front());
    bool same_host = wanted.any_host ? asked_.any_host : first.with_port(at_.port()) == at_;
    if (first.port() == 0) {
        bool asked_zero = from_wire(asked_.candidates.front()).port() == 0;
        return asked_zero && same_host && !has_member(by);
    }
    return same_host && first.port() == at_.port();
}

inline bool shared_listener::has_same_options(const listen_message& wanted,
                                              accept_mode mode) const noexcept {
    return mode == asked_mode_ && wanted.how == asked_.how && wanted.most == asked_.most &&
           wanted.drops_beyond_most == asked_.drops_beyond_most && wanted.sheds == asked_.sheds;
}

inline descriptor_list shared_listener::join(worker_core& one, std::error_code& error) {
    descriptor_list passed;
    if (mode_ == accept_mode::own_socket) {
        passed = sockets_.join(one, at_, asked_.how, error);
    } else if (mode_ == accept_mode::shared) {
        unique_fd socket = fd_.duplicate();
        error = socket ? std::error_code{} : os::last_error();
        passed = descriptor_list{std::move(socket)};
    } else {
        hand_out_.join(one);
    }
    if (!error) {
        detail::erase(kept_places_, one.slot());
        members_.push_back(&one);
        one.memberships_.push_back(this);
        update(one);
    }
    return passed;
}

inline void shared_listener::leave(worker_core& one, bool kept) {
    detail::erase(one.memberships_, this);
    detail::erase(members_, &one);
    detail::erase(kept_places_, one.slot());
    if (kept && !has_member_at(one.slot())) {
        kept_places_.push_back(one.slot());
    }
    hand_out_.leave(one);
    inspect();
    sockets_.leave(one);
    for (std::size_t i = 0; mode_ == accept_mode::shared && i != members_.size(); ++i) {
        members_[i]->tell_to_recheck(key());
    }
}

// Some libraries shut a listening socket down when they stop, for everybody who shares it.
inline bool shared_listener::repair(const unique_fd& socket) noexcept {
    if (!socket) {
        return false;
    }
    bool repaired = !os::is_listening(socket.get()) && listen_again(socket.get());
    if (!os::is_nonblocking(socket.get())) { // a property of the open socket, so of every holder's
        repaired = os::set_nonblocking(socket.get(), true) || repaired;
    }
    return repaired;
}

// A socket that was shut down has lost its port if the system had chosen it, though it still tells
// it: listen(2) alone would take another one.
inline bool shared_listener::listen_again(int socket) noexcept {
    bool bound =
        os::bind_to(socket, at_) || os::last_error() == std::errc::invalid_argument; // it is still
    return bound && os::listen_on(socket, asked_.how.backlog);
}

// A UNIX socket that was shut down is good for nothing any more: its file gets another one.
inline bool shared_listener::replace_local() {
    if (!asked_.local_path || mode_ != accept_mode::shared || !os::is_shut_down(fd_.get())) {
        return false;
    }
    if (owns_path_) {
        os::remove_if_same(asked_.path, identity_);
    }
    address bound;
    std::error_code error;
    unique_fd fresh = bind_once(at_, asked_.how, bound, error);
    owns_path_ = fresh && os::identify(asked_.path, identity_);
    if (fresh) {
        fd_ = std::move(fresh);
    }
    return owns_path_;
}

inline void shared_listener::pass_on_replaced() {
    for (auto* each : members_) {
        if (unique_fd copy = fd_.duplicate()) {
            auto send = [&](frame_kind kind, descriptor_list passed) {
                each->channel_.send_control({0, kind, 0, key(), each->slot()}, std::move(passed));
            };
            send(frame_kind::abandon_listener, {});
            send(frame_kind::adopt_listener, descriptor_list{std::move(copy)});
        }
    }
}

inline void shared_listener::inspect() {
    bool repaired = repair(fd_);
    if (replace_local()) {
        repaired = true;
        pass_on_replaced();
    }
    sockets_.each([&](const unique_fd& each) { repaired = repair(each) || repaired; });
    repaired_ += repaired ? 1 : 0;
    repair_untold_ = repair_untold_ || repaired;
}

inline listener_stats shared_listener::stats() const {
    listener_stats result;
    result.address = at_.to_string();
    result.mode = mode_ == accept_mode::handed   ? "handed"
                  : mode_ == accept_mode::shared ? "shared"
                                                 : "own_socket";
    result.steering = not_steered_ ? "primary: " + not_steered_.message() : sockets_.steering();
    result.waiting = hand_out_.waiting();
    result.refused = hand_out_.refused();
    auto add = [&result](const unique_fd& socket) {
        auto queue = os::queue_of(socket.get());
        result.queue += queue.waiting;
        result.queue_limit += queue.limit;
    };
    add(fd_);
    sockets_.each(add);
    result.backlog = static_cast<std::uint32_t>(asked_.how.backlog);
    result.repaired = repaired_;
    return result;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SHARED_LISTENER_HPP
