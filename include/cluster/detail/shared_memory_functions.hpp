// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SHARED_MEMORY_FUNCTIONS_HPP
#define CLUSTER_DETAIL_SHARED_MEMORY_FUNCTIONS_HPP

#include "../ipc/wire.hpp"
#include "../shared_memory/shareable.hpp"
#include "../shared_memory/shared_array.hpp"
#include "../shared_memory/shared_counters.hpp"
#include "../shared_memory/shared_map.hpp"
#include "memory.hpp"
#include "shared_region.hpp"
#include "type_name.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The shared memory of a role. `Derived` has `open_region(const share_message&, std::error_code&)`.
///
/// What a name stands for is made zeroed when it is first asked for, from whatever side, and is the
/// primary's until it ends. In a worker each call blocks until the primary has answered, as listen()
/// does. Errors: `errc::conflicting_type` when the name is in use for another type or size,
/// `std::errc::invalid_argument` (no name, no elements), `filename_too_long` (more than 255 bytes),
/// `not_enough_memory` (all together more than 64 GiB), `no_space_on_device` (more than 256 names),
/// `errc::channel_closed`, and what the system says. Half of these limits is for names that the
/// primary asks for first, so that no worker can use up what it needs.
template <typename Derived>
class shared_memory_functions {
public:
    /// An array of `count` elements.
    template <typename T>
    [[nodiscard]] shared_array<T> shared(std::string_view name, std::size_t count) {
        return or_throw(name, [&](auto& error) { return shared<T>(name, count, error); });
    }
    template <typename T>
    [[nodiscard]] shared_array<T>
    shared(std::string_view name, std::size_t count, std::error_code& error) {
        static_assert(
            shareable<T>,
            "shared: only trivially copyable types and lock-free std::atomics may live in "
            "shared memory, and no pointers; hold text in a std::array<char, N>, refer to "
            "other elements by their index, and replace a lock by an atomic.");
        if constexpr (shareable<T>) {
            auto region = open<shared_array<T>>(name, count, bytes_of(count, sizeof(T)), error);
            return region ? shared_array<T>{std::move(region), count} : shared_array<T>{};
        } else {
            return {};
        }
    }

    /// A hash map for `capacity` entries.
    template <typename Key, typename Value>
    [[nodiscard]] cluster::shared_map<Key, Value> shared_map(std::string_view name,
                                                             std::size_t capacity) {
        using map = cluster::shared_map<Key, Value>;
        return or_throw(name, [&](auto& error) { return open_table<map>(name, capacity, error); });
    }
    template <typename Key, typename Value>
    [[nodiscard]] cluster::shared_map<Key, Value>
    shared_map(std::string_view name, std::size_t capacity, std::error_code& error) {
        return open_table<cluster::shared_map<Key, Value>>(name, capacity, error);
    }

    /// Numbers by name, `capacity` of them.
    [[nodiscard]] cluster::shared_counters shared_counters(std::string_view name,
                                                           std::size_t capacity) {
        return or_throw(name, [&](auto& error) { return shared_counters(name, capacity, error); });
    }
    [[nodiscard]] cluster::shared_counters
    shared_counters(std::string_view name, std::size_t capacity, std::error_code& error) {
        return open_table<cluster::shared_counters>(name, capacity, error);
    }

protected:
    ~shared_memory_functions() = default;

private:
    // What cannot be is more than anybody may have.
    static std::uint64_t bytes_of(std::uint64_t count, std::uint64_t each) noexcept {
        constexpr auto most = std::numeric_limits<std::uint64_t>::max();
        return each != 0 && count > most / each ? most : count * each;
    }

    template <typename Object>
    std::shared_ptr<shared_region>
    open(std::string_view name, std::size_t count, std::uint64_t bytes, std::error_code& error) {
        return static_cast<Derived&>(*this).open_region(
            {std::string{name}, message_id<Object>(), count, bytes}, error);
    }

    template <typename Table>
    Table open_table(std::string_view name, std::size_t capacity, std::error_code& error) {
        auto region = open<Table>(name, capacity, Table::bytes(capacity), error);
        return region ? Table{std::move(region), capacity} : Table{};
    }

    template <typename F>
    static auto or_throw(std::string_view name, F make) {
        std::error_code error;
        auto made = make(error);
        if (error) {
            throw std::system_error(error, "shared memory \"" + std::string{name} + '"');
        }
        return made;
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SHARED_MEMORY_FUNCTIONS_HPP
