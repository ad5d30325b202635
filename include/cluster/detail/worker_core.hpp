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
#include "control_page.hpp"
#include "worker_process.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <deque>
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
class shared_listener;

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

/// The primary's end of one worker, without the types of its messages.
class worker_core : public candidate, private channel_owner {
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
    void disconnect();

    /// Closes the channel at once; the worker ends when it notices, whatever it is doing with its
    /// connections. Not a disconnect: exited_after_disconnect() stays as it is.
    void close();

    /// The primary's ends of the worker's piped descriptors (fork_options), streams both ways.
    /// \throws std::system_error (bad_file_descriptor) when that one is no pipe, or is closed.
    [[nodiscard]] stream& standard_input() { return pipe(0); }
    [[nodiscard]] stream& standard_output() { return pipe(1); }
    [[nodiscard]] stream& standard_error() { return pipe(2); }
    [[nodiscard]] stream& pipe(int number);

protected:
    worker_core(primary_core& primary,
                       std::uint32_t id,
                       std::uint32_t slot,
                       fork_options options);
    ~worker_core() {
        for (stream* each : pipes_) {
            stream_set::forget(each);
        }
    }

    virtual void on_user_frame(frame& arrived) = 0;
    virtual void on_gone() = 0; // nothing more will arrive: whoever waits for an answer is told

    worker_events& events() {
        if (!events_) {
            events_ = std::make_unique<worker_events>();
        }
        return *events_;
    }

    template <typename Event, typename... Args>
    void emit(Event which, const Args&... args);

    primary_core& primary_;
    channel channel_;

private:
    friend class primary_core;
    friend class shared_listener;

    struct handed_connection {
        shared_listener* from;
        unique_fd fd;
    };

    void on_frame(frame& arrived) override;
    void on_channel_drained() override;
    void on_channel_end() override;
    void on_violation(errc what) override;

    void on_exit(const os::exit_info& info);
    void advance();
    void online(const frame& arrived);

    // Hand-over of accepted connections; see control_page.
    [[nodiscard]] bool has_room() const noexcept { return handed_.size() < hand_over_window; }
    void hand_over(shared_listener& from, unique_fd accepted);
    void send_batch();
    bool collect_taken();
    void requeue_handed();

    // How long a full window may last before connections go to the others.
    static constexpr std::chrono::milliseconds catch_up{20};
    void update_memberships();

    event_loop& loop_;
    fork_options options_;
    watched_process process_;
    worker_state state_ = worker_state::none;
    exit_status status_;
    std::unique_ptr<worker_events> events_;
    std::vector<stream*> pipes_;
    std::vector<shared_listener*> memberships_;
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

    control_mapping page_;
    std::deque<handed_connection> handed_; // handed over and not known to be taken
    std::uint32_t first_handed_ = 0;       // sequence number of handed_.front()
    std::vector<int> batch_;               // the last ones of handed_, not sent yet
    shared_listener* batch_from_ = nullptr;
    bool behind_ = false; // its window has been full for longer than `catch_up`
    timer catch_up_;
    turn_hook batch_hook_ = turn_hook::for_member<worker_core, &worker_core::send_batch>(*this);
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_WORKER_CORE_HPP
