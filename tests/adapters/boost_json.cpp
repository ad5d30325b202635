// SPDX-License-Identifier: MIT
#include <cluster/adapters/boost_json.hpp> // first and alone: proves the header is self-contained

#include "serializer_test.hpp"

#include <boost/describe.hpp>
#include <boost/json/src.hpp> // so that no library is linked

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace boost_json_test {

using cluster::errc;
using serializer = cluster::adapters::boost_json;
using namespace serializer_test;

struct part {
    int number = 0;
    std::string text;
    bool operator==(const part&) const = default;
};
BOOST_DESCRIBE_STRUCT(part, (), (number, text))

BOOST_DEFINE_ENUM_CLASS(colour, red, green)

struct message {
    bool flag = false;
    std::uint64_t big = 0;
    double real = 0;
    colour shade{};
    std::string name;
    std::vector<part> parts;
    std::map<std::string, std::vector<int>> table;
    std::array<std::int8_t, 3> few{};
    std::optional<std::string> maybe;
    std::variant<int, std::string> either;
    bool operator==(const message&) const = default;
};
BOOST_DESCRIBE_STRUCT(message, (), (flag, big, real, shade, name, parts, table, few, maybe, either))

struct tree {
    std::vector<tree> children;
};
tree tag_invoke(const boost::json::value_to_tag<tree>&, const boost::json::value& from) {
    return {boost::json::value_to<std::vector<tree>>(from)};
}

struct picky {
    int number = 0;
};
picky tag_invoke(const boost::json::value_to_tag<picky>&, const boost::json::value& from) {
    const auto number = boost::json::value_to<int>(from);
    if (number < 0) {
        throw std::invalid_argument{"negative"};
    }
    return {number};
}

class stranger {
public:
    int number() const { return number_; }

private:
    int number_ = 0;
};

message sample() {
    return {.flag = true,
            .big = std::numeric_limits<std::uint64_t>::max(),
            .real = 0.1,
            .shade = colour::green,
            .name = "n\"\\\u00e9[[{",
            .parts = {{1, "one"}, {-2, ""}},
            .table = {{"a", {1, 2}}, {"", {}}},
            .few = {-128, 0, 127},
            .maybe = "maybe",
            .either = "either"};
}

template <typename T>
std::error_code read(std::string_view text, T& value) {
    return decode<serializer>(std::as_bytes(std::span{text}), value);
}

static_assert(cluster::serializer<serializer>);
static_assert(cluster::serializes<serializer, message>);
static_assert(cluster::serializes<serializer, std::string>);
static_assert(cluster::serializes<serializer, boost::json::value>);
static_assert(cluster::serializes<serializer, boost::json::object>);
static_assert(cluster::serializes<serializer, std::vector<std::map<std::string, part>>>);
static_assert(!cluster::decodes<serializer, std::string_view>);
static_assert(!cluster::decodes<serializer, std::vector<std::string_view>>);
static_assert(!cluster::encodes<serializer, stranger> && !cluster::decodes<serializer, stranger>);
static_assert(!cluster::encodes<serializer, std::vector<stranger>>);
static_assert(!cluster::decodes<serializer, std::optional<stranger>>);
static_assert(!cluster::encodes<serializer, picky> && cluster::decodes<serializer, picky>);
static_assert(!cluster::decodes<serializer, const int>);
static_assert(!cluster::decodes<serializer, std::map<int, int>>);

} // namespace boost_json_test

using namespace boost_json_test;

TEST_SUITE("adapters/boost_json") {
    TEST_CASE("every kind comes back") {
        check_round_trip<serializer>(42);
        check_round_trip<serializer>(true);
        check_round_trip<serializer>(std::string{"with\0zero", 9});
        check_round_trip<serializer>(std::vector<double>{0.1, -1e300, 5e-324});
        check_round_trip<serializer>(boost::json::value{{"a", {1, nullptr, "x"}}, {"b", 0.5}});
        check_round_trip<serializer>(boost::json::object{{"a", 1}});
        check_round_trip<serializer>(message{});
        check_round_trip<serializer>(sample());
    }

    TEST_CASE("the bytes are JSON without spaces") {
        CHECK(encoded<serializer>(part{7, "x"}) == bytes_of(R"({"number":7,"text":"x"})"));
        const std::string large(100'000, 'x');
        CHECK(encoded<serializer>(large) == bytes_of('"' + large + '"'));
    }

    TEST_CASE("another type, a missing member or a number that does not fit is an error") {
        part value;
        CHECK(read(R"({"number":"7","text":"x"})", value) == errc::bad_payload);
        CHECK(read(R"({"number":7,"text":5})", value) == errc::bad_payload);
        CHECK(read(R"({"number":7})", value) == errc::bad_payload);
        CHECK(read(R"({"number":7000000000,"text":"x"})", value) == errc::bad_payload);
        CHECK(read(R"({"number":1e300,"text":"x"})", value) == errc::bad_payload);
        CHECK(read(R"({"number":7.5,"text":"x"})", value) == errc::bad_payload);
        CHECK(read("[7,\"x\"]", value) == errc::bad_payload);
        CHECK(read("null", value) == errc::bad_payload);
        CHECK_FALSE(read(" { \"number\" : 7, \"text\" : \"\\u00e9\" } \n", value));
        CHECK(static_cast<bool>(value == part{7, "\u00e9"}));
    }

    TEST_CASE("a truncated text is an error") {
        check_truncations<serializer>(sample());
    }

    TEST_CASE("what follows the value is an error") {
        check_trailing_bytes<serializer>(sample());
        int value = 0;
        CHECK(read(std::string_view{"7\0 8", 4}, value) == errc::trailing_bytes);
        CHECK(read("7 8", value) == errc::trailing_bytes);
        CHECK(read("", value) == errc::bad_payload);
    }

    TEST_CASE("noise does no harm") {
        check_noise<serializer>(sample());
        check_noise<serializer>(boost::json::value_from(sample()));
    }

    TEST_CASE("nesting ends at 64 levels") {
        boost::json::value any;
        tree typed;
        for (const std::size_t depth : {std::size_t{1}, std::size_t{64}}) {
            CHECK_FALSE(read(repeated("[", depth) + repeated("]", depth), any));
            CHECK_FALSE(read(repeated("[", depth) + repeated("]", depth), typed));
        }
        for (const std::size_t depth : {std::size_t{65}, std::size_t{1'000'000}}) {
            CHECK(read(repeated("[", depth) + repeated("]", depth), any) == errc::nesting_too_deep);
            CHECK(read(repeated("[", depth), typed) == errc::nesting_too_deep);
            CHECK(read(repeated("{\"a\":", depth), any) == errc::nesting_too_deep);
        }
    }

    TEST_CASE("long numbers do no harm") {
        double number = 0;
        CHECK_FALSE(read("0." + std::string(100'000, '1'), number));
        CHECK_NOTHROW(static_cast<void>(read("1e999999999", number)));
        int integer = 0;
        CHECK(read("1e999999999", integer) == errc::bad_payload);
    }

    TEST_CASE("an exception of tag_invoke is an error") {
        picky value;
        CHECK_FALSE(read("7", value));
        CHECK(read("-7", value) == errc::bad_payload);
        CHECK(value.number == 7);
    }

    TEST_CASE("text that is not UTF-8 is an error at the receiver") {
        std::string text;
        CHECK(read("\"\xff\"", text) == errc::bad_payload);
    }

    TEST_CASE("boost_json carries the messages of a cluster") {
        check_cluster<serializer>("boost_json carries the messages of a cluster", sample());
    }
}
