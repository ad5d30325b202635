// SPDX-License-Identifier: MIT
#include <cluster/detail/callable.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace callable_test { // with linkage: most of it is never called

using namespace cluster::detail;

struct role {};
struct job {
    int number;
};
struct handle {};

template <typename F>
using shape = handler_shape<F, role>;

// The forms of a handler: what is the message, what comes with it?
[[maybe_unused]] auto message_only = [](const job&) {};
[[maybe_unused]] auto by_value = [](job) {};
[[maybe_unused]] auto mutable_one = [](const job&) mutable {};
[[maybe_unused]] auto silent = [](const job&) noexcept {};
[[maybe_unused]] auto with_role = [](role&, const job&) {};
[[maybe_unused]] auto generic_role = [](auto&, const job&) {};
[[maybe_unused]] auto generic_const_role = [](const auto&, const job&) {};
[[maybe_unused]] auto with_handle = [](const job&, handle) {};
[[maybe_unused]] auto with_all = [](auto&, const job&, handle) {};
[[maybe_unused]] auto text = [](const std::string&) {};
[[maybe_unused]] auto number = [](int) { return 1; };
void function(const job&) {}
void noexcept_function(role&, const job&, handle) noexcept {}
struct object {
    void operator()(role&, const job&) const {}
};

template <typename F, typename Message, bool TakesRole, std::size_t Extra>
constexpr bool is = std::is_same_v<typename shape<F>::message_type, Message> &&
                    shape<F>::takes_role == TakesRole && shape<F>::extra == Extra;

static_assert(is<decltype(message_only), job, false, 0>);
static_assert(is<decltype(message_only)&, job, false, 0>);
static_assert(is<const decltype(message_only)&, job, false, 0>);
static_assert(is<decltype(by_value), job, false, 0>);
static_assert(is<decltype(mutable_one), job, false, 0>);
static_assert(is<decltype(silent), job, false, 0>);
static_assert(is<decltype(with_role), job, true, 0>);
static_assert(is<decltype(generic_role), job, true, 0>);
static_assert(is<decltype(generic_const_role), job, true, 0>);
static_assert(is<decltype(with_handle), job, false, 1>);
static_assert(is<decltype(with_all), job, true, 1>);
static_assert(is<decltype(text), std::string, false, 0>);
static_assert(is<decltype(number), int, false, 0>);
static_assert(is<decltype(function), job, false, 0>);
static_assert(is<decltype(&function), job, false, 0>);
static_assert(is<decltype(&noexcept_function), job, true, 1>);
static_assert(is<object, job, true, 0>);

static_assert(std::is_same_v<shape<decltype(with_all)>::extra_type, handle>);
static_assert(std::is_same_v<shape<decltype(message_only)>::extra_type, void>);

// What names no message is told in a sentence, and nothing else goes wrong.
[[maybe_unused]] auto nothing = [] {};
[[maybe_unused]] auto only_auto = [](const auto&) {};
static_assert(shape<decltype(message_only)>::names_message);
static_assert(shape<decltype(with_all)>::names_message);
static_assert(!shape<decltype(nothing)>::names_message);
static_assert(!shape<decltype(only_auto)>::names_message);
static_assert(!shape<int>::names_message);

// How values travel: text as std::string, everything else as it is.
static_assert(std::is_same_v<message_type_of<const char*>, std::string>);
static_assert(std::is_same_v<message_type_of<char[6]>, std::string>);
static_assert(std::is_same_v<message_type_of<std::string_view>, std::string>);
static_assert(std::is_same_v<message_type_of<std::string>, std::string>);
static_assert(std::is_same_v<message_type_of<job>, job>);
static_assert(std::is_same_v<message_type_of<std::vector<int>>, std::vector<int>>);
static_assert(std::is_same_v<message_type_of<int>, int>);

} // namespace callable_test

using namespace callable_test;

TEST_SUITE("detail/callable") {
    TEST_CASE("the parameters of a handler are known to the compiler") {
        static_assert(decltype(find_parameters<int, role>())::size == 0);
        using both = decltype(find_parameters<decltype(with_role), role>());
        static_assert(both::size == 2);
        CHECK(std::is_same_v<both::at<0>, role&>);
        CHECK(std::is_same_v<both::at<1>, const job&>);
    }
}
