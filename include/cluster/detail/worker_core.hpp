// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_WORKER_CORE_HPP
#define CLUSTER_DETAIL_WORKER_CORE_HPP

#include "../event.hpp"
#include "../event_loop.hpp"
#include "../exit_status.hpp"
#include "../fork_options.hpp"
#include "../ipc/channel.hpp"
#include "../ipc/wire.hpp"
#include "../net/address.hpp"
#include "../net/stream.hpp"
#include "../restart/concept.hpp"
#include "../scheduling/concept.hpp"
#include "../stats.hpp"
#include "../subscription.hpp"
#include "boot_output.hpp"
#include "chrono.hpp"
#include "hand_over.hpp"
#include "lifetime.hpp"
#include "memory.hpp"
#include "pulse.hpp"
#include "worker_process.hpp"

#include <csignal>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// How far a worker has come, as its primary knows it; the last event wins.
enum class worker_state { none, online, listening, disconnected, dead };

namespace detail {

class primary_core;
class worker_core;

/// An address that a worker serves: told when the worker can, or can no longer, take connections.
class membership {
public:
    virtual void update(worker_core& one) = 0;
    /// The worker no longer serves it. `kept`: its place waits for a replacement.
    virtual void leave(worker_core& one, bool kept) = 0;

protected:
    ~membership() = default;
};

/// A program file, and the reload that opened it.
struct program_generation {
    std::uint32_t number = 1;
    unique_fd program; // none: the system does not tell which file runs
};

/// The handlers of what happens to workers; one table for a primary, one for a worker.
struct worker_events {
    emitter<worker_core&> fork, online, ready, stalled, recovered, disconnect, drain;
    emitter<worker_core&, const address&> listening;
    emitter<worker_core&, const exit_status&> exit;
    emitter<worker_core&, const std::error_code&> error;
    emitter<worker_core&, const unhandled_message_info&> unhandled_message;
};

inline auto& emitter_for(worker_events& of, event::fork_t) {
    return of.fork;
}
inline auto& emitter_for(worker_events& of, event::online_t) {
    return of.online;
}
inline auto& emitter_for(worker_events& of, event::listening_t) {
    return of.listening;
}
inline auto& emitter_for(worker_events& of, event::ready_t) {
    return of.ready;
}
inline auto& emitter_for(worker_events& of, event::stalled_t) {
    return of.stalled;
}
inline auto& emitter_for(worker_events& of, event::recovered_t) {
    return of.recovered;
}
inline auto& emitter_for(worker_events& of, event::disconnect_t) {
    return of.disconnect;
}
inline auto& emitter_for(worker_events& of, event::exit_t) {
    return of.exit;
}
inline auto& emitter_for(worker_events& of, event::error_t) {
    return of.error;
}
inline auto& emitter_for(worker_events& of, event::drain_t) {
    return of.drain;
}
inline auto& emitter_for(worker_events& of, event::unhandled_message_t) {
    return of.unhandled_message;
}

/// What a worker needs of its primary.
class worker_owner {
public:
    virtual void on_worker_frame(worker_core& from, frame& arrived) = 0;
    virtual void on_worker_up(worker_core& one) = 0;   // its loop turns, or it is ready
    virtual void on_worker_lost(worker_core& one) = 0; // it lives without its channel, and must go
    virtual void on_worker_over(worker_core& one) = 0; // its figures go now
    virtual void on_worker_dead(worker_core& one) = 0;
    [[nodiscard]] virtual std::string serializer_name() const = 0;

    event_loop& loop_;
    worker_events events_; // of all workers

protected:
    explicit worker_owner(event_loop& loop) : loop_{loop} {}
    ~worker_owner() = default;

    friend class worker_core;
    lifetime alive_;
};

/// What a worker is made from.
struct worker_plan {
    fork_options asked;
    fork_options options; // on top of the settings
    std::shared_ptr<const program_generation> generation;
};

/// The primary's end of one worker, without the types of its messages.
class worker_core : public candidate, private channel_owner, private hand_over_owner {
public:
    worker_core(worker_core&&) = delete;
    worker_core& operator=(worker_core&&) = delete;

    /// 1, 2, 3, …; never used twice.
    [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
    /// The process's number, for display: signals go through kill(). -1 when it was not started.
    [[nodiscard]] int pid() const noexcept { return process_.pid(); }
    [[nodiscard]] const std::string& name() const noexcept { return options_.name; }
    [[nodiscard]] worker_state state() const noexcept { return state_; }
    /// 1, 2, …: which of the cluster's reloads has started it.
    [[nodiscard]] std::uint32_t generation() const noexcept override { return generation_->number; }
    /// It can do its work: it listens, or has said so.
    [[nodiscard]] bool is_ready() const noexcept { return ready_; }
    /// It has not answered for a while; it gets no connections.
    [[nodiscard]] bool is_stalled() const noexcept { return stalled_; }

    /// True from fork() until the channel is closed or a disconnect was asked for.
    [[nodiscard]] bool is_connected() const noexcept { return channel_.is_open() && !leaving_; }
    /// True once the exit is known.
    [[nodiscard]] bool is_dead() const noexcept { return state_ == worker_state::dead; }
    /// Whether the worker ends, or has ended, because somebody asked for it with disconnect() or
    /// self.kill(), as opposed to a crash, an exit of its own or a signal.
    [[nodiscard]] bool exited_after_disconnect() const noexcept { return after_disconnect_; }
    /// How it ended; meaningful from event::exit on.
    [[nodiscard]] const exit_status& status() const noexcept { return status_; }
    /// Everything about its end; meaningful from event::exit on.
    [[nodiscard]] const exit_report& report() const noexcept { return report_; }

    /// Connections that its servers have open now; what it says itself.
    [[nodiscard]] std::size_t active_connections() const noexcept {
        const control_page* page = queue_.page();
        return page == nullptr ? 0 : page->load.active();
    }
    [[nodiscard]] std::size_t in_flight() const noexcept override { return queue_.untaken(); }
    /// Those, and the ones that are on their way to it.
    [[nodiscard]] std::size_t connections() const noexcept override {
        const control_page* page = queue_.page();
        if (page == nullptr) {
            return queue_.size();
        }
        auto gone = page->load.ended.load(std::memory_order_acquire);
        auto all = queue_.handed() + page->load.surplus.load(std::memory_order_relaxed);
        return static_cast<std::int64_t>(all - gone) < 0 ? 0 : static_cast<std::size_t>(all - gone);
    }
    [[nodiscard]] std::chrono::microseconds lag() const noexcept override {
        const control_page* page = queue_.page();
        return std::chrono::microseconds{
            page == nullptr ? 0 : page->lag.load(std::memory_order_relaxed)};
    }

    /// Sends a signal to the process, by its pidfd: never to a stranger. `kill(0)` only asks.
    /// \returns ESRCH when it has ended.
    std::error_code kill(int signal = SIGTERM) noexcept {
        return exit_seen_ ? std::make_error_code(std::errc::no_such_process)
                          : process_.signal(signal);
    }

    /// Asks the worker to finish: no new connections from now on, its servers close, and when their
    /// connections have ended the channel closes and the process ends by itself. Idempotent.
    void disconnect() {
        if (leaving_ || !channel_.is_open()) {
            return;
        }
        leaving_ = true;
        after_disconnect_ = true;
        channel_.send_control({0, frame_kind::disconnect, 0, 0, 0});
        on_window_changed();
    }

    /// Closes the channel at once; the worker ends when it notices, whatever it is doing with its
    /// connections. Not a disconnect: exited_after_disconnect() stays as it is.
    void close() {
        if (channel_.is_open()) {
            goes_quietly_ = true;
            channel_.flush();
            channel_.close();
            on_channel_end();
        }
    }

    /// The primary's ends of the worker's piped descriptors (fork_options), streams both ways.
    /// \throws std::system_error (bad_file_descriptor) when that one is no pipe, or is closed.
    [[nodiscard]] stream& standard_input() { return pipe(0); }
    [[nodiscard]] stream& standard_output() { return pipe(1); }
    [[nodiscard]] stream& standard_error() { return pipe(2); }
    [[nodiscard]] stream& pipe(int number) {
        auto index = static_cast<std::size_t>(number);
        if (number < 0 || index >= pipes_.size() || pipes_[index] == nullptr) {
            throw std::system_error(std::make_error_code(std::errc::bad_file_descriptor),
                                    "worker pipe");
        }
        return *pipes_[index];
    }

protected:
    worker_core(worker_owner& owner, std::uint32_t id, std::uint32_t slot, worker_plan plan)
        : owner_{owner},
          loop_{owner.loop_},
          channel_{loop_, *this, direction::to_primary},
          asked_{std::move(plan.asked)},
          options_{std::move(plan.options)},
          generation_{std::move(plan.generation)},
          queue_{loop_, channel_, *this} {
        id_ = id;
        slot_ = slot;
        weight_ = options_.weight.value_or(1);
    }
    ~worker_core() {
        patience_.cancel();
        for (stream* each : pipes_) {
            stream_set::forget(each);
        }
    }

    virtual void on_user_frame(frame& arrived) = 0;
    virtual void on_gone() = 0;     // nothing more will arrive: whoever waits for an answer is told
    virtual void on_departed() = 0; // its exit has been told: the handle keeps nothing of it

    worker_events& events() {
        if (!events_) {
            events_ = std::make_unique<worker_events>();
        }
        return *events_;
    }

    template <typename Event, typename... Args>
    void emit(Event which, const Args&... args);

    // First of all, a turn after the start, or before the event that comes sooner.
    void tell_fork() {
        if (!std::exchange(fork_told_, true)) {
            emit(event::fork);
        }
    }

    worker_owner& owner_;
    event_loop& loop_;
    channel channel_;

private:
    friend class primary_core;
    friend class hand_out;
    friend class shared_datagram;
    friend class shared_listener;
    friend class slot_sockets;
    friend class replacements;

    inline void on_frame(frame& arrived) override;
    inline void on_channel_drained() override;
    inline void on_channel_end() override;
    inline void on_violation(errc what) override;

    void on_exit(const os::exit_info& info);
    void advance();
    void online(const frame& arrived);

    // SIGTERM, and SIGKILL when that does not help.
    void end(std::chrono::nanoseconds kill_after = std::chrono::seconds{3}) {
        process_.signal(SIGTERM);
        wait(kill_after, [this] { end_now(); });
    }
    // A process in an uninterruptible wait of the kernel does not even die of SIGKILL: its place
    // does not wait for that. It is reaped when it ends after all.
    void end_now() {
        process_.signal(SIGKILL);
        wait(std::chrono::seconds{5}, [this] {
            if (!exit_seen_) {
                on_exit({});
            }
        });
    }
    template <typename F>
    void wait(std::chrono::nanoseconds patience, F then) {
        patience_.cancel();
        patience_ = loop_.after(patience, std::move(then));
    }
    // Asks it to finish, and sees to it that it does.
    void drain(std::chrono::nanoseconds deadline, std::optional<exit_reason> why) {
        disconnect();
        because_ = because_ ? because_ : why;
        wait(deadline, [this] { end(std::chrono::seconds{1}); });
    }
    void end_because(exit_reason why) {
        because_ = because_ ? because_ : why;
        leaving_ = true;
        on_window_changed();
        end();
    }
    void become_ready();
    void tell_ready();
    // Another one who waits at this socket is gone: the system wakes one for what has arrived, and
    // if it was that one, nobody else would be woken until the next arrives.
    void tell_to_recheck(std::uint32_t key) {
        if (channel_.can_send()) {
            channel_.send_control({0, frame_kind::recheck, 0, key, 0});
        }
    }
    void set_stalled(bool on);
    [[nodiscard]] bool is_serving() const noexcept {
        return ready_ && !stalled_ && !leaving_ && channel_.can_send();
    }
    [[nodiscard]] bool takes_connections() const noexcept {
        return is_serving() && !queue_.is_behind();
    }
    // Whether its place is not meant to stay empty.
    [[nodiscard]] bool may_return() const noexcept { return !after_disconnect_ && !dismissed_; }
    // Its main function has returned to the loop, or it has said that it is ready.
    [[nodiscard]] bool is_up() const noexcept { return ready_ || (running_ && !defers_ready_); }
    // The end of what it said on standard error while it booted, if that was listened to.
    [[nodiscard]] std::string boot_tail() const {
        return boot_output_ ? boot_output_->tail() : std::string{};
    }
    [[nodiscard]] const char* activity() const noexcept;
    [[nodiscard]] worker_stats stats(std::chrono::steady_clock::time_point now) const;
    void look_at_pulse(std::chrono::steady_clock::time_point now, const pulse_limits& limits);
    void start_pulse() noexcept {
        if (beat_period_ != std::chrono::nanoseconds{0} && !pulse_.started()) {
            pulse_.start(loop_.now(), beat_period_);
        }
    }
    void kill_unresponsive();
    void expect_exit();
    void hand_over(connection_source& from, unique_fd accepted) {
        queue_.add(from, std::move(accepted));
    }
    inline void on_false_claim() override;
    void on_window_changed() override {
        for (std::size_t i = 0; i != memberships_.size(); ++i) {
            memberships_[i]->update(*this);
        }
    }

    fork_options asked_;   // as fork() was called
    fork_options options_; // on top of the settings
    std::shared_ptr<const program_generation> generation_;
    watched_process process_;
    pulse pulse_;
    std::chrono::nanoseconds beat_period_{0};
    std::chrono::steady_clock::time_point booting_since_ = std::chrono::steady_clock::now();
    std::uint64_t max_requests_ = 0; // recycle_limits, with their jitter
    std::chrono::nanoseconds max_lifetime_{0};
    std::uint64_t max_memory_ = 0;
    std::chrono::steady_clock::time_point recycle_not_before_{};
    std::unique_ptr<boot_output> boot_output_;
    std::optional<exit_reason> because_; // why we end it, if we do
    exit_report report_;
    std::optional<restart_decision> decided_; // before its exit
    worker_state state_ = worker_state::none;
    exit_status status_;
    std::unique_ptr<worker_events> events_;
    std::vector<stream*> pipes_;
    std::vector<membership*> memberships_;
    hand_over_queue queue_;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    unsigned restarts_ = 0;
    timer patience_;
    bool fork_told_ = false;
    bool was_online_ = false;
    bool running_ = false; // its loop turns
    bool defers_ready_ = false;
    bool ready_ = false;
    bool stalled_ = false;
    bool goes_quietly_ = false; // its loop has ended, or we have closed its channel
    bool leaving_ = false;      // told to go, or says so
    bool after_disconnect_ = false;
    bool dismissed_ = false; // by primary.disconnect(), which it may be too dead to follow
    bool channel_ended_ = false;
    bool disconnect_told_ = false;
    bool exit_seen_ = false;
    bool exit_told_ = false;
};

template <typename Event, typename... Args>
void worker_core::emit(Event which, const Args&... args) {
    std::exception_ptr first; // the primary's handlers run even when one of ours throws
    try {
        if constexpr (!std::is_same_v<Event, event::fork_t>) {
            tell_fork();
        }
        if (events_) {
            emitter_for(*events_, which).emit(*this, args...);
        }
    } catch (...) {
        first = std::current_exception();
    }
    emitter_for(owner_.events_, which).emit(*this, args...);
    if (first) {
        std::rethrow_exception(first);
    }
}

inline void worker_core::on_frame(frame& arrived) {
    if (was_online_ && arrived.header.kind >= frame_kind::message) { // most are
        on_user_frame(arrived);
    } else if (arrived.header.kind == frame_kind::online) {
        online(arrived);
    } else if (!was_online_) {
        on_violation(errc::bad_frame); // nothing may come before it
    } else if (arrived.header.kind == frame_kind::taken) {
        if (!queue_.collect()) {
            on_violation(errc::bad_frame);
        }
    } else if (arrived.header.kind == frame_kind::running) {
        if (arrived.header.type != 0) {
            goes_quietly_ = true;
        } else if (!std::exchange(running_, true)) {
            start_pulse();
            pulse_.excuse_until(loop_.now()); // what it did before was its boot
            owner_.on_worker_up(*this);
        }
    } else if (arrived.header.kind == frame_kind::ready) {
        arrived.header.type == 0 ? become_ready() : void(defers_ready_ = !ready_);
    } else if (arrived.header.kind == frame_kind::announce) {
        leaving_ = after_disconnect_ = true;
        channel_.send_control({0, frame_kind::announce_result, 0, 0, arrived.header.sequence});
        on_window_changed();
    } else {
        owner_.on_worker_frame(*this, arrived);
    }
}

inline void worker_core::on_false_claim() {
    on_violation(errc::bad_frame);
}

inline void worker_core::online(const frame& arrived) {
    online_message said;
    if (was_online_ || !decode_wire(arrived.payload, said)) {
        on_violation(errc::bad_frame);
        return;
    }
    if (said.protocol != protocol_version || said.serializer != owner_.serializer_name()) {
        on_violation(errc::protocol_mismatch);
        return;
    }
    was_online_ = true;
    state_ = worker_state::online;
    emit(event::online);
}

inline void worker_core::become_ready() {
    if (!std::exchange(ready_, true)) {
        on_window_changed();
        tell_ready();
    }
}

inline void worker_core::tell_ready() {
    start_pulse(); // it gets connections from now on, even if its loop never turns
    loop_.defer(owner_.alive_.guard([this] { owner_.on_worker_up(*this); })); // if a handler throws
    emit(event::ready);
}

// It gets nothing new, and what it has not taken yet goes to others.
inline void worker_core::set_stalled(bool on) {
    stalled_ = on;
    on_window_changed();
    if (on && !queue_.revoke()) {
        on_violation(errc::bad_frame);
        return;
    }
    if (on) {
        emit(event::stalled);
    } else {
        emit(event::recovered);
    }
}

inline void worker_core::look_at_pulse(std::chrono::steady_clock::time_point now,
                                       const pulse_limits& bounds) {
    auto limits = bounds;
    if (!running_) { // it still boots, which has a limit of its own
        limits.replaced_after = {};
    }
    const control_page* page = queue_.page();
    if (!pulse_.started() || page == nullptr || !channel_.is_open()) {
        return;
    }
    auto beats = page->beats.load(std::memory_order_relaxed);
    if (pulse_.is_late(now, limits) && process_.is_traced()) {
        pulse_.excuse_until(now);
    }
    switch (pulse_.look(beats, now, limits)) {
    case pulse::change::stalled:
        set_stalled(true);
        break;
    case pulse::change::recovered:
        set_stalled(false);
        break;
    case pulse::change::lost:
        kill_unresponsive();
        break;
    case pulse::change::none:
        break;
    }
}

inline void worker_core::kill_unresponsive() {
    report_.diagnosis = process_.describe();
    because_ = exit_reason::unresponsive;
    end_now();
}

inline void worker_core::on_channel_drained() {
    emit(event::drain);
}

inline void worker_core::on_violation(errc what) {
    channel_.close();
    process_.signal(SIGKILL);
    loop_.defer(owner_.alive_.guard([this] { on_channel_end(); }));
    emit(event::error, make_error_code(what));
}

inline void worker_core::on_channel_end() {
    if (std::exchange(channel_ended_, true)) {
        return;
    }
    channel_.close();
    leaving_ = true;
    on_window_changed();
    if (!exit_seen_ && !after_disconnect_) {
        expect_exit();
    }
    advance();
}

// The channel's end is mostly a part of the process's own, or main() has returned from run() and
// does the rest. Else it has lost the channel and lives on.
inline void worker_core::expect_exit() {
    using namespace std::chrono_literals;
    if (goes_quietly_ || !was_online_ || because_) {
        wait(2s, [this] { end(); });
        return;
    }
    auto lose = [this] {
        end();
        owner_.on_worker_lost(*this);
    };
    wait(250ms, [this, lose] { process_.is_exiting() ? wait(2s, lose) : lose(); });
}

inline void worker_core::on_exit(const os::exit_info& info) {
    if (std::exchange(exit_seen_, true)) {
        return;
    }
    status_ = to_exit_status(info);
    if (because_) {
        status_ = status_.because(*because_);
    } else if (defers_ready_ && !ready_ && !status_.success()) {
        status_ = status_.because(exit_reason::boot_failed);
    }
    patience_.cancel();
    if (!channel_ended_) { // somebody else may hold the channel open: do not wait for that
        wait(std::chrono::milliseconds{250}, [this] { on_channel_end(); });
    }
    if (auto failure = process_.take_failure(); !failure.empty()) { // a thread can say what it was
        report_.diagnosis = std::move(failure);
        loop_.defer(owner_.alive_.guard([this] { advance(); }));
        emit(event::error, make_error_code(errc::uncaught_exception));
        return;
    }
    advance();
}

// The last two events, in their order, one a turn: a handler that throws stops neither.
inline void worker_core::advance() {
    if (!channel_ended_) {
        return;
    }
    if (!std::exchange(disconnect_told_, true)) {
        state_ = worker_state::disconnected;
        loop_.defer(owner_.alive_.guard([this] { advance(); }));
        on_gone();
        emit(event::disconnect);
        return;
    }
    if (exit_seen_ && !std::exchange(exit_told_, true)) {
        patience_.cancel();
        owner_.on_worker_over(*this);
        queue_.close();
        state_ = worker_state::dead;
        owner_.on_worker_dead(*this);
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_WORKER_CORE_HPP
