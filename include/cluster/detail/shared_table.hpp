// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SHARED_TABLE_HPP
#define CLUSTER_DETAIL_SHARED_TABLE_HPP

#include "memory.hpp"
#include "os.hpp"
#include "recoverable_lock.hpp"
#include "shared_region.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// How an operation that may need room has ended.
enum class table_outcome : unsigned char { inserted, assigned, full, changed };

/// A hash table of fixed capacity in shared memory, whose keys and values are words. Zero bytes are
/// an empty table. Any process may be killed at any instruction of it.
///
/// A key has two groups of slots and is in one of them or nowhere; it never moves. A slot is one
/// word (version, tag of the key, in use) and two cells: the word's version says which of them
/// holds key and value. A writer fills the other cell and then makes it the current one by a single
/// compare-and-swap of the word; inserting, assigning and erasing are one such swap each. Hence:
///
/// - Whoever dies, dies before the swap, and the table is as it was, or after it, and the operation
///   is done. The lock that keeps writers from filling the same cell is taken from the dead.
/// - Readers take no lock. One that has copied a cell looks at the word again: as long as it is the
///   same nobody has begun to write this cell, since that takes the version after the next. (All
///   words of a cell are stored with release and loaded with acquire: who sees one of a later
///   version sees the word of the version before it, too.) They start over only because a write has
///   succeeded meanwhile.
/// - A writer that was only stopped and goes on after it lost the lock writes at most the one cell
///   that it had begun with, and its swap fails if somebody has changed the slot. If that cell has
///   become the current one, the checksum no longer fits: the entry counts as absent. That is the
///   worst that a writer can do: its own slot is lost.
///
/// Two choices of 16 slots leave no key without a slot while two thirds of all are in use: of 10^9
/// random replacements in full tables of 36 to 20,000 one in 10^7 took the last slot of a group, and
/// none found both groups full (with three quarters 7 of 10^8 did). So `capacity` is how many the
/// table takes.
template <std::size_t KeyWords, std::size_t ValueWords>
class shared_table {
public:
    using key_type = std::array<std::uint64_t, KeyWords>;
    using value_type = std::array<std::uint64_t, ValueWords>;
    struct entry {
        key_type key{};
        value_type value{};
        std::size_t slot = 0;
        std::uint64_t word = 0; // as it was then
    };

    /// Bytes of a region for `capacity` entries, with `extra` more for each slot; the largest number
    /// when that cannot be.
    static std::uint64_t bytes(std::uint64_t capacity, std::uint64_t extra = 0) noexcept {
        if (capacity > std::numeric_limits<std::uint32_t>::max()) {
            return std::numeric_limits<std::uint64_t>::max();
        }
        return sizeof(header) + slots_for(capacity) * (slot_bytes + extra);
    }

    shared_table() noexcept = default;
    shared_table(std::shared_ptr<shared_region> region, std::uint64_t capacity) noexcept
        : region_{std::move(region)},
          header_{std::launder(static_cast<header*>(region_->data()))},
          words_{reinterpret_cast<std::atomic<std::uint64_t>*>(header_ + 1)},
          capacity_{capacity},
          slots_{static_cast<std::size_t>(slots_for(capacity))} {
        std::uint64_t none = 0; // the seed of the first who comes is everybody's
        header_->seed.compare_exchange_strong(none, os::random_seed() | 1U);
    }

    [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] std::size_t slots() const noexcept { return slots_; }
    [[nodiscard]] std::uint64_t size() const noexcept {
        return header_ == nullptr ? 0 : header_->count.load(std::memory_order_relaxed);
    }
    /// The words behind the table, when room was asked for.
    [[nodiscard]] std::atomic<std::uint64_t>* extra() const noexcept {
        return words_ + slots_ * (1 + 2 * cell_words);
    }
    [[nodiscard]] const std::shared_ptr<shared_region>& region() const noexcept { return region_; }

    /// \returns whether the key is there, with what stands for it.
    bool find(const key_type& key, entry& found) const noexcept {
        const auto at = place_of(key);
        for (std::size_t group : at.groups) {
            for (std::size_t slot = group; slot != group + group_size; ++slot) {
                if (read(slot, at.tag, found) && found.key == key) {
                    return true;
                }
            }
        }
        return false;
    }

    /// Calls `f(entry)` for every entry that is there all the time, and for some of the others.
    template <typename F>
    void for_each(F&& f) const {
        entry found;
        for (std::size_t slot = 0; slot != slots_; ++slot) {
            if (read(slot, any_tag, found)) {
                f(std::as_const(found));
            }
        }
    }

    /// `slot`: where it is then.
    table_outcome
    insert_or_assign(const key_type& key, const value_type& value, std::size_t& slot) {
        const auto at = place_of(key);
        for (;;) {
            guard hold{*this};
            entry found;
            bool there = find(key, found);
            slot = found.slot;
            if (!there && (size() >= capacity_ || !free_slot(at, slot))) {
                return table_outcome::full;
            }
            auto word = words_[slot].load(std::memory_order_acquire);
            if ((!there || word == found.word) && publish(slot, word, at.tag, key, value)) {
                if (!there) {
                    header_->count.fetch_add(1, std::memory_order_relaxed);
                }
                return there ? table_outcome::assigned : table_outcome::inserted;
            } // else somebody has taken the lock from us
        }
    }

    /// Assigns if the entry is still as it was found, else `changed`.
    table_outcome replace(const entry& old, const value_type& value) {
        guard hold{*this};
        return publish(old.slot, old.word, tag_of(old.word), old.key, value)
                   ? table_outcome::assigned
                   : table_outcome::changed;
    }

    /// Inserts if the key is not there, else `changed`.
    table_outcome insert(const key_type& key, const value_type& value, std::size_t& slot) {
        const auto at = place_of(key);
        for (;;) {
            guard hold{*this};
            entry found;
            if (find(key, found)) {
                slot = found.slot;
                return table_outcome::changed;
            }
            if (size() >= capacity_ || !free_slot(at, slot)) {
                return table_outcome::full;
            }
            auto word = words_[slot].load(std::memory_order_acquire);
            if (publish(slot, word, at.tag, key, value)) {
                header_->count.fetch_add(1, std::memory_order_relaxed);
                return table_outcome::inserted;
            }
        }
    }

    bool erase(const key_type& key) {
        guard hold{*this};
        entry found;
        bool erased = false;
        while (find(key, found)) { // more than one only if a robbed writer has doubled it
            erased = clear(found.slot, found.word) || erased;
        }
        return erased;
    }

private:
    static constexpr std::size_t group_size = 16;
    static constexpr std::size_t cell_words = 1 + KeyWords + ValueWords; // a checksum first
    static constexpr std::uint64_t slot_bytes = 8 * (1 + 2 * cell_words);
    static constexpr std::uint64_t used = 1;
    static constexpr unsigned version_shift = 17; // above the tag
    static constexpr std::uint32_t any_tag = 0x10000U;
    static constexpr int most_tries = 10'000; // of a reader: only hostile writers are that quick

    struct alignas(64) header {
        recoverable_lock lock;
        std::atomic<std::uint64_t> seed;
        std::atomic<std::uint64_t> count;
    };
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                      sizeof(std::atomic<std::uint64_t>) == 8,
                  "the table is shared between processes");

    class guard {
    public:
        explicit guard(shared_table& table) noexcept : table_{table} {
            if (table_.header_->lock.lock(me_)) {
                table_.repair();
            }
        }
        guard(guard&&) = delete;
        ~guard() { table_.header_->lock.unlock(me_); }

    private:
        shared_table& table_;
        const std::uint32_t me_ = os::thread_number();
    };

    struct place {
        std::array<std::size_t, 2> groups; // their first slots
        std::uint32_t tag;
    };

    static constexpr std::uint64_t slots_for(std::uint64_t capacity) noexcept {
        std::uint64_t wanted = capacity + (capacity + 1) / 2;
        return (wanted + group_size - 1) / group_size * group_size;
    }
    static constexpr std::uint64_t mix(std::uint64_t value) noexcept { // of splitmix64
        value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
        value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
        return value ^ (value >> 31U);
    }
    static constexpr std::uint32_t tag_of(std::uint64_t word) noexcept {
        return static_cast<std::uint32_t>(word >> 1U) & 0xffffU;
    }

    [[nodiscard]] place place_of(const key_type& key) const noexcept {
        std::uint64_t hash = header_->seed.load(std::memory_order_relaxed);
        for (std::uint64_t word : key) {
            hash = mix(hash ^ word) + 0x9e3779b97f4a7c15U;
        }
        const std::uint64_t groups = slots_ / group_size;
        const std::uint64_t first = ((hash >> 32U) * groups) >> 32U;
        const std::uint64_t step =
            groups == 1 ? 0 : 1 + (((hash & 0xffffffffU) * (groups - 1)) >> 32U);
        const std::uint64_t second = (first + step) % groups;
        return {{static_cast<std::size_t>(first) * group_size,
                 static_cast<std::size_t>(second) * group_size},
                static_cast<std::uint32_t>(mix(hash)) & 0xffffU};
    }

    [[nodiscard]] std::atomic<std::uint64_t>* cell(std::size_t slot,
                                                   std::uint64_t word) const noexcept {
        return words_ + slots_ + (2 * slot + ((word >> version_shift) & 1U)) * cell_words;
    }
    static std::uint64_t
    checksum(std::uint64_t word, const key_type& key, const value_type& value) {
        std::uint64_t sum = mix(word);
        for (std::uint64_t each : key) {
            sum = mix(sum ^ each) + 1;
        }
        for (std::uint64_t each : value) {
            sum = mix(sum ^ each) + 1;
        }
        return sum;
    }

    // An entry whose tag is this one, undamaged.
    bool read(std::size_t slot, std::uint32_t tag, entry& into) const noexcept {
        for (int i = 0; i != most_tries; ++i) {
            const auto word = words_[slot].load(std::memory_order_acquire);
            if ((word & used) == 0 || (tag != any_tag && tag_of(word) != tag)) {
                return false;
            }
            const auto* from = cell(slot, word);
            const auto sum = (from++)->load(std::memory_order_acquire);
            for (auto& each : into.key) {
                each = (from++)->load(std::memory_order_acquire);
            }
            for (auto& each : into.value) {
                each = (from++)->load(std::memory_order_acquire);
            }
            if (words_[slot].load(std::memory_order_relaxed) == word) {
                into.slot = slot;
                into.word = word;
                return sum == checksum(word, into.key, into.value);
            }
        }
        return false;
    }

    // The rest is for who has the lock.

    bool publish(std::size_t slot,
                 std::uint64_t old,
                 std::uint32_t tag,
                 const key_type& key,
                 const value_type& value) noexcept {
        if (words_[slot].load(std::memory_order_acquire) != old) {
            return false;
        }
        const std::uint64_t word =
            ((old >> version_shift) + 1) << version_shift | std::uint64_t{tag} << 1U | used;
        auto* to = cell(slot, word);
        (to++)->store(checksum(word, key, value), std::memory_order_release);
        for (std::uint64_t each : key) {
            (to++)->store(each, std::memory_order_release);
        }
        for (std::uint64_t each : value) {
            (to++)->store(each, std::memory_order_release);
        }
        return words_[slot].compare_exchange_strong(old, word, std::memory_order_acq_rel);
    }

    bool clear(std::size_t slot, std::uint64_t old) noexcept {
        const std::uint64_t word = ((old >> version_shift) + 1) << version_shift;
        if (!words_[slot].compare_exchange_strong(old, word, std::memory_order_acq_rel)) {
            return false;
        }
        header_->count.fetch_sub(1, std::memory_order_relaxed);
        return true;
    }

    // One of the group that has more of them.
    bool free_slot(const place& at, std::size_t& slot) const noexcept {
        std::size_t most = 0;
        for (std::size_t group : at.groups) {
            std::size_t count = 0;
            std::size_t first = group;
            for (std::size_t i = group + group_size; i-- != group;) {
                if ((words_[i].load(std::memory_order_relaxed) & used) == 0) {
                    ++count;
                    first = i;
                }
            }
            if (count > most) {
                most = count;
                slot = first;
            }
        }
        return most != 0;
    }

    // After a holder of the lock that has not let go: what it was about to count, and what it has
    // damaged if it was robbed before.
    void repair() noexcept {
        std::uint64_t count = 0;
        entry found;
        for (std::size_t slot = 0; slot != slots_; ++slot) {
            auto word = words_[slot].load(std::memory_order_acquire);
            if ((word & used) != 0) {
                if (read(slot, any_tag, found)) {
                    ++count;
                } else {
                    clear(slot, word);
                }
            }
        }
        header_->count.store(count, std::memory_order_relaxed);
    }

    std::shared_ptr<shared_region> region_;
    header* header_ = nullptr;
    std::atomic<std::uint64_t>* words_ = nullptr; // one for each slot, then two cells for each
    std::uint64_t capacity_ = 0;
    std::size_t slots_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SHARED_TABLE_HPP
