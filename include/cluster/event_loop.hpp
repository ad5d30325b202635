// SPDX-License-Identifier: MIT
#ifndef CLUSTER_EVENT_LOOP_HPP
#define CLUSTER_EVENT_LOOP_HPP

#include "config.hpp"
#include "detail/chrono.hpp"
#include "detail/memory.hpp"
#include "detail/move_only_function.hpp"
#include "detail/os.hpp"
#include "detail/silence.hpp"
#include "detail/stray_events.hpp"
#include "detail/timer_heap.hpp"
#include "detail/turn_hook.hpp"
#include "subscription.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

class event_loop;

namespace detail {

/// One descriptor's place in a loop. Declare it behind the descriptor that it watches, so that it
/// leaves the loop before the descriptor closes.
class io_watch {
public:
    using function = void (*)(void* owner, os::io what);

    io_watch() noexcept = default;
    io_watch(io_watch&&) = delete;
    io_watch& operator=(io_watch&&) = delete;
    ~io_watch() { stop(); }

    /// Calls `owner.*Handle(what)` whenever the descriptor is ready. Keeps the loop alive.
    template <auto Handle, typename Owner>
    std::error_code start(event_loop& loop, int fd, os::io what, Owner& owner) {
        return start(loop, fd, what, &owner, [](void* object, os::io happened) {
            (static_cast<Owner*>(object)->*Handle)(happened);
        });
    }
    inline std::error_code
    start(event_loop& loop, int fd, os::io what, void* owner, function handle);
    inline void update(os::io what) noexcept;
    inline void stop() noexcept;
    /// The same for a descriptor that is closed next and that nobody shares: the system forgets it
    /// then, without a call for it. Where somebody has a copy after all, of which a fork() knows and
    /// we do not, the loop finds out.
    inline void stop_with_close() noexcept;
    inline void keep_alive(bool on) noexcept;
    [[nodiscard]] bool active() const noexcept { return loop_ != nullptr; }

private:
    friend class cluster::v0::event_loop;

    inline void leave() noexcept;

    event_loop* loop_ = nullptr;
    int fd_ = -1;
    std::uint32_t generation_ = 0;
    os::io what_ = os::io::none;
    bool keeps_alive_ = true;
    void* owner_ = nullptr;
    function handle_ = nullptr;
};

} // namespace detail

namespace detail {

/// A part of the library that its loop owns, because it lives on when the user's hold on it is gone:
/// a child that has yet to be reaped. Destroying it takes it out of the loop.
class loop_part : public list_node {
public:
    virtual ~loop_part() = default;
};

/// Another loop that turns ours, for whom ours is a part of what there is to wait for.
class loop_driver {
public:
    /// Whether anything is left to wait for, whenever that changes. In the loop's thread.
    virtual void on_liveness(bool alive) noexcept = 0;

protected:
    ~loop_driver() = default;
};

} // namespace detail

/// A timer that after() or every() has started. Dropping it changes nothing. Same thread as the
/// loop; must not be used after the loop is gone.
class timer {
public:
    timer() noexcept = default;

    /// Takes the timer away; idempotent, also from inside its handler.
    inline void cancel() noexcept;
    /// A timer that is not `ref`ed does not keep run() from returning.
    inline void unref() noexcept;
    inline void ref() noexcept;
    /// Whether its handler may still be called.
    [[nodiscard]] inline bool active() const noexcept;

private:
    friend class event_loop;
    timer(event_loop& loop, detail::timer_heap::key key) noexcept : loop_{&loop}, key_{key} {}

    event_loop* loop_ = nullptr;
    detail::timer_heap::key key_;
};

/// Waits for descriptors, timers, signals and calls from other threads, and runs their handlers one
/// after the other in the thread that calls run() or poll().
///
/// A handler that throws: the exception leaves run() or poll(); the loop stays consistent and a
/// further run() goes on with what was left. Thread safety: post(), stop() and native_handle() from
/// any thread; everything else from the loop's own thread. Fork safety: a forked child must not use
/// the loop of its parent.
class event_loop {
public:
    /// What post(), defer() and timers run.
    using task = detail::move_only_function<void()>;
    /// Times are counted in nanoseconds.
    using duration = std::chrono::nanoseconds;

    /// \throws std::system_error when the system is out of descriptors.
    event_loop() {
        watch_own<&event_loop::on_wakeup>(
            wakeup_watch_, wakeup_.descriptor(), detail::os::io::readable);
        watch_own<&event_loop::on_alarm>(
            alarm_watch_, alarm_.descriptor(), detail::os::io::readable | detail::os::io::edge);
    }
    event_loop(event_loop&&) = delete;
    event_loop& operator=(event_loop&&) = delete;
    ~event_loop() {
        while (parts_.linked()) {
            delete static_cast<detail::loop_part*>(parts_.next());
        }
        for (int signal = 1; signal <= detail::os::signal_hub::max_signal; ++signal) {
            drop_signal(signal);
        }
    }

    /// Blocks and runs handlers until nothing is left to wait for, or stop().
    /// \returns the argument of stop(), else 0.
    int run() {
        bool stopped = take_stop();
        while (!stopped && turn(true)) {
            stopped = take_stop();
        }
        was_stopped_ = stopped;
        return stopped ? exit_code_.load() : 0;
    }

    /// Runs what is ready and returns at once. For a loop inside another one: call it whenever
    /// native_handle() is readable.
    /// \returns whether anything is left to wait for; false after stop().
    bool poll() {
        was_stopped_ = take_stop() || (turn(false) && take_stop());
        return !was_stopped_ && (alive() || has_posted());
    }
    /// Whether it was for stop() that run() or poll() returned last.
    [[nodiscard]] bool was_stopped() const noexcept { return was_stopped_; }

    /// Makes run() return `code` after the handler that runs now. Thread-safe.
    void stop(int code = 0) noexcept {
        exit_code_ = code;
        stopped_.store(true);
        wakeup_.notify();
    }

    /// The code that stop() was given last; 0 without one.
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

    /// Tells another loop, from now on, whether this one has anything to wait for; now, too, when it
    /// has nothing. Null: nobody. For the library's own parts.
    void set_driver(detail::loop_driver* driver) {
        CLUSTER_ASSERT(driver == nullptr || driver_ == nullptr, "a loop has one driver");
        driver_ = driver;
        told_alive_ = true;
        tell_liveness();
    }

    /// One descriptor that is readable whenever poll() has something to do; the loop keeps it.
    /// Thread-safe after its first call, which is the loop's thread's.
    [[nodiscard]] int native_handle() {
        if (!is_inner_) {
            is_inner_ = true;
            tell_outer();
        }
        return poller_.native_handle();
    }

    /// Runs `f` in the loop's thread. Thread-safe; wakes the loop. Does not by itself keep run()
    /// from returning.
    void post(task f) {
        {
            std::lock_guard lock{posted_mutex_};
            posted_.push_back(std::move(f));
            has_posted_.store(true, std::memory_order_release);
        }
        wakeup_.notify();
    }

    /// Runs `f` in the next turn, in order, before any descriptor is looked at.
    void defer(task f) {
        deferred_.push_back(std::move(f));
        tell_outer();
    }

    /// Runs `f` once, `delay` from now. Cancel it with the result.
    timer after(duration delay, task f) {
        return start_timer(delay, duration::zero(), std::move(f));
    }

    /// Runs `f` every `period` (1 ns at least), the first time one period from now. A late loop
    /// skips the periods that it missed.
    timer every(duration period, task f) {
        period = period > duration::zero() ? period : duration{1};
        return start_timer(period, period, std::move(f));
    }

    /// Calls `f` whenever the process gets `signal`. Installs a handler for the whole process for
    /// as long as anybody is subscribed; does not keep run() from returning. \throws
    /// std::system_error for a signal that cannot be caught.
    subscription on_signal(int signal, task f) {
        if (signal < 1 || signal > detail::os::signal_hub::max_signal) {
            throw std::system_error(std::make_error_code(std::errc::invalid_argument), "on_signal");
        }
        auto& entry = signals_[static_cast<std::size_t>(signal - 1)];
        if (!entry) {
            inbox_.wakeup_descriptor = wakeup_.descriptor();
            auto made = std::make_unique<detail::emitter<>>();
            if (auto error = detail::os::signal_hub::subscribe(inbox_, signal)) {
                throw std::system_error(error, "on_signal");
            }
            entry = std::move(made);
        }
        auto cancelled = [](void* loop) noexcept {
            static_cast<event_loop*>(loop)->drop_unused_signals();
        };
        return entry->add(std::move(f), false, cancelled, this);
    }

    /// The time of this turn: one clock reading for all handlers, made when the first of them asks.
    /// Outside of run() and poll() the time now.
    [[nodiscard]] std::chrono::steady_clock::time_point now() const noexcept {
        if (!turning_ || !std::exchange(knows_time_, true)) {
            now_ = std::chrono::steady_clock::now();
        }
        return now_;
    }

    /// Memory that a handler may use until it returns, shared by all streams of the loop.
    [[nodiscard]] std::span<std::byte> scratch() {
        if (!scratch_) {
            scratch_ = std::make_unique_for_overwrite<std::byte[]>(scratch_size);
        }
        return {scratch_.get(), scratch_size};
    }

    /// Counts as something to wait for until the matching unref().
    void ref() noexcept {
        ++alive_;
        tell_liveness();
    }
    void unref() noexcept {
        --alive_;
        tell_liveness();
    }

    /// Runs the hook at the end of this turn; for the library's own parts.
    void at_turn_end(detail::turn_hook& hook) noexcept {
        if (!hook.linked()) {
            hook.insert_before(hooks_);
            tell_outer();
        }
    }

    /// Runs the hook before this loop sleeps, once; `spins`: looks out for so long before it does,
    /// where that was worth while lately. For the library's own parts.
    void before_sleep(detail::silence_hook& hook, std::chrono::microseconds spins) noexcept {
        silence_.add(hook, spins);
    }

    /// Owns the part from now on, which is allocated by `new`; for the library's own parts.
    void adopt(detail::loop_part& part) noexcept { part.insert_before(parts_); }

private:
    friend class detail::io_watch;
    friend class timer;

    static constexpr std::size_t scratch_size = 64 * 1024;

    struct watch_entry {
        detail::io_watch* watch = nullptr;
        std::uint32_t generation = 0;
    };

    [[nodiscard]] static std::uint64_t key_of(int fd, std::uint32_t generation) noexcept {
        return static_cast<std::uint64_t>(generation) << 32U | static_cast<std::uint32_t>(fd);
    }

    template <void (event_loop::*Handle)()>
    void watch_own(detail::io_watch& watch, int fd, detail::os::io what) {
        auto error = watch.start(*this, fd, what, this, [](void* self, detail::os::io) {
            (static_cast<event_loop*>(self)->*Handle)();
        });
        if (error) {
            throw std::system_error(error, "event_loop");
        }
        watch.keep_alive(false);
    }

    // What woke us becomes work of the next turn: nothing else says that it is there.
    void on_wakeup() {
        wakeup_.clear();
        run_posted();
        run_signals();
    }

    void on_alarm() noexcept {
        alarm_at_ = detail::time_point::max();
        alarmed_ = true;
    }

    bool take_stop() noexcept {
        return stopped_.load(std::memory_order_relaxed) && stopped_.exchange(false);
    }

    [[nodiscard]] bool has_immediate_work() const noexcept {
        return !deferred_.empty() || running_at_ != running_.size() || hooks_.linked() ||
               event_at_ != events_;
    }

    [[nodiscard]] bool alive() const noexcept {
        return alive_ != 0 || timers_.alive() != 0 || has_immediate_work();
    }

    // One round: calls from other threads and signals, deferred tasks, the hooks, the descriptors
    // (waiting for them if allowed), timers. Each step leaves the loop consistent, so that an
    // exception may leave from any handler.
    bool turn(bool may_block) {
        struct in_turn {
            event_loop& loop;
            bool returns;
            ~in_turn() {
                returns ? loop.silence_.tell() : void(); // to somebody who sleeps
                loop.turning_ = false;
                loop.tell_outer();
            }
        } guard{*this, !may_block};
        turning_ = true;
        knows_time_ = false;
        run_posted();
        run_signals();
        run_deferred();
        run_hooks();
        if (stopped_.load()) {
            return true;
        }
        if (may_block && !alive()) { // poll() still looks at what keeps no loop alive
            return has_posted();
        }
        auto after = may_block ? end_silence() : after_silence::look;
        if (after == after_silence::turn) {
            return true;
        }
        if (event_at_ == events_) { // else an exception or stop() interrupted the last walk
            bool due = is_timer_due();
            events_ = wait(after == after_silence::sleep && !due && !has_immediate_work());
            event_at_ = 0;
            strays_.next_turn();
        }
        while (event_at_ != events_ && !stopped_.load(std::memory_order_relaxed)) {
            dispatch(poller_.event_at(event_at_++));
        }
        if ((std::exchange(alarmed_, false) || !may_block) &&
            timers_.next() != detail::time_point::max()) {
            timers_.run_due(now(), [this] { return stopped_.load(std::memory_order_relaxed); });
        }
        run_hooks();
        return true;
    }

    // Else the alarm is set. For a timer that is due by now it would be the dearest way to learn
    // the time: where a machine is virtual, a clock that is set leaves it.
    bool is_timer_due() noexcept {
        auto next = timers_.next();
        alarmed_ = alarmed_ || (next < alarm_at_ && next <= now());
        if (!alarmed_) {
            set_alarm(next);
        }
        return alarmed_;
    }

    // \returns the number of events; the time is not known any more when it has slept
    int wait(bool sleeps) {
        bool measures = silence_.looks_out();
        auto before = measures ? now() : detail::time_point{};
        int events = poller_.wait(sleeps ? -1 : 0);
        knows_time_ = knows_time_ && !sleeps;
        if (measures) {
            silence_.waited(now() - before);
        }
        return events;
    }

    enum class after_silence {
        sleep,
        look, // at the descriptors, without sleeping
        turn, // there is something else to wait for, or nothing
    };

    // Before we sleep: a last look at what no descriptor tells. What comes is handled at once, for
    // some rounds, without a look at the descriptors.
    after_silence end_silence() {
        constexpr int most_rounds = 64;
        for (int round = 0; silence_.awaited() && !has_immediate_work(); ++round) {
            if (round == most_rounds) {
                return after_silence::look;
            }
            if (!silence_.look_out([this] { return is_called(); })) {
                silence_.tell();
                break;
            }
            while (hooks_.linked()) {
                run_hooks();
            }
            if (stopped_.load(std::memory_order_relaxed) || !alive()) {
                return after_silence::turn;
            }
        }
        return after_silence::sleep;
    }
    // By another thread or a signal handler.
    [[nodiscard]] bool is_called() const noexcept {
        return has_posted() || stopped_.load(std::memory_order_relaxed) ||
               inbox_.pending.load(std::memory_order_relaxed) != 0;
    }

    void dispatch(const detail::os::poller::event& event) {
        auto fd = static_cast<std::size_t>(event.key & 0xffffffffU);
        auto generation = static_cast<std::uint32_t>(event.key >> 32U);
        const watch_entry& entry = watches_[fd];
        if (entry.watch != nullptr && entry.generation == generation) { // not stopped in this turn
            entry.watch->handle_(entry.watch->owner_, event.what);
        } else if (strays_.comes_again(event.key)) {
            renew_poller();
        }
    }

    // Somebody has a copy of a file that we have closed: it would wake us for ever. Another loop's
    // poller, which has ours in it, would lose it.
    void renew_poller() {
        if (is_inner_ || poller_.renew()) {
            return;
        }
        for (std::size_t fd = 0; fd != watches_.size(); ++fd) {
            auto* watch = watches_[fd].watch;
            auto number = static_cast<int>(fd);
            if (watch != nullptr &&
                poller_.add(number, key_of(number, watch->generation_), watch->what_)) {
                watch->handle_(watch->owner_, detail::os::io::hangup); // it may reach for others
            }
        }
    }

    // The poller is woken then, or before: an alarm for a timer that is no longer there is not worth
    // a system call, and most timers are moved on before they are due. A wait with an end of its own
    // would set the clock of the machine at every sleep, and need the time.
    void set_alarm(detail::time_point when) noexcept {
        if (when < alarm_at_) {
            alarm_.arm(when);
            alarm_at_ = when;
        }
    }

    [[nodiscard]] bool has_posted() const noexcept {
        return has_posted_.load(std::memory_order_acquire);
    }

    void run_posted() {
        if (!has_posted_.load(std::memory_order_acquire)) {
            return; // most turns: no lock
        }
        std::vector<task> arrived;
        {
            std::lock_guard lock{posted_mutex_};
            arrived.swap(posted_);
            has_posted_.store(false, std::memory_order_relaxed);
        }
        for (auto& each : arrived) {
            deferred_.push_back(std::move(each));
        }
    }

    void run_signals() {
        if (inbox_.pending.load(std::memory_order_relaxed) == 0) {
            return; // the wakeup follows the store, so it is not missed
        }
        auto pending = inbox_.pending.exchange(0);
        for (int signal = 1; pending != 0; ++signal, pending >>= 1U) {
            if ((pending & 1U) != 0) {
                deferred_.push_back([this, signal] {
                    struct drop { // handlers that it has cancelled, also when one throws
                        event_loop& loop;
                        ~drop() { loop.drop_unused_signals(); }
                    } guard{*this};
                    if (auto& handlers = signals_[static_cast<std::size_t>(signal - 1)]) {
                        handlers->emit();
                    }
                });
            }
        }
    }

    void drop_signal(int signal) noexcept {
        auto& entry = signals_[static_cast<std::size_t>(signal - 1)];
        if (entry) {
            detail::os::signal_hub::unsubscribe(inbox_, signal);
            entry.reset();
        }
    }

    void drop_unused_signals() noexcept {
        for (int signal = 1; signal <= detail::os::signal_hub::max_signal; ++signal) {
            auto& entry = signals_[static_cast<std::size_t>(signal - 1)];
            if (entry && entry->empty() && !entry->walking()) {
                drop_signal(signal);
            }
        }
    }

    void run_deferred() {
        if (running_at_ == running_.size()) {
            running_.clear();
            running_at_ = 0;
            running_.swap(deferred_);
        } // else: an exception or stop() interrupted the last walk, go on behind it
        while (running_at_ != running_.size() && !stopped_.load(std::memory_order_relaxed)) {
            auto each = std::move(running_[running_at_++]);
            each();
        }
    }

    void run_hooks() {
        detail::list_node now;
        hooks_.splice_to(now);
        struct give_back { // an exception leaves the rest for the next turn
            detail::list_node &rest, &hooks;
            ~give_back() {
                while (rest.linked()) {
                    rest.next()->insert_before(hooks);
                }
            }
        } guard{now, hooks_};
        while (now.linked()) {
            auto& hook = static_cast<detail::turn_hook&>(*now.next());
            hook.unlink();
            hook.run();
        }
    }

    timer start_timer(duration delay, duration period, task f) {
        auto base = std::chrono::steady_clock::now();
        constexpr duration most = std::chrono::hours{24 * 365 * 100};
        delay = delay < duration::zero() ? duration::zero() : delay; // none overtakes for ever
        auto key = timers_.add(base + (delay < most ? delay : most), period, std::move(f));
        tell_outer();
        return timer{*this, key};
    }

    // The loop around this one sees nothing but our poller.
    void tell_outer() noexcept {
        if (is_inner_ && !turning_) { // else at the end of the turn
            bool now = has_immediate_work() || stopped_.load();
            set_alarm(now ? detail::time_point{} : timers_.next());
            tell_liveness();
        }
    }

    void tell_liveness() noexcept {
        if (driver_ != nullptr && !turning_ && alive() != told_alive_) {
            told_alive_ = !told_alive_;
            driver_->on_liveness(told_alive_);
        }
    }

    detail::os::poller poller_;
    detail::os::wakeup wakeup_;
    std::vector<watch_entry> watches_; // by descriptor
    detail::stray_events strays_;
    int event_at_ = 0; // of the last wait's, the next to be handled
    int events_ = 0;
    std::size_t alive_ = 0;
    detail::io_watch wakeup_watch_;
    detail::os::deadline_timer alarm_;
    detail::time_point alarm_at_ = detail::time_point::max(); // when it rings
    bool alarmed_ = false;                                    // a timer is due, in this turn
    detail::io_watch alarm_watch_;
    detail::timer_heap timers_;
    detail::list_node hooks_;
    detail::silence silence_;
    detail::list_node parts_;
    std::vector<task> deferred_;
    std::vector<task> running_;
    std::size_t running_at_ = 0;
    mutable std::chrono::steady_clock::time_point now_{};
    mutable bool knows_time_ = false;
    bool turning_ = false;
    bool is_inner_ = false; // another loop's poller has ours in it
    bool was_stopped_ = false;
    detail::loop_driver* driver_ = nullptr;
    bool told_alive_ = true;
    std::unique_ptr<std::byte[]> scratch_;
    detail::os::signal_inbox inbox_;
    std::unique_ptr<detail::emitter<>> signals_[detail::os::signal_hub::max_signal];
    std::mutex posted_mutex_;
    std::vector<task> posted_;
    std::atomic<bool> has_posted_{false};
    std::atomic<bool> stopped_{false};
    std::atomic<int> exit_code_{0};
};

inline void timer::cancel() noexcept {
    if (loop_ != nullptr) {
        loop_->timers_.cancel(key_);
        loop_->tell_liveness();
    }
}
inline void timer::unref() noexcept {
    if (loop_ != nullptr) {
        loop_->timers_.keep_alive(key_, false);
        loop_->tell_liveness();
    }
}
inline void timer::ref() noexcept {
    if (loop_ != nullptr) {
        loop_->timers_.keep_alive(key_, true);
        loop_->tell_liveness();
    }
}
inline bool timer::active() const noexcept {
    return loop_ != nullptr && loop_->timers_.active(key_);
}

namespace detail {

inline std::error_code
io_watch::start(event_loop& loop, int fd, os::io what, void* owner, function handle) {
    stop();
    if (fd < 0) {
        return std::make_error_code(std::errc::bad_file_descriptor);
    }
    auto index = static_cast<std::size_t>(fd);
    if (loop.watches_.size() <= index) {
        loop.watches_.resize(index + 1);
    }
    auto& entry = loop.watches_[index];
    auto generation = entry.generation + 1;
    if (auto error = loop.poller_.add(fd, event_loop::key_of(fd, generation), what)) {
        return error; // perhaps EEXIST: then the watch that is there goes on
    }
    entry.generation = generation;
    entry.watch = this;
    loop_ = &loop;
    fd_ = fd;
    generation_ = generation;
    what_ = what;
    owner_ = owner;
    handle_ = handle;
    if (keeps_alive_) {
        loop.ref();
    }
    return {};
}

inline void io_watch::update(os::io what) noexcept {
    if (loop_ != nullptr && what != what_) {
        what_ = what;
        loop_->poller_.modify(fd_, event_loop::key_of(fd_, generation_), what);
    }
}

inline void io_watch::stop() noexcept {
    if (loop_ != nullptr) {
        loop_->poller_.remove(fd_);
        leave();
    }
}

inline void io_watch::stop_with_close() noexcept {
    if (loop_ != nullptr && !loop_->is_inner_) {
        leave();
    } else {
        stop(); // strays could not be shaken off
    }
}

inline void io_watch::leave() noexcept {
    loop_->watches_[static_cast<std::size_t>(fd_)].watch = nullptr;
    if (keeps_alive_) {
        loop_->unref();
    }
    loop_ = nullptr;
}

inline void io_watch::keep_alive(bool on) noexcept {
    if (keeps_alive_ != on) {
        keeps_alive_ = on;
        if (loop_ != nullptr) {
            on ? loop_->ref() : loop_->unref();
        }
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_EVENT_LOOP_HPP
