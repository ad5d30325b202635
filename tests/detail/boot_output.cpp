// SPDX-License-Identifier: MIT
#include <cluster/detail/boot_output.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>

#include <unistd.h>

namespace {

namespace os = cluster::detail::os;
using cluster::event_loop;
using cluster::unique_fd;
using cluster::detail::boot_output;

// A worker's standard error, the reader of it, and the place where it belongs.
struct boot {
    event_loop loop;
    unique_fd worker, shown;
    std::unique_ptr<boot_output> output;

    boot() {
        unique_fd from;
        unique_fd to;
        REQUIRE(!os::make_pipe(from, worker));
        REQUIRE(!os::make_pipe(shown, to));
        output = std::make_unique<boot_output>(loop, std::move(from), std::move(to));
    }
    void say(std::string_view text) const {
        REQUIRE(::write(worker.get(), text.data(), text.size()) ==
                static_cast<ssize_t>(text.size()));
    }
    [[nodiscard]] std::string shown_text() const {
        std::string result;
        std::array<std::byte, 4096> buffer;
        for (;;) {
            auto got = os::read_some(shown.get(), buffer);
            if (got.error != 0 || got.bytes == 0) {
                return result;
            }
            result.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
        }
    }
};

} // namespace

TEST_SUITE("detail/boot_output") {
    TEST_CASE("what a worker says is shown and its end is kept") {
        boot one;
        one.say("first\n");
        one.loop.poll();
        CHECK(one.shown_text() == "first\n");
        one.say("second\n");
        CHECK(one.output->tail() == "first\nsecond");
        CHECK(one.shown_text() == "second\n");
    }

    TEST_CASE("only the last kilobyte is kept") {
        boot one;
        for (int i = 0; i != 100; ++i) {
            one.say(std::string(100, 'x') + "\n");
            one.loop.poll();
        }
        one.say("the end\n");
        auto tail = one.output->tail();
        CHECK(tail.size() <= 1024);
        CHECK(tail.ends_with("x\nthe end"));
    }

    TEST_CASE("control characters do not reach who reads the report") {
        boot one;
        one.say("a\x1b[31mb\r\x9b\x7f\n");
        CHECK(one.output->tail() == "a\\x1b[31mb\\x0d\\x9b\\x7f");
    }

    TEST_CASE("the end of the worker is no end of the loop and no busy one") {
        boot one;
        one.say("last words");
        one.worker.reset();
        CHECK(one.output->tail() == "last words");
        CHECK_FALSE(one.loop.poll()); // it keeps no loop alive
        CHECK(one.output->tail() == "last words");
    }

    TEST_CASE("a place that takes nothing more loses words and nothing else") {
        boot one;
        one.shown.reset(); // EPIPE
        one.say("nobody hears this\n");
        CHECK(one.output->tail() == "nobody hears this");
        boot other;
        for (int i = 0; i != 40; ++i) { // more than a pipe holds, and nobody reads
            other.say(std::string(4000, 'y'));
            other.loop.poll();
        }
        CHECK(other.output->tail().size() == 1024);
        CHECK(other.shown_text().size() >= 4096);
    }
}
