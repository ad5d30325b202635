// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PRIMARY_SUPERVISION_HPP
#define CLUSTER_DETAIL_PRIMARY_SUPERVISION_HPP

// The part of primary_core that looks after the workers: how many there are, whether they answer,
// when they are replaced.

#include "algorithm.hpp"
#include "chrono.hpp"
#include "memory.hpp"
#include "primary_core.hpp"
#include "random_source.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

// ---- looking after them, several times a second

inline void primary_core::supervise(const supervision_options& options) {
    supervision_ = options;
    if (tick_.active()) {
        tick_.cancel();
        start_ticking();
    }
    spares_soon();
    close_unused_listeners();
}

inline std::chrono::nanoseconds primary_core::tick_period() const noexcept {
    auto limit = supervision_.stalled_after;
    return beat_period(limit.count() > 0 ? limit : std::chrono::seconds{3});
}

inline pulse_limits primary_core::limits() const noexcept {
    using namespace std::chrono_literals;
    bool ends = policies_.replaces();
    return {supervision_.stalled_after, supervision_.replaced_after.value_or(ends ? 10s : 0s)};
}

inline void primary_core::start_ticking() {
    if (!tick_.active()) {
        auto period = tick_period();
        next_tick_ = std::chrono::steady_clock::now() + period;
        tick_ = loop_.every(period, [this] { tick(); });
        tick_.unref();
        memory_kills_ = memory_kill_counter_.read();
    }
}

inline void primary_core::tick() {
    auto now = loop_.now();
    auto late = now - next_tick_;
    auto period = tick_period();
    next_tick_ = now + period;
    if (workers_.empty() && listeners_.empty()) {
        tick_.cancel();
        return;
    }
    auto bounds = limits();
    for (std::size_t i = 0; i < workers_.size(); ++i) { // handlers may fork
        worker_core& one = *workers_[i];
        if (late > period) { // we did not run, and perhaps nobody else did
            one.pulse_.excuse(late);
            one.booting_since_ += late;
        }
        const bool was_stalled = one.is_stalled();
        one.look_at_pulse(now, bounds);
        if (one.is_stalled() != was_stalled) {
            service_.workers_changed();
        }
        check_boot(one, now);
    }
    if (now >= next_slow_tick_) {
        next_slow_tick_ = now + std::chrono::seconds{1};
        tick_slowly();
    }
}

inline void primary_core::tick_slowly() {
    recycle_some();
    restarts_.go_on();
    look_after_spares();
    bool reaps = supervision_.reap_orphans.value_or(os::process_id() == 1);
    if (reaps) {
        os::reap_strangers([this](int pid) {
            return spares_.has(pid) ||
                   any_of(workers_, [pid](const auto& each) { return each->pid() == pid; });
        });
    }
    look_at_listeners();
}

inline void primary_core::look_at_listeners() {
    for (std::size_t i = 0; i < listeners_.size(); ++i) { // handlers may close some
        listeners_[i]->inspect();
        listeners_[i]->settle();
        auto at = listeners_[i]->at();
        auto pressure = listeners_[i]->take_pressure();
        if (listeners_[i]->take_repaired()) {
            listener_repaired_.emit(at);
        }
        if (pressure) {
            servers_.fd_pressure_.emit({at, pressure});
        }
    }
}

// A program of its own that never calls back may be one that knows nothing of us.
inline void primary_core::check_boot(worker_core& one, std::chrono::steady_clock::time_point now) {
    auto limit = boot_limit();
    bool foreign = !one.options_.executable.empty() && !one.was_online_;
    bool up = one.is_up() && one.running_;
    if (limit.count() <= 0 || up || one.exit_seen_ || one.because_ || foreign ||
        now - one.booting_since_ < limit || replacements_.has_fresh(one)) {
        return;
    }
    if (one.process_.is_traced()) {
        one.booting_since_ = now;
        return;
    }
    one.report_.diagnosis = one.process_.describe();
    one.end_because(exit_reason::boot_failed);
}

// ---- how many

// A few at a time, so that the others keep the processors; one that takes long does not stop them.
inline bool primary_core::may_boot() const noexcept {
    std::size_t most = supervision_.max_booting;
    if (most == 0) {
        most = detail::max<std::size_t>(1, (workers_.size() + restarts_.size() + 3) / 4);
    }
    return booting() < most;
}

inline std::size_t primary_core::booting() const noexcept {
    constexpr std::chrono::seconds patience{5};
    auto now = std::chrono::steady_clock::now();
    return count_if(workers_, [now, patience](const auto& each) {
        bool over = each->exit_seen_ || each->leaving_;
        return !each->is_up() && !over && now - each->started_ < patience;
    });
}

// After this long one that has not come up is killed; 0: never.
inline std::chrono::nanoseconds primary_core::boot_limit() const noexcept {
    using namespace std::chrono_literals;
    return supervision_.boot_timeout.value_or(policies_.replaces() ? 60s : 0s);
}

inline void primary_core::when_ready(move_only_function<void()> done) {
    when_ready_.push_back(std::move(done));
    loop_.defer(alive_.guard([this] { check_all_ready(); }));
}

inline void primary_core::check_all_ready() {
    bool waits = workers_.empty() || any_of(workers_, [](const auto& each) {
                     return !each->is_ready() && !each->leaving_;
                 });
    if (waits || restarts_.size() != 0) {
        return;
    }
    while (!when_ready_.empty()) { // one that throws: the others are called in the next turn
        auto next = std::move(when_ready_.front());
        when_ready_.erase(when_ready_.begin());
        if (!when_ready_.empty()) {
            loop_.defer(alive_.guard([this] { check_all_ready(); }));
        }
        next();
        return;
    }
}

inline void primary_core::scale(std::size_t count, const scale_options& options) {
    if (shutting_down()) {
        return;
    }
    std::size_t staying = restarts_.size();
    for (const auto& each : workers_) {
        staying += !each->leaving_ && !replacements_.has_fresh(*each) ? 1U : 0U;
    }
    for (; staying < count; ++staying) {
        fork({});
    }
    for (; staying > count; --staying) {
        std::uint32_t slot = 0;
        if (restarts_.drop_last(slot)) {
            free_place(slot);
        } else if (worker_core* leaving = find_victim(options.victims)) {
            leaving->drain(options.drain_deadline, std::nullopt);
            replacements_.cancel(*leaving); // a reload goes on without it
        }
    }
    pause(count == 0);
    service_.workers_changed();
}

inline worker_census primary_core::census() const {
    enum class place : char { empty, filled, ready };
    std::vector<place> places(slots_.size(), place::empty);
    std::size_t stalled = 0;
    for (const auto& each : workers_) {
        if (!each->leaving_) { // one that boots beside its predecessor shares its place
            stalled += each->is_stalled() ? 1U : 0U;
            auto& here = places[each->slot()];
            here = each->is_ready() ? place::ready : detail::max(here, place::filled);
        }
    }
    auto empty = count_if(places, [](place each) { return each == place::empty; });
    auto ready = count_if(places, [](place each) { return each == place::ready; });
    return {ready, places.size() - empty + restarts_.size(), workers_.size(), stalled};
}

inline worker_core* primary_core::find_victim(victim which) const noexcept {
    worker_core* found = nullptr;
    auto goes_before = [which](const worker_core& a, const worker_core& b) {
        switch (which) {
        case victim::oldest:
            return false; // they are in this order
        case victim::fewest_connections: {
            auto left = a.active_connections();
            auto right = b.active_connections();
            return left != right ? left < right : a.id() > b.id();
        }
        case victim::newest:
            break;
        }
        return true;
    };
    for (const auto& each : workers_) {
        bool stays = each->leaving_ || replacements_.has_fresh(*each);
        if (!stays && (found == nullptr || goes_before(*each, *found))) {
            found = each.get();
        }
    }
    return found;
}

// Scaled to nothing the cluster is not over: it waits, as do its connections.
inline void primary_core::pause(bool on) noexcept {
    if (std::exchange(paused_, on) != on) {
        on ? loop_.ref() : loop_.unref();
    }
}

inline void primary_core::hold_if_empty() {
    if (!workers_.empty() || restarts_.size() != 0 || listeners_.empty() || paused_ ||
        !holds_when_empty() || hold_.active()) {
        return;
    }
    hold_ = loop_.after(supervision_.hold_timeout, [this] {
        hold_over_ = true;
        close_unused_listeners();
    });
}

// ---- planned replacements

inline void primary_core::set_recycle_limits(worker_core& one) {
    if (!one.options_.recycle) {
        return;
    }
    const auto& wanted = *one.options_.recycle;
    double part = detail::clamp(wanted.jitter, 0.0, 1.0);
    double factor =
        1.0 - part * static_cast<double>(random_source{}.below(1U << 31U)) / (1U << 31U);
    auto shortened = [factor](auto limit) { // never to 0, which is no limit
        auto less = static_cast<decltype(limit)>(static_cast<double>(limit) * factor);
        return limit != 0 && less == 0 ? decltype(limit){1} : less;
    };
    one.max_requests_ = shortened(wanted.max_requests);
    one.max_memory_ = shortened(wanted.max_memory);
    one.max_lifetime_ = std::chrono::nanoseconds{shortened(wanted.max_lifetime.count())};
}

inline bool primary_core::is_worn_out(const worker_core& one,
                                      std::chrono::steady_clock::time_point now) const {
    const control_page* page = one.queue_.page();
    if (page == nullptr || !one.is_serving() || now < one.recycle_not_before_) {
        return false;
    }
    auto counted = page->load.requests.load(std::memory_order_relaxed);
    auto done = counted != 0 ? counted : page->load.accepted.load(std::memory_order_relaxed);
    return (one.max_requests_ != 0 && done >= one.max_requests_) ||
           (one.max_lifetime_.count() > 0 && now - one.started_ >= one.max_lifetime_) ||
           (one.max_memory_ != 0 && one.process_.usage().resident_bytes >= one.max_memory_);
}

inline void primary_core::recycle_some() {
    if (shutting_down() || reload_.is_running()) {
        return;
    }
    auto now = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        worker_core& one = *workers_[i];
        if (replacements_.size() >= detail::max(1U, supervision_.max_recycling)) {
            return;
        }
        if (is_being_replaced(one) || !is_worn_out(one, now)) {
            continue;
        }
        one.recycle_not_before_ = now + std::chrono::seconds{30}; // if it does not work now
        reload_options options;
        options.drain_deadline = one.options_.recycle->drain_deadline;
        replace(one, generation_, options, false, [](auto, const auto&) {});
    }
}

inline void primary_core::replace(worker_core& old,
                                  const std::shared_ptr<const program_generation>& generation,
                                  const reload_options& options,
                                  bool drain_first,
                                  replacements::done_function done) {
    auto asked = old.asked_;
    auto merged = merge(settings_, asked);
    worker_core& fresh = start(old.slot(), {asked, std::move(merged), generation}, 0, true);
    if (drain_first) {
        done = [this, slot = old.slot(), asked = std::move(asked), done = std::move(done)](
                   replacements::outcome how, const std::string& failure) mutable {
            if (how == replacements::outcome::failed) {
                restore(slot, asked);
            }
            done(how, failure);
        };
    }
    replacements_.begin(old, fresh, options.ready_timeout, options.drain_deadline, std::move(done));
    if (drain_first) {
        old.drain(options.drain_deadline, exit_reason::recycled);
    }
}

// A worker has drained for one that does not come: its place gets another of the old program.
inline void primary_core::restore(std::uint32_t slot, const fork_options& asked) {
    if (!shutting_down()) {
        start(slot, {asked, merge(settings_, asked), generation_}, 0);
    }
}

inline void primary_core::reload(const reload_options& options,
                                 rolling_reload<primary_core>::callback done) {
    if (shutting_down()) {
        std::vector<rolling_reload<primary_core>::callback> callbacks;
        if (done) {
            callbacks.push_back(std::move(done));
        }
        reloaded({generation_->number, 0, "the cluster shuts down"}, std::move(callbacks), [] {});
        return;
    }
    fill_defaults();
    reload_.ask(options, std::move(done));
}

inline bool primary_core::has_room_for_generation(const reload_options& options) const {
    std::vector<std::uint32_t> alive;
    for (const auto& each : workers_) {
        if (!contains(alive, each->generation())) {
            alive.push_back(each->generation());
        }
    }
    return alive.size() < detail::max(2U, options.max_generations);
}

// The program as it is on disk now.
inline std::shared_ptr<const program_generation> primary_core::new_generation(std::string& error) {
    auto made = std::make_shared<program_generation>();
    made->number = ++last_generation_;
    if (paused_) {
        error = "scaled to nothing: no worker could prove the program";
    } else if (!program_path_.empty()) {
        made->program = os::open_program(program_path_);
        if (!made->program) {
            error = program_path_ + ": " + os::last_error().message();
        }
    }
    return made;
}

inline void primary_core::cancel(const program_generation& generation) {
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        worker_core& one = *workers_[i];
        if (one.generation() != generation.number && replacements_.has_old(one)) {
            replacements_.cancel(one);
            if (one.leaving_) {
                restore(one.slot(), one.asked_);
            }
        }
    }
}

// Each callback in a turn of its own: one that throws leaves the others theirs.
inline void primary_core::reloaded(const reload_report& report,
                                   std::vector<rolling_reload<primary_core>::callback> callbacks,
                                   move_only_function<void()> then) {
    ++(report.ok() ? reloads_ : reloads_failed_);
    service_.reload_ended(report.reason());
    loop_.defer(alive_.guard([this, report] { reloaded_.emit(report); }));
    for (auto& each : callbacks) {
        loop_.defer(alive_.guard([call = std::move(each), report]() mutable { call(report); }));
    }
    loop_.defer(alive_.guard(std::move(then)));
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_PRIMARY_SUPERVISION_HPP
