// SPDX-License-Identifier: MIT
#ifndef CLUSTER_STATS_HPP
#define CLUSTER_STATS_HPP

#include "detail/stats_text.hpp"
#include "exit_status.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cluster {
inline namespace v0 {

/// A worker, as the primary sees it. Counts are since the worker's start; "sent" is by
/// the primary to the worker.
struct worker_stats {
    std::uint32_t id = 0;         ///< unique in the cluster, never used again
    std::uint32_t slot = 0;       ///< the place that it has; its replacement gets the same
    std::uint32_t generation = 0; ///< increases with each reload
    int pid = 0;
    std::string name{};
    std::string state{};                    ///< "booting", "ready", "stalled", "draining" or "dead"
    std::uint64_t connections_accepted = 0; ///< that it was given or took
    std::uint64_t connections_refused = 0;  ///< that it closed, being at its maximum
    std::uint64_t connections_active = 0;   ///< open now
    std::uint64_t requests = 0;             ///< as it counts them: self::count_request()
    std::uint64_t messages_sent = 0;
    std::uint64_t messages_received = 0;
    std::uint64_t bytes_sent = 0;     ///< of messages
    std::uint64_t bytes_received = 0; ///< of messages
    std::uint64_t handing_over = 0;   ///< connections on their way to it now
    std::uint64_t queued_bytes = 0;   ///< messages that wait in the primary now, in bytes
    unsigned restarts = 0;            ///< how many workers its place had before it
    std::chrono::nanoseconds uptime{0};
    std::chrono::nanoseconds cpu_time{0};      ///< of all its threads, in user and kernel mode
    std::chrono::nanoseconds loop_lag{0};      ///< how late its event loop was at last
    std::chrono::nanoseconds heartbeat_age{0}; ///< since it last showed that its loop turns
    std::uint64_t resident_bytes = 0;          ///< physical memory that it has now, in bytes
};

/// How many reasons for an end there are; the last is `unknown`.
inline constexpr std::size_t exit_reason_count = static_cast<std::size_t>(exit_reason::unknown) + 1;

/// A place for a worker: the sums of all workers that it has had.
struct slot_stats {
    std::uint32_t slot = 0;
    std::uint64_t connections_accepted = 0;
    std::uint64_t connections_refused = 0;
    std::uint64_t requests = 0;
    std::uint64_t messages_sent = 0;
    std::uint64_t messages_received = 0;
    std::uint64_t bytes_sent = 0;                        ///< of messages
    std::uint64_t bytes_received = 0;                    ///< of messages
    std::array<std::uint64_t, exit_reason_count> ends{}; ///< of workers, indexed by `exit_reason`
    std::uint64_t restarts = 0;
};

/// An address that the cluster listens on.
struct listener_stats {
    std::string address{};
    std::string mode{};            ///< "handed", "shared" or "own_socket"
    std::uint64_t waiting = 0;     ///< connections that the primary has accepted and no worker has
    std::uint32_t queue = 0;       ///< connections that nobody has accepted yet
    std::uint32_t queue_limit = 0; ///< the most of them, as the system clipped the backlog
    std::uint32_t backlog = 0;     ///< the most of them, as asked for
    std::uint64_t repaired = 0;    ///< how often the primary had to bind it anew
    std::uint64_t refused = 0;     ///< connections that the scheduling policy closed
    /// Of a model that steers in the kernel: "kernel"; or "classic filter: " or "primary: " and why
    /// it is not that.
    std::string steering{};
};

/// The state of a cluster at one moment. A value: it is not updated.
struct cluster_stats {
    std::uint32_t generation = 0; ///< of the workers that start now
    std::chrono::nanoseconds uptime{0};
    std::uint64_t reloads = 0; ///< that succeeded
    std::uint64_t reloads_failed = 0;
    std::vector<worker_stats> workers{};
    std::vector<slot_stats> slots{};
    std::vector<listener_stats> listeners{};

    /// One object with the members' names; durations are decimal numbers of seconds, with "_seconds"
    /// behind the name. Valid UTF-8: bytes of a name that are none become U+FFFD.
    [[nodiscard]] std::string to_json() const;

    /// OpenMetrics 1.0, for Prometheus and others
    /// (application/openmetrics-text; version=1.0.0; charset=utf-8).
    [[nodiscard]] std::string to_openmetrics() const;
};

namespace detail {

constexpr std::string_view exit_reason_name(exit_reason reason) noexcept {
    switch (reason) {
    case exit_reason::exited:
        return "exited";
    case exit_reason::signaled:
        return "signaled";
    case exit_reason::spawn_failed:
        return "spawn_failed";
    case exit_reason::boot_failed:
        return "boot_failed";
    case exit_reason::unresponsive:
        return "unresponsive";
    case exit_reason::recycled:
        return "recycled";
    case exit_reason::unknown:
    case exit_reason::timed_out:
    case exit_reason::cancelled:
    case exit_reason::output_limit:
        break;
    }
    return "unknown";
}

inline void write_json(json_writer& json, const worker_stats& worker) {
    json.open('{');
    json.member("id", worker.id);
    json.member("slot", worker.slot);
    json.member("generation", worker.generation);
    json.member("pid", worker.pid);
    json.member("name", worker.name);
    json.member("state", worker.state);
    json.member("connections_accepted", worker.connections_accepted);
    json.member("connections_refused", worker.connections_refused);
    json.member("connections_active", worker.connections_active);
    json.member("requests", worker.requests);
    json.member("messages_sent", worker.messages_sent);
    json.member("messages_received", worker.messages_received);
    json.member("bytes_sent", worker.bytes_sent);
    json.member("bytes_received", worker.bytes_received);
    json.member("handing_over", worker.handing_over);
    json.member("queued_bytes", worker.queued_bytes);
    json.member("restarts", worker.restarts);
    json.member("uptime", worker.uptime);
    json.member("cpu_time", worker.cpu_time);
    json.member("loop_lag", worker.loop_lag);
    json.member("heartbeat_age", worker.heartbeat_age);
    json.member("resident_bytes", worker.resident_bytes);
    json.close('}');
}

inline void write_json(json_writer& json, const slot_stats& slot) {
    json.open('{');
    json.member("slot", slot.slot);
    json.member("connections_accepted", slot.connections_accepted);
    json.member("connections_refused", slot.connections_refused);
    json.member("requests", slot.requests);
    json.member("messages_sent", slot.messages_sent);
    json.member("messages_received", slot.messages_received);
    json.member("bytes_sent", slot.bytes_sent);
    json.member("bytes_received", slot.bytes_received);
    json.key("ends");
    json.open('{');
    for (std::size_t i = 0; i < slot.ends.size(); ++i) {
        json.member(exit_reason_name(static_cast<exit_reason>(i)), slot.ends[i]);
    }
    json.close('}');
    json.member("restarts", slot.restarts);
    json.close('}');
}

inline void write_json(json_writer& json, const listener_stats& listener) {
    json.open('{');
    json.member("address", listener.address);
    json.member("mode", listener.mode);
    json.member("waiting", listener.waiting);
    json.member("queue", listener.queue);
    json.member("queue_limit", listener.queue_limit);
    json.member("backlog", listener.backlog);
    json.member("repaired", listener.repaired);
    json.member("refused", listener.refused);
    json.member("steering", listener.steering);
    json.close('}');
}

template <typename Item>
void write_json(json_writer& json, std::string_view name, const std::vector<Item>& items) {
    json.key(name);
    json.open('[');
    for (const Item& item : items) {
        write_json(json, item);
    }
    json.close(']');
}

/// The same in metrics: labels once for each item, then family by family over all items.
template <typename Item>
class metrics_of {
public:
    using labels_function = std::string (*)(const Item&);

    metrics_of(metrics_writer& out, const std::vector<Item>& items, labels_function labels_of)
        : out_{&out}, items_{&items} {
        labels_.reserve(items.size());
        for (const Item& item : items) {
            labels_.push_back(labels_of(item));
        }
    }

    template <typename Value>
    void add(const metric_family& family, Value Item::*member) {
        out_->family(family);
        for (std::size_t i = 0; i < items_->size(); ++i) {
            out_->sample(labels_[i], (*items_)[i].*member);
        }
    }

    /// `each(item, labels, out)` writes the samples of an item.
    template <typename F>
    void add_with(const metric_family& family, F each) {
        out_->family(family);
        for (std::size_t i = 0; i < items_->size(); ++i) {
            each((*items_)[i], labels_[i], *out_);
        }
    }

private:
    metrics_writer* out_;
    const std::vector<Item>* items_;
    std::vector<std::string> labels_;
};

inline std::string labels_of_worker(const worker_stats& worker) {
    return metric_labels({{"worker", std::to_string(worker.id)},
                          {"slot", std::to_string(worker.slot)},
                          {"generation", std::to_string(worker.generation)}});
}

inline void write_worker_identity(metrics_of<worker_stats>& metrics) {
    using enum metric_type;
    metrics.add_with(
        {"cluster_worker", info, "", "The process of a worker."},
        [](const worker_stats& worker, std::string labels, metrics_writer& out) {
            labels += ',';
            labels += metric_labels({{"pid", std::to_string(worker.pid)}, {"name", worker.name}});
            out.sample(labels, 1);
        });
    metrics.add_with(
        {"cluster_worker_state", stateset, "", "What a worker does: one of its states is 1."},
        [](const worker_stats& worker, const std::string& labels, metrics_writer& out) {
            for (const char* state : {"booting", "ready", "stalled", "draining", "dead"}) {
                out.sample(labels + ',' + metric_labels({{"cluster_worker_state", state}}),
                           worker.state == state ? 1 : 0);
            }
        });
}

inline void write_worker_traffic(metrics_of<worker_stats>& metrics) {
    using enum metric_type;
    using stats = worker_stats;
    metrics.add({"cluster_worker_connections_accepted",
                 counter,
                 "",
                 "Connections that the worker was given or took."},
                &stats::connections_accepted);
    metrics.add({"cluster_worker_connections_refused",
                 counter,
                 "",
                 "Connections that the worker closed because it was at its maximum."},
                &stats::connections_refused);
    metrics.add({"cluster_worker_connections_active", gauge, "", "Open connections."},
                &stats::connections_active);
    metrics.add({"cluster_worker_connections_handing_over",
                 gauge,
                 "",
                 "Connections on their way from the primary to the worker."},
                &stats::handing_over);
    metrics.add({"cluster_worker_requests", counter, "", "Requests that the worker counted."},
                &stats::requests);
    metrics.add(
        {"cluster_worker_messages_sent", counter, "", "Messages from the primary to the worker."},
        &stats::messages_sent);
    metrics.add({"cluster_worker_messages_received",
                 counter,
                 "",
                 "Messages from the worker to the primary."},
                &stats::messages_received);
    metrics.add({"cluster_worker_sent_bytes",
                 counter,
                 "bytes",
                 "Bytes of messages from the primary to the worker."},
                &stats::bytes_sent);
    metrics.add({"cluster_worker_received_bytes",
                 counter,
                 "bytes",
                 "Bytes of messages from the worker to the primary."},
                &stats::bytes_received);
    metrics.add({"cluster_worker_queued_bytes",
                 gauge,
                 "bytes",
                 "Bytes of messages that wait in the primary for the worker."},
                &stats::queued_bytes);
}

inline void write_worker_health(metrics_of<worker_stats>& metrics) {
    using enum metric_type;
    using stats = worker_stats;
    metrics.add({"cluster_worker_restarts",
                 gauge,
                 "",
                 "How many workers were in the slot before this one."},
                &stats::restarts);
    metrics.add(
        {"cluster_worker_uptime_seconds", gauge, "seconds", "Time since the worker's start."},
        &stats::uptime);
    metrics.add({"cluster_worker_cpu_seconds",
                 counter,
                 "seconds",
                 "CPU time of all threads in user and kernel mode."},
                &stats::cpu_time);
    metrics.add({"cluster_worker_loop_lag_seconds",
                 gauge,
                 "seconds",
                 "How late the worker's event loop was at last."},
                &stats::loop_lag);
    metrics.add({"cluster_worker_heartbeat_age_seconds",
                 gauge,
                 "seconds",
                 "Time since the worker last showed that its event loop turns."},
                &stats::heartbeat_age);
    metrics.add(
        {"cluster_worker_resident_bytes", gauge, "bytes", "Physical memory that the worker has."},
        &stats::resident_bytes);
}

inline std::string labels_of_slot(const slot_stats& slot) {
    return metric_labels({{"slot", std::to_string(slot.slot)}});
}

inline void write_slots(metrics_of<slot_stats>& metrics) {
    using enum metric_type;
    using stats = slot_stats;
    const auto add = [&](std::string_view name,
                         std::string_view unit,
                         std::string_view help,
                         std::uint64_t stats::*member) {
        metrics.add({name, counter, unit, help}, member);
    };
    add("cluster_slot_connections_accepted",
        "",
        "Connections that the slot's workers were given or took.",
        &stats::connections_accepted);
    add("cluster_slot_connections_refused",
        "",
        "Connections that the slot's workers closed because they were at their maximum.",
        &stats::connections_refused);
    add("cluster_slot_requests", "", "Requests that the slot's workers counted.", &stats::requests);
    add("cluster_slot_messages_sent",
        "",
        "Messages from the primary to the slot's workers.",
        &stats::messages_sent);
    add("cluster_slot_messages_received",
        "",
        "Messages from the slot's workers to the primary.",
        &stats::messages_received);
    add("cluster_slot_sent_bytes",
        "bytes",
        "Bytes of messages from the primary to the slot's workers.",
        &stats::bytes_sent);
    add("cluster_slot_received_bytes",
        "bytes",
        "Bytes of messages from the slot's workers to the primary.",
        &stats::bytes_received);
    add("cluster_slot_restarts", "", "Workers started in place of others.", &stats::restarts);
    metrics.add_with(
        {"cluster_slot_ends", counter, "", "Ends of the slot's workers by reason."},
        [](const stats& slot, const std::string& labels, metrics_writer& out) {
            for (std::size_t i = 0; i < slot.ends.size(); ++i) {
                const auto reason = exit_reason_name(static_cast<exit_reason>(i));
                out.sample(labels + ',' + metric_labels({{"reason", reason}}), slot.ends[i]);
            }
        });
}

inline std::string labels_of_listener(const listener_stats& listener) {
    return metric_labels({{"address", listener.address}, {"mode", listener.mode}});
}

/// One entry for all listeners with the same labels, which must not be there twice.
inline std::vector<listener_stats> merged(const std::vector<listener_stats>& listeners) {
    std::vector<listener_stats> result;
    for (const listener_stats& each : listeners) {
        const std::string labels = labels_of_listener(each);
        std::size_t at = 0;
        while (at < result.size() && labels_of_listener(result[at]) != labels) {
            ++at;
        }
        if (at == result.size()) {
            result.push_back(each);
            continue;
        }
        result[at].refused += each.refused;
        result[at].waiting += each.waiting;
        result[at].queue += each.queue;
        result[at].queue_limit += each.queue_limit;
        result[at].backlog += each.backlog;
        result[at].repaired += each.repaired;
    }
    return result;
}

inline void write_listeners(metrics_of<listener_stats>& metrics) {
    using enum metric_type;
    using stats = listener_stats;
    metrics.add({"cluster_listener_refused",
                 counter,
                 "",
                 "Connections that the scheduling policy has closed."},
                &stats::refused);
    metrics.add({"cluster_listener_waiting",
                 gauge,
                 "",
                 "Connections that the primary has accepted and no worker has."},
                &stats::waiting);
    metrics.add({"cluster_listener_queue", gauge, "", "Connections that nobody has accepted yet."},
                &stats::queue);
    metrics.add({"cluster_listener_queue_limit",
                 gauge,
                 "",
                 "The most connections that the system lets wait for being accepted."},
                &stats::queue_limit);
    metrics.add({"cluster_listener_backlog",
                 gauge,
                 "",
                 "The most connections that may wait for being accepted as asked for."},
                &stats::backlog);
    metrics.add({"cluster_listener_repaired", counter, "", "How often the address was bound anew."},
                &stats::repaired);
}

inline void write_cluster(metrics_writer& out, const cluster_stats& stats) {
    using enum metric_type;
    const auto add = [&](const metric_family& family, auto value) {
        out.family(family);
        out.sample("", value);
    };
    add({"cluster_generation", gauge, "", "The generation of the workers that start now."},
        stats.generation);
    add({"cluster_uptime_seconds", gauge, "seconds", "Time since the cluster's start."},
        stats.uptime);
    add({"cluster_reloads", counter, "", "Reloads that succeeded."}, stats.reloads);
    add({"cluster_reloads_failed", counter, "", "Reloads that failed."}, stats.reloads_failed);
    add({"cluster_workers", gauge, "", "Workers of the cluster."}, stats.workers.size());
}

} // namespace detail

inline std::string cluster_stats::to_json() const {
    std::string text;
    detail::json_writer json{text};
    json.open('{');
    json.member("generation", generation);
    json.member("uptime", uptime);
    json.member("reloads", reloads);
    json.member("reloads_failed", reloads_failed);
    detail::write_json(json, "workers", workers);
    detail::write_json(json, "slots", slots);
    detail::write_json(json, "listeners", listeners);
    json.close('}');
    return text;
}

inline std::string cluster_stats::to_openmetrics() const {
    std::string text;
    detail::metrics_writer out{text};
    detail::write_cluster(out, *this);
    detail::metrics_of<worker_stats> of_workers{out, workers, detail::labels_of_worker};
    detail::write_worker_identity(of_workers);
    detail::write_worker_traffic(of_workers);
    detail::write_worker_health(of_workers);
    detail::metrics_of<slot_stats> of_slots{out, slots, detail::labels_of_slot};
    detail::write_slots(of_slots);
    const std::vector<listener_stats> distinct = detail::merged(listeners);
    detail::metrics_of<listener_stats> of_listeners{out, distinct, detail::labels_of_listener};
    detail::write_listeners(of_listeners);
    out.end();
    return text;
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_STATS_HPP
