// SPDX-License-Identifier: MIT
#include <cluster/result.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace {

using cluster::result;

struct no_default {
    explicit no_default(int number) : value{number} {}
    int value;
};

} // namespace

TEST_SUITE("result") {
    TEST_CASE("a value is a value and no error") {
        result<std::string> answer{std::string{"yes"}};
        CHECK(answer);
        CHECK(answer.has_value());
        CHECK(answer.value() == "yes");
        CHECK(*answer == "yes");
        CHECK(answer->size() == 3);
        CHECK_FALSE(answer.error());
        CHECK(answer.text().empty());
        CHECK(answer.value_or("no") == "yes");
    }

    TEST_CASE("an error is an error and no value") {
        const result<int> answer{std::make_error_code(std::errc::timed_out), "too slow"};
        CHECK_FALSE(answer);
        CHECK(answer.error() == std::errc::timed_out);
        CHECK(answer.text() == "too slow");
        CHECK(answer.value_or(7) == 7);
        try {
            static_cast<void>(answer.value());
            FAIL("must throw");
        } catch (const std::system_error& error) {
            CHECK(error.code() == std::errc::timed_out);
            CHECK(std::string{error.what()}.starts_with("too slow"));
        }
    }

    TEST_CASE("an error without a text throws, too") {
        result<int> answer{std::make_error_code(std::errc::timed_out)};
        CHECK_THROWS_AS(static_cast<void>(answer.value()), std::system_error);
        CHECK_THROWS_AS(static_cast<void>(std::move(answer).value()), std::system_error);
    }

    TEST_CASE("a value can be moved out and changed in place") {
        result<std::unique_ptr<int>> answer{std::make_unique<int>(3)};
        **answer = 4;
        auto owned = std::move(answer).value();
        CHECK(*owned == 4);
        result<no_default> other{no_default{5}};
        CHECK(other->value == 5);
        const auto& constant = other;
        CHECK(constant->value == 5);
        CHECK((*constant).value == 5);
        CHECK(constant.value().value == 5);
    }
}
