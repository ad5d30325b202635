// SPDX-License-Identifier: MIT
#include <cluster/adapters/flatbuffers.hpp> // first and alone: proves the header is self-contained

#include "serializer_test.hpp"

#include <flatbuffers_generated.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flatbuffers_test {

using cluster::byte_buffer;
using cluster::errc;
using cluster::adapters::flatbuffer;
using serializer = cluster::adapters::flatbuffers;
using namespace serializer_test;

using message = flatbuffer<Message>;
using tree = flatbuffer<Tree>;

message sample() {
    flatbuffers::FlatBufferBuilder builder;
    const Point point{0.5, 7};
    const std::vector<Point> points{point, Point{1.5, 8}};
    const std::vector parts{CreatePartDirect(builder, 1, "one"), CreatePartDirect(builder, 2, "")};
    const std::vector<std::uint8_t> binary{1, 0, 255};
    const std::vector<std::int64_t> numbers{1, -1};
    const std::vector names{builder.CreateString("a"), builder.CreateString("")};
    const auto either = CreatePartDirect(builder, 3, "either");
    const auto single = CreatePartDirect(builder, 4, "single");
    builder.Finish(CreateMessageDirect(builder,
                                       true,
                                       ~std::uint64_t{},
                                       0.1,
                                       Colour_Green,
                                       "name",
                                       &binary,
                                       &numbers,
                                       &names,
                                       &point,
                                       &points,
                                       &parts,
                                       single,
                                       Either_Part,
                                       either.Union()));
    return message{std::move(builder)};
}

// A tree that lists its one child `width` times, at each of `depth` levels.
tree tree_of(int depth, std::size_t width) {
    flatbuffers::FlatBufferBuilder builder;
    auto inner = CreateTree(builder);
    for (int i = 0; i != depth; ++i) {
        const std::vector children(width, inner);
        inner = CreateTreeDirect(builder, &children);
    }
    builder.Finish(inner);
    return tree{std::move(builder)};
}

// Reads all that can be reached.
std::size_t walk(const Part* part) {
    return part == nullptr || part->text() == nullptr ? 0 : part->text()->str().size();
}
std::size_t walk(const Tree* from) {
    std::size_t sum = 1;
    if (from->children() != nullptr) {
        for (const auto* child : *from->children()) {
            sum += walk(child);
        }
    }
    return sum;
}
std::size_t walk(const Message& all) {
    std::size_t sum = all.name() == nullptr ? 0 : all.name()->str().size();
    if (all.binary() != nullptr) {
        for (const auto each : *all.binary()) {
            sum += each;
        }
    }
    if (all.numbers() != nullptr) {
        for (const auto each : *all.numbers()) {
            sum += static_cast<std::size_t>(each);
        }
    }
    if (all.names() != nullptr) {
        for (const auto* each : *all.names()) {
            sum += each->str().size();
        }
    }
    if (all.points() != nullptr) {
        for (const auto* each : *all.points()) {
            sum += static_cast<std::size_t>(each->y());
        }
    }
    if (all.parts() != nullptr) {
        for (const auto* each : *all.parts()) {
            sum += walk(each);
        }
    }
    sum += walk(all.part());
    if (const auto* part = all.either_as_Part()) {
        sum += walk(part);
    }
    if (const auto* more = all.either_as_Tree()) {
        sum += walk(more);
    }
    return sum + (all.flag() ? 1U : 0U) + (all.point() == nullptr ? 0U : 1U);
}

static_assert(cluster::serializer<serializer>);
static_assert(cluster::serializes<serializer, message>);
static_assert(cluster::serializes<serializer, flatbuffer<Part>>);
static_assert(!cluster::encodes<serializer, int> && !cluster::decodes<serializer, int>);
static_assert(!cluster::encodes<serializer, Message> && !cluster::decodes<serializer, Message>);
static_assert(!cluster::decodes<serializer, const message>);

} // namespace flatbuffers_test

using namespace flatbuffers_test;

TEST_SUITE("adapters/flatbuffers") {
    TEST_CASE("every kind comes back") {
        check_round_trip<serializer>(sample());
        message back;
        REQUIRE_FALSE(decode<serializer>(encoded<serializer>(sample()), back));
        REQUIRE(back);
        CHECK(back->flag());
        CHECK(back->big() == ~std::uint64_t{});
        CHECK(back->shade() == Colour_Green);
        CHECK(back->name()->str() == "name");
        CHECK(back->points()->Get(1)->y() == 8);
        CHECK(back->parts()->Get(0)->text()->str() == "one");
        CHECK(back->either_as_Part()->number() == 3);
        CHECK(walk(*back) != 0);
    }

    TEST_CASE("a message owns its bytes and may be copied and moved") {
        auto one = sample();
        const auto copy = one;
        CHECK(static_cast<bool>(copy == one));
        CHECK(copy.get() != one.get());
        const auto moved = std::move(one);
        CHECK(static_cast<bool>(moved == copy));
        one = copy;
        CHECK(one->part()->number() == 4);
        CHECK(message{}.get() == nullptr);
        CHECK_FALSE(message{});
        CHECK(message{message{}}.bytes().empty());
    }

    TEST_CASE("an empty message cannot be sent or received") {
        byte_buffer out;
        CHECK_THROWS_AS(serializer::encode(message{}, out), std::invalid_argument);
        CHECK(out.empty());
        out.append_le(std::uint32_t{});
        message value;
        CHECK(decode<serializer>(out.span(), value) == errc::bad_payload);
    }

    TEST_CASE("a truncated encoding is an error and changes nothing") {
        check_truncations<serializer>(sample());
        auto value = sample();
        const auto whole = encoded<serializer>(sample());
        for (std::uint32_t size = 0; size + 4 != whole.size(); ++size) {
            byte_buffer shorter; // with a count that is right
            shorter.append_le(size);
            shorter.append(std::span{whole}.subspan(4, size));
            message read;
            if (!decode<serializer>(shorter.span(), read)) {
                CHECK(walk(*read) != 0);
            }
            const auto error = serializer::decode(shorter.span().first(size), value);
            CHECK(error);
        }
        CHECK(static_cast<bool>(value == sample()));
    }

    TEST_CASE("what follows the value is an error") {
        check_trailing_bytes<serializer>(sample());
        auto longer = encoded<serializer>(sample());
        longer.push_back(std::byte{});
        message value;
        CHECK(decode<serializer>(longer, value) == errc::trailing_bytes);
    }

    TEST_CASE("what noise leaves can be read") {
        check_noise<serializer>(sample());
        const auto whole = encoded<serializer>(sample());
        std::size_t sum = 0;
        for (std::size_t at = 4; at != whole.size(); ++at) {
            for (const unsigned change : {1U, 2U, 4U, 16U, 128U, 255U}) {
                auto noisy = whole;
                noisy[at] ^= static_cast<std::byte>(change);
                message value;
                if (!decode<serializer>(noisy, value)) {
                    sum += walk(*value);
                }
            }
        }
        CHECK(sum != 0);
    }

    TEST_CASE("a size beyond the bytes is an error") {
        for (const std::uint32_t count : {100U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
            byte_buffer bytes;
            bytes.append_le(count);
            bytes.append_le(std::uint64_t{4});
            message value;
            CHECK(decode<serializer>(bytes.span(), value) == errc::bad_payload);
        }
    }

    TEST_CASE("nesting ends at 64 levels") {
        check_round_trip<serializer>(tree_of(60, 1));
        tree value;
        CHECK(decode<serializer>(encoded<serializer>(tree_of(65, 1)), value) == errc::bad_payload);
        CHECK(decode<serializer>(encoded<serializer>(tree_of(50'000, 1)), value) ==
              errc::bad_payload);
    }

    TEST_CASE("tables that are listed again and again are an error") {
        check_round_trip<serializer>(tree_of(1, 3)); // few are tolerated
        tree value;
        CHECK(decode<serializer>(encoded<serializer>(tree_of(30, 2)), value) == errc::bad_payload);
        CHECK(decode<serializer>(encoded<serializer>(tree_of(30, 30)), value) == errc::bad_payload);
    }

    TEST_CASE("a root of another type is verified as what is expected") {
        const auto other = encoded<serializer>(tree_of(2, 2));
        message value;
        if (!decode<serializer>(other, value)) {
            CHECK(walk(*value) < 1000);
        }
    }

    TEST_CASE("flatbuffers carries the messages of a cluster") {
        check_cluster<serializer>("flatbuffers carries the messages of a cluster", sample());
    }
}
