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
#include "../scheduling/concept.hpp"
#include "../subscription.hpp"
#include "hand_over.hpp"
#include "lifetime.hpp"
#include "worker_process.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <system_error>
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

/// The handlers of what happens to workers; one table for a primary, one for a worker.
struct worker_events {
    emitter<worker_core&> fork, online, disconnect, drain;
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

    /// True from fork() until the channel is closed or a disconnect was asked for.
    [[nodiscard]] bool is_connected() const noexcept { return channel_.is_open() && !leaving_; }
    /// True once the exit is known.
    [[nodiscard]] bool is_dead() const noexcept { return state_ == worker_state::dead; }
    /// Whether the worker ends, or has ended, because somebody asked for it with disconnect() or
    /// self.kill(), as opposed to a crash, an exit of its own or a signal.
    [[nodiscard]] bool exited_after_disconnect() const noexcept { return after_disconnect_; }
    /// How it ended; meaningful from event::exit on.
    [[nodiscard]] const exit_status& status() const noexcept { return status_; }

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
    worker_core(worker_owner& owner, std::uint32_t id, std::uint32_t slot, fork_options options)
        : owner_{owner},
          loop_{owner.loop_},
          channel_{loop_, *this, direction::to_primary},
          options_{std::move(options)},
          queue_{loop_, channel_, *this} {
        id_ = id;
        slot_ = slot;
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

    worker_owner& owner_;
    event_loop& loop_;
    channel channel_;

private:
    friend class primary_core;
    friend class shared_listener;

    void on_frame(frame& arrived) override;
    void on_channel_drained() override;
    void on_channel_end() override;
    void on_violation(errc what) override;

    void on_exit(const os::exit_info& info);
    void advance();
    void online(const frame& arrived);

    // SIGTERM, and SIGKILL when that does not help.
    void end() {
        process_.signal(SIGTERM);
        wait(std::chrono::seconds{3}, [this] { process_.signal(SIGKILL); });
    }
    template <typename F>
    void wait(std::chrono::milliseconds patience, F then) {
        patience_.cancel();
        patience_ = loop_.after(patience, std::move(then));
    }
    [[nodiscard]] bool takes_connections() const noexcept {
        return !leaving_ && !queue_.is_behind() && channel_.can_send();
    }
    void hand_over(connection_source& from, unique_fd accepted) {
        queue_.add(from, std::move(accepted));
        in_flight_ = queue_.size();
    }
    [[nodiscard]] bool collect_taken() {
        bool honest = queue_.collect();
        in_flight_ = queue_.size();
        return honest;
    }
    void on_window_changed() override {
        for (std::size_t i = 0; i != memberships_.size(); ++i) {
            memberships_[i]->update(*this);
        }
    }

    fork_options options_;
    watched_process process_;
    worker_state state_ = worker_state::none;
    exit_status status_;
    std::unique_ptr<worker_events> events_;
    std::vector<stream*> pipes_;
    std::vector<membership*> memberships_;
    hand_over_queue queue_;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    unsigned restarts_ = 0;
    timer patience_;
    bool was_online_ = false;
    bool leaving_ = false; // told to go, or says so
    bool after_disconnect_ = false;
    bool channel_ended_ = false;
    bool disconnect_told_ = false;
    bool exit_seen_ = false;
    bool exit_told_ = false;
};

template <typename Event, typename... Args>
void worker_core::emit(Event which, const Args&... args) {
    std::exception_ptr first; // the primary's handlers run even when one of ours throws
    if (events_) {
        try {
            emitter_for(*events_, which).emit(*this, args...);
        } catch (...) {
            first = std::current_exception();
        }
    }
    emitter_for(owner_.events_, which).emit(*this, args...);
    if (first) {
        std::rethrow_exception(first);
    }
}

inline void worker_core::on_frame(frame& arrived) {
    if (arrived.header.kind == frame_kind::online) {
        online(arrived);
    } else if (!was_online_) {
        on_violation(errc::bad_frame); // nothing may come before it
    } else if (arrived.header.kind == frame_kind::taken) {
        if (!collect_taken()) {
            on_violation(errc::bad_frame);
        }
    } else if (arrived.header.kind == frame_kind::announce) {
        leaving_ = after_disconnect_ = true;
        channel_.send_control({0, frame_kind::announce_result, 0, 0, arrived.header.sequence});
        on_window_changed();
    } else if (arrived.header.kind >= frame_kind::message) {
        on_user_frame(arrived);
    } else {
        owner_.on_worker_frame(*this, arrived);
    }
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
    if (!exit_seen_ && !after_disconnect_) { // it closed the channel and lives on
        wait(std::chrono::seconds{2}, [this] { end(); });
    }
    advance();
}

inline void worker_core::on_exit(const os::exit_info& info) {
    exit_seen_ = true;
    status_ = to_exit_status(info);
    patience_.cancel();
    if (!channel_ended_) { // somebody else may hold the channel open: do not wait for that
        wait(std::chrono::milliseconds{250}, [this] { on_channel_end(); });
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
        queue_.close();
        in_flight_ = 0;
        state_ = worker_state::dead;
        owner_.on_worker_dead(*this);
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_WORKER_CORE_HPP
