// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_STICKY_REGISTRY_HPP
#define CLUSTER_BUS_STICKY_REGISTRY_HPP

#include "../detail/algorithm.hpp"
#include "../detail/chrono.hpp"
#include "../detail/move_only_function.hpp"
#include "../detail/string_map.hpp"
#include "../error.hpp"
#include "../subscription.hpp"
#include "detail/bus_frame.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// Who owns a session: a map from keys to nodes that every node has a copy of. What a bus_node
/// calls registry().
///
/// The last claim of a key wins; of two at the same instant (or with clocks that differ) that of
/// the node whose name is greater. It takes the time of the bus until others know: two nodes may
/// believe that they own a key until their claims have met, so it says where something *is*, it is
/// no lock. Copies that have missed something are mended at the next heartbeat. The claims of a node
/// whose heartbeats stop are gone. The loop's thread; nothing blocks.
class sticky_registry {
public:
    /// Bytes in a key.
    static constexpr std::size_t longest_key = 1024;
    /// Keys of all nodes together.
    static constexpr std::size_t most_keys = 1'000'000;

    sticky_registry(sticky_registry&&) = delete;

    /// This node owns the key from now on.
    /// \returns `std::errc::invalid_argument` (no key, or too long), `std::errc::no_space_on_device`
    /// (a million keys), else what publish() said: the others get it with the next heartbeat then
    std::error_code claim(std::string_view key) {
        if (key.empty() || key.size() > longest_key) {
            return std::make_error_code(std::errc::invalid_argument);
        }
        if (keys_.size() >= most_keys && !keys_.contains(key)) {
            return std::make_error_code(std::errc::no_space_on_device);
        }
        detail::bus_claim made{std::string{key}, next_stamp()};
        put(made, self_);
        return send_({}, detail::bus_kind::registry_claim, {0, true, {std::move(made)}});
    }

    /// Nobody owns the key from now on, if it is ours; else nothing happens.
    std::error_code release(std::string_view key) {
        const auto* found = keys_.find(key);
        if (found == nullptr || found->owner != self_) {
            return {};
        }
        detail::bus_claim dropped{std::string{key}, found->stamp};
        remove(dropped.key);
        return send_({}, detail::bus_kind::registry_drop, {0, true, {std::move(dropped)}});
    }

    /// The node that owns the key, as far as is known here.
    [[nodiscard]] std::optional<std::string> lookup(std::string_view key) const {
        const auto* found = keys_.find(key);
        return found == nullptr ? std::nullopt : std::optional{found->owner};
    }
    [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }

    /// Calls `handler(std::string_view key, std::string_view node)` when a key gets another owner;
    /// none has an empty name.
    template <typename F>
    subscription on_change(F&& handler) {
        return changed_.add(std::forward<F>(handler));
    }

private:
    template <typename Bus, typename Serializer>
    friend class bus_node;

    /// Sends to a node, to all when it is empty.
    using sender = detail::move_only_function<std::error_code(
        std::string_view node, detail::bus_kind kind, const detail::bus_claims& what)>;

    struct entry {
        std::string owner;
        std::uint64_t stamp = 0;
    };
    struct summary { // of what one node claims
        std::uint64_t claims = 0;
        std::uint64_t digest = 0;
    };
    struct incoming { // a state of which parts are missing
        std::uint32_t next = 0;
        std::vector<detail::bus_claim> claims;
    };

    sticky_registry(std::string self, sender send)
        : self_{std::move(self)}, send_{std::move(send)} {}

    static std::uint64_t now() noexcept {
        auto since = std::chrono::system_clock::now().time_since_epoch();
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(since).count());
    }
    // Later than every claim that was heard of, whatever the clocks say.
    std::uint64_t next_stamp() noexcept { return last_ = detail::max(now(), last_ + 1); }

    static std::uint64_t digest_of(std::string_view key, std::uint64_t stamp) noexcept {
        std::uint64_t hash = 0xcbf29ce484222325U ^ stamp;
        for (const char each : key) {
            hash = (hash ^ static_cast<unsigned char>(each)) * 0x100000001b3U;
        }
        return hash ^ hash >> 29U;
    }
    void count(const std::string& owner, std::string_view key, std::uint64_t stamp, bool more) {
        auto& of = summaries_[owner];
        of.claims += more ? 1 : std::uint64_t(-1);
        of.digest ^= digest_of(key, stamp);
        if (of.claims == 0) {
            summaries_.erase(owner);
        }
    }
    [[nodiscard]] summary summary_of(const std::string& node) const {
        const auto* found = summaries_.find(node);
        return found == nullptr ? summary{} : *found;
    }

    void put(const detail::bus_claim& claim, const std::string& owner) {
        auto before = keys_.size();
        auto& at = keys_[claim.key];
        bool other = keys_.size() != before || at.owner != owner;
        if (keys_.size() == before) {
            count(at.owner, claim.key, at.stamp, false);
        }
        at = {owner, claim.stamp};
        count(owner, claim.key, claim.stamp, true);
        if (other) {
            changed_.emit(claim.key, owner); // a handler may claim or release
        }
    }
    void remove(const std::string& key) {
        if (const auto* at = keys_.find(key)) {
            count(at->owner, key, at->stamp, false);
            keys_.erase(key);
            changed_.emit(key, {});
        }
    }

    /// \returns false when no node of ours says such a thing.
    bool on_claims(const std::string& from, const detail::bus_claims& what) {
        constexpr std::uint64_t an_hour = 3'600'000'000U;
        auto latest = now() + an_hour; // else one wrong clock would own a key for ever
        for (const auto& each : what.claims) {
            if (each.key.empty() || each.key.size() > longest_key || each.stamp > latest) {
                return false;
            }
        }
        detail::bus_claims mine; // what the other has not heard of
        for (const auto& each : what.claims) {
            last_ = detail::max(last_, each.stamp);
            const auto* found = keys_.find(each.key);
            if (found == nullptr ? keys_.size() < most_keys
                                 : std::pair{each.stamp, std::string_view{from}} >
                                       std::pair{found->stamp, std::string_view{found->owner}}) {
                put(each, from);
            } else if (found != nullptr && found->owner == self_) {
                mine.claims.push_back({each.key, found->stamp});
            }
        }
        if (!mine.claims.empty()) {
            send_(from, detail::bus_kind::registry_claim, mine);
        }
        return true;
    }

    void on_drop(const std::string& from, const detail::bus_claims& what) {
        for (const auto& each : what.claims) {
            const auto* found = keys_.find(each.key);
            if (found != nullptr && found->owner == from && found->stamp <= each.stamp) {
                remove(each.key);
            }
        }
    }

    bool on_state(const std::string& from, detail::bus_claims what) {
        auto& so_far = incoming_[from];
        if (what.part != so_far.next && what.part != 0) {
            incoming_.erase(from); // a part was lost: the next heartbeat asks again
            return true;
        }
        if (what.part == 0) {
            so_far = {};
        }
        if (so_far.claims.size() + what.claims.size() > most_keys) {
            incoming_.erase(from);
            return false;
        }
        ++so_far.next;
        for (auto& each : what.claims) {
            so_far.claims.push_back(std::move(each));
        }
        if (!what.last) {
            return true;
        }
        detail::bus_claims all{0, true, std::move(so_far.claims)};
        incoming_.erase(from);
        detail::string_map<bool> still;
        for (const auto& each : all.claims) {
            still[each.key] = true;
        }
        remove_if([&](const std::string& key, const entry& of) {
            return of.owner == from && !still.contains(key);
        });
        return on_claims(from, all);
    }

    void on_beat(const std::string& from, const detail::bus_beat& beat) {
        auto known = summary_of(from);
        if (known.claims != beat.claims || known.digest != beat.digest) {
            send_(from, detail::bus_kind::registry_want, {});
        }
    }

    void send_state(std::string_view to) {
        constexpr std::size_t part_size = 32 * 1024;
        detail::bus_claims part;
        std::size_t bytes = 0;
        for (const auto& [key, of] : keys_) {
            if (of.owner != self_) {
                continue;
            }
            part.claims.push_back({key, of.stamp});
            bytes += key.size() + 16;
            if (bytes >= part_size) {
                part.last = false;
                send_(to, detail::bus_kind::registry_state, part);
                part = {part.part + 1, true, {}};
                bytes = 0;
            }
        }
        send_(to, detail::bus_kind::registry_state, part);
    }

    void on_gone(const std::string& node) {
        incoming_.erase(node);
        remove_if([&](const std::string&, const entry& of) { return of.owner == node; });
    }

    template <typename Condition>
    void remove_if(Condition condition) {
        std::vector<std::string> gone;
        for (const auto& [key, of] : keys_) {
            if (condition(key, of)) {
                gone.push_back(key);
            }
        }
        for (const auto& each : gone) {
            const auto* found = keys_.find(each); // a handler may have changed it
            if (found != nullptr && condition(each, *found)) {
                remove(each);
            }
        }
    }

    std::string self_;
    sender send_;
    detail::string_map<entry> keys_;
    detail::string_map<summary> summaries_;
    detail::string_map<incoming> incoming_;
    std::uint64_t last_ = 0;
    detail::emitter<std::string_view, std::string_view> changed_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_STICKY_REGISTRY_HPP
