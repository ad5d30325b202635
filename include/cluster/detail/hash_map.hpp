// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_HASH_MAP_HPP
#define CLUSTER_DETAIL_HASH_MAP_HPP

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A hash table. The entries lie side by side, in the order in which they came until one is erased,
/// whose place the last one takes. Pointers are good until one comes or goes.
///
/// \tparam KeyView what keys are looked up by
/// \tparam Hash of a KeyView, to 64 bits of which the lower half is used
template <typename Key, typename KeyView, typename Value, typename Hash>
class hash_map {
public:
    struct entry {
        Key key;
        Value value;
    };

    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    /// Entries, whose keys must stay what they are.
    [[nodiscard]] auto begin() noexcept { return entries_.begin(); }
    [[nodiscard]] auto end() noexcept { return entries_.end(); }
    [[nodiscard]] auto begin() const noexcept { return entries_.begin(); }
    [[nodiscard]] auto end() const noexcept { return entries_.end(); }

    /// The value, null when there is none.
    [[nodiscard]] Value* find(KeyView key) noexcept {
        return size() == 0 ? nullptr : value_at(slot_of(key, short_hash(key)));
    }
    [[nodiscard]] const Value* find(KeyView key) const noexcept {
        return const_cast<hash_map*>(this)->find(key);
    }
    [[nodiscard]] bool contains(KeyView key) const noexcept { return find(key) != nullptr; }

    /// The value, made by its default constructor if there is none.
    Value& operator[](KeyView key) {
        if ((size() + 1) * 4 > slots_.size() * 3) {
            grow();
        }
        auto hash = short_hash(key);
        auto at = slot_of(key, hash);
        if (slots_[at].place == none) {
            entries_.push_back({Key{key}, Value{}});
            slots_[at] = {hash, static_cast<std::uint32_t>(entries_.size())};
        }
        return entries_[slots_[at].place - 1].value;
    }

    /// \returns whether it was there.
    bool erase(KeyView key) noexcept {
        auto at = size() == 0 ? 0 : slot_of(key, short_hash(key));
        if (size() == 0 || slots_[at].place == none) {
            return false;
        }
        auto place = slots_[at].place;
        if (place != entries_.size()) {
            auto& last = entries_.back();
            slots_[slot_of(last.key, short_hash(last.key))].place = place;
            std::swap(entries_[place - 1], last);
        }
        entries_.pop_back();
        close_gap(at);
        return true;
    }

    void clear() noexcept {
        entries_.clear();
        slots_.clear();
    }

private:
    static constexpr std::uint32_t none = 0;
    struct slot {
        std::uint32_t hash = 0;
        std::uint32_t place = none; // of its entry, counted from 1
    };

    [[nodiscard]] std::uint32_t short_hash(KeyView key) const noexcept {
        return static_cast<std::uint32_t>(hash_(key));
    }
    [[nodiscard]] std::size_t next(std::size_t at) const noexcept {
        return (at + 1) & (slots_.size() - 1);
    }
    [[nodiscard]] std::size_t home_of(std::uint32_t hash) const noexcept {
        return hash & (slots_.size() - 1);
    }

    // Where the key is, or the free slot where it belongs. Some are always free.
    [[nodiscard]] std::size_t slot_of(KeyView key, std::uint32_t hash) const noexcept {
        auto at = home_of(hash);
        while (slots_[at].place != none &&
               (slots_[at].hash != hash || entries_[slots_[at].place - 1].key != key)) {
            at = next(at);
        }
        return at;
    }
    [[nodiscard]] Value* value_at(std::size_t at) noexcept {
        return slots_[at].place == none ? nullptr : &entries_[slots_[at].place - 1].value;
    }

    // What was put behind it because it was taken moves up.
    void close_gap(std::size_t gap) noexcept {
        const auto mask = slots_.size() - 1;
        for (auto at = next(gap); slots_[at].place != none; at = next(at)) {
            auto home = home_of(slots_[at].hash);
            if (((at - home) & mask) >= ((at - gap) & mask)) {
                slots_[gap] = slots_[at];
                gap = at;
            }
        }
        slots_[gap] = {};
    }

    void grow() {
        std::vector<slot> old(slots_.empty() ? 8 : 2 * slots_.size());
        old.swap(slots_);
        for (const auto& each : old) {
            if (each.place != none) {
                auto at = home_of(each.hash);
                while (slots_[at].place != none) {
                    at = next(at);
                }
                slots_[at] = each;
            }
        }
    }

    Hash hash_;
    std::vector<entry> entries_;
    std::vector<slot> slots_; // a power of two of them, or none
};

/// Spreads numbers that nobody chooses to make them collide: descriptors, running numbers.
struct number_hash {
    [[nodiscard]] constexpr std::uint64_t operator()(std::uint64_t number) const noexcept {
        return (number * 0x9e3779b97f4a7c15U) >> 32U; // 2^64 by the golden ratio
    }
};

template <typename Value>
using number_map = hash_map<std::uint64_t, std::uint64_t, Value, number_hash>;

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_HASH_MAP_HPP
