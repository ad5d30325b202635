// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_STATS_WRITERS_HPP
#define CLUSTER_DETAIL_STATS_WRITERS_HPP

#include "../exit_status.hpp"
#include "../stats.hpp"
#include "stats_text.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cluster {
inline namespace v0 {

/// \file
/// How cluster_stats becomes text.

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
    json.member("datagrams_received", worker.datagrams_received);
    json.member("datagrams_sent", worker.datagrams_sent);
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
    json.member("datagrams_received", slot.datagrams_received);
    json.member("datagrams_sent", slot.datagrams_sent);
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

inline void write_json(json_writer& json, const datagram_stats& socket) {
    json.open('{');
    json.member("address", socket.address);
    json.member("workers", socket.workers);
    json.member("queued_bytes", socket.queued_bytes);
    json.member("queue_limit_bytes", socket.queue_limit_bytes);
    json.member("dropped", socket.dropped);
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
    metrics.add({"cluster_worker_datagrams_received",
                 counter,
                 "",
                 "Datagrams that the worker's sockets have received."},
                &stats::datagrams_received);
    metrics.add({"cluster_worker_datagrams_sent",
                 counter,
                 "",
                 "Datagrams that the worker's sockets have sent."},
                &stats::datagrams_sent);
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
    add("cluster_slot_datagrams_received",
        "",
        "Datagrams that the sockets of the slot's workers have received.",
        &stats::datagrams_received);
    add("cluster_slot_datagrams_sent",
        "",
        "Datagrams that the sockets of the slot's workers have sent.",
        &stats::datagrams_sent);
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

inline void add_to(listener_stats& sum, const listener_stats& each) noexcept {
    sum.refused += each.refused;
    sum.waiting += each.waiting;
    sum.queue += each.queue;
    sum.queue_limit += each.queue_limit;
    sum.backlog += each.backlog;
    sum.repaired += each.repaired;
}

inline std::string labels_of_datagrams(const datagram_stats& socket) {
    return metric_labels({{"address", socket.address}});
}

inline void add_to(datagram_stats& sum, const datagram_stats& each) noexcept {
    sum.workers += each.workers;
    sum.queued_bytes += each.queued_bytes;
    sum.queue_limit_bytes += each.queue_limit_bytes;
    sum.dropped += each.dropped;
}

/// One entry for all with the same labels, which must not be there twice.
template <typename Item>
std::vector<Item> merged(const std::vector<Item>& items, std::string (*labels_of)(const Item&)) {
    std::vector<Item> result;
    for (const Item& each : items) {
        const std::string labels = labels_of(each);
        std::size_t at = 0;
        while (at < result.size() && labels_of(result[at]) != labels) {
            ++at;
        }
        if (at == result.size()) {
            result.push_back(each);
        } else {
            add_to(result[at], each);
        }
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

inline void write_datagrams(metrics_of<datagram_stats>& metrics) {
    using enum metric_type;
    using stats = datagram_stats;
    metrics.add({"cluster_datagram_socket_workers",
                 gauge,
                 "",
                 "Workers that receive from the datagram socket."},
                &stats::workers);
    metrics.add({"cluster_datagram_socket_queued_bytes",
                 gauge,
                 "bytes",
                 "Memory for datagrams that no worker has read yet."},
                &stats::queued_bytes);
    metrics.add({"cluster_datagram_socket_queue_limit_bytes",
                 gauge,
                 "bytes",
                 "The most memory that the system gives to datagrams that wait."},
                &stats::queue_limit_bytes);
    metrics.add({"cluster_datagram_socket_dropped",
                 counter,
                 "",
                 "Datagrams that the system had no room for."},
                &stats::dropped);
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
    add({"cluster_spares", gauge, "", "Processes that wait to become workers."}, stats.spares);
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
    json.member("spares", spares);
    detail::write_json(json, "workers", workers);
    detail::write_json(json, "slots", slots);
    detail::write_json(json, "listeners", listeners);
    detail::write_json(json, "datagrams", datagrams);
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
    const auto distinct_listeners = detail::merged(listeners, detail::labels_of_listener);
    detail::metrics_of<listener_stats> of_listeners{
        out, distinct_listeners, detail::labels_of_listener};
    detail::write_listeners(of_listeners);
    const auto distinct_sockets = detail::merged(datagrams, detail::labels_of_datagrams);
    detail::metrics_of<datagram_stats> of_datagrams{
        out, distinct_sockets, detail::labels_of_datagrams};
    detail::write_datagrams(of_datagrams);
    out.end();
    return text;
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_STATS_WRITERS_HPP
