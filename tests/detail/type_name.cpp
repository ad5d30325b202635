// SPDX-License-Identifier: MIT
#include <cluster/detail/type_name.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace type_name_test {

struct plain {};
template <typename T>
struct holder {};

struct renamed {
    static constexpr std::string_view message_name = "orders/created";
};
struct named_by_pointer {
    static constexpr const char* message_name = "orders/created";
};
struct wrongly_named {
    static constexpr int message_name = 7;
};

} // namespace type_name_test

namespace {

using namespace cluster::detail;
using namespace type_name_test;

static_assert(type_name<int>() == "int");
static_assert(type_name<double>() == "double");
static_assert(type_name<plain>() == "type_name_test::plain");
static_assert(type_name<holder<plain>>() == "type_name_test::holder<type_name_test::plain>");

// the published test vectors of FNV-1a
static_assert(fnv1a("") == 0x811c9dc5U);
static_assert(fnv1a("a") == 0xe40c292cU);
static_assert(fnv1a("foobar") == 0xbf9cf968U);
static_assert(fnv1a("\xff") == (0x811c9dc5U ^ 0xffU) * 0x01000193U); // char may be signed

static_assert(message_name<renamed>() == "orders/created");
static_assert(message_name<named_by_pointer>() == "orders/created");
static_assert(message_name<plain>() == type_name<plain>());
static_assert(message_name<wrongly_named>() == type_name<wrongly_named>());

static_assert(message_id<renamed>() == fnv1a("orders/created"));
static_assert(message_id<renamed>() == message_id<named_by_pointer>());
static_assert(message_id<plain>() != message_id<renamed>());
static_assert(message_id<int>() != message_id<unsigned>());

struct hashes_to_zero {
    static constexpr std::string_view message_name = "\xcc\x24\x31\xc4"; // the known preimage of 0
};
static_assert(fnv1a(hashes_to_zero::message_name) == 0);
static_assert(message_id<hashes_to_zero>() != 0);

} // namespace

TEST_SUITE("detail/type_name") {
    TEST_CASE("names of standard types are whole") {
        CHECK(type_name<std::vector<int>>().find("vector<int") != std::string_view::npos);
        auto text = type_name<std::string>(); // libc++ has its compiler call it by its alias
        CHECK((text.find("basic_string") != std::string_view::npos || text == "std::string"));
    }
}
