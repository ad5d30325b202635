// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_TYPE_NAME_HPP
#define CLUSTER_DETAIL_TYPE_NAME_HPP

#include <concepts>
#include <cstdint>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename T>
constexpr std::string_view decorated_name() noexcept {
    return __PRETTY_FUNCTION__;
}

// The name of `T` as the compiler writes it. g++ and clang++ differ for some types (inline and
// unnamed namespaces): programs built by different compilers agree by `message_name` only.
template <typename T>
constexpr std::string_view type_name() noexcept {
    // What surrounds the name is the same for every type: measured once, with a known one.
    constexpr std::string_view known = "double";
    constexpr std::string_view sample = decorated_name<double>();
    constexpr auto prefix = sample.find(known);
    static_assert(prefix != std::string_view::npos, "cluster: this compiler hides type names.");
    constexpr auto suffix = sample.size() - prefix - known.size();
    constexpr std::string_view all = decorated_name<T>();
    return all.substr(prefix, all.size() - prefix - suffix);
}

// 32-bit FNV-1a.
constexpr std::uint32_t fnv1a(std::string_view text) noexcept {
    std::uint32_t hash = 0x811c9dc5U;
    for (const char c : text) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193U;
    }
    return hash;
}

template <typename T>
concept names_its_messages = requires {
    { T::message_name } -> std::convertible_to<std::string_view>;
};

// `T::message_name` if there is one, else the type's own name.
template <typename T>
constexpr std::string_view message_name() noexcept {
    if constexpr (names_its_messages<T>) {
        return T::message_name;
    } else {
        return type_name<T>();
    }
}

// What stands for `T` in a frame. Never 0, which is free to mean "no type".
template <typename T>
constexpr std::uint32_t message_id() noexcept {
    constexpr std::uint32_t hash = fnv1a(message_name<T>());
    return hash != 0 ? hash : 1;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_TYPE_NAME_HPP
