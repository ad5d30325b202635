// SPDX-License-Identifier: MIT
#include <cluster/ipc/channel.hpp> // first and alone: proves the header is self-contained

#include "../support/channel_end.hpp"
#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
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

struct oops {};

struct end final : cluster_test::channel_end {
    event_loop& loop;

    end(event_loop& in, unique_fd socket, direction incoming = direction::to_worker)
        : channel_end{in, incoming}, loop{in} {
        REQUIRE(!link.open(std::move(socket)));
    }
};

/// Two channels that talk to each other in one loop.
struct conversation {
    event_loop loop;
    raw::ends sockets;
    end primary;
    end worker;

    explicit conversation(int buffer = 0)
        : sockets{raw::unix_pair(buffer)},
          primary{loop, std::move(sockets.ours), direction::to_primary},
          worker{loop, std::move(sockets.theirs), direction::to_worker} {}
};

/// A worker's channel whose primary is the test.
struct with_raw_peer {
    event_loop loop;
    raw::ends sockets;
    end worker;
    int peer;

    explicit with_raw_peer(raw::ends pair = raw::unix_pair())
        : sockets{std::move(pair)},
          worker{loop, std::move(sockets.ours)},
          peer{sockets.theirs.get()} {}

    void send(std::string_view bytes) { REQUIRE(raw::send_some(peer, bytes) == bytes.size()); }
    void send(std::string_view bytes, std::vector<int> passed) {
        auto sent = os::send_with_descriptors(peer, std::as_bytes(std::span{bytes}), passed);
        REQUIRE(sent.bytes == bytes.size());
    }
    bool settle() { return raw::comes_to_rest(loop); }
};

std::string bytes_of(frame_header header, std::string_view payload = {}) {
    header.length = header.length == 0 ? static_cast<std::uint32_t>(payload.size()) : header.length;
    std::array<std::byte, frame_header_size> bytes{};
    encode_header(header, bytes);
    std::string result(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return result.append(payload);
}

std::string message(std::string_view payload, std::uint8_t descriptors = 0) {
    return bytes_of({0, frame_kind::message, descriptors, 0, 0}, payload);
}

/// A pair of sockets that keeps the borders of system calls.
raw::ends packets() {
    auto made = raw::socket_pair(SOCK_SEQPACKET);
    REQUIRE(made.ours);
    return made;
}

struct packet {
    std::string bytes;
    std::size_t descriptors = 0;
};

/// What one system call of the other side has sent.
packet next_packet(int fd) {
    std::vector<std::byte> room(1 << 20);
    os::received_descriptors passed;
    auto got = os::receive_with_descriptors(fd, room, passed);
    return {std::string(reinterpret_cast<const char*>(room.data()), got.bytes), passed.count()};
}

ino_t identity(int fd) {
    struct stat info {};
    REQUIRE(::fstat(fd, &info) == 0);
    return info.st_ino;
}

} // namespace

TEST_SUITE("ipc/channel") {
    TEST_CASE("frames arrive in order, both ways, with what their headers say") {
        conversation c;
        for (std::uint32_t i = 0; i != 10; ++i) {
            CHECK(c.primary.send(std::string(i, 'p'), i) == send_result::ok);
            CHECK(c.worker.send(std::string(i, 'w'), i + 100) == send_result::ok);
        }
        CHECK(c.primary.link.queued() != 0); // until the end of the turn
        CHECK(raw::comes_to_rest(c.loop));
        CHECK(c.worker.text == std::string(45, 'p'));
        CHECK(c.primary.text == std::string(45, 'w'));
        CHECK(c.worker.types == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
        CHECK(c.primary.types.back() == 109);
        CHECK(c.primary.link.queued() == 0);
    }

    TEST_CASE("the frames of one turn leave in one system call") {
        with_raw_peer c{packets()};
        c.loop.defer([&] {
            for (int i = 0; i != 50; ++i) {
                c.worker.send("x");
            }
        });
        CHECK(c.settle());
        CHECK(next_packet(c.peer).bytes.size() == 50 * (frame_header_size + 1));
        CHECK(next_packet(c.peer).bytes.empty());
    }

    TEST_CASE("a descriptor leaves with the first byte of its frame") {
        with_raw_peer c{packets()};
        c.worker.send("a");
        c.worker.send("b");
        c.worker.send("c", 0, descriptor_list{std::vector<int>{0}});
        c.worker.send("d");
        c.worker.send("e", 0, descriptor_list{std::vector<int>{0}});
        c.worker.send("f", 0, descriptor_list{std::vector<int>{0}});
        CHECK(c.settle());
        auto first = next_packet(c.peer);
        CHECK(first.bytes == message("a") + message("b"));
        CHECK(first.descriptors == 0);
        auto second = next_packet(c.peer);
        CHECK(second.bytes == message("c", 1) + message("d"));
        CHECK(second.descriptors == 1);
        auto third = next_packet(c.peer);
        CHECK(third.bytes == message("e", 1));
        CHECK(third.descriptors == 1);
        CHECK(next_packet(c.peer).bytes == message("f", 1));
    }

    TEST_CASE("descriptors stay with their frames between plain ones, through a full socket") {
        auto before = raw::open_descriptors();
        {
            conversation c{4096};
            std::vector<ino_t> sent;
            std::vector<ino_t> got;
            std::string expected;
            int plain = 0;
            c.worker.on_each = [&](frame& arrived) {
                plain += arrived.header.descriptors == 0 ? 1 : 0;
                CHECK(c.worker.descriptors.size() == arrived.header.descriptors);
                for (auto& each : c.worker.descriptors) {
                    got.push_back(identity(each.get()));
                }
                c.worker.descriptors.clear();
            };
            for (int i = 0; i != 40; ++i) {
                std::string payload(static_cast<std::size_t>(i * 37 % 3000),
                                    static_cast<char>('a' + i % 26));
                expected += payload;
                if (i % 3 == 1) {
                    auto pair = raw::unix_pair();
                    sent.push_back(identity(pair.ours.get()));
                    c.primary.send(payload, 0, descriptor_list{std::move(pair.ours)});
                } else {
                    c.primary.send(payload);
                }
            }
            CHECK(raw::run_until(c.loop, [&] { return c.worker.text.size() == expected.size(); }));
            CHECK(c.worker.text == expected);
            CHECK(got == sent);
            CHECK(plain == 27);
            CHECK(c.worker.violations.empty());
        }
        CHECK(raw::open_descriptors() == before);
    }

    TEST_CASE("a whole batch of descriptors comes with one frame") {
        conversation c;
        descriptor_list list;
        for (int i = 0; i != batch_limit; ++i) {
            list.numbers.push_back(0);
        }
        c.primary.link.send_control({0, frame_kind::connections, 0, 0, 0}, std::move(list));
        CHECK(raw::comes_to_rest(c.loop));
        CHECK(c.worker.descriptors.size() == batch_limit);
    }

    TEST_CASE("owned descriptors are closed once they are sent, or when the channel closes") {
        auto before = raw::open_descriptors();
        {
            with_raw_peer c;
            auto pair = raw::unix_pair();
            c.worker.send("a", 0, descriptor_list{std::move(pair.ours)});
            CHECK(c.settle());
            bool end = false;
            std::string got;
            {
                auto arrived = next_packet(c.peer); // the copy dies with it
                CHECK(arrived.descriptors == 1);
            }
            raw::read_some(pair.theirs.get(), &end);
            CHECK(end);
            pair = raw::unix_pair();
            c.worker.send("a", 0, descriptor_list{std::move(pair.ours)});
            c.worker.link.close();
            end = false;
            raw::read_some(pair.theirs.get(), &end);
            CHECK(end);
        }
        CHECK(raw::open_descriptors() == before);
    }

    TEST_CASE("a frame of many megabytes passes a small socket") {
        conversation c{4096};
        std::string big(5'000'000, 'x');
        big.front() = '<';
        big.back() = '>';
        CHECK(c.primary.send(big) == send_result::queued);
        c.primary.send("!");
        CHECK(raw::run_until(c.loop, [&] { return c.worker.types.size() == 2; }));
        CHECK(c.worker.text == big + "!");
        CHECK(raw::comes_to_rest(c.loop));
    }

    TEST_CASE("a sender hears that the receiver is behind, and once when it may go on") {
        with_raw_peer c;
        std::string block(16 * 1024, 'x');
        auto result = send_result::ok;
        for (int i = 0; i != 1000 && result == send_result::ok; ++i) {
            result = c.worker.send(block);
        }
        CHECK(result == send_result::queued);
        CHECK(c.worker.link.queued() >= channel::high_water_mark);
        CHECK(c.settle()); // waiting for the peer costs nothing
        CHECK(c.worker.drained == 0);
        CHECK(raw::run_until(c.loop, [&] {
            raw::read_some(c.peer);
            return c.worker.drained != 0;
        }));
        CHECK(c.worker.link.queued() == 0);
        CHECK(c.worker.send("x") == send_result::ok);
        CHECK(c.settle());
        CHECK(c.worker.drained == 1);
    }

    TEST_CASE("beyond the hard limit nothing is taken but the library's own frames") {
        with_raw_peer c;
        std::error_code told;
        auto huge = [](byte_buffer& out) { static_cast<void>(out.extend(any_length)); };
        CHECK(c.worker.link.send({0, frame_kind::message, 0, 0, 0}, huge) == send_result::queued);
        while (c.worker.link.queued() < channel::hard_limit) {
            c.worker.send(std::string(300'000, 'x'));
        }
        auto queued = c.worker.link.queued();
        CHECK(c.worker.send("x", 0, {}, [&](std::error_code why) { told = why; }) ==
              send_result::full);
        CHECK(c.worker.link.queued() == queued);
        c.worker.link.send_control({0, frame_kind::taken, 0, 0, 0});
        CHECK(c.worker.link.queued() == queued + frame_header_size);
        CHECK(c.settle());
        CHECK(told == errc::would_block);
        CHECK(raw::run_until(c.loop, [&] {
            raw::read_some(c.peer);
            return c.worker.drained != 0;
        }));
        CHECK(c.worker.send("x") == send_result::ok);
    }

    TEST_CASE("a frame beyond its kind's length is an exception and leaves nothing behind") {
        with_raw_peer c;
        auto too_long = [](byte_buffer& out) { static_cast<void>(out.extend(5000)); };
        CHECK_THROWS_AS(c.worker.link.send({0, frame_kind::failure, 0, 0, 0}, too_long),
                        std::system_error);
        CHECK_THROWS_AS(c.worker.link.send({0, frame_kind::message, 0, 0, 0},
                                           [](byte_buffer& out) {
                                               out.append("half", 4);
                                               throw oops{};
                                           }),
                        oops);
        CHECK(c.worker.link.queued() == 0);
        c.worker.send("whole");
        CHECK(c.settle());
        CHECK(raw::read_some(c.peer) == message("whole"));
    }

    TEST_CASE("completions come once, in order, when the system has taken the message") {
        with_raw_peer c;
        std::string order;
        auto note = [&order](char name) {
            return [&order, name](std::error_code why) { order += why ? 'E' : name; };
        };
        c.worker.send("1", 0, {}, note('a'));
        c.worker.send("2");
        c.worker.send("3", 0, {}, note('b'));
        CHECK(order.empty());
        CHECK(c.settle());
        CHECK(order == "ab");
        c.worker.send(std::string(3'000'000, 'x'), 0, {}, note('c'));
        CHECK(c.settle());
        CHECK(order == "ab");
        CHECK(raw::run_until(c.loop, [&] {
            raw::read_some(c.peer);
            return order.size() == 3;
        }));
        CHECK(order == "abc");
        c.worker.send("4", 0, {}, note('d'));
        c.worker.link.close();
        CHECK(c.worker.send("5", 0, {}, note('e')) == send_result::closed);
        CHECK(c.settle());
        CHECK(order == "abcEE");
    }

    TEST_CASE("what a drain or completion handler throws leaves run, not flush") {
        with_raw_peer c;
        c.worker.on_drained = [] { throw oops{}; };
        c.worker.send(std::string(1'000'000, 'x'), 0, {}, [](std::error_code) { throw oops{}; });
        CHECK(c.settle());
        int thrown = 0;
        CHECK(raw::run_until(c.loop, [&] {
            raw::read_some(c.peer);
            try {
                c.loop.poll();
            } catch (const oops&) {
                ++thrown;
            }
            return thrown == 2;
        }));
        CHECK(c.worker.drained == 1);
    }

    TEST_CASE("nobody is told of a drain behind the end of the channel") {
        with_raw_peer c;
        c.worker.send(std::string(1'000'000, 'x'));
        std::thread reading{[&] {
            std::size_t got = 0;
            while (got < 1'000'016 && raw::readable(c.peer, 20'000)) {
                got += raw::read_some(c.peer).size();
            }
        }};
        c.worker.link.flush_blocking(20s);
        reading.join();
        CHECK(c.worker.link.queued() == 0);
        CHECK(c.worker.drained == 0);
        c.worker.link.close();
        CHECK(c.settle());
        CHECK(c.worker.drained == 0);
    }

    TEST_CASE("a blocking flush gives up when its time is over or the peer is gone") {
        with_raw_peer c;
        c.worker.send(std::string(2'000'000, 'x'));
        c.worker.link.flush_blocking(5ms);
        CHECK(c.worker.link.queued() != 0);
        c.sockets.theirs.reset();
        c.worker.link.flush_blocking(1h);
        CHECK_FALSE(c.worker.link.can_send());
        CHECK(c.worker.send("x") == send_result::closed);
    }

    TEST_CASE("everything that a dying peer sent is delivered before its end, once") {
        with_raw_peer c;
        std::error_code told;
        c.send(message("a") + message("b"));
        c.send(message("c").substr(0, 10)); // it died in the middle
        c.sockets.theirs.reset();
        c.worker.send("unread", 0, {}, [&](std::error_code why) { told = why; });
        CHECK(raw::run_until(c.loop, [&] { return c.worker.ended != 0; }));
        CHECK(c.worker.text == "ab");
        CHECK(c.settle());
        CHECK(c.worker.ended == 1);
        CHECK(c.worker.violations.empty());
        CHECK(told == errc::channel_closed);
    }

    TEST_CASE("a peer that dies with our frames unread ends like any other") {
        with_raw_peer c;
        c.worker.send("never read");
        c.worker.link.flush();
        c.send(message("a"));
        c.sockets.theirs.reset(); // the system reports a reset
        CHECK(raw::run_until(c.loop, [&] { return c.worker.ended != 0; }));
        CHECK(c.worker.text == "a");
        CHECK(c.worker.ended == 1);
    }

    TEST_CASE("a handler that throws at each of ten frames loses none, nor the end") {
        with_raw_peer c;
        for (char each = '0'; each <= '9'; ++each) {
            c.send(message({&each, 1}));
        }
        c.sockets.theirs.reset();
        c.worker.on_each = [](frame&) { throw oops{}; };
        int thrown = 0;
        for (bool done = false; !done;) {
            try {
                c.loop.run();
                done = true;
            } catch (const oops&) {
                ++thrown;
            }
        }
        CHECK(thrown == 10);
        CHECK(c.worker.text == "0123456789");
        CHECK(c.worker.ended == 1);
    }

    TEST_CASE("a handler that closes the channel gets no further frame") {
        with_raw_peer c;
        c.worker.on_each = [&](frame&) { c.worker.link.close(); };
        c.send(message("a") + message("b"));
        CHECK(c.settle());
        CHECK(c.worker.text == "a");
        CHECK(c.worker.ended == 0);
        CHECK_FALSE(c.worker.link.is_open());
        c.worker.link.close();
    }

    TEST_CASE("frames that arrive byte by byte are whole") {
        with_raw_peer c;
        auto bytes = message("hello") + message("") + message("world");
        for (char each : bytes) {
            c.send({&each, 1});
            CHECK(c.settle());
        }
        CHECK(c.worker.text == "helloworld");
        CHECK(c.worker.types.size() == 3);
    }

    TEST_CASE("a frame of 64 KiB that is there arrives in one turn") {
        with_raw_peer c;
        CHECK(c.settle());
        c.send(message(std::string(64 << 10, 'x')));
        c.loop.poll();
        CHECK(c.worker.text.size() == 64 << 10);
    }

    TEST_CASE("a peer that dies behind a full read is heard of") {
        with_raw_peer c;
        std::string all;
        while (all.size() < 4096) { // as much as is read at once of a peer that was silent
            all += message(std::string(240, 'x'));
        }
        REQUIRE(all.size() == 4096);
        c.send(all);
        c.sockets.theirs.reset();
        CHECK(raw::run_until(c.loop, [&] { return c.worker.ended != 0; }));
        CHECK(c.worker.types.size() == 16);
        CHECK(c.worker.violations.empty());
    }

    TEST_CASE("wait takes the frame that it wants and leaves the others in their order") {
        with_raw_peer c;
        auto pair = raw::unix_pair();
        c.send(message("a"));
        c.send(message("b", 1), {pair.ours.get()});
        c.send(bytes_of({0, frame_kind::listen_result, 0, 0, 7}, "answer"));
        c.send(message("c"));
        std::string answer;
        CHECK(c.worker.link.wait([](const frame_header& header) { return header.sequence == 7; },
                                 [&](frame& arrived) {
                                     answer.assign(
                                         reinterpret_cast<const char*>(arrived.payload.data()),
                                         arrived.payload.size());
                                 }));
        CHECK(answer == "answer");
        CHECK(c.worker.text.empty());
        c.worker.on_each = [&](frame& arrived) {
            CHECK(c.worker.descriptors.size() == (c.worker.text == "a" ? 0 : 1));
            CHECK(arrived.payload.size() == 1);
        };
        CHECK(c.settle());
        CHECK(c.worker.text == "abc");
        CHECK(c.worker.descriptors.size() == 1);
    }

    TEST_CASE("wait blocks for an answer that is still to come, and sends what waits first") {
        with_raw_peer c;
        c.worker.send("question");
        std::thread answering{[&] {
            std::string got;
            while (got.size() < message("question").size() && raw::readable(c.peer, 20'000)) {
                got += raw::read_some(c.peer);
            }
            raw::send_some(c.peer, message("other"));
            raw::send_some(c.peer, bytes_of({0, frame_kind::disconnect, 0, 0, 0}));
        }};
        CHECK(c.worker.link.wait(
            [](const frame_header& header) { return header.kind == frame_kind::disconnect; },
            [](frame&) {}));
        answering.join();
        CHECK(c.settle());
        CHECK(c.worker.text == "other");
    }

    TEST_CASE("wait inside a handler keeps the order, too") {
        with_raw_peer c;
        bool waited = false;
        c.worker.on_each = [&](frame& arrived) {
            if (!std::exchange(waited, true)) {
                CHECK(arrived.header.sequence == 0);
                CHECK(c.worker.link.wait(
                    [](const frame_header& header) { return header.sequence == 9; },
                    [](frame&) {}));
            }
        };
        c.send(message("1") + message("2") + message("3") +
               bytes_of({0, frame_kind::shutdown, 0, 0, 9}) + message("4"));
        CHECK(c.settle());
        CHECK(c.worker.text == "1234");
    }

    TEST_CASE("wait ends with the channel, and the loop still sees frames and end") {
        with_raw_peer c;
        c.send(message("a"));
        c.sockets.theirs.reset();
        CHECK_FALSE(c.worker.link.wait([](const frame_header&) { return false; }, [](frame&) {}));
        CHECK(raw::run_until(c.loop, [&] { return c.worker.ended != 0; }));
        CHECK(c.worker.text == "a");
    }

    TEST_CASE("wait ends at a violation, and the loop reports it behind the frames before it") {
        with_raw_peer c;
        c.send(message("a") + std::string(frame_header_size, '\xff'));
        CHECK_FALSE(c.worker.link.wait([](const frame_header&) { return false; }, [](frame&) {}));
        CHECK(c.worker.violations.empty());
        CHECK(c.settle());
        CHECK(c.worker.text == "a");
        CHECK(c.worker.violations == std::vector<errc>{errc::bad_frame});
    }

    TEST_CASE("bytes that are no frame close the channel with a report") {
        std::string nonsense(frame_header_size, '\xff');
        std::string not_reserved = message("");
        not_reserved[6] = 1;
        std::string wrong_way = bytes_of({0, frame_kind::online, 0, 0, 0});
        std::string unknown = message("");
        unknown[4] = static_cast<char>(last_frame_kind + 1);
        for (const auto& each : {nonsense, not_reserved, wrong_way, unknown}) {
            with_raw_peer c;
            c.send(message("good") + each + message("never"));
            CHECK(c.settle());
            CHECK(c.worker.text == "good");
            CHECK(c.worker.violations == std::vector<errc>{errc::bad_frame});
            CHECK_FALSE(c.worker.link.is_open());
            CHECK(c.worker.ended == 0);
        }
    }

    TEST_CASE("an announced length beyond the rule is refused before the payload") {
        with_raw_peer c;
        c.send(bytes_of({0xffffffff, frame_kind::message, 0, 0, 0}));
        CHECK(c.settle());
        CHECK(c.worker.violations == std::vector<errc>{errc::message_too_large});
        with_raw_peer d;
        d.send(bytes_of({1, frame_kind::disconnect, 0, 0, 0}));
        CHECK(d.settle());
        CHECK(d.worker.violations == std::vector<errc>{errc::message_too_large});
    }

    TEST_CASE("a frame that never comes to its end is no violation") {
        with_raw_peer c;
        c.send(bytes_of({any_length, frame_kind::message, 0, 0, 0}, "only this"));
        CHECK(c.settle());
        CHECK(c.worker.violations.empty());
        CHECK(c.worker.link.is_open());
        CHECK(c.worker.types.empty());
    }

    TEST_CASE("descriptors that no frame asks for close the channel") {
        with_raw_peer c;
        c.send(message("plain"), {0});
        CHECK(c.settle());
        CHECK(c.worker.violations == std::vector<errc>{errc::bad_frame});
        with_raw_peer d; // without a whole frame: three batches before one header is complete
        for (int i = 0; i != 3; ++i) {
            d.send("\x05", {0});
        }
        CHECK(d.settle());
        CHECK(d.worker.violations.size() == 1);
    }

    TEST_CASE("a frame whose descriptors did not come closes the channel") {
        with_raw_peer c;
        c.send(message("x", 1));
        CHECK(c.settle());
        CHECK(c.worker.violations == std::vector<errc>{errc::bad_frame});
        CHECK(c.worker.types.empty());
    }

    TEST_CASE("a frame with fewer or more descriptors than it says closes the channel") {
        for (std::size_t count :
             {std::size_t{1}, std::size_t{3}, std::size_t{60}, std::size_t{200}}) {
            auto before = raw::open_descriptors();
            {
                with_raw_peer c;
                auto bytes = bytes_of({0, frame_kind::connections, 2, 0, 0});
                std::vector<int> passed(count, 0);
                alignas(cmsghdr) char control[CMSG_SPACE(200 * sizeof(int))] = {};
                iovec data{bytes.data(), bytes.size()};
                msghdr header{};
                header.msg_iov = &data;
                header.msg_iovlen = 1;
                header.msg_control = control;
                header.msg_controllen = CMSG_SPACE(count * sizeof(int));
                auto* first = CMSG_FIRSTHDR(&header);
                first->cmsg_level = SOL_SOCKET;
                first->cmsg_type = SCM_RIGHTS;
                first->cmsg_len = CMSG_LEN(count * sizeof(int));
                std::memcpy(CMSG_DATA(first), passed.data(), count * sizeof(int));
                REQUIRE(::sendmsg(c.peer, &header, MSG_NOSIGNAL) ==
                        static_cast<ssize_t>(bytes.size()));
                CHECK(c.settle());
                CHECK(c.worker.violations == std::vector<errc>{errc::bad_frame});
            }
            CHECK(raw::open_descriptors() == before);
        }
    }

    TEST_CASE("too many descriptors for the kind of frame close the channel") {
        with_raw_peer c;
        c.send(message("x", 2), {0, 0});
        CHECK(c.settle());
        CHECK(c.worker.violations == std::vector<errc>{errc::too_many_descriptors});
    }

    TEST_CASE("descriptors that the system dropped are told, and the channel goes on") {
        with_raw_peer c;
        REQUIRE(c.settle());
        c.send(message("none", 1), {0});
        {
            raw::few_descriptors few{0};
            c.loop.poll();
        }
        CHECK(c.worker.text == "none");
        CHECK(c.worker.truncated == 1);
        CHECK(c.worker.descriptors.empty());
        c.send(bytes_of({0, frame_kind::connections, 3, 0, 0}), {0, 0, 0});
        {
            raw::few_descriptors few{2};
            c.loop.poll();
            CHECK(c.worker.descriptors.size() == 2);
            CHECK(c.worker.truncated == 2);
            c.worker.descriptors.clear();
        }
        c.send(message("one", 1), {0});
        CHECK(c.settle());
        CHECK(c.worker.descriptors.size() == 1);
        CHECK(c.worker.truncated == 2);
        CHECK(c.worker.violations.empty());
    }

    TEST_CASE("a channel keeps its loop alive unless it is told not to") {
        conversation c;
        c.primary.link.keep_alive(false);
        c.worker.link.keep_alive(false);
        CHECK(c.loop.run() == 0);
        c.worker.link.keep_alive(true);
        c.worker.on_each = [&](frame&) { c.worker.link.keep_alive(false); };
        c.primary.send("x");
        CHECK(c.loop.run() == 0);
        CHECK(c.worker.text == "x");
    }

    TEST_CASE("a channel that was never opened is closed") {
        event_loop loop;
        struct nobody final : channel_owner {
            void on_frame(frame&) override {}
            void on_channel_drained() override {}
            void on_channel_end() override {}
            void on_violation(errc) override {}
        } owner;
        channel link{loop, owner, direction::to_worker};
        CHECK_FALSE(link.is_open());
        bool told = false;
        CHECK(link.send(
                  {},
                  [](byte_buffer&) {},
                  {},
                  [&](std::error_code why) { told = why == errc::channel_closed; }) ==
              send_result::closed);
        CHECK_FALSE(link.wait([](const frame_header&) { return true; }, [](frame&) {}));
        CHECK(link.open(unique_fd{}));
        loop.run();
        CHECK(told);
    }

    TEST_CASE("both sides speak at once through full sockets, from two threads") {
        auto pair = raw::unix_pair(8192);
        constexpr int count = 400;
        auto talk = [](unique_fd socket, direction incoming, std::string& got) {
            event_loop loop;
            end mine{loop, std::move(socket), incoming};
            for (int i = 0; i != count; ++i) {
                mine.send(std::string(1000, static_cast<char>('a' + i % 26)));
            }
            mine.on_each = [&](frame&) {
                if (mine.types.size() == count) {
                    mine.link.keep_alive(false);
                }
            };
            loop.run();
            mine.link.flush_blocking(20s);
            got = mine.text;
        };
        std::string one;
        std::string other;
        std::thread second{[&] { talk(std::move(pair.theirs), direction::to_worker, other); }};
        talk(std::move(pair.ours), direction::to_primary, one);
        second.join();
        CHECK(one.size() == count * 1000);
        CHECK(one == other);
    }
}
