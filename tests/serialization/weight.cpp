// SPDX-License-Identifier: MIT
#include <cluster/serialization/detail/weight.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

namespace {

using cluster::detail::wire::weight_behind;
using cluster::detail::wire::weight_of;

struct fixed {
    std::int32_t a;
    std::array<double, 3> b;
};

struct nested {
    std::string name;
    std::vector<std::string> lines;
    fixed rest;
};

struct node {
    std::vector<node> children;
    std::unique_ptr<node> next;
};

struct opaque {
    explicit opaque(int) {}
    std::unique_ptr<int[]> memory;
};

} // namespace

TEST_CASE("weight: a type of fixed size weighs its size") {
    CHECK(weight_of(7) == sizeof(int));
    CHECK(weight_of(fixed{}) == sizeof(fixed));
    CHECK(weight_of(std::vector<int>(1000)) == sizeof(std::vector<int>) + 1000 * sizeof(int));
}

TEST_CASE("weight: what members own counts, at every depth") {
    nested value{std::string(100, 'x'), {std::string(1000, 'y'), ""}, {}};
    CHECK(weight_behind(value) == 100 + 2 * sizeof(std::string) + 1000);

    std::map<std::string, std::vector<char>> table{{"key", std::vector<char>(500)}};
    CHECK(weight_behind(table) ==
          sizeof(std::pair<const std::string, std::vector<char>>) + 3 + 500);

    node tree;
    tree.children.resize(3);
    tree.next = std::make_unique<node>();
    CHECK(weight_behind(tree) == 4 * sizeof(node));

    CHECK(weight_behind(std::tuple{1, std::string(40, 'z')}) == 40);
    CHECK(weight_behind(std::array<std::string, 2>{std::string(40, 'z'), ""}) == 40);
}

TEST_CASE("weight: only what is there counts") {
    std::optional<std::string> none;
    CHECK(weight_behind(none) == 0);
    CHECK(weight_behind(std::optional{std::string(64, 'x')}) == 64);
    CHECK(weight_behind(std::unique_ptr<fixed>{}) == 0);
    CHECK(weight_behind(std::make_unique<fixed>()) == sizeof(fixed));
    std::variant<int, std::string> either = 1;
    CHECK(weight_behind(either) == 0);
    either = std::string(50, 'x');
    CHECK(weight_behind(either) == 50);
}

TEST_CASE("weight: an unknown type weighs its size") {
    CHECK(weight_of(opaque{1}) == sizeof(opaque));
    CHECK(weight_of(std::function<void()>{}) == sizeof(std::function<void()>));
    CHECK(weight_of(std::make_shared<int>()) == sizeof(std::shared_ptr<int>));
}
