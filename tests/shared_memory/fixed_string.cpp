// SPDX-License-Identifier: MIT
#include <cluster/shared_memory/fixed_string.hpp> // first and alone: it is self-contained

#include <cluster/shared_memory/shareable.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <type_traits>

using text = cluster::fixed_string<8>;

static_assert(cluster::shareable<text>);
static_assert(std::has_unique_object_representations_v<text>);
static_assert(sizeof(text) == 8);
static_assert(text{"abc"}.view() == "abc");

TEST_CASE("a fixed_string is the text that it was made from") {
    CHECK(text{}.view().empty());
    CHECK(text{std::string{"12345678"}}.view() == "12345678");
    CHECK(text{"abc"} == text{"abc"});
    CHECK(text{"abc"} < text{"abd"});
    CHECK(text{std::string_view{"a\0b\0", 4}}.view() == std::string_view{"a\0b", 3});
}

TEST_CASE("a fixed_string takes no longer text") {
    CHECK_THROWS_AS(text{"123456789"}, std::length_error);
}
