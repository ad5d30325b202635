// SPDX-License-Identifier: MIT
#include <cluster/detail/function_ref.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace function_ref_test {

using cluster::detail::function_ref;

int twice(function_ref<int(int)> f) {
    return f(f(1));
}

TEST_SUITE("detail/function_ref") {
    TEST_CASE("it calls the object itself") {
        int calls = 0;
        auto add_calls = [&calls, own = 0](int value) mutable { return value + ++calls + ++own; };
        CHECK(twice(add_calls) == 1 + 2 + 4);
        CHECK(calls == 2);
        CHECK(add_calls(0) == 3 + 3);
        const auto constant = [](int value) { return value * 3; };
        CHECK(twice(constant) == 9);
        CHECK(twice([](int value) { return value + 5; }) == 11);
    }

    TEST_CASE("arguments are passed on as what they are") {
        auto take = [](std::unique_ptr<int> value, int& into) { into = *value; };
        function_ref<void(std::unique_ptr<int>, int&)> ref{take};
        int into = 0;
        ref(std::make_unique<int>(4), into);
        CHECK(into == 4);
    }

    TEST_CASE("what the function throws leaves the call") {
        CHECK_THROWS_AS(twice([](int) -> int { throw std::logic_error{"no"}; }), std::logic_error);
    }
}

static_assert(!std::is_constructible_v<function_ref<int(int)>, int (*)(void*)>);
static_assert(!std::is_constructible_v<function_ref<void(int&)>, void (*)(int&&)>);
static_assert(std::is_trivially_copyable_v<function_ref<void()>>);

} // namespace function_ref_test
