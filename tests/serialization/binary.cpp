// SPDX-License-Identifier: MIT
#include <cluster/serialization/binary.hpp> // first and alone: proves the header is self-contained

#include <cluster/byte_buffer.hpp>
#include <cluster/error.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <initializer_list>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <ostream> // doctest prints error codes
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace {

using cluster::byte_buffer;
using cluster::errc;
using cluster::serialization::binary;

enum class colour : std::uint8_t { red = 1, green = 2 };
enum class answer : bool { no, yes };
enum plain_enum { first, second };

struct empty {
    friend bool operator==(const empty&, const empty&) = default;
};
struct point {
    std::int32_t x = 0;
    std::int32_t y = 0;
    friend bool operator==(const point&, const point&) = default;
};
struct padded {
    std::uint8_t a = 0;
    std::uint32_t b = 0;
    bool c = false;
    friend bool operator==(const padded&, const padded&) = default;
};
struct tree {
    int value = 0;
    std::string label;
    std::vector<tree> children;
    friend bool operator==(const tree&, const tree&) = default;
};
struct chain {
    int value = 0;
    std::unique_ptr<chain> next;
};
struct rich {
    bool flag = false;
    colour shade = colour::red;
    point where;
    double ratio = 0;
    std::string name;
    std::vector<std::uint16_t> numbers;
    std::vector<std::string> words;
    std::vector<bool> bits;
    std::map<std::string, std::vector<point>> table;
    std::optional<std::string> maybe;
    std::variant<std::monostate, int, std::string> either;
    std::chrono::milliseconds pause{};
    std::array<std::optional<int>, 2> pair{};
    std::tuple<int, std::string> tuple;
    tree nested;
    friend bool operator==(const rich&, const rich&) = default;
};

rich sample() {
    return {.flag = true,
            .shade = colour::green,
            .where = {-1, 1'000'000},
            .ratio = 0.25,
            .name = std::string(200, 'n'),
            .numbers = {1, 2, 65535},
            .words = {"", "two", std::string(1, '\0')},
            .bits = {true, false, true},
            .table = {{"a", {{1, 2}}}, {"b", {}}},
            .maybe = "yes",
            .either = "text",
            .pause = std::chrono::milliseconds{1500},
            .pair = {std::nullopt, 7},
            .tuple = {3, "three"},
            .nested = {1, "root", {{2, "", {}}, {3, "b", {{4, "c", {}}}}}}};
}

// One member for both directions.
class account {
public:
    account() = default;
    account(std::string owner, long balance) : owner_{std::move(owner)}, balance_{balance} {}

    template <class Archive>
    void serialize(Archive& archive) {
        archive(owner_, balance_);
        if constexpr (Archive::reading) {
            if (balance_ < 0) {
                archive.reject();
            }
        }
    }
    friend bool operator==(const account&, const account&) = default;

private:
    std::string owner_;
    long balance_ = 0;
};

// A static member, const-correct in both directions.
class version {
public:
    version() = default;
    explicit version(int number) : number_{number} {}
    template <class Archive, class Self>
    static void serialize(Archive& archive, Self& self) {
        archive(self.number_);
    }
    friend bool operator==(const version&, const version&) = default;

private:
    int number_ = 0;
};

// What writes nothing at all.
struct silent {
    template <class Archive>
    void serialize(Archive&) const {}
};

struct throws_when_made {
    throws_when_made() = default;
    explicit throws_when_made(int value) { throw value; }
    std::string keeps_it_from_being_trivial;
    template <class Archive>
    void serialize(Archive&) const {}
};

template <typename T>
struct counting_allocator {
    using value_type = T;
    static inline std::size_t bytes = 0;
    counting_allocator() = default;
    template <typename U>
    explicit(false) counting_allocator(const counting_allocator<U>&) noexcept {}
    T* allocate(std::size_t n) {
        bytes += n * sizeof(T);
        return std::allocator<T>{}.allocate(n);
    }
    void deallocate(T* p, std::size_t n) noexcept { std::allocator<T>{}.deallocate(p, n); }
    friend bool operator==(counting_allocator, counting_allocator) { return true; }
};

template <typename T>
byte_buffer encoded(const T& value) {
    byte_buffer buffer;
    binary::encode(value, buffer);
    return buffer;
}

template <typename T>
void check_round_trip(const T& value) {
    const byte_buffer buffer = encoded(value);
    T back{};
    CHECK(binary::decode(buffer.span(), back) == std::error_code{});
    CHECK(static_cast<bool>(back == value));
}

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
    std::vector<std::byte> bytes;
    for (const int value : values) {
        bytes.push_back(static_cast<std::byte>(value));
    }
    return bytes;
}

template <typename T>
void check_layout(const T& value, std::initializer_list<int> expected) {
    const byte_buffer buffer = encoded(value);
    const auto bytes = buffer.span();
    CHECK(std::vector<std::byte>(bytes.begin(), bytes.end()) == bytes_of(expected));
}

template <typename T>
std::error_code decoded(std::initializer_list<int> bytes) {
    T value{};
    return binary::decode(bytes_of(bytes), value);
}

// What can be told at compile time.
static_assert(cluster::serializer<binary>);
static_assert(cluster::serializes<binary, rich>);
static_assert(cluster::serializes<binary, tree>);
static_assert(cluster::serializes<binary, chain>);
static_assert(cluster::serializes<binary, account>);
static_assert(cluster::serializes<binary, version>);
static_assert(cluster::encodes<binary, std::string_view>);
static_assert(!cluster::decodes<binary, std::string_view>);
static_assert(cluster::encodes<binary, std::span<const int>>);
static_assert(!cluster::decodes<binary, std::span<const int>>);
static_assert(!cluster::serializes<binary, int*>);
static_assert(!cluster::serializes<binary, const char*>);
static_assert(!cluster::serializes<binary, std::vector<int*>>);
static_assert(!cluster::serializes<binary, std::shared_ptr<int>>);
static_assert(!cluster::serializes<binary, std::error_code>);
static_assert(!cluster::serializes<binary, long double>);

struct with_view {
    int a = 0;
    std::string_view b;
};
struct with_const {
    const int a = 0;
};
struct with_array {
    char a[8];
};
struct no_default {
    explicit no_default(int);
    template <class Archive>
    void serialize(Archive&);
};
static_assert(cluster::encodes<binary, with_view> && !cluster::decodes<binary, with_view>);
static_assert(cluster::encodes<binary, with_const> && !cluster::decodes<binary, with_const>);
static_assert(!cluster::encodes<binary, with_array>);
static_assert(cluster::encodes<binary, std::vector<no_default>>);
static_assert(!cluster::decodes<binary, std::vector<no_default>>);

namespace wire = cluster::detail::wire;
static_assert(wire::fixed_size<point>() == 8);
static_assert(wire::fixed_size<padded>() == 6);
static_assert(wire::fixed_size<empty>() == 0);
static_assert(wire::fixed_size<std::pair<std::array<point, 3>, bool>>() == 25);
static_assert(wire::fixed_size<std::string>() == wire::varying);
static_assert(wire::least_size<std::pair<point, std::string>>() == 9);
static_assert(wire::is_bitwise<point>() && wire::is_bitwise<std::array<point, 2>>());
static_assert(!wire::is_bitwise<padded>() && !wire::is_bitwise<bool>());
static_assert(!wire::is_bitwise<answer>() && wire::is_bitwise<colour>());
static_assert(wire::varint_size(0) == 1 && wire::varint_size(127) == 1);
static_assert(wire::varint_size(128) == 2 && wire::varint_size(~std::uint64_t{}) == 10);

} // namespace

TEST_SUITE("serialization/binary") {
    TEST_CASE("brings scalars back") {
        check_round_trip(true);
        check_round_trip('x');
        check_round_trip(std::numeric_limits<std::int64_t>::min());
        check_round_trip(std::numeric_limits<std::uint64_t>::max());
        check_round_trip(-1.5F);
        check_round_trip(std::numeric_limits<double>::infinity());
        check_round_trip(colour::green);
        check_round_trip(answer::yes);
        check_round_trip(second);
        check_round_trip(std::byte{200});
        check_round_trip(std::chrono::seconds{-3});
        check_round_trip(std::chrono::system_clock::now());
        check_round_trip(std::chrono::duration<double>{0.5});
    }

    TEST_CASE("brings strings and sequences back") {
        check_round_trip(std::string{});
        check_round_trip(std::string("with\0zero", 9));
        check_round_trip(std::string(100'000, 'x'));
        check_round_trip(std::u16string{u"wide"});
        check_round_trip(std::vector<int>{});
        check_round_trip(std::vector<int>{1, -2, 3});
        check_round_trip(std::vector<double>(1000, 0.1));
        check_round_trip(std::vector<std::byte>(300, std::byte{7}));
        check_round_trip(std::vector<bool>{true, false});
        check_round_trip(std::vector<point>{{1, 2}, {3, 4}});
        check_round_trip(std::vector<padded>{{1, 2, true}, {3, 4, false}});
        check_round_trip(std::vector<std::vector<std::string>>{{"a"}, {}, {"b", "c"}});
        check_round_trip(std::vector<empty>(10));
        check_round_trip(std::deque<int>{1, 2, 3});
        check_round_trip(std::list<std::string>{"a", "b"});
        check_round_trip(std::vector<colour>{colour::red, colour::green});
    }

    TEST_CASE("brings sets and maps back") {
        check_round_trip(std::set<int>{3, 1, 2});
        check_round_trip(std::multiset<int>{1, 1, 2});
        check_round_trip(std::unordered_set<std::string>{"a", "b"});
        check_round_trip(std::map<int, std::string>{{1, "one"}, {2, "two"}});
        check_round_trip(std::multimap<int, int>{{1, 1}, {1, 2}});
        check_round_trip(std::unordered_map<std::string, std::vector<int>>{{"a", {1}}, {"b", {}}});
    }

    TEST_CASE("brings products and sums back") {
        check_round_trip(std::array<int, 3>{1, 2, 3});
        check_round_trip(std::array<std::string, 2>{"a", "b"});
        check_round_trip(std::array<bool, 2>{true, false});
        check_round_trip(std::array<int, 0>{});
        check_round_trip(std::pair<int, std::string>{1, "one"});
        check_round_trip(std::tuple<>{});
        check_round_trip(std::tuple<int, bool, std::string>{1, true, "one"});
        check_round_trip(std::optional<int>{});
        check_round_trip(std::optional<std::optional<int>>{std::optional<int>{}});
        check_round_trip(std::optional<bool>{false});
        check_round_trip(std::variant<std::monostate, int>{});
        check_round_trip(std::variant<int, int, std::string>{std::in_place_index<1>, 5});
        check_round_trip(empty{});
        check_round_trip(point{1, 2});
        check_round_trip(padded{1, 2, true});
        check_round_trip(sample());
    }

    TEST_CASE("brings what a unique_ptr owns back") {
        chain value{.value = 1, .next = std::make_unique<chain>()};
        value.next->value = 2;
        const byte_buffer buffer = encoded(value);
        chain back;
        REQUIRE_FALSE(binary::decode(buffer.span(), back));
        REQUIRE(back.next != nullptr);
        CHECK(back.next->value == 2);
        CHECK(back.next->next == nullptr);
    }

    TEST_CASE("uses a type's own serialize in both directions") {
        check_round_trip(account{"me", 100});
        check_round_trip(std::vector<account>{{"me", 100}, {"you", 200}});
        check_round_trip(version{7});
        check_layout(version{7}, {7, 0, 0, 0});
    }

    TEST_CASE("lets a type refuse what it reads") {
        account value;
        CHECK(binary::decode(encoded(account{"me", -1}).span(), value) == errc::bad_payload);
    }

    TEST_CASE("replaces what the target held") {
        rich value = sample();
        REQUIRE_FALSE(binary::decode(encoded(rich{}).span(), value));
        CHECK(static_cast<bool>(value == rich{}));
    }

    TEST_CASE("appends to what the buffer holds") {
        byte_buffer buffer;
        binary::encode(std::uint8_t{1}, buffer);
        binary::encode(std::string{"a"}, buffer);
        CHECK(buffer.size() == 3);
    }

    TEST_CASE("its bytes do not change") {
        check_layout(true, {1});
        check_layout(std::uint32_t{0x01020304}, {4, 3, 2, 1});
        check_layout(std::int16_t{-2}, {0xfe, 0xff});
        check_layout(1.0, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f});
        check_layout(colour::green, {2});
        check_layout(answer::yes, {1});
        check_layout(std::chrono::duration<std::int32_t>{5}, {5, 0, 0, 0});
        check_layout(std::string{"abc"}, {3, 'a', 'b', 'c'});
        check_layout(std::string_view{"abc"}, {3, 'a', 'b', 'c'});
        check_layout(std::vector<std::uint16_t>{1, 0x203}, {2, 1, 0, 3, 2});
        check_layout(std::vector<bool>{true, false}, {2, 1, 0});
        check_layout(std::array<std::uint8_t, 2>{8, 9}, {8, 9});
        check_layout(std::pair<std::uint8_t, bool>{7, true}, {7, 1});
        check_layout(std::map<std::uint8_t, std::string>{{1, "a"}}, {1, 1, 1, 'a'});
        check_layout(std::optional<std::uint8_t>{}, {0});
        check_layout(std::optional<std::uint8_t>{9}, {1, 9});
        check_layout(std::variant<std::monostate, std::uint8_t>{std::uint8_t{9}}, {1, 9});
        check_layout(padded{1, 0x0203, true}, {1, 3, 2, 0, 0, 1});
        check_layout(empty{}, {});
        const std::array<std::uint8_t, 2> viewed{1, 2};
        check_layout(std::span<const std::uint8_t>{viewed}, {2, 1, 2});
        CHECK(encoded(std::string(300, 'x')).span()[0] == std::byte{0xac});
        CHECK(encoded(std::string(300, 'x')).span()[1] == std::byte{0x02});
    }

    TEST_CASE("rejects every truncation of a value") {
        const byte_buffer buffer = encoded(sample());
        for (std::size_t size = 0; size != buffer.size(); ++size) {
            rich value;
            CAPTURE(size);
            CHECK(binary::decode(buffer.span().first(size), value) == errc::bad_payload);
        }
    }

    TEST_CASE("survives every change of a single byte") {
        const byte_buffer buffer = encoded(sample());
        std::vector<std::byte> bytes(buffer.span().begin(), buffer.span().end());
        std::size_t accepted = 0;
        for (std::byte& byte : bytes) {
            const std::byte original = byte;
            for (int value = 0; value != 256; ++value) {
                byte = static_cast<std::byte>(value);
                rich back;
                if (!binary::decode(bytes, back)) {
                    const byte_buffer again = encoded(back); // only a map's order may differ
                    REQUIRE(again.size() == bytes.size());
                    ++accepted;
                }
            }
            byte = original;
        }
        CHECK(accepted > bytes.size()); // each byte may stay as it is
    }

    TEST_CASE("looks at a text where it is, with the errors of a string") {
        cluster::byte_buffer bytes;
        const std::string wanted(200, 't');
        binary::encode(wanted, bytes);
        std::string_view text;
        CHECK_FALSE(binary::decode_text(bytes.span(), text));
        CHECK(text == wanted);
        CHECK(text.data() + text.size() == static_cast<const void*>(bytes.data() + bytes.size()));
        for (std::size_t size = 0; size <= bytes.size() + 1; ++size) {
            std::vector<std::byte> cut(bytes.data(), bytes.data() + std::min(size, bytes.size()));
            cut.resize(size);
            std::string copied;
            CHECK(binary::decode_text(cut, text) == binary::decode(cut, copied));
        }
        bytes.clear();
        binary::encode(std::string{}, bytes);
        CHECK_FALSE(binary::decode_text(bytes.span(), text));
        CHECK(text.empty());
    }
    TEST_CASE("rejects bytes that are left over") {
        CHECK(decoded<std::uint8_t>({1, 2}) == errc::trailing_bytes);
        CHECK(decoded<std::string>({1, 'a', 'b'}) == errc::trailing_bytes);
        CHECK(decoded<empty>({0}) == errc::trailing_bytes);
        CHECK(decoded<empty>({}) == std::error_code{});
    }

    TEST_CASE("rejects what is no value of the type") {
        CHECK(decoded<bool>({2}) == errc::bad_payload);
        CHECK(decoded<answer>({2}) == errc::bad_payload);
        CHECK(decoded<padded>({1, 0, 0, 0, 0, 255}) == errc::bad_payload);
        CHECK(decoded<std::optional<int>>({2, 0, 0, 0, 0}) == errc::bad_payload);
        CHECK(decoded<std::unique_ptr<bool>>({1, 3}) == errc::bad_payload);
        CHECK(decoded<std::variant<int, bool>>({2, 0}) == errc::bad_payload);
        CHECK(decoded<std::vector<bool>>({1, 9}) == errc::bad_payload);
        CHECK(decoded<std::set<bool>>({2, 1, 1}) == errc::bad_payload);
        CHECK(decoded<std::map<std::uint8_t, bool>>({2, 1, 0, 1, 0}) == errc::bad_payload);
    }

    TEST_CASE("rejects counts that are not the shortest, or do not fit") {
        CHECK(decoded<std::string>({0x80, 0x00}) == errc::bad_payload);
        CHECK(decoded<std::string>({0x81, 0x00, 'a'}) == errc::bad_payload);
        CHECK(decoded<std::string>({0x80}) == errc::bad_payload);
        CHECK(decoded<std::string>({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}) ==
              errc::bad_payload);
        CHECK(decoded<std::string>(
                  {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}) ==
              errc::bad_payload);
    }

    TEST_CASE("allocates nothing for a count without bytes behind it") {
        using allocator = counting_allocator<std::uint64_t>;
        using strings = counting_allocator<std::string>;
        allocator::bytes = 0;
        strings::bytes = 0;
        for (const std::uint64_t count : {std::uint64_t{3},
                                          std::uint64_t{0xffffffff},
                                          std::uint64_t{1} << 61,
                                          ~std::uint64_t{}}) {
            byte_buffer buffer;
            wire::store_varint(buffer.extend(wire::varint_size(count)), count);
            buffer.append_le(std::uint64_t{});
            buffer.append_le(std::uint64_t{});
            CAPTURE(count);
            std::vector<std::uint64_t, allocator> numbers;
            CHECK(binary::decode(buffer.span(), numbers) == errc::bad_payload);
            if (count > 16) {
                std::vector<std::string, strings> words;
                CHECK(binary::decode(buffer.span(), words) == errc::bad_payload);
            }
            std::string text;
            CHECK(binary::decode(buffer.span(), text) ==
                  (count == 3 ? errc::trailing_bytes : errc::bad_payload));
        }
        CHECK(allocator::bytes == 0);
        CHECK(strings::bytes == 0);
    }

    TEST_CASE("does not pay in advance for elements much larger than their encoding") {
        using block = std::optional<std::array<std::uint64_t, 1000>>;
        using allocator = counting_allocator<block>;
        allocator::bytes = 0;
        byte_buffer buffer;
        wire::store_varint(buffer.extend(wire::varint_size(100'000)), 100'000);
        std::memset(buffer.extend(100'000), 7, 100'000); // no flag
        std::vector<block, allocator> blocks;
        CHECK(binary::decode(buffer.span(), blocks) == errc::bad_payload);
        CHECK(allocator::bytes < 1'000'000);
    }

    TEST_CASE("bounds elements that take no bytes, over the whole message") {
        byte_buffer buffer;
        binary::encode(std::vector<empty>(1 << 20), buffer);
        std::vector<empty> value;
        CHECK_FALSE(binary::decode(buffer.span(), value));
        CHECK(value.size() == 1 << 20);
        CHECK(decoded<std::vector<empty>>({0x81, 0x80, 0x40}) == errc::bad_payload);
        CHECK(decoded<std::vector<empty>>({0xff, 0xff, 0xff, 0xff, 0x7f}) == errc::bad_payload);
        CHECK(decoded<std::vector<silent>>({0xff, 0xff, 0xff, 0xff, 0x7f}) == errc::bad_payload);
        CHECK(decoded<std::vector<silent>>({3}) == std::error_code{});
        CHECK(decoded<std::vector<std::vector<empty>>>(
                  {3, 0xff, 0xff, 0x3f, 0xff, 0xff, 0x3f, 1}) == errc::bad_payload);
    }

    TEST_CASE("nests 64 levels deep and no deeper") {
        const auto nested = [](std::size_t levels) {
            tree root;
            for (std::size_t i = 1; i != levels; ++i) {
                tree parent;
                parent.children.push_back(std::move(root));
                root = std::move(parent);
            }
            return encoded(root);
        };
        tree value;
        CHECK_FALSE(binary::decode(nested(64).span(), value));
        CHECK(binary::decode(nested(65).span(), value) == errc::nesting_too_deep);
    }

    TEST_CASE("stops a depth bomb at once") {
        auto a_million_of = [](const byte_buffer& one) {
            byte_buffer thousand;
            byte_buffer all;
            for (int i = 0; i != 1000; ++i) {
                thousand.append(one.span());
            }
            for (int i = 0; i != 1000; ++i) {
                all.append(thousand.span());
            }
            return all;
        };
        byte_buffer tree_node;
        byte_buffer chain_node;
        tree_node.append(bytes_of({1, 0, 0, 0, 0, 1})); // value, no label, one child
        chain_node.append(bytes_of({1, 0, 0, 0, 1}));   // value, one successor
        auto trees = a_million_of(tree_node);
        auto chains = a_million_of(chain_node);
        tree branches;
        CHECK(binary::decode(trees.span(), branches) == errc::nesting_too_deep);
        chain links;
        CHECK(binary::decode(chains.span(), links) == errc::nesting_too_deep);
    }

    TEST_CASE("reports a valueless variant to the sender") {
        std::variant<int, throws_when_made> value{1};
        CHECK_THROWS_AS(value.emplace<1>(0), int);
        REQUIRE(value.valueless_by_exception());
        byte_buffer buffer;
        CHECK_THROWS_AS(binary::encode(value, buffer), std::bad_variant_access);
    }
}
