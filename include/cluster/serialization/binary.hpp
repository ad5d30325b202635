// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SERIALIZATION_BINARY_HPP
#define CLUSTER_SERIALIZATION_BINARY_HPP

/// \file
/// The default serializer: compact, little endian, no schema, no code for most types.
///
/// | type                                  | bytes                                    |
/// |---------------------------------------|------------------------------------------|
/// | `bool`                                | 0 or 1                                   |
/// | integers, `float`, `double`           | `sizeof` of them, little endian          |
/// | enumerations                          | as the underlying type                   |
/// | `std::chrono` durations, time points  | the count                                |
/// | `std::array`, `pair`, `tuple`         | the elements, nothing else               |
/// | strings, vectors, lists, sets, maps   | count, then the elements                 |
/// | `string_view`, `span`                 | the same; encoded only: they own nothing |
/// | `optional`, `unique_ptr`              | 0, or 1 and the value                    |
/// | `variant`                             | index as a count, then the alternative   |
/// | aggregates of up to 32 members        | the members, nothing else                |
/// | types with `serialize(archive)`       | what they pass to `archive(a, b, c)`     |
///
/// A count is a base-128 varint (LEB128) of the fewest bytes. Containers are recognised by their
/// members, so a user's own work too. Both sides must agree on the types, as there are no tags: the
/// frame's type id tells messages apart.
///
/// Decoding trusts nothing: a count by itself allocates a small multiple of the bytes behind it at
/// most, nesting ends at 64 levels, elements of no bytes at 2^20 in all, and duplicates in a set or
/// map, left-over bytes and other than the shortest counts are errors. An enumeration may come out
/// with any value of its underlying type: check it, and give it one (`enum class`, `enum e : int`),
/// as a value out of range is undefined for an enumeration without.

#include "../byte_buffer.hpp"
#include "../detail/fields.hpp"
#include "../error.hpp"
#include "concept.hpp"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace cluster {
inline namespace v0 {
namespace detail::wire {

class writer;
class reader;

// ---- what a type is ----

enum class kind : unsigned char {
    none,
    custom,
    boolean,
    scalar,
    enumeration,
    duration,
    time_point,
    array,
    tuple,
    optional,
    pointer,
    variant,
    sequence,
    set,
    map,
    aggregate
};

template <typename T, typename Archive>
concept has_serialize = requires(T& value, Archive& archive) { value.serialize(archive); };

template <typename T, typename Archive>
concept has_static_serialize =
    requires(T& value, Archive& archive) { std::remove_cv_t<T>::serialize(archive, value); };

template <typename T, typename Archive>
concept serializes_itself = has_serialize<T, Archive> || has_static_serialize<T, Archive>;

template <typename T>
concept scalar_like =
    std::is_integral_v<T> ||
    (std::is_floating_point_v<T> && std::numeric_limits<T>::is_iec559 && sizeof(T) <= 8);

template <typename T>
concept duration_like = requires(const T& v) {
    typename T::period;
    { v.count() } -> std::same_as<typename T::rep>;
};

template <typename T>
concept time_point_like = requires(const T& v) {
    typename T::clock;
    { v.time_since_epoch() } -> std::same_as<typename T::duration>;
};

template <typename T>
concept array_like = requires(const T& v) {
    std::tuple_size<T>::value;
    typename T::value_type;
    v.begin() != v.end();
};

template <typename T>
concept optional_like = requires(T& v) {
    typename T::value_type;
    { v.has_value() } -> std::same_as<bool>;
    *v;
    v.reset();
};

template <typename T>
concept range_like = requires(const T& v) {
    typename T::value_type;
    v.begin() != v.end();
    { v.size() } -> std::convertible_to<std::size_t>;
};

template <typename T>
inline constexpr bool is_tuple = false;
template <typename... Types>
inline constexpr bool is_tuple<std::tuple<Types...>> = true;
template <typename First, typename Second>
inline constexpr bool is_tuple<std::pair<First, Second>> = true;

template <typename T>
inline constexpr bool is_variant = false;
template <typename... Types>
inline constexpr bool is_variant<std::variant<Types...>> = true;

template <typename T>
inline constexpr bool is_unique_ptr = false;
template <typename T>
inline constexpr bool is_unique_ptr<std::unique_ptr<T>> = !std::is_array_v<T>;

template <typename T>
consteval kind find_range_kind() {
    if constexpr (requires { typename T::mapped_type; }) {
        return kind::map;
    } else if constexpr (requires { typename T::key_type; }) {
        return kind::set;
    } else {
        return kind::sequence;
    }
}

template <typename T>
consteval kind find_class_kind() {
    if constexpr (serializes_itself<T, writer> || serializes_itself<T, reader>) {
        return kind::custom;
    } else if constexpr (duration_like<T>) {
        return kind::duration;
    } else if constexpr (time_point_like<T>) {
        return kind::time_point;
    } else if constexpr (array_like<T>) {
        return kind::array;
    } else if constexpr (is_tuple<T>) {
        return kind::tuple;
    } else if constexpr (is_variant<T>) {
        return kind::variant;
    } else if constexpr (is_unique_ptr<T>) {
        return kind::pointer;
    } else if constexpr (range_like<T>) {
        return find_range_kind<T>();
    } else if constexpr (optional_like<T>) {
        return kind::optional;
    } else {
        return has_fields<T> ? kind::aggregate : kind::none;
    }
}

template <typename T>
consteval kind find_kind() {
    if constexpr (std::is_same_v<T, bool>) {
        return kind::boolean;
    } else if constexpr (scalar_like<T>) {
        return kind::scalar;
    } else if constexpr (std::is_enum_v<T>) {
        return kind::enumeration;
    } else if constexpr (std::is_class_v<T>) {
        return find_class_kind<T>();
    } else {
        return kind::none;
    }
}

template <typename T>
inline constexpr kind kind_of = find_kind<std::remove_cv_t<T>>();

template <typename T, kind... Kinds>
inline constexpr bool is = ((kind_of<T> == Kinds) || ...);

template <template <typename...> typename Template, typename... Types>
type_list<std::remove_reference_t<Types>...> arguments_of(const Template<Types...>&);

// The types whose encodings make up that of `T`, as a type_list.
template <typename T>
consteval auto find_parts() {
    if constexpr (is<T, kind::enumeration>) {
        return type_list<std::underlying_type_t<T>>{};
    } else if constexpr (is<T, kind::duration>) {
        return type_list<typename T::rep>{};
    } else if constexpr (is<T, kind::time_point>) {
        return type_list<typename T::duration>{};
    } else if constexpr (is<T, kind::tuple, kind::variant>) {
        return decltype(arguments_of(std::declval<const T&>())){};
    } else if constexpr (is<T, kind::pointer>) {
        return type_list<typename T::element_type>{};
    } else if constexpr (is<T, kind::map>) {
        return type_list<typename T::key_type, typename T::mapped_type>{};
    } else if constexpr (is<T, kind::array, kind::sequence, kind::set, kind::optional>) {
        return type_list<typename T::value_type>{};
    } else if constexpr (is<T, kind::aggregate>) {
        return field_types<T>{};
    } else {
        return type_list<>{};
    }
}

template <typename T>
using parts_t = decltype(find_parts<std::remove_cv_t<T>>());

// ---- how large its encoding is ----

inline constexpr std::size_t varying = static_cast<std::size_t>(-1);

template <typename T>
consteval std::size_t fixed_size();
template <typename T>
consteval std::size_t least_size();

template <typename... Parts>
consteval std::size_t sum_of_fixed_sizes(type_list<Parts...>) {
    std::size_t sum = 0;
    ((sum = sum == varying || fixed_size<Parts>() == varying ? varying : sum + fixed_size<Parts>()),
     ...);
    return sum;
}

template <typename... Parts>
consteval std::size_t sum_of_least_sizes(type_list<Parts...>) {
    return (std::size_t{} + ... + least_size<Parts>());
}

// Bytes of every encoding of `T`, or `varying`.
template <typename T>
consteval std::size_t fixed_size() {
    if constexpr (is<T, kind::boolean, kind::scalar>) {
        return sizeof(T);
    } else if constexpr (is<T, kind::array>) {
        constexpr std::size_t count = std::tuple_size_v<T>;
        constexpr std::size_t each = fixed_size<typename T::value_type>();
        return count == 0 ? 0 : (each == varying ? varying : count * each);
    } else if constexpr (
        is<T, kind::enumeration, kind::duration, kind::time_point, kind::tuple, kind::aggregate>) {
        return sum_of_fixed_sizes(parts_t<T>{});
    } else {
        return varying;
    }
}

// Bytes of the shortest encoding of `T`, or less: bounds what a count may claim.
template <typename T>
consteval std::size_t least_size() {
    if constexpr (fixed_size<T>() != varying) {
        return fixed_size<T>();
    } else if constexpr (is<T, kind::array>) {
        return std::tuple_size_v<T> * least_size<typename T::value_type>();
    } else if constexpr (is<T, kind::tuple, kind::aggregate>) {
        return sum_of_least_sizes(parts_t<T>{});
    } else {
        return is<T, kind::custom> ? 0 : 1; // a count or a flag
    }
}

template <typename T>
consteval bool is_bitwise();

template <typename... Parts>
consteval bool are_bitwise(type_list<Parts...>) {
    return (is_bitwise<Parts>() && ...);
}

// Whether the encoding of `T` is its representation in memory, and every one of that size is valid.
template <typename T>
consteval bool is_bitwise() {
    if constexpr (std::endian::native != std::endian::little) {
        return false;
    } else if constexpr (is<T, kind::scalar>) {
        return true;
    } else if constexpr (is<T, kind::enumeration, kind::array, kind::aggregate>) {
        return std::is_trivially_copyable_v<T> && sizeof(T) == fixed_size<T>() &&
               are_bitwise(parts_t<T>{});
    } else {
        return false;
    }
}

// Ranges that go in one piece.
template <typename T>
concept bulk_range = is_bitwise<typename T::value_type>() && requires(const T& v) {
    { v.data() } -> std::convertible_to<const typename T::value_type*>;
};

// ---- whether it can be done, and the sentence when it cannot ----

template <typename T>
consteval bool is_fillable() {
    if constexpr (!requires(T& v) { v.clear(); }) {
        return false;
    } else if constexpr (is<T, kind::map>) {
        return requires(T& v, typename T::key_type k, typename T::mapped_type m) {
            v.emplace(std::move(k), std::move(m));
        };
    } else if constexpr (is<T, kind::set>) {
        return requires(T& v, typename T::value_type e) { v.insert(std::move(e)); };
    } else if constexpr (bulk_range<T>) {
        return requires(T& v, std::size_t n) { v.resize(n); };
    } else {
        return requires(T& v, typename T::value_type e) { v.push_back(std::move(e)); };
    }
}

template <typename T>
inline constexpr bool is_range = is<T, kind::sequence, kind::set, kind::map>;

template <typename T>
concept makes_its_own_elements = requires(T& v) {
    { v.emplace_back() } -> std::same_as<typename T::value_type&>;
};

// Decoding makes the parts itself, so they need a default.
template <typename T>
inline constexpr bool makes_parts =
    is_range<T> || is<T, kind::optional, kind::pointer, kind::variant>;

using no_culprit = std::type_identity<void>;

template <bool Reading, bool Making, typename Parts, typename... Seen>
struct culprit_among {
    using type = no_culprit;
};

// The first type in `T` that cannot be encoded, or decoded if Reading; void if all can.
// `Seen` ends the search in types that contain themselves.
template <bool Reading, typename T, typename... Seen>
consteval auto find_culprit() {
    using plain = std::remove_cv_t<T>;
    using archive = std::conditional_t<Reading, reader, writer>;
    if constexpr ((Reading && std::is_const_v<T>) || is<T, kind::none>) {
        return std::type_identity<T>{};
    } else if constexpr ((std::is_same_v<plain, Seen> || ...)) {
        return no_culprit{};
    } else if constexpr (is<T, kind::custom> && !serializes_itself<plain, archive>) {
        return std::type_identity<T>{};
    } else if constexpr (Reading && is_range<plain> && !is_fillable<plain>()) {
        return std::type_identity<T>{};
    } else {
        constexpr bool making = Reading && makes_parts<plain>;
        return typename culprit_among<Reading, making, parts_t<T>, Seen..., plain>::type{};
    }
}

template <bool Reading, bool Making, typename First, typename... Rest, typename... Seen>
struct culprit_among<Reading, Making, type_list<First, Rest...>, Seen...> {
    static consteval auto find() {
        using found = decltype(find_culprit<Reading, First, Seen...>());
        if constexpr (!std::is_same_v<found, no_culprit>) {
            return found{};
        } else if constexpr (Making && !std::default_initializable<First>) {
            return std::type_identity<First>{};
        } else {
            return typename culprit_among<Reading, Making, type_list<Rest...>, Seen...>::type{};
        }
    }
    using type = decltype(find());
};

template <bool Reading, typename... Types>
using culprit_t = typename culprit_among<Reading, false, type_list<Types...>>::type::type;

template <typename T>
inline constexpr bool never = false;

// Prints exactly one sentence for a culprit. \returns whether there is none.
template <typename Culprit>
consteval bool explain() {
    using plain = std::remove_cv_t<Culprit>;
    if constexpr (std::is_void_v<Culprit>) {
        return true;
    } else if constexpr (std::is_pointer_v<plain>) {
        static_assert(
            never<plain>,
            "binary: a pointer means nothing in another process; use std::string for text, "
            "std::optional or std::unique_ptr for one value, std::vector for many.");
    } else if constexpr (std::is_array_v<plain>) {
        static_assert(never<plain>,
                      "binary: a C array is not a value; use std::array, or std::string for text.");
    } else if constexpr (is<plain, kind::none> && std::is_class_v<plain> &&
                         std::is_aggregate_v<plain>) {
        return check_fields<plain>();
    } else if constexpr (is<plain, kind::none> ||
                         (is<plain, kind::custom> && std::default_initializable<plain>)) {
        static_assert(
            never<plain>,
            "binary: there is no encoding for this type; make it an aggregate of types that have "
            "one, or give it a member `template <class Archive> void serialize(Archive& archive)` "
            "that calls `archive(a, b, c)`.");
    } else if constexpr (std::is_const_v<Culprit>) {
        static_assert(never<plain>,
                      "binary: what is const cannot be decoded into; make the member non-const, or "
                      "give its type a serialize(archive) member that leaves it out.");
    } else if constexpr (is_range<plain> && !is_fillable<plain>()) {
        static_assert(never<plain>,
                      "binary: a view can be encoded, but not decoded, as it owns nothing; use "
                      "std::string or std::vector in the type that is received.");
    } else {
        static_assert(never<plain>,
                      "binary: decoding makes elements and alternatives by their default "
                      "constructor; give this type one.");
    }
    return false;
}

// ---- encoding ----

[[nodiscard]] constexpr std::size_t varint_size(std::uint64_t value) noexcept {
    return (static_cast<std::size_t>(std::bit_width(value | 1U)) + 6) / 7;
}

inline std::byte* store_varint(std::byte* at, std::uint64_t value) noexcept {
    for (; value >= 0x80; value >>= 7) {
        *at++ = static_cast<std::byte>((value & 0x7f) | 0x80);
    }
    *at++ = static_cast<std::byte>(value);
    return at;
}

template <std::size_t Size>
using unsigned_of_size = std::conditional_t<
    Size == 1,
    std::uint8_t,
    std::conditional_t<Size == 2,
                       std::uint16_t,
                       std::conditional_t<Size == 4, std::uint32_t, std::uint64_t>>>;

// Writes a value of fixed size, for which there is room. \returns past it.
template <typename T>
inline std::byte* store_fixed(std::byte* at, const T& value) {
    if constexpr (is<T, kind::boolean>) {
        *at = static_cast<std::byte>(value ? 1 : 0);
        return at + 1;
    } else if constexpr (is<T, kind::enumeration>) {
        return store_fixed(at, static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (is_bitwise<T>()) {
        std::memcpy(at, static_cast<const void*>(std::addressof(value)), sizeof value);
        return at + sizeof value;
    } else if constexpr (is<T, kind::scalar>) {
        store_little_endian(at, std::bit_cast<unsigned_of_size<sizeof(T)>>(value));
        return at + sizeof value;
    } else if constexpr (is<T, kind::duration>) {
        return store_fixed(at, value.count());
    } else if constexpr (is<T, kind::time_point>) {
        return store_fixed(at, value.time_since_epoch());
    } else if constexpr (is<T, kind::array>) {
        for (const typename T::value_type& element : value) {
            at = store_fixed(at, element);
        }
        return at;
    } else {
        const auto store_all = [&at](const auto&... part) { ((at = store_fixed(at, part)), ...); };
        if constexpr (is<T, kind::tuple>) {
            std::apply(store_all, value);
        } else {
            visit_fields(value, store_all);
        }
        return at;
    }
}

/// The archive that `serialize(archive)` members see while `binary` encodes.
class writer {
public:
    static constexpr bool reading = false;

    explicit writer(byte_buffer& out) noexcept : out_{out} {}

    /// Appends the encodings of `values`.
    template <typename... Types>
    void operator()(const Types&... values) {
        if constexpr (explain<culprit_t<false, Types...>>()) {
            (put(values), ...);
        }
    }

    /// The reader's counterpart refuses what was read; nothing is refused here.
    void reject() noexcept {}

private:
    template <typename T>
    void put(const T& value) {
        constexpr std::size_t size = fixed_size<T>();
        if constexpr (size == 0) {
            static_cast<void>(value);
        } else if constexpr (size != varying) {
            store_fixed(out_.extend(size), value);
        } else if constexpr (is<T, kind::custom>) {
            put_custom(value);
        } else if constexpr (is_range<T>) {
            put_range(value);
        } else if constexpr (is<T, kind::variant>) {
            put_variant(value, std::make_index_sequence<std::variant_size_v<T>>{});
        } else if constexpr (is<T, kind::optional, kind::pointer>) {
            const bool present = static_cast<bool>(value);
            put(present);
            if (present) {
                put(*value);
            }
        } else if constexpr (is<T, kind::array>) {
            for (const typename T::value_type& element : value) {
                put(element);
            }
        } else {
            put_parts(value);
        }
    }

    template <typename T>
    void put_parts(const T& value) {
        const auto put_all = [this](const auto&... part) { (this->put(part), ...); };
        if constexpr (is<T, kind::tuple>) {
            std::apply(put_all, value);
        } else {
            visit_fields(value, put_all);
        }
    }

    // One member for both directions is rarely const: the writer only looks at what it is given.
    template <typename T>
    void put_custom(const T& value) {
        if constexpr (has_serialize<const T, writer>) {
            value.serialize(*this);
        } else if constexpr (has_static_serialize<const T, writer>) {
            T::serialize(*this, value);
        } else if constexpr (has_serialize<T, writer>) {
            const_cast<T&>(value).serialize(*this);
        } else {
            T::serialize(*this, const_cast<T&>(value));
        }
    }

    template <typename T>
    void put_range(const T& range) {
        const auto count = static_cast<std::size_t>(range.size());
        if constexpr (is<T, kind::map>) {
            put_count(count);
            for (const auto& [key, mapped] : range) {
                put(key);
                put(mapped);
            }
        } else if constexpr (bulk_range<T>) {
            const std::size_t size = count * sizeof(typename T::value_type);
            std::byte* const at = store_varint(out_.extend(varint_size(count) + size), count);
            if (size != 0) {
                std::memcpy(at, static_cast<const void*>(range.data()), size);
            }
        } else {
            put_elements(range, count);
        }
    }

    template <typename T>
    void put_elements(const T& range, std::size_t count) {
        using element_type = typename T::value_type;
        constexpr std::size_t each = fixed_size<element_type>();
        if constexpr (each != varying) {
            std::byte* at = store_varint(out_.extend(varint_size(count) + count * each), count);
            for (const element_type& element : range) {
                at = store_fixed(at, element);
            }
        } else {
            put_count(count);
            for (const element_type& element : range) {
                put(element);
            }
        }
    }

    template <typename T, std::size_t... I>
    void put_variant(const T& value, std::index_sequence<I...>) {
        const auto put_if = [&]<std::size_t Index>(std::integral_constant<std::size_t, Index>) {
            const auto* const alternative = std::get_if<Index>(&value);
            if (alternative == nullptr) {
                return false;
            }
            put_count(Index);
            put(*alternative);
            return true;
        };
        if (!(put_if(std::integral_constant<std::size_t, I>{}) || ...)) {
            static_cast<void>(std::get<0>(value)); // valueless: throws std::bad_variant_access
        }
    }

    void put_count(std::size_t count) { store_varint(out_.extend(varint_size(count)), count); }

    byte_buffer& out_;
};

// ---- decoding ----

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
            return get_variant(value, std::make_index_sequence<std::variant_size_v<T>>{});
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

namespace serialization {

/// The default `serializer`: see the table at the top of this file.
///
/// Choose `raw` when a message is one block of plain memory. Cost: no allocation but the buffer's
/// and the value's own; a value of fixed size is one bounds check and plain stores. Stateless and
/// thread-safe.
struct binary {
    static constexpr std::string_view name = "binary";

    template <typename T>
    static constexpr bool can_encode = std::is_void_v<detail::wire::culprit_t<false, T>>;
    template <typename T>
    static constexpr bool can_decode = std::is_void_v<detail::wire::culprit_t<true, T>>;

    /// Appends the encoding of `value`. A type without one is a compile-time sentence.
    /// \throws std::bad_alloc, std::bad_variant_access for a valueless variant, and what a
    /// serialize() member throws; `out` then ends in a part of the encoding.
    template <typename T>
    static void encode(const T& value, byte_buffer& out) {
        detail::wire::writer{out}(value);
    }

    /// Replaces `value` by what `bytes`, all of them, encode. After an error it is unspecified.
    /// \returns `errc::bad_payload`, `trailing_bytes` or `nesting_too_deep` for other bytes.
    /// \throws std::bad_alloc, and what a serialize() member, comparison or hash throws.
    template <typename T>
    [[nodiscard]] static std::error_code decode(std::span<const std::byte> bytes, T& value) {
        detail::wire::reader in{bytes};
        in(value);
        return in.finish();
    }
};

static_assert(serializes<binary, int>);

} // namespace serialization
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SERIALIZATION_BINARY_HPP
