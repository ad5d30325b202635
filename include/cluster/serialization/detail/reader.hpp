// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_DETAIL_READER_HPP
#define CLUSTER_SERIALIZATION_DETAIL_READER_HPP

/// \file
/// Decoding of bytes that nobody checked.

#include "check.hpp"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail::wire {

template <typename T>
concept may_look_at_bytes =
    std::same_as<T, char> || std::same_as<T, unsigned char> || std::same_as<T, std::byte>;

// Reads a value of fixed size, all of whose bytes are there. \returns past it, or null if they are
// no such value.
template <typename T>
[[nodiscard]] inline const std::byte* load_fixed(const std::byte* at, T& value) {
    if constexpr (is<T, kind::boolean>) {
        value = *at == std::byte{1};
        return *at <= std::byte{1} ? at + 1 : nullptr;
    } else if constexpr (is_bitwise<T>()) {
        std::memcpy(static_cast<void*>(std::addressof(value)), at, sizeof value);
        return at + sizeof value;
    } else if constexpr (is<T, kind::scalar>) {
        value = std::bit_cast<T>(load_little_endian<unsigned_of_size<sizeof(T)>>(at));
        return at + sizeof value;
    } else if constexpr (is<T, kind::enumeration>) {
        std::underlying_type_t<T> number{};
        at = load_fixed(at, number);
        value = static_cast<T>(number);
        return at;
    } else if constexpr (is<T, kind::duration>) {
        typename T::rep count{};
        at = load_fixed(at, count);
        value = T{count};
        return at;
    } else if constexpr (is<T, kind::time_point>) {
        typename T::duration since_epoch{};
        at = load_fixed(at, since_epoch);
        value = T{since_epoch};
        return at;
    } else if constexpr (is<T, kind::array>) {
        for (auto element = value.begin(); at != nullptr && element != value.end(); ++element) {
            at = load_fixed(at, *element);
        }
        return at;
    } else {
        const auto load_all = [&at](auto&... part) {
            static_cast<void>((((at = load_fixed(at, part)) != nullptr) && ...));
        };
        if constexpr (is<T, kind::tuple>) {
            std::apply(load_all, value);
        } else {
            visit_fields(value, load_all);
        }
        return at;
    }
}

/// The archive that `serialize(archive)` members see while `binary` decodes.
class reader {
public:
    static constexpr bool reading = true;

    explicit reader(std::span<const std::byte> bytes) noexcept
        : at_{bytes.data()}, end_{bytes.data() + bytes.size()} {}

    /// Reads `values` one after the other. After the first error it does nothing any more.
    template <typename... Types>
    void operator()(Types&... values) {
        if constexpr (explain<culprit_t<true, Types...>>()) {
            static_cast<void>(error_ == errc{} && (get(values) && ...));
        }
    }

    /// Reads a string without a copy of it.
    void look_at(std::string_view& text) noexcept {
        std::size_t count = 0;
        if (get_count(count, 1) && count == remaining()) {
            text = {reinterpret_cast<const char*>(at_), count};
            at_ = end_;
        }
    }

    /// Refuses what was read so far, for a reason that only the type knows.
    void reject() noexcept { fail(errc::bad_payload); }

    /// \returns the first error; left-over bytes are one.
    [[nodiscard]] std::error_code finish() const noexcept {
        if (error_ != errc{}) {
            return error_;
        }
        return at_ == end_ ? std::error_code{} : std::error_code{errc::trailing_bytes};
    }

private:
    static constexpr std::size_t most_levels = 64;
    static constexpr std::size_t most_empty_elements = std::size_t{1} << 20;

    // Steps into a container while it lives; those of a type that contains itself use up the stack.
    class level {
    public:
        explicit level(reader& owner) noexcept : reader_{owner} {
            if (++reader_.levels_ > most_levels) {
                reader_.fail(errc::nesting_too_deep);
            }
        }
        level(const level&) = delete;
        level& operator=(const level&) = delete;
        ~level() { --reader_.levels_; }

    private:
        reader& reader_;
    };

    [[nodiscard]] std::size_t remaining() const noexcept {
        return static_cast<std::size_t>(end_ - at_);
    }

    // The first error counts: what follows it may be its consequence.
    bool fail(errc error) noexcept {
        if (error_ == errc{}) {
            error_ = error;
        }
        return false;
    }

    template <typename T>
    bool get(T& value) {
        if constexpr (fixed_size<T>() == 0) {
            static_cast<void>(value);
            return true;
        } else if constexpr (fixed_size<T>() != varying) {
            return get_fixed(value);
        } else if constexpr (is<T, kind::array>) {
            for (auto element = value.begin(); element != value.end(); ++element) {
                if (!get(*element)) {
                    return false;
                }
            }
            return true;
        } else if constexpr (is<T, kind::tuple>) {
            return std::apply([this](auto&... part) { return (this->get(part) && ...); }, value);
        } else if constexpr (is<T, kind::aggregate>) {
            return visit_fields(value, [this](auto&... part) { return (this->get(part) && ...); });
        } else if constexpr (is_range<T> && bulk_range<T>) {
            return get_range(value);
        } else {
            const level inside{*this};
            return error_ == errc{} && get_nested(value);
        }
    }

    template <typename T>
    bool get_fixed(T& value) {
        if (remaining() < fixed_size<T>()) {
            return fail(errc::bad_payload);
        }
        const std::byte* const next = load_fixed(at_, value);
        if (next == nullptr) {
            return fail(errc::bad_payload);
        }
        at_ = next;
        return true;
    }

    template <typename T>
    bool get_nested(T& value) {
        if constexpr (is<T, kind::custom>) {
            if constexpr (has_serialize<T, reader>) {
                value.serialize(*this);
            } else {
                T::serialize(*this, value);
            }
            return error_ == errc{};
        } else if constexpr (is<T, kind::variant>) {
            return get_variant(value, part_places<T>{});
        } else if constexpr (is_range<T>) {
            return get_range(value);
        } else {
            return get_optional(value);
        }
    }

    template <typename T>
    bool get_optional(T& value) {
        bool present = false;
        if (!get(present)) {
            return false;
        }
        if (!present) {
            value.reset();
            return true;
        }
        if constexpr (is<T, kind::pointer>) {
            value = std::make_unique<typename T::element_type>();
        } else {
            value.emplace();
        }
        return get(*value);
    }

    template <typename T, std::size_t... I>
    bool get_variant(T& value, std::index_sequence<I...>) {
        std::size_t index = 0;
        if (!get_varint(index)) {
            return false;
        }
        bool good = false;
        const bool known = ((index == I && (good = get(value.template emplace<I>()), true)) || ...);
        return known ? good : fail(errc::bad_payload);
    }

    template <typename T>
    bool get_range(T& range) {
        constexpr std::size_t least = sum_of_least_sizes(parts_t<T>{});
        range.clear();
        std::size_t count = 0;
        if (!get_count(count, least)) {
            return false;
        }
        if constexpr (requires { range.max_size(); }) {
            if (count > range.max_size()) {
                return fail(errc::bad_payload);
            }
        }
        if constexpr (bulk_range<T>) {
            get_bulk(range, count);
            return true;
        } else {
            return get_elements(range, count);
        }
    }

    // The bytes are known to be there.
    template <typename T>
    void get_bulk(T& range, std::size_t count) {
        using element = typename T::value_type;
        const std::size_t size = count * sizeof(element);
        if constexpr (may_look_at_bytes<element> &&
                      requires(const element* p) { range.assign(p, p); }) {
            const auto* const first = reinterpret_cast<const element*>(at_);
            range.assign(first, first + count); // unlike resize(), writes each byte once
        } else {
            range.resize(count);
            if (size != 0) {
                std::memcpy(static_cast<void*>(range.data()), at_, size);
            }
        }
        at_ += size;
    }

    template <typename T>
    bool get_elements(T& range, std::size_t count) {
        if constexpr (requires { range.reserve(count); }) {
            // An element in memory can be much larger than its encoding: what the bytes do not
            // make likely has to grow as they are read.
            const std::size_t likely = (4 * remaining() + 4096) / sizeof(typename T::value_type);
            range.reserve(count < likely ? count : likely);
        }
        for (std::size_t i = 0; i != count; ++i) {
            const std::byte* const before = at_;
            if (!get_element(range)) {
                return false;
            }
            if (at_ == before && empty_elements_++ == most_empty_elements) {
                return fail(errc::bad_payload);
            }
            if (static_cast<std::size_t>(range.size()) != i + 1) {
                return fail(errc::bad_payload); // a duplicate key
            }
        }
        return true;
    }

    template <typename T>
    bool get_element(T& range) {
        if constexpr (is<T, kind::map>) {
            typename T::key_type key{};
            typename T::mapped_type mapped{};
            if (!get(key) || !get(mapped)) {
                return false;
            }
            if constexpr (requires { range.emplace_hint(range.end(), key, std::move(mapped)); }) {
                range.emplace_hint(range.end(), std::move(key), std::move(mapped)); // sorted: O(1)
            } else {
                range.emplace(std::move(key), std::move(mapped));
            }
            return true;
        } else if constexpr (makes_its_own_elements<T>) {
            return get(range.emplace_back());
        } else {
            typename T::value_type element{};
            if (!get(element)) {
                return false;
            }
            if constexpr (is<T, kind::sequence>) {
                range.push_back(std::move(element)); // std::vector<bool>
            } else if constexpr (requires { range.insert(range.end(), std::move(element)); }) {
                range.insert(range.end(), std::move(element)); // sorted: O(1)
            } else {
                range.insert(std::move(element));
            }
            return true;
        }
    }

    // A count of things of at least `least` bytes each, for which the bytes are there.
    bool get_count(std::size_t& count, std::size_t least) noexcept {
        if (!get_varint(count)) {
            return false;
        }
        const std::size_t most =
            least != 0 ? remaining() / least : remaining() + most_empty_elements;
        return count <= most || fail(errc::bad_payload);
    }

    bool get_varint(std::size_t& value) noexcept {
        std::uint64_t sum = 0;
        for (unsigned shift = 0; shift < 64 && at_ != end_; shift += 7) {
            const auto byte = std::to_integer<std::uint64_t>(*at_++);
            const std::uint64_t bits = byte & 0x7f;
            if (bits << shift >> shift != bits || (byte == 0 && shift != 0)) {
                break; // does not fit, or could be shorter
            }
            sum |= bits << shift;
            if (byte < 0x80) {
                value = static_cast<std::size_t>(sum);
                return value == sum || fail(errc::bad_payload);
            }
        }
        return fail(errc::bad_payload);
    }

    const std::byte* at_;
    const std::byte* end_;
    std::size_t levels_ = 0;
    std::size_t empty_elements_ = 0;
    errc error_{};
};

} // namespace detail::wire
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_DETAIL_READER_HPP
