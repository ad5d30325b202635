// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHILD_CHILD_HPP
#define CLUSTER_CHILD_CHILD_HPP

#include "../event.hpp"
#include "../event_loop.hpp"
#include "../exit_status.hpp"
#include "../net/stream.hpp"
#include "../subscription.hpp"
#include "detail/child_core.hpp"
#include "spawn_options.hpp"

#include <csignal>
#include <cstddef>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

namespace detail {
struct child_access;
} // namespace detail

/// The handle of a program that spawn(), exec() or exec_file() has started. Move-only.
///
/// When the handle goes while the child runs, the child is killed (SIGKILL) and no handler of it is
/// called any more, unless it is `detached` or detach() was called. Everything from the loop's
/// thread; nothing blocks. The handle may outlive its loop, and does nothing then.
class child {
public:
    /// The handle of no child.
    child() noexcept = default;
    child(child&& other) noexcept { take(other); }
    child& operator=(child&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ~child() { reset(); }

    /// False for the handle of no child, and once the loop is gone; then there is nothing to be had
    /// of it: no pipes, no handlers.
    [[nodiscard]] explicit operator bool() const noexcept { return core_ != nullptr; }

    /// The process's number, for display: signals go through kill(). -1 when it was not started.
    [[nodiscard]] int pid() const noexcept { return core_ != nullptr ? core_->pid() : -1; }
    /// From its start until its end is known.
    [[nodiscard]] bool is_running() const noexcept {
        return core_ != nullptr && core_->is_running();
    }
    /// Whether a signal was sent to it, by kill() or by its options.
    [[nodiscard]] bool was_killed() const noexcept {
        return core_ != nullptr && core_->was_killed();
    }
    /// How it ended; meaningful from event::exit on.
    [[nodiscard]] exit_status status() const noexcept {
        return core_ != nullptr ? core_->status() : exit_status{};
    }

    /// Sends a signal to the process, never to a stranger; with `kill_tree` to all of its group.
    /// `kill(0)` only asks.
    /// \returns ESRCH when it has ended or was never started, EINVAL for no signal, EPERM
    std::error_code kill(int signal = SIGTERM) noexcept {
        return core_ != nullptr ? core_->kill(signal)
                                : std::make_error_code(std::errc::no_such_process);
    }

    /// The parent's ends of the piped descriptors, streams both ways. Of a pipe that is closed, or
    /// of a child that was not started, it is a closed stream: it takes nothing and calls nobody.
    /// \throws std::system_error (bad_file_descriptor) when that one is no pipe
    [[nodiscard]] stream& standard_input() { return core_->pipe(0); }
    [[nodiscard]] stream& standard_output() { return core_->pipe(1); }
    [[nodiscard]] stream& standard_error() { return core_->pipe(2); }
    /// That of any descriptor of the child.
    [[nodiscard]] stream& pipe(int number) { return core_->pipe(number); }

    /// Calls `handler(std::string_view)` with what the child writes; see stream::on_data(). Without
    /// a reader the pipes hold the child up when they are full; what is in them when it has ended is
    /// dropped.
    template <typename F>
    child& on_output(F&& handler) {
        return read(1, std::forward<F>(handler));
    }
    template <typename F>
    child& on_error_output(F&& handler) {
        return read(2, std::forward<F>(handler));
    }

    /// Calls `handler` for spawn, error, exit or close; see cluster/event.hpp. None comes before
    /// this turn of the loop has ended.
    template <typename Event, typename F>
    subscription on(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), false);
    }
    template <typename Event, typename F>
    subscription once(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), true);
    }

    /// Whether the running child keeps the loop running; it does by default. Its open pipes do so,
    /// too.
    void ref() noexcept { core_->keep_alive(true); }
    void unref() noexcept { core_->keep_alive(false); }

    /// Lets the child go: when the handle goes, the child runs on, and its handlers are still
    /// called. It ends with its parent nevertheless, unless it is `detached`.
    void detach() noexcept { core_->let_go(); }

protected:
    explicit child(detail::child_core& core) noexcept : core_{&core} { core.set_holder(&core_); }
    /// For the library.
    [[nodiscard]] detail::child_core& core() const noexcept { return *core_; }

private:
    friend struct detail::child_access;

    void take(child& other) noexcept {
        core_ = std::exchange(other.core_, nullptr);
        if (core_ != nullptr) {
            core_->set_holder(&core_);
        }
    }
    void reset() noexcept {
        if (auto* core = std::exchange(core_, nullptr)) {
            core->release();
        }
    }

    template <typename F>
    child& read(int number, F&& handler) {
        core_->pipe(number).on_data([f = std::forward<F>(handler)](stream::bytes data) mutable {
            f(std::string_view{reinterpret_cast<const char*>(data.data()), data.size()});
        });
        return *this;
    }
    template <typename Event, typename F>
    subscription add(Event which, F&& handler, bool once) {
        return emitter_for(core_->events(), which)
            .add([f = std::forward<F>(handler)](
                     const auto&... rest) mutable { detail::call_with_or_without(f, rest...); },
                 once);
    }

    detail::child_core* core_ = nullptr;
};

namespace detail {

struct child_access {
    static child make(child_core& core) noexcept { return child{core}; }
};

inline void give_input_a_pipe(spawn_options& options) {
    if (options.input) {
        options.standard_input = stdio::pipe;
    }
}

} // namespace detail

/// Starts a program. It never fails: that the program could not be started is told by event::error
/// and event::exit with `exit_reason::spawn_failed` and the system's error (no such file, no such
/// directory, out of descriptors, …; EINVAL for options that no program can be started with).
///
/// Blocks until the program is mapped, for a time that does not depend on this process's memory.
/// Call it in the thread that runs the loop.
[[nodiscard("the child is killed when its handle goes")]] inline child
spawn(event_loop& loop, spawn_options options) {
    detail::give_input_a_pipe(options);
    auto* core = new detail::child_core{loop};
    core->start(options);
    return detail::child_access::make(*core);
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHILD_CHILD_HPP
