// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SHARED_LISTENER_HPP
#define CLUSTER_DETAIL_SHARED_LISTENER_HPP

#include "../event_loop.hpp"
#include "../ipc/wire.hpp"
#include "../net/listener.hpp"
#include "../net/server.hpp"
#include "../stats.hpp"
#include "os.hpp"
#include "worker_core.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Chooses the worker for a connection: the scheduling policy behind one call.
class connection_router {
public:
    virtual std::size_t pick(const candidates& ready, const connection_info& from) = 0;
    [[nodiscard]] virtual bool needs_address() const noexcept = 0;

protected:
    ~connection_router() = default;
};

/// One listening address of the cluster, in the primary: its socket or sockets, and the workers
/// that serve it. A worker's place in it is its slot, so that a replacement finds the same socket.
class shared_listener final : public membership, public connection_source {
public:
    shared_listener(event_loop& loop,
                    connection_router& router,
                    std::uint32_t key,
                    listen_message asked,
                    accept_mode mode)
        : loop_{loop}, router_{router}, key_{key}, asked_{std::move(asked)}, mode_{mode} {}
    ~shared_listener() {
        pause_.cancel();
        if (owns_path_) {
            os::remove_if_same(asked_.path, identity_);
        }
    }
    shared_listener(shared_listener&&) = delete;
    shared_listener& operator=(shared_listener&&) = delete;

    /// Binds and listens; once, before anything else.
    std::error_code open();

    [[nodiscard]] std::uint32_t key() const noexcept override { return key_; }
    [[nodiscard]] accept_mode mode() const noexcept { return mode_; }
    [[nodiscard]] const address& at() const noexcept { return at_; }

    /// Whether `wanted` asks for this address; a member asking for port 0 again wants another one.
    [[nodiscard]] bool matches(const listen_message& wanted, const worker_core& by) const noexcept;
    [[nodiscard]] bool has_same_options(const listen_message& wanted,
                                        accept_mode mode) const noexcept;
    [[nodiscard]] bool has_member(const worker_core& one) const noexcept {
        return find(one) != nullptr;
    }

    /// Makes the worker a member. \returns the socket that it shall accept from, if any.
    unique_fd join(worker_core& one, std::error_code& error);

    inline void leave(worker_core& one, bool kept) override;
    /// The replacement of this place will not come.
    void give_up_place(std::uint32_t slot);

    /// Whether anybody serves the address or is about to.
    [[nodiscard]] bool in_use() const noexcept {
        bool kept = false;
        for (const auto& each : places_) {
            kept = kept || each.kept;
        }
        return kept || !members_.empty();
    }

    /// Looks whether one who shares a socket has shut it down or made it blocking, and repairs it.
    void inspect() noexcept;
    /// Whether that has been so since the last call.
    [[nodiscard]] bool take_repaired() noexcept { return std::exchange(repair_untold_, false); }
    /// Closes what waits here: nobody will come for it.
    void drop_waiting() noexcept {
        held_.clear();
        blocked_.reset();
    }
    [[nodiscard]] listener_stats stats() const;

    /// A worker has refused a connection, or can take some again.
    void set_willing(worker_core& one, bool willing);
    /// A worker's window has opened or closed, it leaves, or it is back.
    inline void update(worker_core& one) override;
    void take_back(unique_fd accepted) override {
        held_.push_back(std::move(accepted));
        go_on();
    }
    void take_refused(const hand_over_queue& by, unique_fd accepted) override {
        held_.push_back(std::move(accepted));
        for (auto& each : members_) {
            if (&each.worker->queue_ == &by) {
                each.willing = false;
                update(*each.worker);
                return;
            }
        }
        go_on();
    }

private:
    struct member {
        worker_core* worker;
        bool willing = true;  // has not refused
        bool offered = false; // stands in ready_
    };
    // Two workers may be in one place, while one replaces the other.
    struct place {
        std::uint32_t slot = 0;
        bool kept = false; // a replacement is on its way
        unique_fd socket;  // accept_mode::own_socket
        worker_core* adopter = nullptr;
    };

    [[nodiscard]] const member* find(const worker_core& one) const noexcept {
        for (const auto& each : members_) {
            if (each.worker == &one) {
                return &each;
            }
        }
        return nullptr;
    }
    [[nodiscard]] member* find(const worker_core& one) noexcept {
        return const_cast<member*>(std::as_const(*this).find(one));
    }
    [[nodiscard]] place* place_of(std::uint32_t slot) noexcept {
        for (auto& each : places_) {
            if (each.slot == slot) {
                return &each;
            }
        }
        return nullptr;
    }
    [[nodiscard]] bool has_member_at(std::uint32_t slot) const noexcept {
        return std::any_of(members_.begin(), members_.end(), [slot](const auto& each) {
            return each.worker->slot() == slot;
        });
    }
    [[nodiscard]] bool is_served(std::uint32_t slot) const noexcept {
        return std::any_of(members_.begin(), members_.end(), [slot](const auto& each) {
            return each.worker->slot() == slot && each.worker->is_serving();
        });
    }
    [[nodiscard]] bind_options binding() const noexcept {
        return {asked_.backlog, asked_.ipv6_only, false, asked_.no_delay, asked_.mode};
    }

    std::error_code open_given();
    unique_fd socket_of(place& where, std::error_code& error);
    void adopt_orphans();
    void adopt(place& orphan);
    void forget_empty_places();
    bool repair(const unique_fd& socket) noexcept;
    bool listen_again(int socket) noexcept;
    void on_ready(os::io what);
    void dispatch(unique_fd accepted, const address& remote);
    void go_on();
    [[nodiscard]] bool takes_more() const noexcept {
        return !ready_.empty() && blocked_on_ == nullptr;
    }
    void withdraw(member& one) noexcept;
    void watch(bool on);
    void pause_for_resources();

    event_loop& loop_;
    connection_router& router_;
    std::uint32_t key_;
    listen_message asked_;
    accept_mode mode_;
    address at_;
    unique_fd fd_;
    io_watch watch_;
    std::vector<member> members_;
    std::vector<place> places_;
    std::uint64_t repaired_ = 0;
    bool repair_untold_ = false;
    std::vector<const candidate*> ready_;
    std::deque<unique_fd> held_; // given back by workers
    unique_fd blocked_;          // picked for `blocked_on_`, whose window is full for the moment
    worker_core* blocked_on_ = nullptr;
    accept_pressure pressure_;
    timer pause_;
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
        auto shortest = address::local(os::shortest_path(asked_.path));
        if (shortest.family() == address_family::none) {
            return std::make_error_code(std::errc::filename_too_long);
        }
        wanted = {shortest};
    }
    std::error_code error;
    fd_ = bind_first(wanted, binding(), at_, error);
    if (error) {
        return error;
    }
    if (asked_.local_path) {
        owns_path_ = os::identify(asked_.path, identity_);
        at_ = wanted.front();
    }
    if (mode_ == accept_mode::own_socket) {
        // It has proved that the address is free, which a socket with SO_REUSEPORT would not.
        fd_.reset();
    } else if (mode_ == accept_mode::handed) {
        watch_.keep_alive(false);
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
    if (!os::is_listening(fd_.get()) && !os::listen_on(fd_.get(), asked_.backlog)) {
        return os::last_error();
    }
    os::set_nonblocking(fd_.get(), true);
    at_ = os::local_address(fd_.get());
    watch_.keep_alive(false);
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
    return mode == mode_ && wanted.backlog == asked_.backlog &&
           wanted.ipv6_only == asked_.ipv6_only && wanted.mode == asked_.mode &&
           wanted.no_delay == asked_.no_delay;
}

inline unique_fd shared_listener::join(worker_core& one, std::error_code& error) {
    place* where = place_of(one.slot());
    if (where == nullptr) {
        where = &places_.emplace_back();
        where->slot = one.slot();
    }
    unique_fd socket;
    if (mode_ == accept_mode::own_socket) {
        socket = socket_of(*where, error);
    } else if (mode_ == accept_mode::shared) {
        socket = fd_.duplicate();
        error = socket ? std::error_code{} : os::last_error();
    }
    if (error) {
        forget_empty_places();
        return {};
    }
    where->kept = false;
    members_.push_back({&one});
    one.memberships_.push_back(this);
    update(one);
    return socket;
}

inline unique_fd shared_listener::socket_of(place& where, std::error_code& error) {
    if (!where.socket) {
        auto options = binding();
        options.reuse_port = true;
        where.socket = bind_once(at_, options, at_, error);
        if (!where.socket) {
            return {};
        }
    }
    unique_fd copy = where.socket.duplicate();
    error = copy ? std::error_code{} : os::last_error();
    return copy;
}

inline void shared_listener::leave(worker_core& one, bool kept) {
    std::erase(one.memberships_, this);
    if (member* leaving = find(one)) {
        withdraw(*leaving);
        std::erase_if(members_, [&one](const auto& each) { return each.worker == &one; });
    }
    for (auto& each : places_) {
        if (each.slot == one.slot() && !has_member_at(each.slot)) {
            each.kept = kept;
        }
        if (each.adopter == &one) {
            each.adopter = nullptr;
        }
    }
    inspect();
    forget_empty_places();
    adopt_orphans();
}

inline void shared_listener::give_up_place(std::uint32_t slot) {
    if (place* where = place_of(slot)) {
        where->kept = false;
        forget_empty_places();
        adopt_orphans();
    }
}

// A socket stays: closing it would reset the clients in its queue.
inline void shared_listener::forget_empty_places() {
    std::erase_if(places_, [this](const auto& each) {
        return !each.kept && !each.socket && !has_member_at(each.slot);
    });
}

// A socket of a group that nobody accepts from would leave its share of the clients waiting:
// another worker accepts from it as well, for as long as that is so.
inline void shared_listener::adopt_orphans() {
    for (auto& each : places_) {
        if (!each.socket) {
            continue;
        }
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

inline void shared_listener::adopt(place& orphan) {
    for (auto& each : members_) {
        if (each.worker->is_serving()) {
            if (unique_fd copy = orphan.socket.duplicate()) {
                orphan.adopter = each.worker;
                each.worker->channel_.send_control(
                    {0, frame_kind::adopt_listener, 0, key_, orphan.slot},
                    descriptor_list{std::move(copy)});
            }
            return;
        }
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
    return bound && os::listen_on(socket, asked_.backlog);
}

inline void shared_listener::inspect() noexcept {
    bool repaired = repair(fd_);
    for (auto& each : places_) {
        repaired = repair(each.socket) || repaired;
    }
    repaired_ += repaired ? 1 : 0;
    repair_untold_ = repair_untold_ || repaired;
}

inline void shared_listener::set_willing(worker_core& one, bool willing) {
    if (member* found = find(one)) {
        found->willing = willing;
        update(one);
    }
}

inline void shared_listener::update(worker_core& one) {
    if (mode_ == accept_mode::own_socket) {
        adopt_orphans();
    }
    member* found = find(one);
    if (mode_ != accept_mode::handed || found == nullptr) {
        return;
    }
    bool able = found->willing && one.takes_connections();
    if (able && !found->offered) {
        found->offered = true;
        ready_.push_back(&one);
    } else if (!able && found->offered) {
        withdraw(*found);
    }
    go_on();
}

inline void shared_listener::withdraw(member& one) noexcept {
    if (std::exchange(one.offered, false)) {
        const candidate* gone = one.worker;
        std::erase(ready_, gone);
        if (blocked_on_ == one.worker) {
            blocked_on_ = nullptr;
            held_.push_front(std::move(blocked_));
        }
    }
}

// Hands over what waits here, then lets new connections in.
inline void shared_listener::go_on() {
    if (blocked_on_ != nullptr && blocked_on_->queue_.has_room()) {
        std::exchange(blocked_on_, nullptr)->hand_over(*this, std::move(blocked_));
    }
    while (takes_more() && !held_.empty()) {
        auto waiting = std::move(held_.front());
        held_.pop_front();
        auto remote = os::remote_address(waiting.get());
        dispatch(std::move(waiting), remote);
    }
    watch(takes_more());
}

// While no worker can take any, connections wait in the kernel's queue.
inline void shared_listener::watch(bool on) {
    if (on && !watch_.active() && !pause_.active()) {
        watch_.start<&shared_listener::on_ready>(loop_, fd_.get(), os::io::readable, *this);
    } else if (!on) {
        watch_.stop();
    }
}

inline void shared_listener::on_ready(os::io) {
    constexpr int accepts_per_wake = 128;
    for (int i = 0; i != accepts_per_wake && takes_more(); ++i) {
        address remote;
        unique_fd accepted = router_.needs_address() ? os::accept_from(fd_.get(), remote)
                                                     : os::accept_from(fd_.get());
        if (accepted) {
            pressure_.succeeded();
            dispatch(std::move(accepted), remote);
            continue;
        }
        switch (os::classify_accept_error(errno)) {
        case os::accept_failure::this_connection:
            if (pressure_.failed()) {
                pause_for_resources();
                return;
            }
            continue;
        case os::accept_failure::none_waiting:
            return;
        case os::accept_failure::listener_broken:
            inspect();
            [[fallthrough]];
        case os::accept_failure::out_of_resources:
            pause_for_resources();
            return;
        }
    }
}

// A listener that stays readable while accept fails would keep the CPU busy.
inline void shared_listener::pause_for_resources() {
    watch_.stop();
    pause_ = loop_.after(pressure_.next_pause(), [this] { watch(takes_more()); });
}

// A worker whose window is full keeps its turn for a moment, so that a burst is spread as evenly as
// a trickle; one that does not catch up is left out (hand_over_queue::is_behind).
inline void shared_listener::dispatch(unique_fd accepted, const address& remote) {
    std::size_t index = router_.pick(candidates{ready_}, {remote, at_}) % ready_.size();
    auto& chosen = const_cast<worker_core&>(static_cast<const worker_core&>(*ready_[index]));
    if (chosen.queue_.has_room()) {
        chosen.hand_over(*this, std::move(accepted));
    } else {
        blocked_on_ = &chosen;
        blocked_ = std::move(accepted);
        watch(false);
    }
}

inline listener_stats shared_listener::stats() const {
    listener_stats result;
    result.address = at_.to_string();
    result.mode = mode_ == accept_mode::handed   ? "handed"
                  : mode_ == accept_mode::shared ? "shared"
                                                 : "own_socket";
    result.waiting = held_.size() + (blocked_ ? 1 : 0);
    auto add = [&result](const unique_fd& socket) {
        auto queue = os::queue_of(socket.get());
        result.queue += queue.waiting;
        result.queue_limit += queue.limit;
    };
    add(fd_);
    for (const auto& each : places_) {
        add(each.socket);
    }
    result.backlog = static_cast<std::uint32_t>(asked_.backlog);
    result.repaired = repaired_;
    return result;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SHARED_LISTENER_HPP
