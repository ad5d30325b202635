// SPDX-License-Identifier: MIT
#include <cluster/adapters/msgpack.hpp> // first and alone: proves the header is self-contained

#include "serializer_test.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace msgpack_test {

enum class colour { red, green };

// The library's other way: an adaptor beside the type.
struct adapted {
    int number = 0;
    bool operator==(const adapted&) const = default;
};

struct stranger {
    int number = 0;
};

} // namespace msgpack_test

MSGPACK_ADD_ENUM(msgpack_test::colour)

template <>
struct msgpack::adaptor::convert<msgpack_test::adapted> {
    const msgpack::object& operator()(const msgpack::object& from,
                                      msgpack_test::adapted& to) const {
        from.convert(to.number);
        if (to.number < 0) {
            throw std::invalid_argument{"negative"};
        }
        return from;
    }
};
template <>
struct msgpack::adaptor::pack<msgpack_test::adapted> {
    template <typename Stream>
    msgpack::packer<Stream>& operator()(msgpack::packer<Stream>& to,
                                        const msgpack_test::adapted& from) const {
        return to.pack(from.number);
    }
};
template <>
inline constexpr bool cluster::adapters::has_msgpack_adaptor<msgpack_test::adapted> = true;

namespace msgpack_test {

using cluster::byte_buffer;
using cluster::errc;
using serializer = cluster::adapters::msgpack;
using namespace serializer_test;
using namespace std::string_view_literals;

struct part {
    int number = 0;
    std::string text;
    MSGPACK_DEFINE(number, text)
    bool operator==(const part&) const = default;
};

struct message {
    bool flag = false;
    std::uint64_t big = 0;
    std::int64_t small = 0;
    double real = 0;
    float single = 0;
    colour shade{};
    std::string name;
    std::vector<char> binary;
    std::vector<part> parts;
    std::vector<bool> bits;
    std::map<std::string, std::vector<int>> table;
    std::set<int> set;
    std::array<int, 3> few{};
    std::optional<std::string> maybe;
    std::tuple<int, std::string> both;
    adapted other;
    MSGPACK_DEFINE_MAP(flag,
                       big,
                       small,
                       real,
                       single,
                       shade,
                       name,
                       binary,
                       parts,
                       bits,
                       table,
                       set,
                       few,
                       maybe,
                       both,
                       other)
    bool operator==(const message&) const = default;
};

struct tree {
    std::vector<tree> children;
    MSGPACK_DEFINE(children)
};

message sample() {
    return {.flag = true,
            .big = std::numeric_limits<std::uint64_t>::max(),
            .small = std::numeric_limits<std::int64_t>::min(),
            .real = 0.1,
            .single = 0.5F,
            .shade = colour::green,
            .name = std::string{"a\0b", 3},
            .binary = {'x', '\0'},
            .parts = {{1, "one"}, {-2, ""}},
            .bits = {true, false},
            .table = {{"a", {1, 2}}, {"", {}}},
            .set = {1, 2, 3},
            .few = {1, 70'000, -70'000},
            .maybe = "maybe",
            .both = {5, "five"},
            .other = {7}};
}

template <typename T>
std::error_code read(std::string_view text, T& value) {
    return decode<serializer>(std::as_bytes(std::span{text}), value);
}

static_assert(cluster::serializer<serializer>);
static_assert(cluster::serializes<serializer, message>);
static_assert(cluster::serializes<serializer, std::unordered_map<int, std::vector<part>>>);
static_assert(cluster::serializes<serializer, std::shared_ptr<part>>);
static_assert(cluster::serializes<serializer, std::chrono::system_clock::time_point>);
static_assert(cluster::encodes<serializer, std::string_view>);
static_assert(!cluster::decodes<serializer, std::string_view>);
static_assert(!cluster::encodes<serializer, stranger> && !cluster::decodes<serializer, stranger>);
static_assert(!cluster::encodes<serializer, std::vector<stranger>>);
static_assert(!cluster::decodes<serializer, std::optional<stranger>>);
static_assert(!cluster::encodes<serializer, std::variant<int, bool>>);
static_assert(!cluster::encodes<serializer, int*> && !cluster::encodes<serializer, const char*>);
static_assert(!cluster::decodes<serializer, const int>);
static_assert(!cluster::decodes<serializer, msgpack::object>); // it would refer to the bytes

} // namespace msgpack_test

using namespace msgpack_test;

TEST_SUITE("adapters/msgpack") {
    TEST_CASE("every kind comes back") {
        check_round_trip<serializer>(42);
        check_round_trip<serializer>(true);
        check_round_trip<serializer>(colour::green);
        check_round_trip<serializer>(std::string(100'000, 'x'));
        check_round_trip<serializer>(std::vector<double>{0.1, -1e300});
        check_round_trip<serializer>(std::map<int, std::string>{{1, "a"}, {2, "b"}});
        check_round_trip<serializer>(std::vector<std::vector<std::vector<int>>>{{{}, {1}}, {}});
        check_round_trip<serializer>(std::vector<std::optional<int>>{1, {}, 3});
        check_round_trip<serializer>(adapted{7});
        check_round_trip<serializer>(message{});
        check_round_trip<serializer>(sample());
    }

    TEST_CASE("the bytes are MessagePack") {
        CHECK(encoded<serializer>(part{7, "x"}) == bytes_of("\x92\x07\xa1x"));
    }

    TEST_CASE("another type or a number that does not fit is an error") {
        part value;
        CHECK(read("\x92\xa1x\xa1x", value) == errc::bad_payload);
        CHECK(read("\x07", value) == errc::bad_payload);
        CHECK(read("\xc0", value) == errc::bad_payload);
        CHECK(read("\xc1", value) == errc::bad_payload); // no type at all
        std::uint8_t small = 0;
        CHECK(read("\xcd\x01\x2c", small) == errc::bad_payload); // 300
        CHECK(read("\xff", small) == errc::bad_payload);         // -1
        CHECK(read("\xca\x3f\x80\x00\x00"sv, small) == errc::bad_payload);
        std::array<int, 1> one{};
        CHECK(read("\x92\x01\x02", one) == errc::bad_payload);
    }

    TEST_CASE("a truncated encoding is an error") {
        check_truncations<serializer>(sample());
    }

    TEST_CASE("what follows the value is an error") {
        check_trailing_bytes<serializer>(sample());
        int value = 0;
        CHECK(read("\x07\x07", value) == errc::trailing_bytes);
    }

    TEST_CASE("noise does no harm") {
        check_noise<serializer>(sample());
    }

    TEST_CASE("a size beyond the bytes is an error") {
        for (const auto header : {"\xdd\xff\xff\xff\xff"sv,   // array
                                  "\xdf\xff\xff\xff\xff"sv,   // map
                                  "\xdb\xff\xff\xff\xff"sv,   // string
                                  "\xc6\xff\xff\xff\xff"sv,   // bytes
                                  "\xc9\xff\xff\xff\xff\0"sv, // extension
                                  "\xdc\x04\x00"sv}) {
            const auto bytes = std::string{header} + std::string(1000, '\x01');
            std::vector<int> numbers;
            CHECK(read(bytes, numbers) == errc::bad_payload);
            std::string text;
            CHECK(read(bytes, text) == errc::bad_payload);
            std::map<int, int> map;
            CHECK(read(bytes, map) == errc::bad_payload);
            message all;
            CHECK(read(bytes, all) == errc::bad_payload);
        }
    }

    TEST_CASE("sizes in sizes do not add up to more than the bytes") {
        std::string bytes;
        for (int i = 0; i != 60; ++i) { // each claims all that is there
            bytes += "\xdc\x03\xe8"sv;
        }
        bytes.resize(1000 + bytes.size(), '\x01');
        tree value;
        CHECK(read(bytes, value) == errc::bad_payload);
    }

    TEST_CASE("nesting ends at 64 levels") {
        tree value;
        std::vector<tree> trees;
        CHECK_FALSE(read(std::string(63, '\x91') + '\x90', value));
        CHECK(read(std::string(64, '\x91') + '\x90', value) == errc::nesting_too_deep);
        CHECK(read(std::string(1'000'000, '\x91'), value) == errc::nesting_too_deep);
        CHECK(read(std::string(1'000'000, '\x81'), value) == errc::nesting_too_deep);
        CHECK_FALSE(read("\xdc\x03\xe8" + std::string(1000, '\x90'), trees)); // not deep, but wide
    }

    TEST_CASE("an exception of an adaptor is an error") {
        adapted value;
        CHECK(read("\xff", value) == errc::bad_payload);
    }

    TEST_CASE("msgpack carries the messages of a cluster") {
        check_cluster<serializer>("msgpack carries the messages of a cluster", sample());
    }
}
