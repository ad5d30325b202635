// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SHARED_MEMORY_SHARED_MAP_HPP
#define CLUSTER_SHARED_MEMORY_SHARED_MAP_HPP

#include "../detail/memory.hpp"
#include "../detail/shared_table.hpp"
#include "shareable.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {

/// What became of a write into a shared_map.
enum class map_result : unsigned char {
    inserted, ///< the key was not there
    assigned, ///< it was, and has the new value
    full,     ///< it was not, and there is no room: nothing has changed
};

namespace detail {

template <typename T>
inline constexpr std::size_t words_in = (sizeof(T) + 7) / 8;

template <typename T>
std::array<std::uint64_t, words_in<T>> to_words(const T& value) noexcept {
    std::array<std::uint64_t, words_in<T>> words{};
    std::memcpy(words.data(), &value, sizeof value);
    return words;
}
template <typename T>
T from_words(const std::array<std::uint64_t, words_in<T>>& words) noexcept {
    std::array<std::byte, sizeof(T)> bytes;
    std::memcpy(bytes.data(), words.data(), sizeof(T));
    return std::bit_cast<T>(bytes);
}

template <typename Key, typename Value>
consteval bool check_map() {
    static_assert(shareable<Key> && std::is_trivially_copyable_v<Key> &&
                      std::has_unique_object_representations_v<Key>,
                  "shared_map: keys are compared by their bytes; use an integer, an enumeration, a "
                  "structure of those without padding, or a cluster::fixed_string<N> for text.");
    static_assert(shareable<Value> && std::is_trivially_copyable_v<Value>,
                  "shared_map: only trivially copyable values may live in shared memory, and no "
                  "pointers; values are replaced as a whole, so that none needs to be an atomic.");
    return true;
}

} // namespace detail

/// A hash map of fixed capacity in memory that the primary and the workers share: what
/// `primary.shared_map<Key, Value>(name, capacity)` and `self.shared_map<…>(…)` return.
///
/// Each operation happens at once, or, when its process is killed in the middle of it, not at all:
/// readers never wait and never see half a value, writers wait for each other only, and never for
/// a dead one. One that is stopped in the middle of a write delays the others for a second at most
/// (it may lose what it was about to write, and what others have written under the same key).
///
/// A handle: copies are cheap and mean the same map, which lives as long as the primary or any
/// handle. Thread-safe. Not for one without a map (default-constructed).
template <typename Key, typename Value>
class shared_map {
    static_assert(detail::check_map<Key, Value>());
    using table = detail::shared_table<detail::words_in<Key>, detail::words_in<Value>>;

public:
    using key_type = Key;
    using mapped_type = Value;

    shared_map() noexcept = default;
    /// For the library: roles make it.
    shared_map(std::shared_ptr<detail::shared_region> region, std::size_t capacity) noexcept
        : table_{std::move(region), capacity} {}
    /// The same: the bytes of such a region.
    [[nodiscard]] static std::uint64_t bytes(std::size_t capacity) noexcept {
        return table::bytes(capacity);
    }

    /// How many entries it takes.
    [[nodiscard]] std::size_t capacity() const noexcept {
        return static_cast<std::size_t>(table_.capacity());
    }
    /// Entries now; off by one while a process that died is not noticed yet.
    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>(table_.size());
    }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }

    /// A copy of the value, if the key is there. Does not wait, makes no system call.
    [[nodiscard]] std::optional<Value> find(const Key& key) const noexcept {
        typename table::entry found;
        if (!table_.find(detail::to_words(key), found)) {
            return std::nullopt;
        }
        return detail::from_words<Value>(found.value);
    }
    [[nodiscard]] bool contains(const Key& key) const noexcept {
        typename table::entry found;
        return table_.find(detail::to_words(key), found);
    }

    /// Puts the value there, whether the key is new or not. \returns which, or `full`.
    map_result insert_or_assign(const Key& key, const Value& value) noexcept {
        std::size_t slot = 0;
        auto outcome =
            table_.insert_or_assign(detail::to_words(key), detail::to_words(value), slot);
        return outcome == detail::table_outcome::full       ? map_result::full
               : outcome == detail::table_outcome::inserted ? map_result::inserted
                                                            : map_result::assigned;
    }

    /// \returns whether the key was there.
    bool erase(const Key& key) noexcept { return table_.erase(detail::to_words(key)); }

    /// Replaces the value by what `change(Value&)` makes of it, as one operation: when another has
    /// changed it meanwhile, `change` is called again with the newer one. No lock is held while it
    /// runs, and what it throws leaves the map as it is. \returns whether the key was there.
    template <typename F>
    bool update(const Key& key, F&& change) {
        typename table::entry found;
        while (table_.find(detail::to_words(key), found)) {
            if (change_one(found, change)) {
                return true;
            }
        }
        return false;
    }

    /// The same, and when the key is not there it is inserted with the value `initial`.
    template <typename F>
    map_result upsert(const Key& key, const Value& initial, F&& change) {
        const auto words = detail::to_words(key);
        for (;;) {
            typename table::entry found;
            if (table_.find(words, found)) {
                if (change_one(found, change)) {
                    return map_result::assigned;
                }
                continue;
            }
            std::size_t slot = 0;
            auto outcome = table_.insert(words, detail::to_words(initial), slot);
            if (outcome != detail::table_outcome::changed) {
                return outcome == detail::table_outcome::full ? map_result::full
                                                              : map_result::inserted;
            }
        }
    }

    /// Calls `f(key, value)` with copies, in no order: for every entry that is there all the time,
    /// and for some of those that come or go meanwhile. `f` may use the map.
    template <typename F>
    void for_each(F&& f) const {
        table_.for_each([&](const typename table::entry& each) {
            f(detail::from_words<Key>(each.key), detail::from_words<Value>(each.value));
        });
    }

private:
    template <typename F>
    bool change_one(const typename table::entry& found, F& change) {
        auto value = detail::from_words<Value>(found.value);
        change(value);
        return table_.replace(found, detail::to_words(value)) == detail::table_outcome::assigned;
    }

    table table_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SHARED_MEMORY_SHARED_MAP_HPP
