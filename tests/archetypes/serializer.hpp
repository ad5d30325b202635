// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_ARCHETYPES_SERIALIZER_HPP
#define CLUSTER_TESTS_ARCHETYPES_SERIALIZER_HPP

#include <cluster/byte_buffer.hpp>
#include <cluster/error.hpp>
#include <cluster/serialization/concept.hpp>

#include <cstddef>
#include <cstring>
#include <span>
#include <system_error>
#include <type_traits>

namespace archetypes {

/// The least a serializer may be: movable only, of one function pair, for plain types only.
struct serializer {
    static constexpr const char* name = "archetype";

    serializer() = default;
    serializer(serializer&&) noexcept = default;
    serializer& operator=(serializer&&) noexcept = default;

    template <typename T>
        requires std::is_trivially_copyable_v<T>
    void encode(const T& value, cluster::byte_buffer& out) {
        out.append(&value, sizeof value);
    }

    template <typename T>
        requires std::is_trivially_copyable_v<T>
    std::error_code decode(std::span<const std::byte> bytes, T& value) {
        if (bytes.size() != sizeof value) {
            return cluster::errc::bad_payload;
        }
        std::memcpy(&value, bytes.data(), sizeof value);
        return {};
    }

    void operator&() const = delete; // nobody may take its address
    template <typename T>
    void operator,(T&&) const = delete;
};

} // namespace archetypes

#endif // CLUSTER_TESTS_ARCHETYPES_SERIALIZER_HPP
