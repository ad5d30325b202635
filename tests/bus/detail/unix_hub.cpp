// SPDX-License-Identifier: MIT
#include <cluster/bus/detail/unix_hub.hpp>

#include "../../support/bus_test.hpp"
#include "../../support/unix_bus_test.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include <sys/syscall.h>
#include <unistd.h>

namespace {

namespace os = cluster::detail::os;
using namespace std::chrono_literals;
using cluster_test::all_up;
using cluster_test::bytes_of;
using cluster_test::dispatch_until;
using cluster_test::refusal;
using cluster_test::string_of;
using node = cluster_test::unix_node;
using place = cluster_test::unix_place;

/// A client that speaks for itself.
struct stranger {
    explicit stranger(const std::string& path)
        : fd{os::open_stream_socket(cluster::address_family::local)} {
        REQUIRE(os::connect_to(fd.get(), cluster::address::local(path)));
    }

    void say(cluster::detail::unix_word word, std::string_view payload) {
        cluster::detail::frame_header header;
        header.kind = cluster::detail::frame_kind::post;
        header.type = static_cast<std::uint32_t>(word);
        header.length = static_cast<std::uint32_t>(payload.size());
        say(header, payload);
    }
    void say(const cluster::detail::frame_header& header, std::string_view payload) {
        std::byte bytes[cluster::detail::frame_header_size];
        cluster::detail::encode_header(header, bytes);
        say(string_of(bytes));
        say(payload);
    }
    void say(std::string_view bytes) { os::send(fd.get(), bytes_of(bytes)); }

    [[nodiscard]] bool is_thrown_out() const { return os::has_peer_ended(fd.get()); }

    cluster::unique_fd fd;
};

std::string letter(std::string_view to, std::string_view subject, std::string_view from) {
    cluster::byte_buffer out;
    cluster::detail::put_address(to, subject, out);
    cluster::detail::encode_envelope({from, 1, 1, bytes_of("?")}, out);
    return string_of(out.span());
}
std::string hello(std::string_view name, char version = cluster::detail::unix_bus_version) {
    return version + std::string{name};
}

} // namespace

TEST_CASE("unix: a node that takes nothing is told what it has missed and slows nobody") {
    constexpr int count = 3000;
    place at;
    auto small = at("hub");
    small.queue = 64 * 1024;
    node hub{small};
    node quick{at("quick")};
    node slow{at("slow")};
    REQUIRE(all_up(hub, quick, slow));
    const std::string kilobyte(1024, 'x');
    for (std::size_t i = 0; i != count; ++i) {
        CHECK_FALSE(hub.bus.publish("news", bytes_of(kilobyte)));
        REQUIRE(dispatch_until([&] { return quick.heard.size() == i + 1; }, hub.bus, quick.bus));
    }
    CHECK(quick.lost == 0);
    // It may take a while until there is room for one more.
    int published = count;
    REQUIRE(dispatch_until(
        [&] {
            hub.bus.publish("news", bytes_of("end " + std::to_string(++published)));
            return !slow.heard.empty() && slow.heard.back().starts_with("hub:end");
        },
        hub.bus,
        slow.bus));
    CHECK(slow.lost > 0);
    CHECK("hub:end " + std::to_string(slow.heard.size() + slow.lost) == slow.heard.back());
}

TEST_CASE("unix: what is hostile costs its own connection and nothing else") {
    place at;
    node hub{at("hub")};
    node a{at("a")};
    REQUIRE(all_up(hub, a));
    using cluster::detail::unix_word;
    using attack = void (*)(stranger&);
    const attack attacks[] = {
        [](stranger& s) { s.say(std::string(100, '\xff')); },
        [](stranger& s) { s.say(unix_word::letter, letter("", "news", "a")); }, // no hello
        [](stranger& s) { s.say(unix_word::hello, ""); },
        [](stranger& s) { s.say(unix_word::hello, hello("a b")); },
        [](stranger& s) { s.say(unix_word::hello, hello("x", 9)); },
        [](stranger& s) { s.say(unix_word::hello, hello("a")); },
        [](stranger& s) {
            s.say(unix_word::hello, hello("x"));
            s.say(unix_word::letter, letter("", "news", "a")); // in another's name
        },
        [](stranger& s) {
            s.say(unix_word::hello, hello("x"));
            s.say(unix_word::letter, letter("", "two words", "x"));
        },
        [](stranger& s) {
            s.say(unix_word::hello, hello("x"));
            s.say(unix_word::letter, letter("*", "news", "x"));
        },
        [](stranger& s) {
            s.say(unix_word::hello, hello("x"));
            s.say(unix_word::letter, letter("", "news", "x").substr(0, 12));
        },
        [](stranger& s) {
            s.say(unix_word::hello, hello("x"));
            s.say(unix_word::welcome, "");
        },
        [](stranger& s) {
            cluster::detail::frame_header longest;
            longest.kind = cluster::detail::frame_kind::post;
            longest.length = 0xffffffffU;
            s.say(longest, "");
        },
        [](stranger& s) { // of another part of the library
            cluster::detail::frame_header other;
            other.kind = cluster::detail::frame_kind::message;
            other.type = static_cast<std::uint32_t>(unix_word::hello);
            s.say(other, "");
        },
        [](stranger& s) { // with a descriptor
            const int passed[] = {s.fd.get()};
            os::send_with_descriptors(s.fd.get(), bytes_of(std::string(16, '\0')), passed);
        },
    };
    for (auto each : attacks) {
        stranger one{at.path};
        each(one);
        CHECK(dispatch_until([&] { return one.is_thrown_out(); }, hub.bus, a.bus));
    }
    CHECK(hub.bad > 0);
    CHECK_FALSE(a.bus.publish("news", bytes_of("still here")));
    CHECK(dispatch_until([&] { return hub.heard.size() == 1; }, hub.bus, a.bus));
    CHECK(a.heard.empty());
    CHECK(a.disconnected == 0);
}

TEST_CASE("unix: who connects and says nothing is sent away") {
    place at;
    auto impatient = at("hub");
    impatient.timeout = 20ms;
    node hub{impatient};
    stranger silent{at.path};
    CHECK(dispatch_until([&] { return silent.is_thrown_out(); }, hub.bus));
    CHECK(hub.bad == 1);
    CHECK(hub.why == cluster::errc::request_timeout);
}

TEST_CASE("unix: another user may take part only if both sides say so") {
    if (::geteuid() != 0) {
        return; // nobody to play the other
    }
    constexpr uid_t other = 65534;
    place at;
    auto open = at("hub");
    open.mode = 0666;
    auto guest = at("guest");
    guest.users = {0};
    auto as_other = [&](auto what) { // the user of one thread, whom the kernel asks
        std::thread one{[&] {
            REQUIRE(::syscall(SYS_setresuid, -1, other, -1) == 0);
            what();
        }};
        one.join();
    };
    {
        node hub{open};
        std::unique_ptr<node> b;
        as_other([&] {
            CHECK(refusal(at("x")) == std::errc::permission_denied); // the socket is a stranger's
            b = std::make_unique<node>(guest);
        });
        CHECK(dispatch_until([&] { return b->disconnected == 1; }, hub.bus, b->bus));
        CHECK(hub.bad == 1);
        CHECK(hub.why == std::errc::permission_denied);
    }
    open.users = {other};
    node hub{open};
    std::unique_ptr<node> b;
    as_other([&] { b = std::make_unique<node>(guest); });
    CHECK(dispatch_until([&] { return b->connected == 1; }, hub.bus, b->bus));
    CHECK(hub.bad == 0);
}
