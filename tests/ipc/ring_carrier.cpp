// SPDX-License-Identifier: MIT
#include <cluster/ipc/ring_carrier.hpp> // first and alone: proves the header is self-contained

#include "../support/channel_end.hpp"
#include "../support/raw_socket.hpp"

#include <cluster/ipc/channel.hpp>
#include <cluster/transport/shared_memory.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/stat.h>

namespace {

using namespace std::chrono_literals;
using namespace cluster::detail;
using cluster::byte_buffer;
using cluster::errc;
using cluster::event_loop;
using cluster::send_result;
using cluster::unique_fd;

constexpr std::size_t ring_bytes = 64 * 1024;
constexpr cluster::transport::shared_memory_options small_ring{.ring = ring_bytes};
using small = cluster::transport::basic_shared_memory<small_ring>;
using spinning = cluster::transport::basic_shared_memory<cluster::transport::shared_memory_options{
    .ring = ring_bytes, .spin_microseconds = 100}>;

struct oops {};

using end = cluster_test::channel_end;

/// A primary's end. Its first frame has left, by the socket.
struct primary_end {
    event_loop loop;
    raw::ends sockets = raw::unix_pair();
    transport_memory memory;
    end primary{loop, direction::to_primary};

    explicit primary_end(decltype(&small::open) open = &small::open) {
        REQUIRE(!primary.link.open(open(std::move(sockets.ours), memory)));
        REQUIRE(memory.ring == ring_bytes);
        primary.send("welcome");
        primary.link.flush();
    }
    bool settle() { return raw::comes_to_rest(loop); }
};

/// Two channels that talk to each other in one loop.
struct conversation : primary_end {
    end worker{loop, direction::to_worker};
    unique_fd workers_bell = memory.worker_hears.duplicate();

    conversation() : conversation(&small::open, &small::join) {}
    conversation(decltype(&small::open) open, decltype(&small::join) join) : primary_end{open} {
        REQUIRE(!worker.link.open(std::move(sockets.theirs)));
        REQUIRE(worker.link.wait([](const frame_header&) { return true; }, [](frame&) {}));
        REQUIRE(!worker.link.change_carrier([&](unique_fd socket, std::error_code& error) {
            return join(std::move(socket), memory, error);
        }));
        CHECK(settle());
    }
};

/// A primary whose worker is the test, with the memory in its hands.
struct with_hostile_worker : primary_end {
    ring_mapping rings;
    ring_page::one_way* in = nullptr;
    ring_page::one_way* out = nullptr;
    ring_writer writer;

    with_hostile_worker() {
        std::error_code error;
        rings = ring_mapping::open(memory.descriptor.get(), ring_bytes, error);
        REQUIRE(!error);
        in = &rings.page().to_worker;
        out = &rings.page().to_primary;
        writer = ring_writer{out->positions, rings.to_primary(), ring_bytes};
        raw::read_some(sockets.theirs.get()); // the welcome
        CHECK(settle());
    }

    void bell() const { os::wakeup::notify(memory.worker_rings.get()); }
    void write(std::string_view bytes) {
        writer.put(std::as_bytes(std::span{bytes}));
        writer.publish();
    }
    /// \returns whether that, and a bell, has cost it the channel
    bool is_cut_off() {
        bell();
        CHECK(settle());
        return primary.violations.size() == 1 && !primary.link.is_open();
    }
};

std::string message(std::string_view payload, std::uint8_t descriptors = 0) {
    frame_header header{
        static_cast<std::uint32_t>(payload.size()), frame_kind::message, descriptors, 0, 0};
    std::array<std::byte, frame_header_size> bytes{};
    encode_header(header, bytes);
    std::string result(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return result.append(payload);
}

ino_t identity(int fd) {
    struct stat info {};
    REQUIRE(::fstat(fd, &info) == 0);
    return info.st_ino;
}

std::string pattern(std::size_t size, unsigned seed) {
    std::string result(size, '\0');
    for (auto& each : result) {
        seed = seed * 1664525U + 1013904223U;
        each = static_cast<char>(seed >> 24U);
    }
    return result;
}

} // namespace

TEST_SUITE("ipc/ring_carrier") {
    TEST_CASE("frames arrive in order both ways with what their headers say") {
        conversation c;
        for (std::uint32_t i = 0; i != 10; ++i) {
            CHECK(c.primary.send(std::string(i, 'p'), i) == send_result::ok);
            CHECK(c.worker.send(std::string(i, 'w'), i + 100) == send_result::ok);
        }
        CHECK(c.settle());
        CHECK(c.worker.text == std::string(45, 'p'));
        CHECK(c.primary.text == std::string(45, 'w'));
        CHECK(c.worker.types == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
        CHECK(c.primary.types.back() == 109);
        CHECK(c.primary.link.queued() == 0);
    }

    TEST_CASE("ten thousand frames of changing sizes arrive both ways") {
        conversation c;
        std::string to_worker;
        std::string to_primary;
        for (unsigned i = 0; i != 10'000; ++i) {
            auto text = pattern(i * 7919 % 300, i);
            to_worker += text;
            c.primary.send(text, i);
            c.worker.send(text + "!", i);
            to_primary += text + "!";
        }
        CHECK(raw::run_until(c.loop, [&] {
            return c.worker.types.size() == 10'000 && c.primary.types.size() == 10'000;
        }));
        CHECK(c.worker.text == to_worker);
        CHECK(c.primary.text == to_primary);
        CHECK(std::is_sorted(c.worker.types.begin(), c.worker.types.end()));
        CHECK(std::is_sorted(c.primary.types.begin(), c.primary.types.end()));
        CHECK(c.settle());
    }

    TEST_CASE("frames of every size up to 16 MiB arrive whole") {
        conversation c;
        for (std::size_t size : {std::size_t{0},
                                 std::size_t{1},
                                 ring_bytes / 2 - 16,
                                 ring_bytes / 2,
                                 ring_bytes - 16,
                                 ring_bytes,
                                 ring_bytes + 1,
                                 std::size_t{16} << 20U}) {
            CAPTURE(size);
            for (auto* way : {&c.primary, &c.worker}) {
                auto& other = way == &c.primary ? c.worker : c.primary;
                auto sent = pattern(size, 1);
                other.text.clear();
                way->send(sent);
                way->send("!");
                CHECK(raw::run_until(c.loop, [&] { return other.text.size() == size + 1; }));
                CHECK(other.text == sent + "!");
            }
        }
        CHECK(c.settle());
    }

    TEST_CASE("descriptors stay with their frames between plain ones") {
        auto before = raw::open_descriptors();
        {
            conversation c;
            for (auto* way : {&c.primary, &c.worker}) {
                auto& other = way == &c.primary ? c.worker : c.primary;
                std::vector<ino_t> sent;
                std::vector<ino_t> got;
                std::string expected;
                other.on_each = [&](frame& arrived) {
                    CHECK(other.descriptors.size() == arrived.header.descriptors);
                    for (auto& each : other.descriptors) {
                        got.push_back(identity(each.get()));
                    }
                    other.descriptors.clear();
                };
                for (unsigned i = 0; i != 300; ++i) {
                    auto payload = pattern(i * 37 % 3000, i);
                    expected += payload;
                    if (i % 3 == 1) {
                        auto pair = raw::unix_pair();
                        sent.push_back(identity(pair.ours.get()));
                        way->send(payload, 0, descriptor_list{std::move(pair.ours)});
                    } else {
                        way->send(payload);
                    }
                }
                CHECK(raw::run_until(c.loop, [&] { return other.text.size() == expected.size(); }));
                CHECK(other.text == expected);
                CHECK(got == sent);
                CHECK(other.violations.empty());
            }
        }
        CHECK(raw::open_descriptors() == before);
    }

    TEST_CASE("a bell is rung for a sleeper and for nobody else") {
        with_hostile_worker c;
        auto bells = [&] {
            std::array<std::byte, 512> rung;
            return os::read_some(c.memory.worker_hears.get(), rung).bytes / sizeof(std::uint64_t);
        };
        for (int i = 0; i != 10; ++i) {
            c.primary.send("x");
            CHECK(c.settle());
        }
        CHECK(bells() == 0);
        CHECK(c.in->reader_sleeps.set());
        for (int i = 0; i != 10; ++i) {
            c.primary.send("x");
            CHECK(c.settle());
        }
        CHECK(bells() == 1);
    }

    TEST_CASE("a worker answers first, and its bell is silent when it sleeps or waits for room") {
        conversation c;
        auto is_ringing = [&] { return os::wait_for(c.workers_bell.get(), false, 0); };
        bool rang = false;
        c.worker.on_each = [&](frame&) { rang = is_ringing(); };
        for (int i = 0; i != 3; ++i) {
            c.primary.send("x");
            CHECK(c.settle());
            CHECK(rang);
            CHECK_FALSE(is_ringing());
        }
        const std::string block(16 * 1024, 'x');
        c.primary.link.read(false);
        c.worker.on_each = [&](frame&) {
            for (int i = 0; i != 8; ++i) { // twice what the ring holds
                c.worker.send(block);
            }
            c.worker.link.flush();
            CHECK_FALSE(is_ringing());
        };
        c.primary.send("much");
        CHECK(c.settle());
        c.worker.on_each = {};
        c.primary.link.read(true);
        CHECK(raw::run_until(c.loop, [&] { return c.primary.types.size() == 8; }));
    }

    TEST_CASE("who sleeps has said so") {
        with_hostile_worker c;
        c.write(message("a"));
        CHECK(c.out->reader_sleeps.take());
        CHECK_FALSE(c.out->reader_sleeps.take()); // it is awake, as far as we know
        c.bell();
        CHECK(c.settle());
        CHECK(c.primary.text == "a");
        CHECK(c.out->reader_sleeps.take());
    }

    TEST_CASE("what was written before the writer died arrives before its end") {
        with_hostile_worker c;
        c.write(message("a") + message("b") + message("half").substr(0, 18));
        c.sockets.theirs.reset(); // nobody rings any more
        CHECK(c.settle());
        CHECK(c.primary.text == "ab");
        CHECK(c.primary.ended == 1);
        CHECK(c.primary.violations.empty());
    }

    TEST_CASE("the end is no later for somebody who goes on to write") {
        with_hostile_worker c;
        c.primary.on_each = [&](frame&) { c.write(message("more")); };
        c.write(message("a"));
        c.sockets.theirs.reset();
        CHECK(c.settle());
        CHECK(c.primary.text.size() <= 5);
        CHECK(c.primary.ended == 1);
    }

    TEST_CASE("a sender hears that the receiver is behind and once when it may go on") {
        conversation c;
        c.worker.link.read(false);
        std::string block(16 * 1024, 'x');
        auto result = send_result::ok;
        std::size_t sent = 0;
        for (; sent != 1000 && result == send_result::ok; ++sent) {
            result = c.primary.send(block);
        }
        CHECK(result == send_result::queued);
        CHECK(c.primary.link.queued() >= channel::high_water_mark);
        CHECK(c.settle()); // waiting for the peer costs nothing
        CHECK(c.primary.drained == 0);
        c.worker.link.read(true);
        CHECK(raw::run_until(c.loop, [&] { return c.primary.drained != 0; }));
        CHECK(c.primary.link.queued() == 0);
        CHECK(raw::run_until(c.loop, [&] { return c.worker.types.size() == sent; }));
        CHECK(c.primary.send("x") == send_result::ok);
        CHECK(c.settle());
        CHECK(c.primary.drained == 1);
    }

    TEST_CASE("completions come once and in order") {
        conversation c;
        std::string order;
        auto note = [&order](char name) {
            return [&order, name](std::error_code why) { order += why ? 'E' : name; };
        };
        c.worker.send("1", 0, {}, note('a'));
        c.worker.send("2", 0, {}, note('b'));
        CHECK(order.empty());
        CHECK(c.settle());
        CHECK(order == "ab");
        c.primary.link.read(false);
        c.worker.send(std::string(3'000'000, 'x'), 0, {}, note('c'));
        CHECK(c.settle());
        CHECK(order == "ab");
        c.primary.link.read(true);
        CHECK(raw::run_until(c.loop, [&] { return order.size() == 3; }));
        c.worker.send("4", 0, {}, note('d'));
        c.worker.link.close();
        CHECK(c.settle());
        CHECK(order == "abcE");
    }

    TEST_CASE("an encoder that throws leaves nothing behind") {
        conversation c;
        c.worker.send("a");
        CHECK(c.settle());
        CHECK_THROWS_AS(c.worker.link.send({0, frame_kind::message, 0, 0, 0},
                                           [](byte_buffer& out) {
                                               out.append("half", 4);
                                               throw oops{};
                                           }),
                        oops);
        CHECK(c.worker.link.queued() == 0);
        c.worker.send("b");
        CHECK(c.settle());
        CHECK(c.primary.text == "ab");
    }

    TEST_CASE("after a handler that throws nothing is lost") {
        conversation c;
        for (auto* way : {&c.primary, &c.worker}) {
            auto& other = way == &c.primary ? c.worker : c.primary;
            other.on_each = [](frame&) { throw oops{}; };
            for (int i = 0; i != 5; ++i) {
                way->send("x");
            }
            int thrown = 0;
            for (int turn = 0; turn != 100; ++turn) {
                try {
                    c.loop.poll();
                } catch (const oops&) {
                    ++thrown;
                }
            }
            CHECK(thrown == 5);
            CHECK(other.text == "xxxxx");
        }
    }

    TEST_CASE("a channel may be closed by the handler of a frame that lies in the ring") {
        conversation c;
        std::string seen;
        c.worker.on_each = [&](frame& arrived) {
            c.worker.link.close();
            seen.assign(reinterpret_cast<const char*>(arrived.payload.data()),
                        arrived.payload.size());
        };
        c.primary.send("first");
        c.primary.send("second");
        CHECK(c.settle());
        CHECK(seen == "first");
        CHECK(c.worker.text == "first");
        CHECK(c.primary.ended == 1);
    }

    TEST_CASE("a worker reads frames where they are and a primary does not") {
        conversation c;
        const std::byte* there = nullptr;
        const std::byte* here = nullptr;
        c.worker.on_each = [&](frame& arrived) { there = arrived.payload.data(); };
        c.primary.on_each = [&](frame& arrived) { here = arrived.payload.data(); };
        const std::byte* encoded = nullptr;
        auto encode = [&](byte_buffer& out) { encoded = out.extend(1); };
        c.primary.send("the first finds where to write");
        CHECK(c.settle());
        c.primary.link.send({0, frame_kind::message, 0, 0, 0}, encode);
        CHECK(c.settle());
        // Both ends have mapped the same pages, each for itself.
        auto page = std::uintptr_t{os::shared_mapping::page_size() - 1};
        CHECK((reinterpret_cast<std::uintptr_t>(there) & page) ==
              (reinterpret_cast<std::uintptr_t>(encoded) & page));
        c.worker.send("x");
        CHECK(c.settle());
        CHECK(here != nullptr);
    }

    TEST_CASE("a blocking wait takes its frame and leaves the others in their order") {
        conversation c;
        c.primary.send("a", 1);
        c.primary.send("b", 2);
        c.primary.send("c", 3);
        c.primary.link.flush();
        std::string got;
        CHECK(c.worker.link.wait([](const frame_header& header) { return header.type == 2; },
                                 [&](frame& arrived) {
                                     got.assign(
                                         reinterpret_cast<const char*>(arrived.payload.data()),
                                         arrived.payload.size());
                                 }));
        CHECK(got == "b");
        CHECK(c.worker.text.empty());
        CHECK(c.settle());
        CHECK(c.worker.text == "ac");
        CHECK_FALSE(c.worker.link.wait([](const frame_header&) { return true; },
                                       [](frame&) {},
                                       std::chrono::steady_clock::now() + 5ms));
    }

    TEST_CASE("a blocking flush gives up when its time is over or the peer is gone") {
        conversation c;
        c.worker.send(std::string(2'000'000, 'x'));
        c.worker.link.flush_blocking(5ms);
        CHECK(c.worker.link.queued() != 0);
        c.primary.link.close();
        c.worker.link.flush_blocking(1h);
        CHECK_FALSE(c.worker.link.can_send());
        CHECK(c.settle());
        CHECK(c.worker.ended == 1);
    }

    TEST_CASE("looking out for messages loses none") {
        conversation c{&spinning::open, &spinning::join};
        int trips = 0;
        c.worker.on_each = [&](frame&) { c.worker.send("pong"); };
        c.primary.on_each = [&](frame&) {
            if (++trips != 1000) {
                c.primary.send("ping");
            } else {
                c.loop.stop(7);
            }
        };
        c.primary.send("ping");
        CHECK(c.loop.run() == 7);
        CHECK(trips == 1000);
        CHECK(c.settle());
    }

    TEST_CASE("a loop that looks out ends when nothing is left to wait for") {
        conversation c{&spinning::open, &spinning::join};
        c.worker.on_each = [&](frame&) {
            c.worker.link.close();
            c.primary.link.close();
        };
        c.primary.send("x");
        CHECK(c.loop.run() == 0);
    }

    TEST_CASE("a position that cannot be costs the channel") {
        for (std::uint64_t wild :
             {std::uint64_t{ring_bytes} + 1, std::uint64_t{1} << 32U, std::uint64_t{1} << 63U}) {
            CAPTURE(wild);
            with_hostile_worker writes;
            writes.out->positions.written.store(wild);
            CHECK(writes.is_cut_off());
            with_hostile_worker reads;
            reads.in->positions.read.store(wild);
            reads.primary.send("x");
            CHECK(reads.is_cut_off());
        }
    }

    TEST_CASE("a position that goes back costs the channel") {
        with_hostile_worker c;
        c.write(message("a") + message("b"));
        c.bell();
        CHECK(c.settle());
        c.out->positions.written.store(3);
        CHECK(c.is_cut_off());
        CHECK(c.primary.text == "ab");
    }

    TEST_CASE("frames that break the rules cost the channel") {
        for (const auto& bytes : {std::string(100, '\xa5'),
                                  std::string(16, '\0'),
                                  message("x", 1),
                                  std::string("\xff\xff\xff\xff", 4) + message("x").substr(4)}) {
            with_hostile_worker c;
            c.write(bytes);
            CHECK(c.is_cut_off());
        }
    }

    TEST_CASE("bells without a reason cost a look each and hold nobody up") {
        with_hostile_worker c;
        os::set_nonblocking(c.memory.worker_rings.get(), false); // of the primary's, too
        for (int i = 0; i != 1000; ++i) {
            c.bell();
        }
        CHECK(c.settle());
        CHECK(c.primary.violations.empty());
        c.write(message("a"));
        c.bell();
        CHECK(c.settle());
        CHECK(c.primary.text == "a");
    }

    TEST_CASE("a worker that hears no bell does not hold its primary up") {
        with_hostile_worker c;
        os::set_nonblocking(c.memory.worker_hears.get(), false);
        for (int i = 0; i != 10'000; ++i) { // more than a pipe takes
            CHECK(c.in->reader_sleeps.set());
            c.primary.send("x");
            c.primary.link.flush();
            c.in->positions.read.store(c.in->positions.written.load());
        }
        CHECK(c.settle());
        CHECK(c.primary.violations.empty());
    }

    TEST_CASE("a primary that rings for a worker that is gone goes on") {
        with_hostile_worker c;
        c.memory = {};
        CHECK(c.in->reader_sleeps.set());
        c.primary.send("x");
        CHECK(c.settle());
        CHECK(c.primary.ended == 0);
    }

    TEST_CASE("what comes by the socket without descriptors costs the channel") {
        with_hostile_worker c;
        raw::send_some(c.sockets.theirs.get(), std::string(1, '\0'));
        CHECK(c.settle());
        CHECK(c.primary.violations.size() == 1);
        CHECK_FALSE(c.primary.link.is_open());
    }

    TEST_CASE("descriptors that no frame asks for cost the channel and are closed") {
        auto before = raw::open_descriptors();
        {
            with_hostile_worker c;
            auto pair = raw::unix_pair();
            std::byte mark{};
            for (int i = 0; i != 2; ++i) {
                int fd = pair.ours.get();
                os::send_with_descriptors(c.sockets.theirs.get(), {&mark, 1}, {&fd, 1});
            }
            CHECK(c.settle());
            CHECK(c.primary.violations.size() == 1);
        }
        CHECK(raw::open_descriptors() == before);
    }

    TEST_CASE("bytes that change under way change nothing that was looked at") {
        with_hostile_worker c;
        auto* bytes = c.rings.to_primary();
        c.primary.on_each = [&](frame& arrived) {
            std::memset(bytes, 0xff, ring_bytes); // all of it, while the frame is being handled
            CHECK(arrived.payload.size() == 5);
        };
        c.write(message("first") + message("again") + message("third"));
        c.bell();
        CHECK(c.settle());
        CHECK(c.primary.text == "firstagainthird");
        CHECK(c.primary.violations.empty());
    }
}
