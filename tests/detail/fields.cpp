// SPDX-License-Identifier: MIT
#include <cluster/detail/fields.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace cluster::detail;

struct none {};
struct one {
    int a = 1;
};
struct nested {
    one a;
    std::array<int, 3> b{};
    none c;
    one d;
};
struct tree {
    int value = 0;
    std::vector<tree> children;
};
struct chain {
    int value = 0;
    std::unique_ptr<chain> next;
};
struct standard {
    std::string a;
    std::string_view b;
    std::vector<std::string> c;
    std::map<std::string, int> d;
    std::optional<std::string> e;
    std::variant<int, std::string> f;
    std::tuple<int> g;
    std::pair<int, int> h;
    std::chrono::milliseconds i{};
    std::chrono::system_clock::time_point j;
    std::span<const int> k;
    std::set<int> l;
    std::deque<int> m;
    std::unordered_map<int, int> n;
    std::monostate o;
    std::variant<std::string> p;
    std::optional<std::optional<int>> q;
    std::vector<bool> r;
    const int s = 0;
    std::tuple<std::string> t;
    bool u = false;
};
template <typename T>
struct holder {
    T value;
};
struct thirty_two {
    int a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac,
        ad, ae, af;
};

static_assert(field_count<none>() == 0);
static_assert(field_count<one>() == 1);
static_assert(field_count<nested>() == 4);
static_assert(field_count<tree>() == 2);
static_assert(field_count<chain>() == 2);
static_assert(field_count<standard>() == 21);
static_assert(field_count<thirty_two>() == 32);
static_assert(field_count<holder<none>>() == 1);
static_assert(field_count<holder<std::string>>() == 1);
static_assert(field_count<holder<std::optional<int>>>() == 1);
static_assert(field_count<holder<std::variant<int>>>() == 1);
static_assert(field_count<holder<std::tuple<int>>>() == 1);
static_assert(field_count<holder<std::array<int, 0>>>() == 1);

struct with_array {
    int a;
    char name[4];
    int b;
};
struct with_matrix {
    int a[2][2];
};
struct with_large_array {
    char name[64];
};
struct with_reference {
    int& a;
};
struct derived : one {
    int b = 0;
};
struct derived_from_nothing : none {
    int b = 0;
};
struct privately_derived : private none {};
struct too_many {
    thirty_two a;
    int b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac, ad,
        ae, af, ag, ah;
};
union either {
    int a;
    float b;
};

static_assert(find_fields_fault<with_array>() == fields_fault::opaque_member);
static_assert(find_fields_fault<with_matrix>() == fields_fault::opaque_member);
static_assert(find_fields_fault<with_large_array>() == fields_fault::too_many);
static_assert(find_fields_fault<with_reference>() == fields_fault::opaque_member);
static_assert(find_fields_fault<derived>() == fields_fault::base_class);
static_assert(find_fields_fault<derived_from_nothing>() == fields_fault::base_class);
static_assert(find_fields_fault<privately_derived>() == fields_fault::no_aggregate);
static_assert(find_fields_fault<too_many>() == fields_fault::too_many);
static_assert(find_fields_fault<either>() == fields_fault::no_aggregate);
static_assert(find_fields_fault<int>() == fields_fault::no_aggregate);
static_assert(find_fields_fault<std::string>() == fields_fault::no_aggregate);
static_assert(!has_fields<with_array> && has_fields<tree>);

static_assert(std::is_same_v<field_types<tree>, type_list<int, std::vector<tree>>>);
static_assert(std::is_same_v<field_types<none>, type_list<>>);

struct mixed {
    int a = 1;
    double b = 2;
    const long c = 3;
};
static_assert(std::is_same_v<field_types<mixed>, type_list<int, double, const long>>);

constexpr bool sums_at_compile_time() {
    const mixed value{.a = 10};
    double sum = 0;
    for_each_field(value, [&sum](const auto& field) { sum += static_cast<double>(field); });
    return sum == 15.0;
}
static_assert(sums_at_compile_time());

} // namespace

TEST_SUITE("detail/fields") {
    TEST_CASE("visits references to the members, in order") {
        nested value;
        visit_fields(value, [&value](auto& a, auto& b, auto& c, auto& d) {
            CHECK(&a == &value.a);
            CHECK(&b == &value.b);
            CHECK(&c == &value.c);
            CHECK(&d == &value.d);
        });
    }

    TEST_CASE("changes members one by one") {
        thirty_two value{};
        int next = 0;
        for_each_field(value, [&next](int& field) { field = ++next; });
        CHECK(value.a == 1);
        CHECK(value.p == 16);
        CHECK(value.af == 32);
    }

    TEST_CASE("returns what the visitor returns") {
        const one value{.a = 7};
        CHECK(visit_fields(value, [](const int& a) { return a + 1; }) == 8);
        const none nothing;
        CHECK(visit_fields(nothing, [] { return 3; }) == 3);
    }
}
