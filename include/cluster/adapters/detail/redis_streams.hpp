// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_DETAIL_REDIS_STREAMS_HPP
#define CLUSTER_ADAPTERS_DETAIL_REDIS_STREAMS_HPP

#include "../../detail/move_only_function.hpp"
#include "../../error.hpp"
#include "../../event_loop.hpp"
#include "redis_link.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The number of an entry in a stream, "1700000000000-0".
struct redis_entry_id {
    std::uint64_t milliseconds = 0;
    std::uint64_t sequence = 0;
    friend auto operator<=>(const redis_entry_id&, const redis_entry_id&) = default;

    static redis_entry_id parse(std::string_view text) noexcept {
        redis_entry_id id;
        const auto* end = text.data() + text.size();
        auto first = std::from_chars(text.data(), end, id.milliseconds);
        if (first.ptr != end && *first.ptr == '-') {
            std::from_chars(first.ptr + 1, end, id.sequence);
        }
        return id;
    }
    [[nodiscard]] std::string to_string() const {
        return std::to_string(milliseconds) + '-' + std::to_string(sequence);
    }
};

/// The connection that waits for the entries of all subscribed streams behind those that it has
/// seen, over reconnects.
class redis_streams {
public:
    using entry_handler =
        move_only_function<void(std::string_view subject, std::span<const std::byte> bytes)>;

    redis_streams(event_loop& loop,
                  redis_link::closed_handler closed,
                  std::string prefix,
                  std::chrono::nanoseconds patience,
                  entry_handler on_entry,
                  redis_link::closed_handler failed)
        : loop_{loop},
          link_{loop, std::move(closed)},
          prefix_{std::move(prefix)},
          patience_{std::max(std::chrono::duration_cast<std::chrono::milliseconds>(patience),
                             std::chrono::milliseconds{1})},
          on_entry_{std::move(on_entry)},
          failed_{std::move(failed)} {}

    [[nodiscard]] redis_link& link() noexcept { return link_; }
    [[nodiscard]] std::string key_of(std::string_view subject) const {
        return prefix_ + std::string{subject};
    }

    /// The connection is let in: `then` when it may wait.
    template <typename F>
    void start(F then) {
        link_.command({"CLIENT", "ID"},
                      [this, then = std::move(then)](const redisReply& reply) mutable {
                          client_ = reply.type == REDIS_REPLY_INTEGER ? reply.integer : 0;
                          ready_ = true;
                          read();
                          then();
                      });
    }
    void close() noexcept {
        link_.close();
        ready_ = false;
        waiting_ = false;
        stale_ = false;
        retry_.cancel();
        for (auto& each : positions_) {
            each.second.known = false;
        }
    }

    /// Where to read on: behind what we have seen; in a new stream behind what is there now; at the
    /// beginning of one that the server has lost and begun anew. `then` when that is known.
    template <typename F>
    void find_position(redis_link& by, const std::string& subject, F then) {
        positions_[subject];
        by.command({"XREVRANGE", key_of(subject), "+", "-", "COUNT", "1"},
                   [this, &by, subject, then = std::move(then)](const redisReply& reply) mutable {
                       on_position(by, subject, reply);
                       then();
                   });
    }
    void forget(const std::string& subject) noexcept { positions_.erase(subject); }

    [[nodiscard]] bool is_late(std::chrono::steady_clock::time_point now,
                               std::chrono::nanoseconds timeout) const noexcept {
        return waiting_ && now - asked_ > patience_ + timeout;
    }

private:
    struct position {
        redis_entry_id last;
        bool fresh = true;  // it has never been known
        bool known = false; // in this connection
    };

    void on_position(redis_link& by, const std::string& subject, const redisReply& reply) {
        auto found = positions_.find(subject);
        if (found == positions_.end()) {
            return; // unsubscribed meanwhile
        }
        if (reply.type == REDIS_REPLY_ERROR) {
            failed_(errc::request_failed, text_of(reply));
            return;
        }
        redis_entry_id last;
        if (auto entries = elements_of(reply); !entries.empty()) {
            if (auto parts = elements_of(*entries[0]); !parts.empty()) {
                last = redis_entry_id::parse(text_of(*parts[0]));
            }
        }
        auto& at = found->second;
        if (at.fresh) {
            at.last = last;
        } else if (last < at.last) {
            at.last = {};
        }
        at.fresh = false;
        at.known = true;
        begin_again(by);
        read();
    }

    // It waits for fewer streams than it should. It may not even wait yet: the two connections are
    // served in any order.
    void begin_again(redis_link& by) {
        stale_ = waiting_;
        if (!stale_ || client_ == 0) {
            return;
        }
        by.command({"CLIENT", "UNBLOCK", std::to_string(client_)},
                   [this, &by](const redisReply& reply) {
                       if (reply.type == REDIS_REPLY_INTEGER && reply.integer == 0 && stale_) {
                           retry_.cancel();
                           retry_ = loop_.after(std::chrono::milliseconds{10}, [this, &by] {
                               if (stale_) {
                                   begin_again(by);
                               }
                           });
                       }
                   });
    }

    void read() {
        if (!ready_ || waiting_) {
            return;
        }
        std::vector<std::string> keys;
        std::vector<std::string> ids;
        for (const auto& [subject, at] : positions_) {
            if (at.known) {
                keys.push_back(key_of(subject));
                ids.push_back(at.last.to_string());
            }
        }
        if (keys.empty()) {
            return;
        }
        auto block = std::to_string(patience_.count());
        std::vector<std::string_view> words{"XREAD", "COUNT", "100", "BLOCK", block, "STREAMS"};
        words.insert(words.end(), keys.begin(), keys.end());
        words.insert(words.end(), ids.begin(), ids.end());
        waiting_ = true;
        stale_ = false;
        asked_ = loop_.now();
        link_.command(words, [this](const redisReply& reply) {
            waiting_ = false;
            on_read(reply);
        });
    }

    void on_read(const redisReply& reply) {
        if (reply.type == REDIS_REPLY_ERROR && !text_of(reply).starts_with("UNBLOCKED")) {
            failed_(errc::request_failed, text_of(reply));
            return;
        }
        for (const auto* stream : elements_of(reply)) {
            auto parts = elements_of(*stream);
            if (parts.size() != 2 || !text_of(*parts[0]).starts_with(prefix_)) {
                continue;
            }
            std::string subject{text_of(*parts[0]).substr(prefix_.size())};
            auto found = positions_.find(subject);
            for (const auto* entry : elements_of(*parts[1])) {
                if (found != positions_.end()) {
                    on_one(subject, found->second, *entry);
                }
            }
        }
        read();
    }

    void on_one(const std::string& subject, position& at, const redisReply& entry) {
        auto parts = elements_of(entry);
        if (parts.size() != 2) {
            return;
        }
        at.last = redis_entry_id::parse(text_of(*parts[0]));
        auto fields = elements_of(*parts[1]);
        bool ours = fields.size() == 2 && text_of(*fields[0]) == "m";
        on_entry_(subject,
                  ours ? std::as_bytes(std::span{text_of(*fields[1])})
                       : std::span<const std::byte>{});
    }

    event_loop& loop_;
    redis_link link_;
    std::string prefix_;
    std::chrono::milliseconds patience_;
    entry_handler on_entry_;
    redis_link::closed_handler failed_;
    std::map<std::string, position> positions_;
    std::chrono::steady_clock::time_point asked_;
    long long client_ = 0;
    bool ready_ = false;
    bool waiting_ = false;
    bool stale_ = false; // what it waits for
    timer retry_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_DETAIL_REDIS_STREAMS_HPP
