// SPDX-License-Identifier: MIT
#include <cluster/adapters/protobuf.hpp> // first and alone: proves the header is self-contained

#include "serializer_test.hpp"

#if __has_include(<google/protobuf/stubs/logging.h>)
#    include <google/protobuf/stubs/logging.h>
#endif
#include <protobuf.pb.h>
#include <protobuf_lite.pb.h>

#include <concepts>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace protobuf_test {

using cluster::byte_buffer;
using cluster::errc;
using serializer = cluster::adapters::protobuf;
using namespace serializer_test;
using namespace std::string_view_literals;

#if __has_include(<google/protobuf/stubs/logging.h>)
const google::protobuf::LogSilencer silence; // it tells of every string that is not UTF-8
#endif

template <std::derived_from<google::protobuf::MessageLite> T>
bool operator==(const T& a, const T& b) {
    return a.SerializeAsString() == b.SerializeAsString();
}

Part part(int number, std::string_view text) {
    Part made;
    made.set_number(number);
    made.set_text(std::string{text});
    return made;
}

Message sample() {
    Message made;
    made.set_flag(true);
    made.set_big(std::numeric_limits<std::uint64_t>::max());
    made.set_small(-1);
    made.set_real(0.1);
    made.set_shade(GREEN);
    made.set_name("n\u00e9");
    made.set_binary(std::string{"a\0\xff", 3});
    *made.add_parts() = part(1, "one");
    *made.add_parts() = part(-2, "");
    for (const int number : {1, 300, -70'000}) {
        made.add_numbers(number);
        made.add_wide(static_cast<std::uint64_t>(number));
    }
    (*made.mutable_table())["a"] = part(3, "three");
    made.set_right("right");
    return made;
}

template <typename T>
std::error_code read(std::string_view text, T& value) {
    return decode<serializer>(std::as_bytes(std::span{text}), value);
}

static_assert(cluster::serializer<serializer>);
static_assert(cluster::serializes<serializer, Message>);
static_assert(cluster::serializes<serializer, Lite>);
static_assert(!cluster::decodes<serializer, const Message>);
static_assert(!cluster::encodes<serializer, int> && !cluster::decodes<serializer, int>);
static_assert(!cluster::encodes<serializer, std::vector<Message>>);
static_assert(!cluster::decodes<serializer, std::string>);

} // namespace protobuf_test

using namespace protobuf_test;

TEST_SUITE("adapters/protobuf") {
    TEST_CASE("every kind comes back") {
        check_round_trip<serializer>(Message{});
        check_round_trip<serializer>(sample());
        check_round_trip<serializer>(part(0, std::string(100'000, 'x')));
        Lite lite;
        lite.set_number(7);
        lite.set_text("x");
        check_round_trip<serializer>(lite);
    }

    TEST_CASE("the bytes are the library's") {
        const auto text = sample().SerializeAsString();
        CHECK(encoded<serializer>(sample()) == bytes_of(text));
    }

    TEST_CASE("decoding replaces what was there") {
        auto value = sample();
        CHECK_FALSE(read("", value));
        CHECK(static_cast<bool>(value == Message{}));
    }

    TEST_CASE("another type on the wire is kept as unknown and a wrong one inside is an error") {
        Part value;
        CHECK_FALSE(read("\x0a\x01x"sv, value)); // field 1 as a string: unknown
        CHECK_FALSE(value.has_number());
        Message message;
        CHECK(read("\x42\x03\x12\x05x"sv, message) == errc::bad_payload);
        CHECK(read("\x07"sv, value) == errc::bad_payload); // no such wire type
        CHECK(read("\x00"sv, value) == errc::bad_payload); // no field 0
        CHECK(read("\x0c"sv, value) == errc::bad_payload); // end of a group that did not begin
    }

    TEST_CASE("a missing required field is an error on both sides") {
        byte_buffer out;
        CHECK_THROWS_AS(serializer::encode(Strict{}, out), std::invalid_argument);
        CHECK(out.empty());
        Strict value;
        CHECK(read("", value) == errc::bad_payload);
        CHECK_FALSE(read("\x08\x07"sv, value));
        CHECK(value.number() == 7);
    }

    TEST_CASE("a truncated encoding is an error or ends between two fields") {
        check_truncations<serializer>(sample(), false);
        check_truncations<serializer>(part(0, std::string(300, 'x')), false);
        Part value;
        CHECK(read("\x12\x02x"sv, value) == errc::bad_payload);
        CHECK(read("\x08"sv, value) == errc::bad_payload);
        CHECK(read("\x08\xff"sv, value) == errc::bad_payload);
    }

    TEST_CASE("what follows the value is an error unless it is a field") {
        check_trailing_bytes<serializer>(sample());
    }

    TEST_CASE("noise does no harm") {
        check_noise<serializer>(sample());
    }

    TEST_CASE("a size beyond the bytes is an error") {
        Message value;
        for (const char field : {'\x32', '\x3a', '\x42', '\x4a', '\x52', '\x5a', '\x6a'}) {
            for (const auto size : {"\xff\xff\xff\x7f"sv,
                                    "\xff\xff\xff\xff\x07"sv,
                                    "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"sv,
                                    "\x80\x80\x40"sv}) {
                CHECK(read(field + std::string{size} + "xxx", value) == errc::bad_payload);
            }
        }
    }

    TEST_CASE("nesting ends at 100 levels") {
        Tree fits;
        Tree* innermost = &fits;
        for (int i = 0; i != 99; ++i) {
            innermost = innermost->add_children();
        }
        check_round_trip<serializer>(fits);

        Tree deep;
        innermost = &deep;
        for (int i = 0; i != 2000; ++i) {
            innermost = innermost->add_children();
        }
        Tree value;
        CHECK(decode<serializer>(encoded<serializer>(deep), value) == errc::bad_payload);
        const std::string groups(1'000'000, '\x0b'); // groups in groups, of an unknown field
        CHECK(read(groups, value) == errc::bad_payload);
    }

    TEST_CASE("protobuf carries the messages of a cluster") {
        check_cluster<serializer>("protobuf carries the messages of a cluster", sample());
    }
}
