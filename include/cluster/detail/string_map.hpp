// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_STRING_MAP_HPP
#define CLUSTER_DETAIL_STRING_MAP_HPP

#include "../byte_buffer.hpp"
#include "os.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// SipHash-1-3, whose results nobody foresees who does not know the key: peers choose the texts.
class keyed_hash {
public:
    [[nodiscard]] std::uint64_t operator()(std::string_view text) const noexcept {
        state s{key_0_ ^ 0x736f6d6570736575U,
                key_1_ ^ 0x646f72616e646f6dU,
                key_0_ ^ 0x6c7967656e657261U,
                key_1_ ^ 0x7465646279746573U};
        const auto last = static_cast<std::uint64_t>(text.size()) << 56U;
        for (; text.size() >= 8; text.remove_prefix(8)) {
            s.take(load(text.data(), 8));
        }
        s.take(last | load(text.data(), text.size()));
        s.v2 ^= 0xffU;
        s.round();
        s.round();
        s.round();
        return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    }

private:
    struct state {
        std::uint64_t v0, v1, v2, v3;

        void take(std::uint64_t word) noexcept {
            v3 ^= word;
            round();
            v0 ^= word;
        }
        void round() noexcept {
            v0 += v1;
            v1 = std::rotl(v1, 13) ^ v0;
            v0 = std::rotl(v0, 32);
            v2 += v3;
            v3 = std::rotl(v3, 16) ^ v2;
            v0 += v3;
            v3 = std::rotl(v3, 21) ^ v0;
            v2 += v1;
            v1 = std::rotl(v1, 17) ^ v2;
            v2 = std::rotl(v2, 32);
        }
    };

    static std::uint64_t load(const char* from, std::size_t size) noexcept {
        std::byte bytes[8]{};
        if (size != 0) { // memcpy takes no null pointer, not even for nothing
            std::memcpy(bytes, from, size);
        }
        return load_little_endian<std::uint64_t>(bytes);
    }

    std::uint64_t key_0_ = os::random_seed();
    std::uint64_t key_1_ = os::random_seed();
};

/// A hash table from texts to values. The entries lie side by side, in the order in which they came
/// until one is erased, whose place the last one takes. Pointers are good until one comes or goes.
template <typename Value>
class string_map {
public:
    struct entry {
        std::string key;
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
    [[nodiscard]] Value* find(std::string_view key) noexcept {
        return size() == 0 ? nullptr : value_at(slot_of(key, short_hash(key)));
    }
    [[nodiscard]] const Value* find(std::string_view key) const noexcept {
        return const_cast<string_map*>(this)->find(key);
    }
    [[nodiscard]] bool contains(std::string_view key) const noexcept {
        return find(key) != nullptr;
    }

    /// The value, made by its default constructor if there is none.
    Value& operator[](std::string_view key) {
        if ((size() + 1) * 4 > slots_.size() * 3) {
            grow();
        }
        auto hash = short_hash(key);
        auto at = slot_of(key, hash);
        if (slots_[at].place == none) {
            entries_.push_back({std::string{key}, Value{}});
            slots_[at] = {hash, static_cast<std::uint32_t>(entries_.size())};
        }
        return entries_[slots_[at].place - 1].value;
    }

    /// \returns whether it was there.
    bool erase(std::string_view key) noexcept {
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

    [[nodiscard]] std::uint32_t short_hash(std::string_view key) const noexcept {
        return static_cast<std::uint32_t>(hash_(key));
    }
    [[nodiscard]] std::size_t next(std::size_t at) const noexcept {
        return (at + 1) & (slots_.size() - 1);
    }
    [[nodiscard]] std::size_t home_of(std::uint32_t hash) const noexcept {
        return hash & (slots_.size() - 1);
    }

    // Where the key is, or the free slot where it belongs. Some are always free.
    [[nodiscard]] std::size_t slot_of(std::string_view key, std::uint32_t hash) const noexcept {
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

    keyed_hash hash_;
    std::vector<entry> entries_;
    std::vector<slot> slots_; // a power of two of them, or none
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_STRING_MAP_HPP
