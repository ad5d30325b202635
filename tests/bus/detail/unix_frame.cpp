// SPDX-License-Identifier: MIT
#include <cluster/bus/detail/unix_frame.hpp>

#include "../../support/bus_test.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string_view>
#include <system_error>

using namespace cluster::detail;
using namespace std::string_view_literals;
using cluster_test::bytes_of;
using cluster_test::string_of;

TEST_CASE("a letter is opened as it was closed and one that is cut is not") {
    for (std::string_view to : {"", "receiver"}) {
        cluster::byte_buffer out;
        put_address(to, "news", out);
        const auto address = out.size();
        out.append(bytes_of("envelope"));
        unix_letter got;
        REQUIRE(decode_letter(out.span(), got));
        CHECK(got.to == to);
        CHECK(got.subject == "news");
        CHECK(string_of(got.envelope) == "envelope");
        for (std::size_t size = 0; size != address; ++size) {
            CHECK_FALSE(decode_letter(out.span().first(size), got));
        }
    }
}

TEST_CASE("a letter to no name or about no subject is none") {
    unix_letter got;
    for (auto bad : {"\1*\1sx"sv, "\1a\1 x"sv, "\1a\0x"sv, "\0\0x"sv}) {
        CHECK_FALSE(decode_letter(bytes_of(bad), got));
    }
}

TEST_CASE("a refusal that is not known is one of another version") {
    CHECK(error_of(unix_refusal::name_is_taken) == std::errc::address_in_use);
    CHECK(error_of(static_cast<unix_refusal>(77)) == cluster::errc::protocol_mismatch);
}
