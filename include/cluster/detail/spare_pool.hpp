// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SPARE_POOL_HPP
#define CLUSTER_DETAIL_SPARE_POOL_HPP

#include "../backend/concept.hpp"
#include "../event_loop.hpp"
#include "../fork_options.hpp"
#include "../ipc/frame.hpp"
#include "algorithm.hpp"
#include "chrono.hpp"
#include "memory.hpp"
#include "move_only_function.hpp"
#include "standby.hpp"
#include "worker_core.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Processes that are started ahead of need. Each has a cord instead of a channel: it says there
/// when it has come as far as its role, waits, and gets the channel of the worker that it becomes
/// (standby). Until then it is nobody's worker; it keeps no loop alive.
///
/// They are started one after the other. When one has ended by itself, or could not be started, the
/// next one waits for a pause that doubles, from 0.1 to 30 s, until one has lived for 5 s.
class spare_pool {
public:
    /// Which there shall be.
    struct demand {
        std::size_t count = 0;
        bool may_start = false; // now; those that are there stay
        fork_options options{};
        std::shared_ptr<const program_generation> generation{};
        std::string title{};                    // empty: as it is
        std::chrono::nanoseconds boot_limit{0}; // 0: for ever
    };
    /// Starts a process with this end of its cord.
    using launch_function = move_only_function<launched_worker(
        const fork_options&, const program_generation&, int cord, std::error_code&)>;
    using change_function = move_only_function<void()>;

    /// `on_change` shall call keep(): one has come or gone, or may be started now.
    spare_pool(event_loop& loop, launch_function launch, change_function on_change)
        : loop_{loop}, launch_{std::move(launch)}, on_change_{std::move(on_change)} {}
    ~spare_pool() { end_all(); }
    spare_pool(spare_pool&&) = delete;
    spare_pool& operator=(spare_pool&&) = delete;

    /// How many wait.
    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>(
            count_if(spares_, [](const auto& each) { return each->waits && !each->over; }));
    }
    /// Whether any is left, one that ends among them.
    [[nodiscard]] bool empty() const noexcept { return spares_.empty(); }
    [[nodiscard]] bool has(int pid) const noexcept {
        return any_of(spares_, [pid](const auto& each) { return each->process.pid() == pid; });
    }

    /// Lets go of those that are not, or no longer, of this kind, and starts one if one is missing.
    void keep(const demand& wanted);

    /// Calls on_change() in a moment: who has just come up does not share the processors with the
    /// start of a spare.
    void look_soon() { look_in(std::chrono::milliseconds{5}); }

    /// A spare that becomes a worker with this channel, for options and a program that are its own.
    /// One that does not run (somebody has stopped it) is passed over and killed, unless a debugger
    /// holds it. \returns no child when there is none
    launched_worker
    take(const fork_options& options, const program_generation& generation, int channel);

    /// Kills and reaps them all: nothing has run in them that would have to end.
    void end_all() noexcept;

private:
    using clock = std::chrono::steady_clock;

    struct spare {
        spare(spare_pool& in, const demand& wanted)
            : pool{in}, options{wanted.options}, generation{wanted.generation} {}

        inline void on_cord(os::io);
        void end() noexcept {
            over = true;
            process.signal(SIGKILL);
        }

        spare_pool& pool;
        fork_options options;
        std::shared_ptr<const program_generation> generation;
        unique_fd cord;
        io_watch watch;
        watched_process process;
        std::vector<unique_fd> pipes;
        clock::time_point started = clock::now();
        bool waits = false; // it has come as far as its role
        bool over = false;  // it ends, and nobody waits for it
        bool gone = false;
    };

    void start(const demand& wanted);
    std::error_code launch(spare& one, const demand& wanted);
    void on_exit(spare& one);
    void pause_after(const spare& dead);
    void look_in(clock::duration delay);
    static bool promote(spare& one, int channel) noexcept;

    event_loop& loop_;
    launch_function launch_;
    change_function on_change_;
    std::vector<std::unique_ptr<spare>> spares_;
    std::chrono::milliseconds pause_{0}; // the last one
    clock::time_point not_before_{};     // its end
    timer look_;
};

inline void spare_pool::keep(const demand& wanted) {
    auto now = clock::now();
    std::erase_if(spares_, [](const auto& each) { return each->gone; });
    std::size_t kept = 0;
    bool one_starts = false;
    for (auto& each : spares_) {
        if (each->over) {
            continue;
        }
        bool fits = kept != wanted.count && each->generation == wanted.generation &&
                    starts_alike(each->options, wanted.options);
        bool hangs = !each->waits && wanted.boot_limit.count() > 0 &&
                     now - each->started >= wanted.boot_limit && !each->process.is_traced();
        if (!fits) {
            each->end();
        } else if (hangs) {
            pause_after(*each);
            each->end();
        } else {
            ++kept;
            one_starts = one_starts || !each->waits;
        }
    }
    if (kept < wanted.count && wanted.may_start && !one_starts) {
        now < not_before_ ? look_in(not_before_ - now) : start(wanted);
    }
}

inline void spare_pool::start(const demand& wanted) {
    auto& one = *spares_.emplace_back(std::make_unique<spare>(*this, wanted));
    if (launch(one, wanted)) {
        pause_after(one);
        one.end(); // if it runs, and cannot be watched
        one.process.reap();
        spares_.pop_back();
        look_soon();
    }
}

inline std::error_code spare_pool::launch(spare& one, const demand& wanted) {
    unique_fd theirs;
    if (auto error = os::make_channel(one.cord, theirs)) {
        return error;
    }
    auto title = std::as_bytes(std::span{wanted.title});
    title = title.first(detail::min<std::size_t>(title.size(), 255));
    std::vector<std::byte> first(frame_header_size);
    encode_header({static_cast<std::uint32_t>(title.size()), frame_kind::reserve, 0, 0, 0},
                  std::span{first}.first<frame_header_size>());
    first.insert(first.end(), title.begin(), title.end());
    os::send(one.cord.get(), first); // waits in the socket when the process looks for it
    std::error_code error;
    auto launched = launch_(one.options, *one.generation, theirs.get(), error);
    if (error) {
        return error;
    }
    one.pipes = std::move(launched.pipes);
    one.process.start(
        loop_, std::move(launched.child), [&one](const os::exit_info&) { one.pool.on_exit(one); });
    one.process.keep_alive(false);
    one.watch.keep_alive(false);
    return one.watch.start<&spare::on_cord>(loop_, one.cord.get(), os::io::readable, one);
}

// It says that it waits, or is about to be gone.
inline void spare_pool::spare::on_cord(os::io) {
    watch.stop();
    waits = begins_with(frame_kind::reserve, cord.get());
    pool.look_soon();
}

inline void spare_pool::on_exit(spare& one) {
    one.gone = true;
    one.watch.stop();
    if (!std::exchange(one.over, true)) {
        pause_after(one);
    }
    look_soon();
}

inline void spare_pool::pause_after(const spare& dead) {
    using namespace std::chrono_literals;
    bool lived = dead.waits && clock::now() - dead.started >= 5s;
    pause_ =
        lived || pause_ == 0s ? 100ms : detail::min<std::chrono::milliseconds>(2 * pause_, 30s);
    not_before_ = clock::now() + pause_;
}

inline void spare_pool::look_in(clock::duration delay) {
    look_.cancel();
    look_ = loop_.after(delay, [this] { on_change_(); });
    look_.unref();
}

inline launched_worker
spare_pool::take(const fork_options& options, const program_generation& generation, int channel) {
    launched_worker result;
    for (auto each = spares_.begin(); each != spares_.end(); ++each) {
        spare& one = **each;
        bool fits = one.waits && !one.over && one.generation->number == generation.number &&
                    starts_alike(one.options, options);
        if (!fits) {
            continue;
        }
        if (os::is_halted(one.process.pid())) {
            if (!one.process.is_traced()) {
                pause_after(one);
                one.end();
            }
            continue;
        }
        if (promote(one, channel)) {
            result.pipes = std::move(one.pipes);
            result.child = one.process.release();
            spares_.erase(each);
            look_soon();
            break;
        }
    }
    return result;
}

inline bool spare_pool::promote(spare& one, int channel) noexcept {
    std::array<std::byte, frame_header_size> start{};
    encode_header({0, frame_kind::promote, 1, 0, 0}, start);
    return os::send_with_descriptors(one.cord.get(), start, {&channel, 1}).bytes == start.size();
}

inline void spare_pool::end_all() noexcept {
    look_.cancel();
    for (auto& each : spares_) {
        each->end();
    }
    for (auto& each : spares_) {
        each->process.reap();
    }
    spares_.clear();
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SPARE_POOL_HPP
