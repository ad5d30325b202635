// SPDX-License-Identifier: MIT
#include <cluster/detail/exception_name.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <cxxabi.h> // declares one of its functions once more

namespace exception_name_test {

struct of_our_own {};

template <typename Exception>
std::string name_of(Exception thrown) {
    try {
        throw thrown; // NOLINT: of any type
    } catch (...) {
        return cluster::detail::current_exception_name();
    }
}

TEST_SUITE("detail/exception_name") {
    TEST_CASE("an exception has the name that its type has in the source") {
        CHECK(name_of(std::out_of_range{"x"}) == "std::out_of_range");
        CHECK(name_of(of_our_own{}).ends_with("exception_name_test::of_our_own"));
        CHECK(name_of(42) == "int");
    }
    TEST_CASE("where none is handled the name is unknown") {
        CHECK(cluster::detail::current_exception_name() == "unknown");
    }
}

} // namespace exception_name_test
