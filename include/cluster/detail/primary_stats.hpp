// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PRIMARY_STATS_HPP
#define CLUSTER_DETAIL_PRIMARY_STATS_HPP

// The part of primary_core that counts.

#include "chrono.hpp"
#include "primary_core.hpp"

#include <cstddef>
#include <cstdint>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What a worker has done so far, from its control page, which outlives it, and from its channel.
template <typename Stats>
void add_counts(Stats& to, const control_page* page, const channel::counters& counted) {
    if (page != nullptr) {
        to.connections_accepted += page->load.accepted.load(std::memory_order_relaxed);
        to.connections_refused += page->load.refused.load(std::memory_order_relaxed);
        to.requests += page->load.requests.load(std::memory_order_relaxed);
        to.datagrams_received += page->load.datagrams_received.load(std::memory_order_relaxed);
        to.datagrams_sent += page->load.datagrams_sent.load(std::memory_order_relaxed);
    }
    to.messages_sent += counted.sent;
    to.messages_received += counted.received;
    to.bytes_sent += counted.bytes_sent;
    to.bytes_received += counted.bytes_received;
}

inline const char* worker_core::activity() const noexcept {
    if (exit_seen_) {
        return "dead";
    }
    if (leaving_) {
        return "draining";
    }
    return stalled_ ? "stalled" : (is_up() ? "ready" : "booting");
}

inline worker_stats worker_core::stats(std::chrono::steady_clock::time_point now) const {
    worker_stats result;
    result.id = id();
    result.slot = slot();
    result.generation = generation();
    result.pid = pid();
    result.name = name();
    result.state = activity();
    add_counts(result, queue_.page(), channel_.counted());
    result.connections_active = active_connections();
    result.handing_over = queue_.size();
    result.queued_bytes = channel_.queued();
    result.restarts = restarts_;
    result.uptime = now - started_;
    result.heartbeat_age = pulse_.age(now);
    if (const control_page* page = queue_.page()) {
        result.loop_lag = std::chrono::microseconds{page->lag.load(std::memory_order_relaxed)};
    }
    auto used = process_.usage();
    result.cpu_time = used.cpu_time;
    result.resident_bytes = used.resident_bytes;
    return result;
}

// A worker has ended: what it has done stays with its place. Before its page goes.
inline void primary_core::count_end(const worker_core& one) {
    auto& place = slot_stats_of(one.slot());
    add_counts(place, one.queue_.page(), one.channel_.counted());
    ++place.ends[static_cast<std::size_t>(one.status_.reason())];
}

inline slot_stats& primary_core::slot_stats_of(std::uint32_t slot) {
    while (slot_stats_.size() <= slot) {
        slot_stats_.emplace_back().slot = static_cast<std::uint32_t>(slot_stats_.size() - 1);
    }
    return slot_stats_[slot];
}

inline cluster_stats primary_core::stats() const {
    auto now = std::chrono::steady_clock::now();
    cluster_stats result;
    result.generation = generation_->number;
    result.uptime = now - since_;
    result.reloads = reloads_;
    result.reloads_failed = reloads_failed_;
    result.spares = spares_.size();
    result.slots = slot_stats_;
    for (const auto& each : workers_) {
        result.workers.push_back(each->stats(now));
        add_counts(result.slots[each->slot()], each->queue_.page(), each->channel_.counted());
    }
    for (const auto& each : listeners_) {
        result.listeners.push_back(each->stats());
    }
    result.datagrams = shared_datagrams_.stats();
    return result;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_PRIMARY_STATS_HPP
