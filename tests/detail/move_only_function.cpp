// SPDX-License-Identifier: MIT
#include <cluster/detail/move_only_function.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace {

using cluster::detail::move_only_function;

static_assert(!std::is_copy_constructible_v<move_only_function<void()>>);
static_assert(!std::is_copy_assignable_v<move_only_function<void()>>);
static_assert(std::is_nothrow_move_constructible_v<move_only_function<void()>>);
static_assert(std::is_nothrow_move_assignable_v<move_only_function<void()>>);
static_assert(std::is_constructible_v<move_only_function<int(int)>, int (*)(int)>);
static_assert(std::is_constructible_v<move_only_function<void(int)>, int (*)(int)>);
static_assert(!std::is_constructible_v<move_only_function<int(int)>, void (*)(int)>);
static_assert(!std::is_constructible_v<move_only_function<void()>, int (*)(int)>);
static_assert(!std::is_constructible_v<move_only_function<void()>, int>);

/// Counts how many of it are alive; `Size` bytes, so that it fits or not.
template <std::size_t Size>
struct counted {
    static inline int alive = 0;
    std::array<char, Size> bytes{};

    counted() { ++alive; }
    counted(const counted& other) : bytes{other.bytes} { ++alive; }
    counted(counted&& other) noexcept : bytes{other.bytes} { ++alive; }
    counted& operator=(const counted&) = default;
    counted& operator=(counted&&) = default;
    ~counted() { --alive; }
    int operator()(int value) { return value + ++bytes[0]; }
};

struct moves_with_exceptions {
    moves_with_exceptions() = default;
    moves_with_exceptions(moves_with_exceptions&&) noexcept(false) {}
    int operator()(int value) const { return value; }
};

struct alignas(64) overaligned {
    int operator()(int value) const {
        return reinterpret_cast<std::uintptr_t>(this) % 64 == 0 ? value : -1;
    }
};

int twice(int value) {
    return 2 * value;
}

template <std::size_t Size>
void lives_and_dies() {
    {
        move_only_function<int(int)> one{counted<Size>{}};
        CHECK(counted<Size>::alive == 1);
        CHECK(one(1) == 2);
        CHECK(one(1) == 3); // the same object
        auto two = std::move(one);
        CHECK_FALSE(one);
        CHECK(two(1) == 4); // its state moves with it
        CHECK(counted<Size>::alive == 1);
        move_only_function<int(int)> three{counted<Size>{}};
        three = std::move(two);
        CHECK(counted<Size>::alive == 1);
        auto& self = three;
        three = std::move(self);
        CHECK(three(1) == 5);
        three = nullptr;
        CHECK_FALSE(three);
        CHECK(counted<Size>::alive == 0);
        three = counted<Size>{};
        CHECK(counted<Size>::alive == 1);
    }
    CHECK(counted<Size>::alive == 0);
}

} // namespace

TEST_SUITE("detail/move_only_function") {
    TEST_CASE("an empty one is false") {
        move_only_function<void()> empty;
        move_only_function<void()> null{nullptr};
        CHECK_FALSE(empty);
        CHECK_FALSE(null);
        auto moved = std::move(empty);
        CHECK_FALSE(moved);
        null = std::move(moved);
        CHECK_FALSE(null);
    }

    TEST_CASE("what it holds lives once and dies once, inside or on the heap") {
        lives_and_dies<1>();
        lives_and_dies<48>();
        lives_and_dies<49>();
        lives_and_dies<500>();
    }

    TEST_CASE(
        "it holds functions, members that move only, and those that throw or are overaligned") {
        move_only_function<int(int)> function{twice};
        CHECK(function(4) == 8);
        move_only_function<int(int)> pointer{&twice};
        CHECK(pointer(4) == 8);
        auto owned = std::make_unique<int>(3);
        move_only_function<int(int)> moves{
            [owned = std::move(owned)](int value) { return value + *owned; }};
        CHECK(moves(1) == 4);
        move_only_function<int(int)> throwing{moves_with_exceptions{}};
        auto elsewhere = std::move(throwing);
        CHECK(elsewhere(5) == 5);
        move_only_function<int(int)> aligned{overaligned{}};
        auto moved = std::move(aligned);
        CHECK(moved(6) == 6);
    }

    TEST_CASE("arguments are passed on as they are") {
        move_only_function<std::string(std::unique_ptr<std::string>, int&, const std::string&)> f{
            [](std::unique_ptr<std::string> a, int& b, const std::string& c) {
                ++b;
                return *a + c;
            }};
        int number = 1;
        CHECK(f(std::make_unique<std::string>("a"), number, "c") == "ac");
        CHECK(number == 2);
        int value = 0;
        move_only_function<int&(int&)> reference{[](int& x) -> int& { return x; }};
        CHECK(&reference(value) == &value);
        move_only_function<void(int)> dropped{twice}; // its result is not wanted
        dropped(1);
    }

    TEST_CASE("what it calls may throw") {
        move_only_function<void()> f{[] { throw 7; }};
        CHECK_THROWS_AS(f(), int);
        CHECK(static_cast<bool>(f));
    }

    TEST_CASE("one that cannot be made leaves nothing behind") {
        struct bad {
            bad() = default;
            bad(const bad&) { throw 1; }
            void operator()() const {}
        } source;
        CHECK_THROWS_AS((move_only_function<void()>{source}), int);
    }
}
