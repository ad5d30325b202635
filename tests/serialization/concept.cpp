// SPDX-License-Identifier: MIT
#include <cluster/serialization/concept.hpp> // first and alone: proves the header is self-contained

#include "../archetypes/serializer.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <ostream> // doctest prints error codes
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace serializer_test {

using cluster::byte_buffer;
using bytes = std::span<const std::byte>;

struct no_name {
    void encode(int, byte_buffer&);
    std::error_code decode(bytes, int&);
};
struct numeric_name {
    static constexpr int name = 1;
    void encode(int, byte_buffer&);
    std::error_code decode(bytes, int&);
};
struct no_encode {
    static constexpr std::string_view name = "x";
    std::error_code decode(bytes, int&);
};
struct no_decode {
    static constexpr std::string_view name = "x";
    void encode(int, byte_buffer&);
};
struct no_default {
    static constexpr std::string_view name = "x";
    explicit no_default(int);
    void encode(int, byte_buffer&);
    std::error_code decode(bytes, int&);
};
struct returns_bool {
    static constexpr std::string_view name = "x";
    void encode(int, byte_buffer&);
    bool decode(bytes, int&);
};
struct final_one final {
    static constexpr std::string_view name = "x";
    static void encode(int, byte_buffer&);
    static std::error_code decode(bytes, int&);
};
struct overloaded {
    static constexpr std::string_view name = "x";
    void encode(const int&, byte_buffer&) const;
    void encode(const std::string&, byte_buffer&) const;
    std::error_code decode(bytes, int&) const;
    std::error_code decode(bytes, std::string&) const;
};
struct inherited : overloaded {};
struct tells_in_advance {
    static constexpr std::string_view name = "x";
    template <typename T>
    static constexpr bool can_encode = std::is_integral_v<T>;
    template <typename T>
    static constexpr bool can_decode = sizeof(T) == 1;
    template <typename T>
    void encode(const T&, byte_buffer&);
    template <typename T>
    std::error_code decode(bytes, T&);
};

// One negative for each line of the table, one positive for the archetype.
static_assert(cluster::serializer<archetypes::serializer>);
static_assert(cluster::serializer<final_one>);
static_assert(cluster::serializer<inherited>);
static_assert(!cluster::serializer<no_name>);
static_assert(!cluster::serializer<numeric_name>);
static_assert(!cluster::serializer<no_encode>);
static_assert(!cluster::serializer<no_decode>);
static_assert(!cluster::serializer<no_default>);
static_assert(!cluster::serializer<int>);

// One type of message.
static_assert(cluster::serializes<archetypes::serializer, int>);
static_assert(!cluster::serializes<archetypes::serializer, std::string>);
static_assert(cluster::serializes<overloaded, int>);
static_assert(cluster::serializes<overloaded, std::string>);
static_assert(!cluster::serializes<overloaded, std::string_view>);
static_assert(cluster::encodes<returns_bool, int> && !cluster::decodes<returns_bool, int>);
static_assert(cluster::serializes<tells_in_advance, char>);
static_assert(cluster::encodes<tells_in_advance, int> && !cluster::decodes<tells_in_advance, int>);
static_assert(!cluster::encodes<tells_in_advance, float>);

// The check hands a good policy through.
static_assert(std::is_same_v<cluster::detail::checked_serializer<overloaded>::type, overloaded>);
static_assert(cluster::serializes<cluster::detail::any_serializer, std::string>);

} // namespace serializer_test

using namespace serializer_test;

TEST_SUITE("serialization/concept") {
    TEST_CASE("the archetype does a round trip") {
        archetypes::serializer policy;
        byte_buffer buffer;
        policy.encode(42, buffer);
        int value = 0;
        CHECK_FALSE(policy.decode(buffer.span(), value));
        CHECK(value == 42);
        CHECK(policy.decode(buffer.span().first(3), value));
    }

    TEST_CASE("the stand-in accepts everything") {
        cluster::detail::any_serializer policy;
        byte_buffer buffer;
        policy.encode(std::string{"text"}, buffer);
        std::string value;
        CHECK_FALSE(policy.decode(buffer.span(), value));
    }
}
