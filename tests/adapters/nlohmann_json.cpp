// SPDX-License-Identifier: MIT
#include <cluster/adapters/nlohmann_json.hpp> // first and alone: proves the header is self-contained

#include "serializer_test.hpp"

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace nlohmann_json_test {

using cluster::errc;
using cluster::adapters::nlohmann_json;
using namespace serializer_test;

struct part {
    int number = 0;
    std::string text;
    bool operator==(const part&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(part, number, text)

enum class colour { red, green };

struct message {
    bool flag = false;
    std::uint64_t big = 0;
    double real = 0;
    colour shade{};
    std::string name;
    std::vector<part> parts;
    std::map<std::string, std::vector<int>> table;
    std::array<std::int8_t, 3> few{};
    bool operator==(const message&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(message, flag, big, real, shade, name, parts, table, few)

struct tree {
    std::vector<tree> children;
};
void from_json(const nlohmann::json& from, tree& to) {
    from.get_to(to.children);
}
void to_json(nlohmann::json& to, const tree& from) {
    to = from.children;
}

struct picky {
    int number = 0;
};
void from_json(const nlohmann::json& from, picky& to) {
    if (from.get_to(to.number) < 0) {
        throw std::invalid_argument{"negative"};
    }
}

struct stranger {
    int number = 0;
};

message sample() {
    return {.flag = true,
            .big = std::numeric_limits<std::uint64_t>::max(),
            .real = 0.1,
            .shade = colour::green,
            .name = "n\"\\\u00e9[[{",
            .parts = {{1, "one"}, {-2, ""}},
            .table = {{"a", {1, 2}}, {"", {}}},
            .few = {-128, 0, 127}};
}

template <typename T>
std::error_code read(std::string_view text, T& value) {
    return decode<nlohmann_json>(std::as_bytes(std::span{text}), value);
}

static_assert(cluster::serializer<nlohmann_json>);
static_assert(cluster::serializes<nlohmann_json, message>);
static_assert(cluster::serializes<nlohmann_json, nlohmann::json>);
static_assert(cluster::serializes<nlohmann_json, std::vector<std::map<int, part>>>);
static_assert(cluster::encodes<nlohmann_json, std::string_view>);
static_assert(!cluster::decodes<nlohmann_json, std::string_view>);
static_assert(!cluster::decodes<nlohmann_json, std::vector<std::string_view>>);
static_assert(cluster::decodes<nlohmann_json, picky> && !cluster::encodes<nlohmann_json, picky>);
static_assert(!cluster::encodes<nlohmann_json, stranger>);
static_assert(!cluster::decodes<nlohmann_json, stranger>);
static_assert(!cluster::encodes<nlohmann_json, std::vector<stranger>>);
static_assert(!cluster::decodes<nlohmann_json, std::vector<stranger>>);

} // namespace nlohmann_json_test

using namespace nlohmann_json_test;

TEST_SUITE("adapters/nlohmann_json") {
    TEST_CASE("every kind comes back") {
        check_round_trip<nlohmann_json>(42);
        check_round_trip<nlohmann_json>(true);
        check_round_trip<nlohmann_json>(std::string{"with\0zero", 9});
        check_round_trip<nlohmann_json>(std::vector<double>{0.1, -1e300, 5e-324});
        check_round_trip<nlohmann_json>(std::map<int, std::string>{{1, "a"}, {2, "b"}});
        check_round_trip<nlohmann_json>(std::tuple<int, std::string, bool>{1, "a", true});
        check_round_trip<nlohmann_json>(nlohmann::json{{"a", {1, nullptr, "x"}}, {"b", 0.5}});
        check_round_trip<nlohmann_json>(message{});
        check_round_trip<nlohmann_json>(sample());
    }

    TEST_CASE("the bytes are JSON without spaces") {
        CHECK(encoded<nlohmann_json>(part{7, "x"}) == bytes_of(R"({"number":7,"text":"x"})"));
        const std::string large(100'000, 'x');
        CHECK(encoded<nlohmann_json>(large) == bytes_of('"' + large + '"'));
    }

    TEST_CASE("another type or a missing member is an error; spaces and more members are not") {
        part value;
        CHECK(read(R"({"number":"7","text":"x"})", value) == errc::bad_payload);
        CHECK(read(R"({"number":7,"text":5})", value) == errc::bad_payload);
        CHECK(read(R"({"number":7})", value) == errc::bad_payload);
        CHECK(read("[7,\"x\"]", value) == errc::bad_payload);
        CHECK(read("null", value) == errc::bad_payload);
        CHECK_FALSE(read(" { \"more\" : [] , \"number\" : 7, \"text\" : \"\\u00e9\" } \n", value));
        CHECK(static_cast<bool>(value == part{7, "\u00e9"}));
    }

    TEST_CASE("a truncated text is an error") {
        check_truncations<nlohmann_json>(sample());
    }

    TEST_CASE("what follows the value is an error") {
        check_trailing_bytes<nlohmann_json>(sample());
        int value = 0;
        CHECK(read(std::string_view{"7\0 8", 4}, value) == errc::bad_payload);
        CHECK(read(std::string_view{"7\0", 2}, value) == errc::bad_payload);
        CHECK(read("7 8", value) == errc::bad_payload);
        CHECK(read("", value) == errc::bad_payload);
    }

    TEST_CASE("noise does no harm") {
        check_noise<nlohmann_json>(sample());
        check_noise<nlohmann_json>(nlohmann::json(sample()));
    }

    TEST_CASE("nesting ends at 64 levels") {
        nlohmann::json any;
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
        CHECK_FALSE(
            read("[" + repeated("[\"]\\\"\"],", 1000) + "\"" + repeated("[", 1000) + "\"]", any));
    }

    TEST_CASE("numbers that are too large for anything are errors") {
        nlohmann::json any;
        CHECK(read("1e999999999", any) == errc::bad_payload);
        double number = 0;
        CHECK(read("-1" + std::string(100'000, '0'), number) == errc::bad_payload);
    }

    TEST_CASE("an exception of from_json is an error") {
        picky value;
        CHECK_FALSE(read("7", value));
        CHECK(read("-7", value) == errc::bad_payload);
    }

    TEST_CASE("text that is not UTF-8 cannot be sent") {
        cluster::byte_buffer out;
        CHECK_THROWS_AS(nlohmann_json::encode(std::string{"\xff"}, out),
                        nlohmann::json::type_error);
        std::string text;
        CHECK(read("\"\xff\"", text) == errc::bad_payload);
    }

    TEST_CASE("nlohmann_json carries the messages of a cluster") {
        check_cluster<nlohmann_json>("nlohmann_json carries the messages of a cluster", sample());
    }
}
