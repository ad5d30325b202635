// SPDX-License-Identifier: MIT
#include <cluster/detail/byte_ring.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <thread>

namespace {

using namespace cluster::detail;

struct small_ring {
    ring_positions positions;
    std::array<std::byte, 64> bytes{};
    ring_writer writer{positions, bytes.data(), bytes.size()};
    ring_reader reader{positions, bytes.data(), bytes.size()};

    void put(const std::string& text) {
        writer.put(std::as_bytes(std::span{text}));
        writer.publish();
    }
    std::string take(std::size_t count) {
        std::string text(count, '\0');
        reader.take(reinterpret_cast<std::byte*>(text.data()), count);
        reader.release();
        return text;
    }
};

} // namespace

TEST_SUITE("detail/byte_ring") {
    TEST_CASE("bytes come out as they went in and around the end too") {
        small_ring ring;
        for (int i = 0; i != 100; ++i) {
            std::string text(static_cast<std::size_t>(i % 64), static_cast<char>('a' + i % 26));
            ring.put(text);
            CHECK(ring.reader.available() == text.size());
            CHECK(ring.take(text.size()) == text);
        }
        CHECK(ring.writer.room() == 64);
    }

    TEST_CASE("nothing is there before it is published and no room before it is released") {
        small_ring ring;
        std::string text(64, 'x');
        ring.writer.put(std::as_bytes(std::span{text}));
        CHECK(ring.reader.available() == 0);
        ring.writer.publish();
        CHECK(ring.reader.available() == 64);
        CHECK(ring.writer.room() == 0);
        ring.reader.advance(10);
        CHECK(ring.writer.room() == 0);
        ring.reader.release();
        CHECK(ring.writer.room() == 10);
    }

    TEST_CASE("a piece is where the next bytes go and does not wrap") {
        small_ring ring;
        ring.put(std::string(60, 'x'));
        CHECK(ring.writer.room_of(10) == 4);
        CHECK(ring.writer.piece(5) == nullptr);
        CHECK_FALSE(ring.writer.has_room(5));
        CHECK(ring.take(60) == std::string(60, 'x'));
        CHECK(ring.writer.has_room(64));
        CHECK(ring.writer.piece(5) == nullptr); // four to the end
        auto* piece = ring.writer.piece(4);
        REQUIRE(piece == ring.bytes.data() + 60);
        std::memcpy(piece, "abcd", 4);
        ring.writer.advance(4);
        ring.put("ef");
        CHECK(ring.take(6) == "abcdef");
    }

    TEST_CASE("words lie behind each other as in a struct") {
        struct three {
            std::uint64_t first;
            std::uint32_t second;
            std::uint16_t third;
            std::uint16_t fourth;
        } read{};
        std::array<std::byte, sizeof(three)> bytes{};
        write_words(bytes.data(),
                    std::uint64_t{1} << 40U,
                    std::uint32_t{2},
                    std::uint16_t{3},
                    std::uint16_t{4});
        std::memcpy(&read, bytes.data(), sizeof read);
        CHECK(read.first == std::uint64_t{1} << 40U);
        CHECK(read.second == 2);
        CHECK(read.third == 3);
        CHECK(read.fourth == 4);
    }

    TEST_CASE("a position that cannot be is found out") {
        small_ring ring;
        ring.positions.written = 65;
        CHECK(ring.reader.available() == 0);
        CHECK(ring.reader.is_broken());
        ring.positions.read = 1;
        CHECK(ring.writer.room() == 0);
        CHECK(ring.writer.is_broken());
    }

    TEST_CASE("two threads pass a stream") {
        small_ring ring;
        constexpr unsigned total = 200'000;
        std::thread writing{[&] {
            for (unsigned sent = 0; sent != total;) {
                auto room = ring.writer.room();
                for (; room != 0 && sent != total; --room, ++sent) {
                    auto each = static_cast<std::byte>(sent);
                    ring.writer.put({&each, 1});
                }
                ring.writer.publish();
                std::this_thread::yield();
            }
        }};
        unsigned wrong = 0;
        for (unsigned got = 0; got != total;) {
            std::array<std::byte, 64> bytes{};
            auto count = ring.reader.available();
            ring.reader.take(bytes.data(), count);
            ring.reader.release();
            for (std::size_t i = 0; i != count; ++i, ++got) {
                wrong += bytes[i] == static_cast<std::byte>(got) ? 0U : 1U;
            }
            std::this_thread::yield();
        }
        writing.join();
        CHECK(wrong == 0);
    }
}
