// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHILD_DETAIL_CHILD_CORE_HPP
#define CLUSTER_CHILD_DETAIL_CHILD_CORE_HPP

#include "../../detail/chrono.hpp"
#include "../../detail/lifetime.hpp"
#include "../../detail/turn_hook.hpp"
#include "../../detail/worker_process.hpp"
#include "../../error.hpp"
#include "../../event.hpp"
#include "../../event_loop.hpp"
#include "../../exit_status.hpp"
#include "../../net/stream.hpp"
#include "../../stop_token.hpp"
#include "../../subscription.hpp"
#include "../spawn_options.hpp"
#include "launch.hpp"

#include <csignal>
#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The handlers of what happens to a child.
struct child_events {
    emitter<> spawn;
    emitter<const std::error_code&> error;
    emitter<const exit_status&> exit, close;
};
inline auto& emitter_for(child_events& of, event::spawn_t) {
    return of.spawn;
}
inline auto& emitter_for(child_events& of, event::error_t) {
    return of.error;
}
inline auto& emitter_for(child_events& of, event::exit_t) {
    return of.exit;
}
inline auto& emitter_for(child_events& of, event::close_t) {
    return of.close;
}

/// A child from its start to the end of its pipes. Its loop owns it, for the handle that the user
/// has may go before that.
class child_core : public loop_part {
public:
    explicit child_core(event_loop& loop) : loop_{loop}, streams_{loop} {
        loop.adopt(*this);
        streams_.tell_deaths(progress_);
    }
    child_core(child_core&&) = delete;
    child_core& operator=(child_core&&) = delete;
    inline ~child_core() override;

    /// Starts the program. That it cannot be started is told by the events, as everything else.
    /// `before`: what has failed already.
    void start(const spawn_options& options, int channel = -1, std::error_code before = {});

    /// Where the handle stands, which is told when this object goes first.
    void set_holder(child_core** holder) noexcept { holder_ = holder; }
    /// The handle is gone: the child is killed and no handler is called any more, unless it was
    /// let go.
    void release() noexcept;
    void let_go() noexcept { lives_alone_ = true; }

    [[nodiscard]] event_loop& loop() noexcept { return loop_; }
    [[nodiscard]] int pid() const noexcept { return process_.pid(); }
    [[nodiscard]] bool is_running() const noexcept { return running_; }
    [[nodiscard]] bool was_killed() const noexcept { return killed_; }
    [[nodiscard]] const exit_status& status() const noexcept { return status_; }
    [[nodiscard]] child_events& events() noexcept { return events_; }
    virtual void keep_alive(bool on) noexcept { process_.keep_alive(on); }

    std::error_code kill(int signal) noexcept {
        if (!running_) {
            return std::make_error_code(std::errc::no_such_process);
        }
        auto error = tree_ ? process_.signal_group(signal) : process_.signal(signal);
        killed_ = killed_ || (!error && signal != 0);
        return error;
    }

    /// \throws std::system_error (bad_file_descriptor) when that one is no pipe.
    stream& pipe(int number) {
        auto index = static_cast<std::size_t>(number);
        if (number < 0 || index >= pipes_.size() || !pipes_[index].wanted) {
            throw std::system_error(std::make_error_code(std::errc::bad_file_descriptor),
                                    "child pipe");
        }
        return pipes_[index].open != nullptr ? *pipes_[index].open : streams_.closed_one();
    }

    /// Ends the child for a reason of ours; when it has ended already only the reason is noted.
    void end(exit_reason why);

protected:
    /// Whether everything that the child has sent by other ways than its pipes is read; asked again
    /// in the next turn if not.
    virtual bool has_read_all() { return true; }
    /// Whether nobody waits for what is written by others than the child itself.
    [[nodiscard]] virtual bool closes_with_exit() const noexcept {
        return because_.has_value() && collects_;
    }
    virtual void on_silenced() noexcept {}
    /// Behind event::close.
    virtual void on_closed() {}

    /// Runs the next step of the child's end in this turn.
    void proceed() noexcept { loop_.at_turn_end(progress_); }
    [[nodiscard]] bool has_ended() const noexcept { return exit_seen_; }
    void collect() noexcept { collects_ = true; }

    event_loop& loop_;
    child_events events_;

private:
    struct pipe_end {
        bool wanted = false;
        stream* open = nullptr;
    };
    struct stop_request {
        event_loop& loop;
        event_loop::task task;
        void operator()() noexcept { loop.post(std::move(task)); }
    };

    void not_started(std::error_code why, exit_reason reason = exit_reason::spawn_failed);
    void remember_pipes(const spawn_options& options, bool channel);
    void attach(std::vector<unique_fd> pipes);
    void watch_limits(const spawn_options& options);
    void kill_now() noexcept;
    void on_exit(const os::exit_info& info);
    void advance();
    void finish();
    bool pipes_are_over();
    void destroy_soon() {
        loop_.defer(alive_.guard([this] { delete this; }));
    }

    child_core** holder_ = nullptr;
    watched_process process_;
    std::vector<pipe_end> pipes_;
    stream_set streams_;
    turn_hook progress_ = turn_hook::for_member<child_core, &child_core::advance>(*this);
    timer timeout_;
    timer force_;
    int kill_signal_ = SIGTERM;
    std::chrono::nanoseconds force_after_{0};
    std::optional<exit_reason> because_; // why we end it, if we do
    exit_status status_;
    bool tree_ = false;
    bool lives_alone_ = false; // goes on without its handle
    bool outlives_us_ = false;
    bool collects_ = false;
    bool running_ = false;
    bool killed_ = false;
    bool exit_seen_ = false;
    bool exit_told_ = false;
    bool close_told_ = false;
    bool finished_ = false;
    bool released_ = false;
    bool silent_ = false;
    std::optional<stop_callback<stop_request>> stop_;
    lifetime alive_;
};

inline child_core::~child_core() {
    stop_.reset();
    timeout_.cancel();
    force_.cancel();
    if (running_ && !outlives_us_) {
        kill_now();
        process_.wait_exit(std::chrono::seconds{1});
    }
    for (auto& each : pipes_) {
        stream_set::forget(each.open);
    }
    if (holder_ != nullptr) {
        *holder_ = nullptr;
    }
}

inline void child_core::start(const spawn_options& options, int channel, std::error_code before) {
    tree_ = options.kill_tree;
    lives_alone_ = outlives_us_ = options.detached;
    kill_signal_ = options.kill_signal;
    force_after_ = options.force_after;
    remember_pipes(options, channel != -1);
    if (options.stop.stop_requested()) {
        not_started(make_error_code(errc::cancelled), exit_reason::cancelled);
        return;
    }
    launched_child launched;
    if (!before) {
        launched = launch_child(options, channel, before);
    }
    if (before) {
        not_started(before);
        return;
    }
    running_ = true;
    process_.start(
        loop_, std::move(launched.child), [this](const os::exit_info& info) { on_exit(info); });
    attach(std::move(launched.pipes));
    if (options.input) {
        pipe(0).write(*options.input);
        pipe(0).end();
    }
    loop_.defer(alive_.guard([this] { events_.spawn.emit(); }));
    watch_limits(options);
}

inline void child_core::remember_pipes(const spawn_options& options, bool channel) {
    for (const auto* each :
         {&options.standard_input, &options.standard_output, &options.standard_error}) {
        pipes_.push_back({*each == stdio::pipe});
    }
    if (channel) {
        pipes_.emplace_back();
    }
    for (const auto& each : options.extra) {
        pipes_.push_back({each == stdio::pipe});
    }
}

inline void child_core::attach(std::vector<unique_fd> pipes) {
    for (std::size_t i = 0; i != pipes.size(); ++i) {
        if (pipes[i]) {
            pipes_[i].open = &streams_.attach(connection{std::move(pipes[i])}, &pipes_[i].open);
        }
    }
}

inline void child_core::watch_limits(const spawn_options& options) {
    if (options.timeout > std::chrono::nanoseconds::zero()) {
        timeout_ = loop_.after(options.timeout, [this] { end(exit_reason::timed_out); });
        timeout_.unref();
    }
    if (options.stop.stop_possible()) {
        stop_.emplace(options.stop,
                      stop_request{loop_, alive_.guard([this] { end(exit_reason::cancelled); })});
    }
}

inline void child_core::not_started(std::error_code why, exit_reason reason) {
    status_ = exit_status::spawn_failed(why).because(reason);
    exit_seen_ = true;
    loop_.defer(alive_.guard([this, why] {
        proceed();
        events_.error.emit(why);
    }));
}

inline void child_core::end(exit_reason why) {
    if (because_ || close_told_) {
        return;
    }
    if (!running_) { // what it has left behind may still be too much
        because_ = why;
        status_ = status_.because(why);
        return;
    }
    because_ = why;
    if (tree_) {
        process_.end_group();
    }
    auto error = kill(kill_signal_);
    if (force_after_ > std::chrono::nanoseconds::zero()) {
        force_ = loop_.after(force_after_, [this] { kill_now(); });
        force_.unref();
    }
    if (error) {
        events_.error.emit(error);
    } else if (why == exit_reason::cancelled) {
        events_.error.emit(make_error_code(errc::cancelled));
    }
}

inline void child_core::kill_now() noexcept {
    if (tree_) {
        process_.end_group();
    }
    kill(SIGKILL);
}

inline void child_core::release() noexcept {
    holder_ = nullptr;
    released_ = true;
    if (finished_) {
        destroy_soon();
    } else if (!lives_alone_) {
        silent_ = true;
        events_.spawn.clear();
        events_.error.clear();
        events_.exit.clear();
        events_.close.clear();
        streams_.abandon();
        stop_.reset();
        on_silenced();
        kill_now();
        process_.keep_alive(true); // not for long
        proceed();
    }
}

inline void child_core::on_exit(const os::exit_info& info) {
    running_ = false;
    exit_seen_ = true;
    timeout_.cancel();
    force_.cancel();
    stop_.reset();
    status_ = to_exit_status(info);
    status_ = because_ ? status_.because(*because_) : status_;
    proceed();
}

// The last two events, in their order, one a turn: a handler that throws stops neither.
inline void child_core::advance() {
    if (!exit_seen_ || close_told_) {
        return;
    }
    if (!exit_told_) {
        if (!silent_ && !has_read_all()) {
            loop_.defer(alive_.guard([this] { proceed(); }));
            return;
        }
        exit_told_ = true;
        if (pipes_[0].open != nullptr) {
            pipes_[0].open->close();
        }
        loop_.defer(alive_.guard([this] { proceed(); }));
        events_.exit.emit(status_);
        return;
    }
    if (!pipes_are_over()) {
        return;
    }
    close_told_ = true;
    loop_.defer(alive_.guard([this] { finish(); }));
    events_.close.emit(status_);
}

inline void child_core::finish() {
    finished_ = true;
    if (released_) {
        destroy_soon();
    }
    if (!silent_) {
        on_closed();
    }
}

// What nobody reads must not keep a pipe open.
inline bool child_core::pipes_are_over() {
    bool over = true;
    bool again = false;
    for (auto& each : pipes_) {
        if (each.open == nullptr) {
            continue;
        }
        over = false;
        if (!each.open->has_reader()) {
            each.open->on_data([](stream::bytes) {});
        }
        if (closes_with_exit()) {
            if (os::wait_for(each.open->native_handle(), false, 0)) {
                again = true;
            } else {
                each.open->close();
            }
        }
    }
    if (again) {
        loop_.defer(alive_.guard([this] { proceed(); }));
    }
    return over;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHILD_DETAIL_CHILD_CORE_HPP
