// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_HAND_OUT_HPP
#define CLUSTER_DETAIL_HAND_OUT_HPP

#include "../event_loop.hpp"
#include "../net/address.hpp"
#include "../net/server.hpp"
#include "../scheduling/concept.hpp"
#include "../scheduling/round_robin.hpp"
#include "accept_pressure.hpp"
#include "algorithm.hpp"
#include "chrono.hpp"
#include "first_bytes.hpp"
#include "hand_over.hpp"
#include "memory.hpp"
#include "os.hpp"
#include "ring_queue.hpp"
#include "worker_core.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Chooses the worker for a connection: the scheduling policy behind calls that need no template.
class connection_router {
public:
    virtual choice pick(const candidates& ready, const connection_info& from) = 0;
    [[nodiscard]] virtual bool needs_address() const noexcept = 0;
    [[nodiscard]] virtual bool waits_for_one() const noexcept = 0;
    [[nodiscard]] virtual kernel_steering steering() const noexcept = 0;
    /// What steers so. \returns null, with the error, when the kernel does not
    virtual std::unique_ptr<os::socket_steering> open_steering(std::error_code& error) const = 0;
    [[nodiscard]] virtual std::size_t peeks() const noexcept = 0;

protected:
    ~connection_router() = default;
};

/// \pre steering_of(policy) is not none
template <typename S>
std::unique_ptr<os::socket_steering> open_steering(const S& policy, std::error_code& error) {
    if constexpr (
        requires { policy.steering(); } || requires { S::steering; }) {
        auto how = steering_of(policy);
        auto made = std::make_unique<os::steering>();
        error = made->open(how == kernel_steering::round_robin    ? os::steer_by::turns
                           : how == kernel_steering::least_loaded ? os::steer_by::load
                                                                  : os::steer_by::client);
        return error ? nullptr : std::move(made);
    } else {
        return nullptr;
    }
}

/// Accepts in the primary and gives each connection to the worker that the policy picks. While none
/// can take any, connections wait in the kernel's queue.
class hand_out final : public connection_source, private first_bytes_owner {
public:
    /// `broken` is called when the socket does not listen any more.
    hand_out(event_loop& loop,
             connection_router& router,
             std::uint32_t key,
             move_only_function<void()> broken)
        : loop_{loop},
          router_{router},
          key_{key},
          broken_{std::move(broken)},
          first_bytes_{loop, *this} {
        watch_.keep_alive(false);
    }
    ~hand_out() {
        pause_.cancel();
        retry_.cancel();
    }
    hand_out(hand_out&&) = delete;
    hand_out& operator=(hand_out&&) = delete;

    /// Borrows the socket. Nothing is accepted before a worker can take it.
    void start(int listening, const address& at, bool sheds) noexcept {
        socket_ = listening;
        at_ = at;
        if (sheds) {
            pressure_.keep_reserve();
        }
    }

    /// The most connections that the workers may have together; the others wait in the kernel's
    /// queue, or are closed.
    void limit(std::uint64_t most, bool drops) noexcept {
        most_ = most;
        drops_beyond_most_ = drops;
    }

    void join(worker_core& one) { members_.push_back({&one}); }
    void leave(worker_core& one) noexcept {
        if (member* leaving = find(one)) {
            withdraw(*leaving);
            detail::erase_if(members_, [&one](const auto& each) { return each.worker == &one; });
        }
    }
    /// A worker has refused a connection, or can take some again.
    void set_willing(worker_core& one, bool willing) {
        if (member* found = find(one)) {
            found->willing = willing;
            update(one);
        }
    }
    /// A worker's window has opened or closed, it leaves, or it is back.
    void update(worker_core& one);

    /// Connections that were accepted and wait here.
    [[nodiscard]] std::size_t waiting() const noexcept {
        return held_.size() + first_bytes_.size() + (blocked_ ? 1 : 0);
    }
    /// Why accept() has lately found no resources; none when it has not since the last call.
    [[nodiscard]] std::error_code take_pressure() noexcept {
        return std::exchange(untold_pressure_, {});
    }
    /// Connections that were closed: the policy did not want them, there were too many, or they
    /// were shed.
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
    /// Closes what waits here: nobody will come for it.
    void drop_waiting() noexcept {
        held_.clear();
        first_bytes_.clear();
        blocked_.reset();
    }

    [[nodiscard]] std::uint32_t key() const noexcept override { return key_; }
    void take_back(unique_fd accepted) override {
        held_.push_back({std::move(accepted)});
        go_on();
    }
    void take_refused(const hand_over_queue& by, unique_fd accepted) override {
        held_.push_back({std::move(accepted)});
        for (auto& each : members_) {
            if (&each.worker->queue_ == &by) {
                set_willing(*each.worker, false);
                return;
            }
        }
        go_on();
    }

private:
    static constexpr std::chrono::milliseconds patience{20};

    struct member {
        worker_core* worker;
        bool willing = true;  // has not refused
        bool offered = false; // stands in ready_
    };

    [[nodiscard]] member* find(const worker_core& one) noexcept {
        for (auto& each : members_) {
            if (each.worker == &one) {
                return &each;
            }
        }
        return nullptr;
    }
    [[nodiscard]] bool is_full() const noexcept {
        constexpr auto unlimited = static_cast<std::uint64_t>(-1);
        std::uint64_t all = 0;
        for (std::size_t i = 0; most_ != unlimited && i != members_.size(); ++i) {
            all += members_[i].worker->connections();
        }
        return all >= most_;
    }
    [[nodiscard]] bool takes_more() const noexcept {
        return !ready_.empty() && blocked_on_ == nullptr && !retry_.active();
    }
    void withdraw(member& one) noexcept;
    void go_on();
    void watch(bool on);
    void on_ready(os::io what);
    void pause();
    void relieve(const std::error_code& cause);
    void ask_again_later();
    void dispatch(arrival one, const address& remote);
    bool look(const arrival& one, connection_info& from);
    void on_first_bytes(arrival one) override {
        held_.push_back(std::move(one));
        go_on();
    }
    void give(worker_core& to, unique_fd accepted);
    void refuse(refusal why, arrival one, const connection_info& from);

    event_loop& loop_;
    connection_router& router_;
    std::uint32_t key_;
    move_only_function<void()> broken_;
    int socket_ = -1;
    address at_;
    io_watch watch_;
    std::vector<member> members_;
    std::vector<const candidate*> ready_;
    first_bytes first_bytes_;
    ring_queue<arrival> held_; // given back by workers, or waited for their first bytes
    unique_fd blocked_;        // picked for `blocked_on_`, whose window is full for the moment
    worker_core* blocked_on_ = nullptr;
    scheduling::round_robin in_turn_; // where the policy has no opinion
    std::uint64_t most_ = static_cast<std::uint64_t>(-1);
    bool drops_beyond_most_ = false;
    std::uint64_t refused_ = 0;
    accept_pressure pressure_;
    std::error_code untold_pressure_;
    timer pause_;
    timer retry_; // the policy wants to be asked again
};

inline void hand_out::update(worker_core& one) {
    member* found = find(one);
    if (found == nullptr) {
        return;
    }
    bool able =
        found->willing && (router_.waits_for_one() ? one.is_serving() : one.takes_connections());
    if (able && !found->offered) {
        found->offered = true;
        ready_.push_back(&one);
    } else if (!able && found->offered) {
        withdraw(*found);
    }
    retry_.cancel();
    go_on();
}

inline void hand_out::withdraw(member& one) noexcept {
    if (std::exchange(one.offered, false)) {
        const candidate* gone = one.worker;
        detail::erase(ready_, gone);
        if (blocked_on_ == one.worker) {
            blocked_on_ = nullptr;
            held_.push_front({std::move(blocked_)});
        }
    }
}

// Hands over what waits here, then lets new connections in.
inline void hand_out::go_on() {
    if (blocked_on_ != nullptr && blocked_on_->queue_.has_room()) {
        std::exchange(blocked_on_, nullptr)->hand_over(*this, std::move(blocked_));
    }
    while (takes_more() && !held_.empty()) {
        auto waiting = std::move(held_.front());
        held_.pop_front();
        auto remote = os::remote_address(waiting.fd.get());
        dispatch(std::move(waiting), remote);
    }
    watch(takes_more());
}

inline void hand_out::watch(bool on) {
    if (on && !watch_.active() && !pause_.active()) {
        watch_.start<&hand_out::on_ready>(loop_, socket_, os::io::readable, *this);
    } else if (!on) {
        watch_.stop();
    }
}

inline void hand_out::on_ready(os::io) {
    constexpr int accepts_per_wake = 128;
    for (int i = 0; i != accepts_per_wake && takes_more(); ++i) {
        bool full = is_full();
        if (full && !drops_beyond_most_) {
            ask_again_later();
            return;
        }
        address remote;
        unique_fd accepted =
            router_.needs_address() ? os::accept_from(socket_, remote) : os::accept_from(socket_);
        if (accepted) {
            pressure_.succeeded();
            full ? ++refused_, void() : dispatch({std::move(accepted)}, remote);
            continue;
        }
        auto cause = os::last_error();
        switch (os::classify_accept_error(cause.value())) {
        case os::accept_failure::this_connection:
            if (pressure_.failed()) {
                pause();
                return;
            }
            continue;
        case os::accept_failure::none_waiting:
            return;
        case os::accept_failure::listener_broken:
            broken_();
            pause();
            return;
        case os::accept_failure::out_of_resources:
            relieve(cause);
            return;
        }
    }
}

// A listener that stays readable while accept fails would keep the CPU busy.
inline void hand_out::pause() {
    watch_.stop();
    pause_ = loop_.after(pressure_.next_pause(), [this] { watch(takes_more()); });
}

inline void hand_out::relieve(const std::error_code& cause) {
    untold_pressure_ = cause;
    if (auto shed = pressure_.shed(socket_, cause)) {
        refused_ += shed;
    } else {
        pause();
    }
}

// What a worker's connections do nobody tells us.
inline void hand_out::ask_again_later() {
    retry_ = loop_.after(patience, [this] { go_on(); });
    retry_.unref();
    watch(false);
}

inline void hand_out::dispatch(arrival one, const address& remote) {
    connection_info from{remote, at_};
    if (router_.peeks() != 0 && !look(one, from)) {
        return; // it has ended
    }
    auto picked = router_.pick(candidates{ready_}, from);
    if (picked.refused()) {
        refuse(picked.why(), std::move(one), from);
        return;
    }
    const candidate* chosen = ready_[picked.index() % ready_.size()];
    give(const_cast<worker_core&>(static_cast<const worker_core&>(*chosen)), std::move(one.fd));
}

// \returns false when there is nobody any more.
inline bool hand_out::look(const arrival& one, connection_info& from) {
    auto bytes = first_bytes_.look(one.fd.get(), router_.peeks());
    from.first_bytes = bytes.value_or(std::span<const std::byte>{});
    from.more_may_come =
        !one.settled && from.first_bytes.size() < router_.peeks() && first_bytes_.has_room();
    return bytes.has_value();
}

// A worker whose window is full keeps its turn for a moment, so that a burst is spread as evenly as
// a trickle; one that does not catch up is left out (hand_over_queue::is_behind). Where only this
// one will do, the others need not wait for it.
inline void hand_out::give(worker_core& to, unique_fd accepted) {
    if (to.queue_.has_room()) {
        to.hand_over(*this, std::move(accepted));
    } else if (!router_.waits_for_one() || !to.queue_.park(*this, accepted)) {
        blocked_on_ = &to;
        blocked_ = std::move(accepted);
        watch(false);
    }
}

inline void hand_out::refuse(refusal why, arrival one, const connection_info& from) {
    if (why == refusal::close) {
        ++refused_;
    } else if (why == refusal::hold) {
        held_.push_front(std::move(one));
        ask_again_later();
    } else if (why == refusal::more_bytes && from.more_may_come) {
        first_bytes_.wait(std::move(one), from.first_bytes.size());
    } else {
        const candidate* next = ready_[in_turn_.pick(candidates{ready_}, from)];
        give(const_cast<worker_core&>(static_cast<const worker_core&>(*next)), std::move(one.fd));
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_HAND_OUT_HPP
