// SPDX-License-Identifier: MIT
#include <cluster/adapters/cereal.hpp> // first and alone: proves the header is self-contained

#include "serializer_test.hpp"

#include <cereal/types/array.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/common.hpp>
#include <cereal/types/deque.hpp>
#include <cereal/types/list.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/set.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace cereal_test {

using cluster::byte_buffer;
using cluster::errc;
using serializer = cluster::adapters::cereal;
using namespace serializer_test;

enum class colour : std::uint8_t { red, green };

struct part {
    int number = 0;
    std::string text;
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(CEREAL_NVP(number), CEREAL_NVP(text));
    }
    bool operator==(const part&) const = default;
};

struct empty {
    bool operator==(const empty&) const = default;
};

struct message {
    bool flag = false;
    std::uint64_t big = 0;
    double real = 0;
    colour shade{};
    std::string name;
    std::vector<part> parts;
    std::vector<std::int16_t> numbers;
    std::vector<bool> bits;
    std::map<std::string, std::vector<int>> table;
    std::set<int> set;
    std::list<part> list;
    std::deque<std::string> deque;
    std::array<bool, 3> few{};
    std::optional<std::string> maybe;
    std::variant<int, std::string, part> either;
    std::tuple<int, std::string> both;
    std::chrono::milliseconds pause{};
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(flag, big, real, shade, name, parts, numbers, bits, table);
        archive(set, list, deque, few, maybe, either, both, pause);
    }
    bool operator==(const message&) const = default;
};

struct tree {
    std::vector<tree> children;
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(children);
    }
};

struct chain {
    std::unique_ptr<chain> next;
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(next);
    }
};

struct shares {
    std::shared_ptr<std::string> one;
    std::shared_ptr<std::vector<int>> two;
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(one, two);
    }
};

struct ring {
    std::shared_ptr<ring> next;
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(next);
    }
};

struct large {
    std::array<std::uint64_t, 512> all{};
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(all);
    }
};

struct picky {
    int number = 0;
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(number);
        if (number < 0) {
            throw std::invalid_argument{"negative"};
        }
    }
};

struct stranger {
    int number = 0;
};

message sample() {
    return {.flag = true,
            .big = ~std::uint64_t{},
            .real = 0.1,
            .shade = colour::green,
            .name = std::string{"a\0b", 3},
            .parts = {{1, "one"}, {-2, ""}},
            .numbers = {1, -1, 300},
            .bits = {true, false, true},
            .table = {{"a", {1, 2}}, {"", {}}},
            .set = {1, 2, 3},
            .list = {{3, "three"}},
            .deque = {"x", "y"},
            .few = {true, false, true},
            .maybe = "maybe",
            .either = part{4, "four"},
            .both = {5, "five"},
            .pause = std::chrono::milliseconds{250}};
}

template <typename T>
std::error_code read(const byte_buffer& bytes, T& value) {
    return decode<serializer>(bytes.span(), value);
}

static_assert(cluster::serializer<serializer>);
static_assert(cluster::serializes<serializer, message>);
static_assert(cluster::serializes<serializer, std::vector<part>>);
static_assert(!cluster::encodes<serializer, stranger>);
static_assert(!cluster::decodes<serializer, stranger>);
static_assert(!cluster::decodes<serializer, const part>);
static_assert(!cluster::encodes<serializer, std::vector<stranger>>);
static_assert(!cluster::decodes<serializer, std::map<int, std::unique_ptr<stranger>>>);

} // namespace cereal_test

using namespace cereal_test;

TEST_SUITE("adapters/cereal") {
    TEST_CASE("every kind comes back") {
        check_round_trip<serializer>(42);
        check_round_trip<serializer>(true);
        check_round_trip<serializer>(std::string(100'000, 'x'));
        check_round_trip<serializer>(std::vector<empty>(5));
        check_round_trip<serializer>(std::vector<double>{0.1, -1e300});
        check_round_trip<serializer>(std::vector<std::vector<std::vector<char>>>{{{}, {'a'}}, {}});
        check_round_trip<serializer>(std::map<int, std::string>{{1, "a"}, {2, "b"}});
        check_round_trip<serializer>(message{});
        check_round_trip<serializer>(sample());
    }

    TEST_CASE("a truncated encoding is an error") {
        check_truncations<serializer>(sample());
    }

    TEST_CASE("what follows the value is an error") {
        check_trailing_bytes<serializer>(sample());
        auto longer = encoded<serializer>(7);
        longer.push_back(std::byte{});
        int value = 0;
        CHECK(decode<serializer>(longer, value) == errc::trailing_bytes);
    }

    TEST_CASE("noise does no harm") {
        check_noise<serializer>(sample());
    }

    TEST_CASE("another type is an error") {
        message value;
        CHECK(decode<serializer>(encoded<serializer>(part{1, "x"}), value) == errc::bad_payload);
        part small;
        CHECK(decode<serializer>(encoded<serializer>(sample()), small));
    }

    TEST_CASE("a bool that is neither true nor false is an error") {
        byte_buffer bytes;
        bytes.append_le(std::uint8_t{2});
        bool value = false;
        CHECK(read(bytes, value) == errc::bad_payload);
        std::array<bool, 1> values{};
        CHECK(read(bytes, values) == errc::bad_payload);
    }

    TEST_CASE("a size beyond the bytes allocates nothing") {
        for (const std::uint64_t size : {std::uint64_t{1} << 20,
                                         std::uint64_t{1} << 40,
                                         ~std::uint64_t{} / 8,
                                         ~std::uint64_t{}}) {
            byte_buffer bytes;
            bytes.append_le(size);
            bytes.append_le(std::uint32_t{});
            std::string text;
            CHECK(read(bytes, text) == errc::bad_payload);
            CHECK(text.capacity() < 100);
            std::vector<std::uint64_t> numbers;
            CHECK(read(bytes, numbers) == errc::bad_payload);
            CHECK(numbers.capacity() < 100);
            std::vector<empty> nothing;
            CHECK(read(bytes, nothing) == errc::bad_payload);
            message all;
            CHECK(read(bytes, all) == errc::bad_payload);
            std::map<int, int> map;
            CHECK(read(bytes, map) == errc::bad_payload);
        }
    }

    TEST_CASE("elements are made when their bytes are there") {
        byte_buffer bytes;
        bytes.append_le(std::uint64_t{100'000});
        bytes.append_le(std::uint64_t{});
        std::memset(bytes.extend(100'000), 0, 100'000);
        std::vector<large> many;
        CHECK(read(bytes, many) == errc::bad_payload);
        CHECK(many.capacity() < 100);
    }

    TEST_CASE("sizes in sizes do not add up to more than the bytes") {
        byte_buffer bytes;
        for (int i = 0; i != 60; ++i) { // each claims all that is there
            bytes.append_le(std::uint64_t{1400});
        }
        tree value;
        CHECK(read(bytes, value) == errc::bad_payload);
    }

    TEST_CASE("nesting ends") {
        byte_buffer bytes;
        for (int i = 0; i != 100'000; ++i) {
            bytes.append_le(std::uint64_t{1});
        }
        tree value;
        CHECK(read(bytes, value) == errc::nesting_too_deep);

        byte_buffer links;
        for (int i = 0; i != 100'000; ++i) {
            links.append_le(std::uint8_t{1});
        }
        chain first;
        CHECK(read(links, first) == errc::nesting_too_deep);

        tree deep;
        for (int i = 0; i != 100; ++i) {
            tree outer;
            outer.children.push_back(std::move(deep));
            deep = std::move(outer);
        }
        byte_buffer out;
        serializer::encode(deep, out);
        CHECK(read(out, value) == std::error_code{});
    }

    TEST_CASE("shared pointers own what they bring and never one another's") {
        const shares value{std::make_shared<std::string>("x"),
                           std::make_shared<std::vector<int>>(std::vector{1, 2})};
        shares back;
        CHECK(decode<serializer>(encoded<serializer>(value), back) == std::error_code{});
        REQUIRE(back.one);
        REQUIRE(back.two);
        CHECK(*back.one == "x");
        CHECK(*back.two == std::vector{1, 2});

        const std::vector<std::shared_ptr<std::string>> same(2, value.one);
        std::vector<std::shared_ptr<std::string>> copies;
        CHECK(decode<serializer>(encoded<serializer>(same), copies) == std::error_code{});
        REQUIRE(copies.size() == 2);
        CHECK(*copies[0] == *copies[1]);

        byte_buffer forged; // the vector is said to be the string
        forged.append_le(std::uint32_t{0x80000001});
        forged.append_le(std::uint64_t{1});
        forged.append_le(std::uint8_t{'x'});
        forged.append_le(std::uint32_t{1});
        CHECK(read(forged, back) == errc::bad_payload);
    }

    TEST_CASE("a ring of pointers cannot be sent") {
        auto one = std::make_shared<ring>();
        one->next = one;
        byte_buffer out;
        CHECK_THROWS_AS(serializer::encode(*one, out), cereal::Exception);
        one->next.reset();
    }

    TEST_CASE("an exception of a load function is an error") {
        byte_buffer bytes;
        bytes.append_le(std::uint32_t{0xffffffff});
        picky value;
        CHECK(read(bytes, value) == errc::bad_payload);
    }

    TEST_CASE("cereal carries the messages of a cluster") {
        check_cluster<serializer>("cereal carries the messages of a cluster", sample());
    }
}
