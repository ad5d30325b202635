// SPDX-License-Identifier: MIT
#include <cluster/bus/detail/bus_frame.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <vector>

TEST_CASE("a header of the bus is read as it was written and nothing else is") {
    using namespace cluster::detail;
    cluster::byte_buffer out;
    encode_bus_header({bus_kind::reply, 1, 2, 0x123456789abcdef0U}, out);
    CHECK(out.size() == bus_header_size);
    out.append("x", 1);
    auto bytes = out.span();
    bus_header header;
    REQUIRE(decode_bus_header(bytes, header));
    CHECK(header.kind == bus_kind::reply);
    CHECK(header.serializer == 1);
    CHECK(header.type == 2);
    CHECK(header.id == 0x123456789abcdef0U);
    CHECK(bytes.size() == 1);
    for (std::size_t size = 0; size != bus_header_size; ++size) {
        auto cut = out.span().first(size);
        CHECK_FALSE(decode_bus_header(cut, header));
    }
    for (std::size_t at : {0U, 1U, 2U, 3U}) {
        std::vector<std::byte> wrong(out.span().begin(), out.span().end());
        wrong[at] = std::byte{200};
        std::span<const std::byte> hostile{wrong};
        CHECK_FALSE(decode_bus_header(hostile, header));
    }
}
