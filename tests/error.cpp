// SPDX-License-Identifier: MIT
#include <cluster/error.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <ostream> // doctest prints error codes
#include <set>
#include <string>
#include <system_error>
#include <type_traits>

namespace {

using cluster::errc;

static_assert(std::is_error_code_enum_v<errc>);
static_assert(static_cast<int>(errc::channel_closed) == 1);
static_assert(static_cast<int>(errc::conflicting_type) == 23);

} // namespace

TEST_SUITE("error") {
    TEST_CASE("an errc becomes an error_code of the category cluster") {
        const std::error_code code = errc::no_handler;
        CHECK(code);
        CHECK(code == errc::no_handler);
        CHECK(code != errc::bad_frame);
        CHECK(std::string{code.category().name()} == "cluster");
        CHECK(&code.category() == &cluster::error_category());
    }

    TEST_CASE("every value has a sentence of its own") {
        std::set<std::string> sentences;
        for (int value = 1; value <= static_cast<int>(errc::conflicting_type); ++value) {
            const std::string sentence = cluster::error_category().message(value);
            CHECK(sentence.find("unknown") == std::string::npos);
            CHECK(sentences.insert(sentence).second);
        }
    }

    TEST_CASE("an unknown value has a sentence too") {
        CHECK(cluster::error_category().message(0) == "unknown cluster error");
        CHECK(cluster::error_category().message(-7) == "unknown cluster error");
    }

    TEST_CASE("compares with the portable conditions") {
        CHECK(std::error_code{errc::request_timeout} == std::errc::timed_out);
        CHECK(std::error_code{errc::cancelled} == std::errc::operation_canceled);
        CHECK(std::error_code{errc::would_block} == std::errc::operation_would_block);
        CHECK(std::error_code{errc::not_supported} == std::errc::not_supported);
        CHECK(std::error_code{errc::message_too_large} == std::errc::message_size);
        CHECK(std::error_code{errc::protocol_mismatch} == std::errc::protocol_error);
        CHECK(std::error_code{errc::bad_payload} == std::errc::bad_message);
        CHECK(std::error_code{errc::worker_gone} != std::errc::timed_out);
    }

    TEST_CASE("is what a system_error carries and prints") {
        const std::system_error error{errc::spawn_failed, "fork"};
        CHECK(error.code() == errc::spawn_failed);
        CHECK(std::string{error.what()} == "fork: the worker could not be started");
    }
}
