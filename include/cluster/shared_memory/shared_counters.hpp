// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SHARED_MEMORY_SHARED_COUNTERS_HPP
#define CLUSTER_SHARED_MEMORY_SHARED_COUNTERS_HPP

#include "../detail/memory.hpp"
#include "../detail/shared_table.hpp"
#include "fixed_string.hpp"
#include "shared_map.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

/// One number in memory that the primary and the workers share: what shared_counters finds. Copies
/// are cheap and mean the same number. Every call is one instruction on memory, so a process may be
/// killed at any; no system call, nothing throws. Thread-safe.
class shared_counter {
public:
    shared_counter() noexcept = default;
    /// For the library.
    shared_counter(std::shared_ptr<detail::shared_region> region,
                   std::atomic<std::uint64_t>& number) noexcept
        : region_{std::move(region)}, number_{&number} {}

    [[nodiscard]] explicit operator bool() const noexcept { return number_ != nullptr; }

    /// May be negative.
    void add(std::int64_t count = 1) const noexcept {
        number_->fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
    }
    void set(std::int64_t value) const noexcept {
        number_->store(static_cast<std::uint64_t>(value), std::memory_order_relaxed);
    }
    [[nodiscard]] std::int64_t value() const noexcept {
        return static_cast<std::int64_t>(number_->load(std::memory_order_relaxed));
    }

private:
    std::shared_ptr<detail::shared_region> region_;
    std::atomic<std::uint64_t>* number_ = nullptr;
};

/// Counters by name in memory that the primary and the workers share: what
/// `primary.shared_counters(name, capacity)` and `self.shared_counters(…)` return. A counter begins
/// at 0 when it is first asked for and is there as long as the memory; look it up once and keep it.
///
/// A handle, and as safe from the death of any process, as a shared_map is. Thread-safe.
class shared_counters {
    using name_type = fixed_string<56>;
    using table = detail::shared_table<detail::words_in<name_type>, 0>;

public:
    /// Bytes in a counter's name.
    static constexpr std::size_t longest_name = 56;

    shared_counters() noexcept = default;
    /// For the library: roles make it.
    shared_counters(std::shared_ptr<detail::shared_region> region, std::size_t capacity) noexcept
        : table_{std::move(region), capacity} {}
    /// The same: the bytes of such a region.
    [[nodiscard]] static std::uint64_t bytes(std::size_t capacity) noexcept {
        return table::bytes(capacity, sizeof(std::uint64_t));
    }

    [[nodiscard]] std::size_t capacity() const noexcept {
        return static_cast<std::size_t>(table_.capacity());
    }
    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>(table_.size());
    }

    /// Finds the counter, or makes it.
    /// \throws std::system_error: `std::errc::no_space_on_device` beyond the capacity,
    /// `filename_too_long` beyond `longest_name`.
    [[nodiscard]] shared_counter operator[](std::string_view name) {
        std::error_code error;
        auto found = get(name, error);
        if (error) {
            throw std::system_error(error, "counter \"" + std::string{name} + '"');
        }
        return found;
    }
    /// The same without exceptions; with an error the result is empty.
    [[nodiscard]] shared_counter get(std::string_view name, std::error_code& error) noexcept {
        error.clear();
        if (name.size() > longest_name) {
            error = std::make_error_code(std::errc::filename_too_long);
            return {};
        }
        const auto key = detail::to_words(name_type{name});
        table::entry found;
        std::size_t slot = 0;
        if (table_.find(key, found)) {
            slot = found.slot;
        } else if (table_.insert(key, {}, slot) == detail::table_outcome::full) {
            error = std::make_error_code(std::errc::no_space_on_device);
            return {};
        }
        return {table_.region(), table_.extra()[slot]};
    }

    /// Calls `f(name, value)` with every counter, a `std::string_view` and a `std::int64_t`, in no
    /// order.
    template <typename F>
    void for_each(F&& f) const {
        table_.for_each([&](const table::entry& each) {
            const auto name = detail::from_words<name_type>(each.key);
            auto value = table_.extra()[each.slot].load(std::memory_order_relaxed);
            f(name.view(), static_cast<std::int64_t>(value));
        });
    }

private:
    table table_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SHARED_MEMORY_SHARED_COUNTERS_HPP
